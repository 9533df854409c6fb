//! Shards: where one is and what format it has.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;

use super::remote::{Client, Remote};
use super::sample::Sample;
use super::{parquet, tar};
use crate::data::decode::said;
use crate::error::{Error, Result};

/// One file of a data set.
#[derive(Debug)]
pub(in crate::data) struct Shard {
    pub(super) place: Place,
    pub(super) format: Format,
}

#[derive(Debug)]
pub(super) enum Place {
    Local(PathBuf),
    Remote(Remote),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Tar,
    /// Compressed by gzip.
    TarGz,
    Parquet,
}

impl Format {
    /// By the ending of a name.
    pub(super) fn of(name: &str) -> Option<Self> {
        const ENDINGS: [(&str, Format); 4] = [
            (".tar", Format::Tar),
            (".tar.gz", Format::TarGz),
            (".tgz", Format::TarGz),
            (".parquet", Format::Parquet),
        ];
        let ends = |ending: &str| {
            name.len() > ending.len()
                && name.as_bytes()[name.len() - ending.len()..]
                    .eq_ignore_ascii_case(ending.as_bytes())
        };
        ENDINGS.into_iter().find_map(|(ending, format)| ends(ending).then_some(format))
    }
}

/// What a shard holds, found without decoding an image.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) samples: usize,
    /// Samples with a label.
    pub(super) labelled: usize,
    /// The labels' texts.
    pub(super) labels: BTreeSet<String>,
    /// Images of samples after the first, which are passed over.
    pub(super) further: usize,
    /// Names of the classes, where the shard lists them.
    pub(super) classes: Option<Vec<String>>,
}

impl Survey {
    pub(super) fn add(&mut self, label: Option<&str>) {
        self.samples += 1;
        if let Some(label) = label {
            self.labelled += 1;
            if !self.labels.contains(label) {
                self.labels.insert(label.to_owned());
            }
        }
    }
}

/// Takes a sample; false where no more are wanted.
pub(super) type Give<'a> = dyn FnMut(Sample) -> bool + 'a;

impl Shard {
    /// The file, or the URL without its query, which may hold a secret.
    pub(super) fn path(&self) -> PathBuf {
        match &self.place {
            Place::Local(path) => path.clone(),
            Place::Remote(remote) => remote.to_string().into(),
        }
    }

    /// An error about the whole shard.
    pub(super) fn error(&self, reason: impl Into<String>) -> Error {
        Error::data(self.path(), reason)
    }

    /// Turns a panic of a reader into an error: the shard is damaged.
    pub(super) fn guarded<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
            let said = said(&*panic).unwrap_or("the reader failed");
            Err(self.error(format!("it is damaged ({said})")))
        })
    }

    /// What the shard holds; none where it would have to be read as a whole.
    pub(super) fn survey(self: &Arc<Self>, client: &Client) -> Result<Option<Survey>> {
        match (&self.place, self.format) {
            (Place::Local(_), Format::Tar) => {
                let mut survey = Survey::default();
                tar::read_local(self, &mut |sample| {
                    survey.add(sample.label.as_deref());
                    survey.further += sample.further;
                    true
                })?;
                Ok(Some(survey))
            }
            (_, Format::Parquet) => parquet::survey(self, client).map(Some),
            _ => Ok(None),
        }
    }

    /// Gives all samples in the shard's order.
    pub(super) fn read(self: &Arc<Self>, client: &Client, give: &mut Give<'_>) -> Result<()> {
        if let (Place::Local(_), Format::Tar) = (&self.place, self.format) {
            return tar::read_local(self, give);
        }
        if self.format == Format::Parquet {
            return parquet::read(self, client, give);
        }
        let bytes: Box<dyn Read> = match &self.place {
            Place::Local(path) => {
                Box::new(BufReader::new(File::open(path).map_err(|error| Error::io(path, error))?))
            }
            Place::Remote(remote) => Box::new(remote.body(0, client)?),
        };
        match self.format {
            Format::TarGz => tar::read_stream(self, MultiGzDecoder::new(bytes), give),
            _ => tar::read_stream(self, bytes, give),
        }
    }
}
