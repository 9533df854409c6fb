//! Images with a class for each pixel.

use std::path::Path;
use std::sync::Arc;

use super::maps::{DenseSet, LabelMap, SegmentationSet, VOID, check_pairs};
use super::pairs::{Pairs, PngNumbers, png_numbers};
use crate::data::file_set::FileSet;
use crate::data::files::Tree;
use crate::data::image_set::{ImageSet, ImageSource};
use crate::data::place::{Split, kind, scenes};
use crate::data::scenes::Scenes;
use crate::error::{Error, Result};

/// The folder of label maps beside `images`.
const FOLDER: &str = "annotations";

/// How the numbers in label files become classes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelRule {
    /// Numbers of pixels that are ignored. Classes are numbered from 0 over the rest:
    /// with 0 ignored, number 1 is class 0.
    pub ignore: Vec<u16>,
    /// Names of the classes, in the order of their numbers; none to count the classes in
    /// the files and name them by number.
    pub names: Option<Vec<String>>,
}

impl LabelRule {
    /// A rule with `count` classes, named by number.
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
/// palette PNG file `annotations/NAME.png`, in a folder or a zip file; both folders may
/// have the same subfolders.
#[derive(Debug)]
pub struct LabelPairs {
    pairs: Pairs,
    rule: LabelRule,
    classes: Vec<String>,
}

impl LabelPairs {
    /// Opens several sets of the same classes, `set`, `set/images/train`, …, and
    /// checks all their label maps.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Data`], with the file's name, where an image has no
    /// label map, one has another aspect ratio, or holds a number that is neither a
    /// class nor ignored.
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

    fn images(&self) -> ImageSet {
        Arc::clone(&self.pairs.images).into()
    }

    fn image_size(&self, index: usize) -> Result<[usize; 2]> {
        self.pairs.image_size(index)
    }

    fn truth_name(&self, index: usize) -> String {
        self.pairs.truth_path(index).display().to_string()
    }

