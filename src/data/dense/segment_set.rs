use std::sync::Arc;

use super::{DenseSet, LabelMap, SegmentationSet, VOID, check_pairs, png};
use crate::data::place::{kind, scenes};
use crate::data::tree::Tree;
use crate::data::{FileSet, ImageSet, Scenes, SharedImages, Split};
use crate::error::{Error, Result};

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
    /// From 0; these do not count.
    FromZero(&'static [u16]),
    /// From 1; 0 does not count.
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
    /// Opens a part of a set and checks that every image has its label map:
    ///
    /// - `ade20k:PATH`, the scene parsing benchmark: `images/` and `annotations/` with
    ///   `training/` and `validation/`; 0 does not count, the 150 classes are from 1;
    /// - `camvid:PATH`, SegNet's eleven classes: `images/` and `annotations/`, or
    ///   `train/` and `trainannot/`; 11 and 255 do not count;
    /// - `scenes:N` or `scenes:A-B`, procedural scenes of `side` pixels.
    ///
    /// A path may be a zip file or lead into one; the set may lie deeper below it.
    /// Label maps are looked into when they are read, or all by [`check`](Self::check).
    /// Plain folders are read by [`LabelPairs`](super::LabelPairs).
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Data`] with the file's name, and [`Error::Config`] for
    /// another layout and scenes that cannot be.
    pub fn open(place: &str, split: Split, side: usize) -> Result<Self> {
        if let Some(scenes) = scenes(place, split, side)? {
            let background = std::iter::once("background".to_owned());
            let classes = background.chain(scenes.classes().iter().cloned()).collect();
            return Ok(Self { source: Source::Scenes(Arc::new(scenes)), classes });
        }
        let Some((kind, path)) = kind(place, &LAYOUTS) else {
            return Err(Error::config(format!(
                "{place}: begins with none of ade20k:, camvid: and scenes:"
            )));
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

    /// Whether a place is not a plain path but begins with a layout's name.
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

    /// Reads every label map.
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
        return Err(Error::data(tree.root(), format!("has no images for the {split} part")));
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

    fn images(&self) -> SharedImages {
        match &self.source {
            Source::Files { images, .. } => Arc::clone(images) as SharedImages,
            Source::Scenes(scenes) => Arc::clone(scenes) as SharedImages,
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
        let path = tree.path(truth);
        let wanted = "label maps are greyscale or palette PNG files";
        let png::Numbers { size, mut values, .. } =
            png::numbers(&tree.bytes(truth)?, &path, wanted)?;
        for number in &mut values {
            let class = numbering.class(*number);
            if class != VOID && usize::from(class) >= self.classes.len() {
                return Err(Error::data(
                    path,
                    format!(
                        "holds the label {number}, but there are {} classes",
                        self.classes.len()
                    ),
                ));
            }
            *number = class;
        }
        Ok(LabelMap { size, labels: values })
    }
}

impl SegmentationSet for SegmentSet {
    fn classes(&self) -> &[String] {
        &self.classes
    }
}
