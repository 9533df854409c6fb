use std::collections::BTreeMap;

use serde::Deserialize;

use super::finish;
use crate::data::tree::Tree;
use crate::data::{FileSet, Split};
use crate::error::{Error, Result};

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

/// iNaturalist 2019, <https://github.com/visipedia/inat_comp>: `train2019.json` and
/// `val2019.json` beside `train_val2019`. The labels of its test are not published.
pub(super) fn open(tree: Tree, split: Split) -> Result<FileSet> {
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
    finish(tree, files, classes, split)
}
