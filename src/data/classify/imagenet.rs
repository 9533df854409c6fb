use std::collections::BTreeMap;

use crate::data::file_set::FileSet;
use crate::data::files::Tree;
use crate::data::mat::{self, Value};
use crate::data::place::Split;
use crate::error::{Error, Result};

/// The WordNet IDs of the 1000 classes, in the order of their indices.
const SYNSETS: &str = include_str!("imagenet_synsets.txt");

/// Files with the labels of validation images that are not in class folders.
const ANSWERS: [&str; 4] = [
    "val.txt",
    "ILSVRC2012_validation_synset_labels.txt",
    "LOC_val_solution.csv",
    "ILSVRC2012_validation_ground_truth.txt",
];

fn classes() -> Vec<String> {
    SYNSETS.lines().map(str::to_owned).collect()
}

fn index(synset: &str) -> Option<usize> {
    // They are sorted.
    let all: Vec<&str> = SYNSETS.lines().collect();
    all.binary_search(&synset).ok()
}

/// ImageNet-1k. The labels of its test images are not published, so the validation
/// split stands in for them.
pub(super) fn open(outer: Tree, split: Split) -> Result<FileSet> {
    let answers = ANSWERS.iter().find_map(|name| {
        let ends = |file: &&String| file.as_str() == *name || file.ends_with(&format!("/{name}"));
        outer.names().iter().find(ends).map(String::as_str)
    });
    let mark = if split == Split::Train || split == Split::TrainVal { "train/" } else { "val/" };
    let tree = outer.inside(&[mark], "ImageNet-1k, with its folders train and val")?;
    let mut files = Vec::new();
    let mut folders = vec![mark];
    if split == Split::TrainVal {
        folders.push("val/");
    }
    for folder in folders {
        let flat = tree.images(folder).any(|name| !name[folder.len()..].contains('/'));
        if !flat {
            files.extend(by_synset(&tree, folder)?);
            continue;
        }
        let Some(answers) = answers else {
            return Err(Error::data(
                tree.path(folder),
                format!(
                    "holds the images without class folders; put {} beside it, or sort them",
                    ANSWERS[0]
                ),
            ));
        };
        files.extend(flat_files(&tree, folder, &outer, answers)?);
    }
    FileSet::checked(&tree, files, classes(), split)
}

/// ImageNet-R, <https://arxiv.org/abs/2006.16241>: 200 of the classes, one folder each.
pub(super) fn open_renditions(tree: Tree, split: Split) -> Result<FileSet> {
    let first = tree.images("").find_map(|name| {
        name.split('/').find(|part| index(part).is_some()).map(|part| format!("{part}/"))
    });
    let Some(first) = first else {
        return Err(Error::data(
            tree.root(),
            "has no folder that is called as a class of ImageNet (n01443537)",
        ));
    };
    let tree = tree.inside(&[&first], "ImageNet-R")?;
    let files = by_synset(&tree, "")?;
    FileSet::checked(&tree, files, classes(), split)
}

/// ImageNet-V2, <https://arxiv.org/abs/1902.10811>: folders named by class index.
pub(super) fn open_v2(tree: Tree, split: Split) -> Result<FileSet> {
    let tree = tree.inside(&["0/", "1/", "2/"], "ImageNet-V2, with the folders 0 to 999")?;
    let files = tree.images("").map(|name| {
        let (folder, _) = name.split_once('/').unwrap_or((name, ""));
        let label = folder.parse::<usize>().ok().filter(|&label| label < 1000);
        label
            .map(|label| (name.to_owned(), label))
            .ok_or_else(|| Error::data(tree.path(name), "is not in one of the folders 0 to 999"))
    });
    let files = files.collect::<Result<Vec<_>>>()?;
    FileSet::checked(&tree, files, classes(), split)
}

/// Images in folders named by WordNet ID.
fn by_synset(tree: &Tree, folder: &str) -> Result<Vec<(String, usize)>> {
    let labels: BTreeMap<&str, usize> =
        SYNSETS.lines().enumerate().map(|(label, synset)| (synset, label)).collect();
    let files = tree.images(folder).map(|name| {
        let class = name[folder.len()..].split('/').next().unwrap_or_default();
        labels.get(class).map(|&label| (name.to_owned(), label)).ok_or_else(|| {
            Error::data(tree.path(name), format!("lies in `{class}`, which is no class of ImageNet-1k; for other classes give the path without `imagenet:`"))
        })
    });
    files.collect()
}

