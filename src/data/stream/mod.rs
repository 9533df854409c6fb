//! Images in shards, read in one pass: tar files as webdataset writes them and Parquet files as
//! the Hugging Face hub stores data sets, from disk, from servers and from object storage.

mod order;
mod parquet;
mod places;
mod queue;
mod remote;
mod sample;
mod set;
mod shard;
mod tar;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rayon::prelude::*;

pub(super) use order::Sequence;
pub(super) use sample::Sample;

use self::remote::Client;
use self::shard::{Place, Shard, Survey};
use super::place::Split;
use super::resample::MAX_PIXELS;
use crate::error::{Error, Result};

/// The most classes that labels without names may stand for.
const MAX_CLASSES: usize = 1 << 20;

/// Images in shards, read in one pass with bounded memory, as a
/// [`Loader`](super::Loader) takes them.
///
/// The order depends on the seed alone: for each epoch the shards are permuted, four of them
/// are open at once and taken in turns, and a buffer of a thousand samples (at most 256 MiB of
/// encoded images) mixes them. Each sample comes once in an epoch.
///
/// A sample of a tar file is a run of members that share the path up to the first dot of the
/// file name. Its image is the first member with the ending of an image, its label what the
/// `.cls` file or `label`, `cls` or `class` of the `.json` file states. Of a Parquet file it is
/// a row.
#[derive(Clone)]
pub struct ImageStream {
    shards: Arc<[Arc<Shard>]>,
    /// Samples of each shard, where that is known without reading them.
    counts: Option<Arc<[usize]>>,
    /// Images of local samples after the first.
    further: usize,
    classes: Arc<Classes>,
    part: (usize, usize),
    client: Client,
    max_pixels: u64,
}

/// What labels stand for.
#[derive(Debug, Default)]
struct Classes {
    names: Vec<String>,
    /// Where labels are names and not numbers.
    by_name: Option<BTreeMap<String, usize>>,
}

impl ImageStream {
    /// Opens the shards at some places: a brace pattern (`shard-{000000..000099}.tar`), a glob,
    /// a folder of shards, one file, or a URL (`http://`, `https://`, `s3://`, `gs://`), also
    /// with braces. Of a folder whose files are named by splits, the split's are taken. Local
    /// tar files are counted by their headers, Parquet files by their footers.
    ///
    /// # Errors
    /// [`Error::Data`] for places that are no shards, and with the shard's name where one is
    /// damaged or truncated; [`Error::Io`].
    pub fn open<P: AsRef<str>>(places: &[P], split: Split) -> Result<Self> {
        let mut shards = Vec::new();
        for place in places {
            let place = place.as_ref();
            let found = places::shards(place, split)?.ok_or_else(|| {
                Error::data(place, "holds no shards: .tar, .tar.gz or .parquet files")
            })?;
            shards.extend(found);
        }
        Self::of(shards)
    }

    /// As [`open`](Self::open); none where no place is one of shards.
    ///
    /// # Errors
    /// Those of [`open`](Self::open), and [`Error::Data`] where only some places are of shards.
    pub fn find<P: AsRef<str>>(places: &[P], split: Split) -> Result<Option<Self>> {
        let mut shards = Vec::new();
        let mut other = None;
        for place in places {
            match places::shards(place.as_ref(), split)? {
                Some(found) => shards.extend(found),
                None => other = Some(place.as_ref()),
            }
        }
        match other {
            _ if shards.is_empty() => Ok(None),
            Some(other) => Err(Error::data(
                other,
                "holds no shards, and other places do; shards are not mixed with other images",
            )),
            None => Self::of(shards).map(Some),
        }
    }

    fn of(shards: Vec<Shard>) -> Result<Self> {
        let shards: Arc<[Arc<Shard>]> = shards.into_iter().map(Arc::new).collect();
        let client = Client::default();
        let surveys = shards.par_iter().map(|shard| shard.survey(&client));
        let surveys: Option<Vec<Survey>> = surveys.collect::<Result<_>>()?;
        let (mut counts, mut classes, mut further) = (None, Classes::default(), 0);
        if let Some(surveys) = surveys {
            if surveys.iter().all(|survey| survey.samples == 0) {
                let first = shards.first().ok_or(Error::NoImages)?;
                return Err(first.error("holds no images"));
            }
            classes = Classes::of(&shards, &surveys)?;
            further = surveys.iter().map(|survey| survey.further).sum();
            counts = Some(surveys.iter().map(|survey| survey.samples).collect());
        }
        Ok(Self {
            shards,
            counts,
            further,
            classes: Arc::new(classes),
            part: (0, 1),
            client,
            max_pixels: MAX_PIXELS,
        })
    }

    /// Number of images; none where it is not known before they are read: of tar files on
    /// servers and compressed ones.
    pub fn len(&self) -> Option<usize> {
        self.counts.as_ref().map(|counts| counts.iter().sum())
    }

    /// How many images of local tar files are passed over, as their sample has another one:
    /// a sample is the members that share a name up to its first point.
    pub fn left_out(&self) -> BTreeMap<String, usize> {
        let kind =
            "further images of samples, which are the files of one name up to its first point";
        (self.further > 0).then(|| (kind.to_owned(), self.further)).into_iter().collect()
    }

