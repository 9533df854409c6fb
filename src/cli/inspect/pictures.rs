use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::args::Size;
use crate::cli::session;
use crate::data::{ImageSet, Interpolation, eval_crop, whole_patches};
use crate::error::{Error, Result};
use crate::inspect::{MOST_PATCHES, Picture};

/// How images become pictures.
#[derive(Debug, Clone, Copy)]
pub(super) struct Framing {
    pub(super) size: Size,
    /// Side of a patch.
    pub(super) patch: usize,
    /// Side at which scenes are drawn.
    pub(super) scene_side: usize,
    pub(super) interpolation: Interpolation,
}

/// Evenly spread images of all places, framed; those that cannot be used are
/// left out with a note.
pub(super) fn read(
    places: &[String],
    framing: Framing,
    limit: usize,
) -> Result<(Vec<Picture>, Vec<String>)> {
    if limit == 0 {
        return Err(Error::config("--limit must be at least 1"));
    }
    let sets = places.iter().map(|place| session::pictures(place, framing.scene_side));
    let sets = sets.collect::<Result<Vec<ImageSet>>>()?;
    let all: Vec<(&ImageSet, usize)> =
        sets.iter().flat_map(|set| (0..set.len()).map(move |index| (set, index))).collect();
    let count = limit.min(all.len());
    let chosen = (0..count).map(|i| all[i * all.len() / count]);

    let (mut paths, mut images, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    let mut first_error = None;
    for (set, index) in chosen {
        match frame(set, index, framing) {
            Ok(image) => {
                paths.push(set.name(index));
                images.push(image);
            }
            Err(error) => {
                notes.push(format!("Left out: {error}."));
                first_error.get_or_insert(error);
            }
        }
    }
    match first_error {
        Some(error) if images.is_empty() => return Err(error),
        _ => {}
    }
    let names = unique_names(&paths);
    let pictures = names.into_iter().zip(images).map(|(name, image)| Picture { name, image });
    Ok((pictures.collect(), notes))
}

fn frame(set: &ImageSet, index: usize, framing: Framing) -> Result<image::RgbImage> {
    let image = set.read(index)?;
    let unusable = |reason: String| Error::data(set.name(index), reason);
    let short = match framing.size {
        Size::Shorter(side) => Some(side),
        Size::Original => None,
    };
    let patch = framing.patch;
    let size = [image.height() as usize, image.width() as usize];
    let transform = whole_patches(size, short, patch, framing.interpolation).ok_or_else(|| {
        unusable(format!(
            "{}x{} pixels leave no patch of {patch}x{patch}; give --size {patch} or more",
            size[1], size[0]
        ))
    })?;
    let patches = transform.size.map(|side| side / patch).iter().product::<usize>();
    if patches > MOST_PATCHES {
        return Err(unusable(format!(
            "it would have {patches} patches, more than {MOST_PATCHES}; give a smaller --size"
        )));
    }
    eval_crop(&image, &transform).map_err(|error| unusable(error.to_string()))
}

/// File names; those that several paths share, with as many of their folders as
/// tell them apart, and numbered where nothing does.
fn unique_names(paths: &[String]) -> Vec<String> {
    let tail = |path: &str, parts: usize| {
        let all: Vec<&str> = Path::new(path).iter().filter_map(|part| part.to_str()).collect();
        all[all.len().saturating_sub(parts)..].join("-").replace('/', "")
    };
    let longest = paths.iter().map(|path| Path::new(path).iter().count()).max().unwrap_or(1);
    let mut names: Vec<String> = paths.iter().map(|path| tail(path, 1)).collect();
    for parts in 2..=longest {
        let mut uses: BTreeMap<&str, usize> = BTreeMap::new();
        names.iter().for_each(|name| *uses.entry(name).or_default() += 1);
        let shared: Vec<bool> = names.iter().map(|name| uses[name.as_str()] > 1).collect();
        for ((name, path), shared) in names.iter_mut().zip(paths).zip(shared) {
            if shared {
                *name = tail(path, parts);
            }
        }
    }
    let mut taken = BTreeSet::new();
    for name in &mut names {
        let plain = name.clone();
        let mut number = 2;
        while !taken.insert(name.clone()) {
            *name = format!("{plain} ({number})");
            number += 1;
        }
    }
    names
}