/// Images without class folders, with the labels from a file of `outer`.
fn flat_files(
    tree: &Tree,
    folder: &str,
    outer: &Tree,
    answers: &str,
) -> Result<Vec<(String, usize)>> {
    let images: Vec<&str> = tree.images(folder).collect();
    let lines = outer.lines(answers)?;
    let wrong = |line: usize, reason: &str| {
        Error::data(outer.path(answers), format!("line {line}: {reason}"))
    };
    let in_order = |labels: Vec<usize>| {
        if labels.len() == images.len() {
            return Ok(images.iter().map(|&name| name.to_owned()).zip(labels).collect());
        }
        Err(Error::data(
            outer.path(answers),
            format!(
                "has {} answers for the {} images in {}",
                labels.len(),
                images.len(),
                tree.path(folder).display()
            ),
        ))
    };
    if answers.ends_with("synset_labels.txt") {
        let labels = lines.iter().map(|(line, text)| {
            index(text).ok_or_else(|| wrong(*line, &format!("`{text}` is no class of ImageNet-1k")))
        });
        return in_order(labels.collect::<Result<_>>()?);
    }
    if answers.ends_with("ground_truth.txt") {
        let order = kit_order(outer)?;
        let labels = lines.iter().map(|(line, text)| {
            let id = text.parse::<usize>().ok();
            id.and_then(|id| order.get(&id).copied())
                .ok_or_else(|| wrong(*line, &format!("`{text}` is no ID of a class in meta.mat")))
        });
        return in_order(labels.collect::<Result<_>>()?);
    }
    // Name and answer: an index (val.txt) or a WordNet ID and boxes (the competition's).
    let mut files = Vec::new();
    for (line, text) in &lines {
        if text.starts_with("ImageId") {
            continue;
        }
        let mut parts = text.split([' ', ',', '\t']);
        let (name, answer) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let label =
            answer.parse().ok().filter(|&label: &usize| label < 1000).or_else(|| index(answer));
        let label = label.ok_or_else(|| {
            wrong(*line, &format!("`{answer}` is neither a class of ImageNet-1k nor 0 to 999"))
        })?;
        let name = name.rsplit('/').next().unwrap_or(name);
        let endings = ["", ".JPEG", ".jpeg", ".jpg"].map(|end| format!("{folder}{name}{end}"));
        let found = endings.iter().find(|name| tree.has(name));
        let file = found.ok_or_else(|| {
            Error::data(
                tree.path(&endings[0]),
                format!("is missing, but {answers} lists it; unpack the set again"),
            )
        })?;
        files.push((file.clone(), label));
    }
    Ok(files)
}

/// The class index of each ID of the development kit, from its `meta.mat`.
fn kit_order(outer: &Tree) -> Result<BTreeMap<usize, usize>> {
    let Some(name) = outer.names().iter().find(|name| name.ends_with("meta.mat")) else {
        return Err(Error::data(
            outer.root(),
            "has the development kit's ground truth, but not its meta.mat, which says what the numbers mean; put it beside",
        ));
    };
    let path = outer.path(name);
    let damaged = |reason: &str| Error::data(&path, format!("unreadable ({reason})"));
    let file = mat::read(&outer.bytes(name)?).map_err(|reason| damaged(&reason))?;
    let Some(Value::Struct(fields)) = file.get("synsets") else {
        return Err(damaged("there are no synsets"));
    };
    let (Some(ids), Some(synsets)) = (fields.get("ILSVRC2012_ID"), fields.get("WNID")) else {
        return Err(damaged("the synsets have no ILSVRC2012_ID and WNID"));
    };
    let pairs = ids.iter().zip(synsets).filter_map(|(id, synset)| {
        let (Value::Numbers(id), Value::Text(synset)) = (id, synset) else { return None };
        Some((*id.values.first()? as usize, index(synset)?))
    });
    Ok(pairs.collect())
}
