//! Sets whose parts are lists of names.

use std::collections::BTreeMap;

use super::{finish, named};
use crate::data::mat::{self, Value};
use crate::data::tree::Tree;
use crate::data::{FileSet, Split};
use crate::error::{Error, Result};

/// FGVC-Aircraft, <https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft>: the 100
/// variants, in `images_variant_train.txt`, ….
pub(super) fn aircraft(tree: Tree, split: Split) -> Result<FileSet> {
    let list = format!("images_variant_{split}.txt");
    let tree = tree.inside(&[&list], "FGVC-Aircraft")?;
    let mut files = Vec::new();
    for (line, text) in tree.lines(&list)? {
        let (image, class) = text.split_once(' ').ok_or_else(|| {
            Error::data(tree.path(&list), format!("line {line}: `{text}` is no image and variant"))
        })?;
        let file = format!("images/{image}.jpg");
        tree.require(&file, &list)?;
        files.push((file, class.trim().to_owned()));
    }
    let classes = match tree.has("variants.txt") {
        true => Some(tree.lines("variants.txt")?.into_iter().map(|(_, name)| name).collect()),
        false => None,
    };
    named(tree, files, classes, split)
}

/// Oxford-IIIT Pet, <https://www.robots.ox.ac.uk/~vgg/data/pets>: 37 breeds, in
/// `annotations/trainval.txt` and `annotations/test.txt`.
pub(super) fn pets(tree: Tree, split: Split) -> Result<FileSet> {
    const PARTS: [&str; 2] = ["annotations/trainval.txt", "annotations/test.txt"];
    let list = match split {
        Split::Train | Split::TrainVal => PARTS[0],
        Split::Val | Split::Test => PARTS[1],
    };
    let tree = tree.inside(&[list], "Oxford-IIIT Pet")?;
    // The classes are of both parts, so that a label means the same in each.
    let mut breeds = BTreeMap::new();
    let mut files = Vec::new();
    for part in PARTS.into_iter().filter(|part| tree.has(part)) {
        for (line, text) in tree.lines(part)? {
            if text.starts_with('#') {
                continue;
            }
            let wrong = || {
                Error::data(tree.path(part), format!("line {line}: `{text}` is no image and breed"))
            };
            let mut words = text.split_whitespace();
            let (image, id) = words.next().zip(words.next()).ok_or_else(wrong)?;
            let id: usize = id.parse().map_err(|_| wrong())?;
            let breed = image.rsplit_once('_').map_or(image, |(breed, _)| breed);
            breeds.insert(id, breed.to_owned());
            if part == list {
                let file = format!("images/{image}.jpg");
                tree.require(&file, list)?;
                files.push((file, id));
            }
        }
    }
    let labels: BTreeMap<usize, usize> =
        breeds.keys().enumerate().map(|(label, &id)| (id, label)).collect();
    let files = files.into_iter().map(|(file, id)| (file, labels[&id])).collect();
    finish(tree, files, breeds.into_values().collect(), split)
}

/// Food-101, <https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101>: `meta/train.txt`
/// and `meta/test.txt` list `class/name`.
pub(super) fn food101(tree: Tree, split: Split) -> Result<FileSet> {
    let list = match split {
        Split::Train | Split::TrainVal => "meta/train.txt",
        Split::Val | Split::Test => "meta/test.txt",
    };
    let tree = tree.inside(&[list], "Food-101")?;
    let mut files = Vec::new();
    for (line, text) in tree.lines(list)? {
        let (class, _) = text.split_once('/').ok_or_else(|| {
            Error::data(tree.path(list), format!("line {line}: `{text}` is no class and name"))
        })?;
        let file = format!("images/{text}.jpg");
        tree.require(&file, list)?;
        let class = class.to_owned();
        files.push((file, class));
    }
    let classes = match tree.has("meta/classes.txt") {
        true => Some(tree.lines("meta/classes.txt")?.into_iter().map(|(_, name)| name).collect()),
        false => None,
    };
    named(tree, files, classes, split)
}

/// Flowers-102, <https://www.robots.ox.ac.uk/~vgg/data/flowers/102>: `imagelabels.mat` and
/// `setid.mat` beside the folder `jpg`. The classes are known by their numbers.
pub(super) fn flowers102(tree: Tree, split: Split) -> Result<FileSet> {
    let tree = tree.inside(&["imagelabels.mat"], "Flowers-102")?;
    let numbers = |file: &str, variable: &str| -> Result<Vec<usize>> {
        let damaged =
            |reason: String| Error::data(tree.path(file), format!("unreadable ({reason})"));
        let mut read = mat::read(&tree.bytes(file)?).map_err(damaged)?;
        match read.remove(variable) {
            Some(Value::Numbers(matrix)) => {
                Ok(matrix.values.into_iter().map(|v| v as usize).collect())
            }
            _ => Err(damaged(format!("there are no numbers called {variable}"))),
        }
    };
    let labels = numbers("imagelabels.mat", "labels")?;
    let parts: &[&str] = match split {
        Split::Train => &["trnid"],
        Split::Val => &["valid"],
        Split::TrainVal => &["trnid", "valid"],
        Split::Test => &["tstid"],
    };
    let mut files = Vec::new();
    for part in parts {
        for number in numbers("setid.mat", part)? {
            let label = number.checked_sub(1).and_then(|index| labels.get(index));
            let label = label.filter(|&&label| label > 0).ok_or_else(|| {
                Error::data(
                    tree.path("imagelabels.mat"),
                    format!("has no label for image {number}, which setid.mat lists"),
                )
            })?;
            let file = format!("jpg/image_{number:05}.jpg");
            tree.require(&file, "setid.mat")?;
            files.push((file, label - 1));
        }
    }
    let count = labels.iter().copied().max().unwrap_or(0);
    let classes = (1..=count).map(|class| class.to_string()).collect();
    finish(tree, files, classes, split)
}
