//! Sets whose splits are lists of file names.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::data::file_set::FileSet;
use crate::data::files::Tree;
use crate::data::mat::{self, Value};
use crate::data::place::Split;
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
    FileSet::named(&tree, files, classes, split)
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
    FileSet::checked(&tree, files, breeds.into_values().collect(), split)
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
    FileSet::named(&tree, files, classes, split)
}

/// Flowers-102, <https://www.robots.ox.ac.uk/~vgg/data/flowers/102>: `imagelabels.mat` and
/// `setid.mat` beside the folder `jpg`. Classes are named by number.
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
    FileSet::checked(&tree, files, classes, split)
}

/// iNaturalist 2019, <https://github.com/visipedia/inat_comp>: `train2019.json` and
/// `val2019.json` beside `train_val2019`. Its test labels are not published.
pub(super) fn inaturalist(tree: Tree, split: Split) -> Result<FileSet> {
    let lists: &[&str] = match split {
        Split::Train => &["train2019.json"],
        Split::Val | Split::Test => &["val2019.json"],
        Split::TrainVal => &["train2019.json", "val2019.json"],
    };
    let tree = tree.inside(&lists[..1], "iNaturalist 2019, with its annotations")?;
    let (mut classes, mut files) = (Vec::new(), Vec::new());
    for list in lists {
        let damaged = |reason: String| Error::data(tree.path(list), reason);
        let Annotations { images, annotations, mut categories } =
            serde_json::from_slice(&tree.bytes(list)?)
                .map_err(|error| damaged(format!("not readable as annotations ({error})")))?;
        categories.sort_by_key(|category| category.id);
        let labels: BTreeMap<i64, usize> =
            categories.iter().enumerate().map(|(label, category)| (category.id, label)).collect();
        let names: Vec<String> = categories
            .into_iter()
            .map(|category| category.name.unwrap_or_else(|| category.id.to_string()))
            .collect();
        if !classes.is_empty() && classes != names {
            return Err(damaged("has other categories than train2019.json".into()));
        }
        classes = names;
        let images: BTreeMap<i64, String> =
            images.into_iter().map(|image| (image.id, image.file_name)).collect();
        for Annotation { image_id, category_id } in annotations {
            let file = images.get(&image_id).ok_or_else(|| {
                damaged(format!("annotates the image {image_id}, which it does not have"))
            })?;
            let label = labels.get(&category_id).ok_or_else(|| {
                damaged(format!("{file} is of the category {category_id}, which it does not have"))
            })?;
            tree.require(file, list)?;
            files.push((file.clone(), *label));
        }
    }
    FileSet::checked(&tree, files, classes, split)
}

#[derive(Deserialize)]
struct Annotations {
    images: Vec<Image>,
    annotations: Vec<Annotation>,
    categories: Vec<Category>,
}

#[derive(Deserialize)]
struct Image {
    id: i64,
    file_name: String,
}

#[derive(Deserialize)]
struct Annotation {
    image_id: i64,
    category_id: i64,
}

#[derive(Deserialize)]
struct Category {
    id: i64,
    name: Option<String>,
}