    /// Whether it is known that there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// Number of shards.
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Names of the classes; a label is an index into it. Empty where the images have no
    /// labels, or where that is not known before they are read.
    pub fn classes(&self) -> &[String] {
        &self.classes.names
    }

    /// Labels of this many classes, for shards whose labels are not known before they are
    /// read. A sample without a label below `count` is then unreadable.
    ///
    /// # Errors
    /// [`Error::Setting`] where the shards are known to have another number of classes.
    pub fn with_classes(mut self, count: usize) -> Result<Self> {
        let known = self.classes.names.len();
        let named = self.classes.by_name.is_some();
        if count == 0 || count > MAX_CLASSES || known > count || (named && known != count) {
            let expected = match known {
                0 => format!("it must lie between 1 and {MAX_CLASSES}"),
                known => format!("the shards have {known} classes"),
            };
            return Err(Error::setting("classes", count, expected));
        }
        if known < count {
            let numbers = (known..count).map(|number| number.to_string());
            let names = self.classes.names.iter().cloned().chain(numbers).collect();
            self.classes = Arc::new(Classes { names, by_name: None });
        }
        Ok(self)
    }

    /// The share `part` of `of` equal ones: parts have no image in common, and together they
    /// are the whole. Shards are shared out where there are enough, else the samples of each.
    ///
    /// # Errors
    /// [`Error::Setting`] for a part that there is not.
    pub fn with_part(self, part: usize, of: usize) -> Result<Self> {
        if part >= of {
            return Err(Error::setting("part", part, format!("it must be below {of}")));
        }
        Ok(Self { part: (part, of), ..self })
    }

    /// The same images with another limit on the pixels of one than
    /// [`MAX_PIXELS`](super::MAX_PIXELS).
    #[must_use]
    pub fn with_max_pixels(self, pixels: u64) -> Self {
        Self { max_pixels: pixels, ..self }
    }

    pub(super) fn max_pixels(&self) -> u64 {
        self.max_pixels
    }

    /// How long a server may be silent before it is asked again; a minute by default.
    #[must_use]
    pub fn with_idle_timeout(self, idle: Duration) -> Self {
        Self { client: Client::new(idle), ..self }
    }

    /// The class of a sample; none where the stream has no labels.
    ///
    /// # Errors
    /// [`Error::Data`] where the sample has none, or one that is none of the classes.
    pub(super) fn label(&self, sample: &Sample) -> Result<Option<usize>> {
        if self.classes().is_empty() {
            return Ok(None);
        }
        self.class(sample.label.as_deref(), || sample.path()).map(Some)
    }

    /// The class of a label's text, of the sample at `path`.
    fn class(&self, label: Option<&str>, path: impl Fn() -> PathBuf) -> Result<usize> {
        let Classes { names, by_name } = &*self.classes;
        let Some(text) = label else {
            return Err(Error::data(path(), "has no label"));
        };
        let class = match by_name {
            Some(by_name) => by_name.get(text).copied(),
            None => text.parse().ok().filter(|&class| class < names.len()),
        };
        class.ok_or_else(|| {
            let reason = format!("its label `{text}` is none of the {} classes", names.len());
            Error::data(path(), reason)
        })
    }

    /// The first place, for messages.
    fn named(&self) -> String {
        self.shards.first().map_or_else(String::new, |shard| shard.path().display().to_string())
    }

    /// Whether every shard is a local file.
    pub(super) fn is_local(&self) -> bool {
        self.shards.iter().all(|shard| matches!(shard.place, Place::Local(_)))
    }
}

impl Classes {
    /// Those of shards whose samples all have labels; none for others.
    fn of(shards: &[Arc<Shard>], surveys: &[Survey]) -> Result<Self> {
        if surveys.iter().any(|survey| survey.labelled < survey.samples) {
            return Ok(Self::default());
        }
        if let Some(names) = surveys.iter().find_map(|survey| survey.classes.clone()) {
            let other = |survey: &Survey| survey.classes.as_ref() != Some(&names);
            return match surveys.iter().position(other) {
                Some(place) => {
                    Err(shards[place].error("lists other classes than the other shards"))
                }
                None => Ok(Self { names, by_name: None }),
            };
        }
        let labels: BTreeSet<&String> = surveys.iter().flat_map(|survey| &survey.labels).collect();
        let numbers: Option<Vec<usize>> = labels.iter().map(|label| label.parse().ok()).collect();
        let Some(numbers) = numbers else {
            let by_name = labels.iter().enumerate().map(|(class, name)| ((*name).clone(), class));
            let by_name = by_name.collect();
            return Ok(Self {
                names: labels.into_iter().cloned().collect(),
                by_name: Some(by_name),
            });
        };
        let largest = numbers.into_iter().max().unwrap_or(0);
        if largest >= MAX_CLASSES {
            let reason = format!("has the label {largest}, which is beyond {MAX_CLASSES} classes");
            return Err(shards[0].error(reason));
        }
        Ok(Self { names: (0..=largest).map(|number| number.to_string()).collect(), by_name: None })
    }
}

impl fmt::Debug for ImageStream {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shards, images, classes) = (self.shards(), self.len(), self.classes().len());
        out.debug_struct("ImageStream")
            .field("shards", &shards)
            .field("images", &images)
            .field("classes", &classes)
            .finish()
    }
}