    fn truth(&self, index: usize) -> Result<LabelMap> {
        let count = self.rule.names.as_ref().map(Vec::len);
        let bytes = self.pairs.truth_bytes(index)?;
        read_labels(&bytes, self.pairs.truth_path(index), count, |number| self.rule.class(number))
    }
}

impl SegmentationSet for LabelPairs {
    fn classes(&self) -> &[String] {
        &self.classes
    }
}

/// Reads a label file, whose numbers `class` turns into classes, of which there are
/// `count`, or any number.
fn read_labels(
    bytes: &[u8],
    path: &Path,
    count: Option<usize>,
    class: impl Fn(u16) -> u16,
) -> Result<LabelMap> {
    let wanted = "label maps are greyscale or palette PNG files";
    let PngNumbers { size, values: mut labels, .. } = png_numbers(bytes, path, wanted)?;
    for label in &mut labels {
        let number = *label;
        *label = class(number);
        if let Some(count) = count
            && *label != VOID
            && usize::from(*label) >= count
        {
            return Err(Error::data(
                path,
                format!(
                    "holds the label {number}, but there are {count} classes; ignore it, or give more classes"
                ),
            ));
        }
    }
    Ok(LabelMap { size, labels })
}

/// SegNet's classes of CamVid, <https://arxiv.org/abs/1511.00561>.
const CAMVID: [&str; 11] = [
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
];
/// The layouts by the word before the colon.
const LAYOUTS: [&str; 2] = ["ade20k", "camvid"];
/// Classes of the scene parsing benchmark.
const ADE20K: usize = 150;

/// Images with a label for each pixel, in a layout that a set is published in.
#[derive(Debug)]
pub struct SegmentSet {
    source: Source,
    classes: Vec<String>,
}

#[derive(Debug)]
enum Source {
    Files { images: Arc<FileSet>, tree: Tree, truths: Vec<String>, numbering: Numbering },
    Scenes(Arc<Scenes>),
}

/// How the numbers in label files become classes.
#[derive(Debug, Clone, Copy)]
enum Numbering {
    /// From 0; these are ignored.
    FromZero(&'static [u16]),
    /// From 1; 0 is ignored.
    FromOne,
}

impl Numbering {
    fn class(self, number: u16) -> u16 {
        match self {
            Self::FromZero(void) if void.contains(&number) => VOID,
            Self::FromZero(_) => number,
            Self::FromOne => number.checked_sub(1).unwrap_or(VOID),
        }
    }
}

impl SegmentSet {
    /// Opens a split of a set and checks that every image has its label map:
    ///
    /// - `ade20k:PATH`, the scene parsing benchmark: `images/` and `annotations/` with
    ///   `training/` and `validation/`; 0 is ignored, the 150 classes count from 1;
    /// - `camvid:PATH`, SegNet's eleven classes: `images/` and `annotations/`, or
    ///   `train/` and `trainannot/`; 11 and 255 are ignored;
    /// - `scenes:N` or `scenes:A-B`, procedural scenes.
    ///
    /// A path may be a zip file or lead into one; the set may lie deeper below it.
    /// The content of a label map is checked when it is read, or of all by
    /// [`check`](Self::check).
    /// Plain folders are read by [`LabelPairs`](super::LabelPairs).
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Data`] with the file's name, and for another layout or
    /// scenes that cannot be.
    pub fn open(place: &str, split: Split) -> Result<Self> {
        if let Some(scenes) = scenes(place, split)? {
            let background = std::iter::once("background".to_owned());
            let classes = background.chain(scenes.classes().iter().cloned()).collect();
            return Ok(Self { source: Source::Scenes(Arc::new(scenes)), classes });
        }
        let Some((kind, path)) = kind(place, &LAYOUTS) else {
            return Err(Error::data(place, "begins with none of ade20k:, camvid: and scenes:"));
        };
        let tree = Tree::open(path)?;
        if kind == "ade20k" {
            let tree = tree.inside(&["annotations/"], "ADE20K's scene parsing benchmark")?;
            let classes = ade20k_classes(&tree)?;
            return Self::paired(tree, split, classes, Numbering::FromOne);
        }
        let tree = tree.inside(&["annotations/", "trainannot/"], "CamVid")?;
        let classes = CAMVID.map(str::to_owned).to_vec();
        Self::paired(tree, split, classes, Numbering::FromZero(&[11, 255]))
    }

    /// The same set with procedural scenes drawn at `side` times `side` pixels; 224
    /// unless set. Images of files keep their own size.
    pub fn with_scene_side(mut self, side: usize) -> Self {
        if let Source::Scenes(scenes) = &mut self.source {
            *scenes = Arc::new(scenes.with_side(side));
        }
        self
    }

    /// Whether a place begins with a layout's prefix, such as `imagenet:`.
    pub fn is_layout(place: &str) -> bool {
        place.starts_with("scenes:") || kind(place, &LAYOUTS).is_some()
    }

    fn paired(
        tree: Tree,
        split: Split,
        classes: Vec<String>,
        numbering: Numbering,
    ) -> Result<Self> {
        let (images, truths) = pairs(&tree, split)?;
        let images = Arc::new(FileSet::unlabelled(&tree, images));
        Ok(Self { source: Source::Files { images, tree, truths, numbering }, classes })
    }

    /// Reads and checks every label map.
    ///
    /// # Errors
    /// [`Error::Data`] for the first that is damaged, of another shape than its image,
    /// or holds a label that is none.
    pub fn check(&self) -> Result<()> {
        let all: Vec<usize> = (0..self.images().len()).collect();
        check_pairs(self, &all, |_, _| Ok(())).map(drop)
    }
}

/// Images and their label maps: `images/…/NAME` and `annotations/…/NAME.png`, or
/// `SPLIT/NAME` and `SPLITannot/NAME.png`.
fn pairs(tree: &Tree, split: Split) -> Result<(Vec<String>, Vec<String>)> {
    let mut folders: Vec<(String, String)> = tree
        .split_folders("images/", split)
        .into_iter()
        .map(|folder| {
            let inner = folder["images/".len()..].to_owned();
            (folder, format!("annotations/{inner}"))
        })
        .collect();
    if folders.is_empty() {
        folders = tree
            .split_folders("", split)
            .into_iter()
            .map(|folder| {
                let truths = format!("{}annot/", folder.trim_end_matches('/'));
                (folder, truths)
            })
            .collect();
    }
    if folders.is_empty() {
        folders.push(("images/".into(), "annotations/".into()));
    }
    let (mut images, mut truths) = (Vec::new(), Vec::new());
    for (from, to) in folders {
        for image in tree.images(&from) {
            let inner = &image[from.len()..];
            let stem = inner.rsplit_once('.').map_or(inner, |(stem, _)| stem);
            let truth = format!("{to}{stem}.png");
            if !tree.has(&truth) {
                let image = tree.path(image);
                return Err(Error::data(
                    tree.path(&truth),
                    format!("is missing; it belongs to {}", image.display()),
                ));
            }
            images.push(image.to_owned());
            truths.push(truth);
        }
    }
    if images.is_empty() {
        return Err(Error::data(tree.root(), format!("has no images in the {split} split")));
    }
    Ok((images, truths))
}

/// The names in `objectInfo150.txt`, the last of its columns; numbers without it.
fn ade20k_classes(tree: &Tree) -> Result<Vec<String>> {
    const LIST: &str = "objectInfo150.txt";
    if !tree.has(LIST) {
        return Ok((1..=ADE20K).map(|class| class.to_string()).collect());
    }
    let lines = tree.lines(LIST)?;
    let names: Vec<String> = lines
        .iter()
        .skip(1)
        .map(|(_, line)| line.rsplit('\t').next().unwrap_or(line).trim().to_owned())
        .collect();
    if names.len() != ADE20K {
        return Err(Error::data(
            tree.path(LIST),
            format!("names {} classes in place of {ADE20K}", names.len()),
        ));
    }
    Ok(names)
}

impl DenseSet for SegmentSet {
    type Truth = LabelMap;

    fn images(&self) -> ImageSet {
        match &self.source {
            Source::Files { images, .. } => Arc::clone(images).into(),
            Source::Scenes(scenes) => Arc::clone(scenes).into(),
        }
    }

    fn image_size(&self, index: usize) -> Result<[usize; 2]> {
        match &self.source {
            Source::Files { images, .. } => images.size(index),
            Source::Scenes(scenes) => Ok([scenes.side(); 2]),
        }
    }

    fn truth_name(&self, index: usize) -> String {
        match &self.source {
            Source::Files { tree, truths, .. } => tree.path(&truths[index]).display().to_string(),
            Source::Scenes(scenes) => format!("labels of {}", scenes.name(index)),
        }
    }

    fn truth(&self, index: usize) -> Result<LabelMap> {
        let (tree, truth, numbering) = match &self.source {
            Source::Files { tree, truths, numbering, .. } => (tree, &truths[index], numbering),
            Source::Scenes(scenes) => {
                let labels = scenes.scene(index).mask.into_iter().map(u16::from).collect();
                return Ok(LabelMap { size: [scenes.side(); 2], labels });
            }
        };
        let (path, count) = (tree.path(truth), Some(self.classes.len()));
        read_labels(&tree.bytes(truth)?, &path, count, |number| numbering.class(number))
    }
}

impl SegmentationSet for SegmentSet {
    fn classes(&self) -> &[String] {
        &self.classes
    }
}
