use std::path::Path;
use std::sync::Arc;

use super::pairs::Pairs;
use super::{DenseSet, SegmentationSet, Truth, check_pairs, png};
use crate::data::{ImageSet, SharedImages};
use crate::error::{Error, Result};

/// The label of a pixel that belongs to no class and does not count.
pub const VOID: u16 = u16::MAX;

/// The folder of label maps beside `images`.
const FOLDER: &str = "annotations";

/// A class for each pixel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelMap {
    /// Height and width.
    pub size: [usize; 2],
    /// Row-major; a class, or [`VOID`].
    pub labels: Vec<u16>,
}

impl Truth for LabelMap {
    fn size(&self) -> [usize; 2] {
        self.size
    }
}

/// How the numbers in label files become classes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelRule {
    /// Numbers of pixels that do not count. The numbers above one move down by
    /// one, so that classes count from 0: with 0 ignored, number 1 is class 0.
    pub ignore: Vec<u16>,
    /// Names of the classes, in the order of their numbers; none to find out how
    /// many there are and name them by their numbers.
    pub names: Option<Vec<String>>,
}

impl LabelRule {
    /// A rule with `count` classes, named by their numbers.
    pub fn numbered(ignore: Vec<u16>, count: usize) -> Self {
        let mut rule = Self { ignore, names: None };
        rule.ignore.sort_unstable();
        rule.ignore.dedup();
        rule.names = Some((0..count).map(|class| rule.number(class).to_string()).collect());
        rule
    }

    /// The class of a number in a file.
    fn class(&self, number: u16) -> u16 {
        if self.ignore.contains(&number) {
            return VOID;
        }
        number - self.ignore.iter().filter(|&&ignored| ignored < number).count() as u16
    }

    /// The number of a class; the ignored ones must be in order.
    fn number(&self, class: usize) -> usize {
        let mut number = class;
        for &ignored in &self.ignore {
            number += usize::from(usize::from(ignored) <= number);
        }
        number
    }
}

/// Images with label maps: `images/NAME.jpg` (or `.png`) and the greyscale or
/// palette PNG file `annotations/NAME.png`, in a folder or a zip file, in any
/// nesting that both share.
#[derive(Debug)]
pub struct LabelPairs {
    pairs: Pairs,
    rule: LabelRule,
    classes: Vec<String>,
}

impl LabelPairs {
    /// Opens several sets of the same classes, `set`, `set/images/train`, …, and
    /// reads all their label maps once.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Data`], with the file's name, where an image has no
    /// label map, one has not its image's shape, or holds a number that is
    /// neither a class nor ignored.
    pub fn open(paths: &[&Path], rule: &LabelRule) -> Result<Vec<Self>> {
        let mut rule = rule.clone();
        rule.ignore.sort_unstable();
        rule.ignore.dedup();
        let pairs =
            paths.iter().map(|path| Pairs::open(path, FOLDER)).collect::<Result<Vec<_>>>()?;
        let mut sets: Vec<Self> = pairs
            .into_iter()
            .map(|pairs| Self { pairs, rule: rule.clone(), classes: Vec::new() })
            .collect();
        if let Some(names) = &rule.names {
            sets.iter_mut().for_each(|set| set.classes.clone_from(names));
        }
        let mut most = 0;
        for set in &sets {
            let all: Vec<usize> = (0..set.pairs.images.len()).collect();
            let largest = |_, map: LabelMap| {
                let labels = map.labels.iter().filter(|&&label| label != VOID);
                Ok(labels.max().map_or(0, |&label| usize::from(label) + 1))
            };
            most = check_pairs(set, &all, largest)?.into_iter().fold(most, usize::max);
        }
        if rule.names.is_none() {
            let names: Vec<String> =
                (0..most).map(|class| rule.number(class).to_string()).collect();
            sets.iter_mut().for_each(|set| set.classes.clone_from(&names));
        }
        if sets.iter().any(|set| set.classes.len() < 2) {
            return Err(Error::data(
                paths.first().unwrap_or(&Path::new("")),
                format!("has {most} class(es) of pixels; at least two are needed"),
            ));
        }
        Ok(sets)
    }
}

impl DenseSet for LabelPairs {
    type Truth = LabelMap;

    fn images(&self) -> SharedImages {
        Arc::clone(&self.pairs.images) as SharedImages
    }

    fn image_size(&self, index: usize) -> Result<[usize; 2]> {
        self.pairs.image_size(index)
    }

    fn truth_name(&self, index: usize) -> String {
        self.pairs.truth_path(index).display().to_string()
    }

    fn truth(&self, index: usize) -> Result<LabelMap> {
        let path = self.pairs.truth_path(index);
        let wanted = "label maps are greyscale or palette PNG files";
        let png::Numbers { size, mut values, .. } =
            png::numbers(&self.pairs.truth_bytes(index)?, path, wanted)?;
        for number in &mut values {
            let class = self.rule.class(*number);
            let known =
                self.rule.names.as_ref().is_none_or(|names| usize::from(class) < names.len());
            if class != VOID && !known {
                return Err(Error::data(
                    path,
                    format!(
                        "holds the label {number}, but there are {} classes; ignore it, or give more classes",
                        self.classes.len()
                    ),
                ));
            }
            *number = class;
        }
        Ok(LabelMap { size, labels: values })
    }
}

impl SegmentationSet for LabelPairs {
    fn classes(&self) -> &[String] {
        &self.classes
    }
}
