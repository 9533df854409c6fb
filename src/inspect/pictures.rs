use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use image::RgbImage;

use super::MOST_PATCHES;
use crate::data::{ImageSet, Interpolation, eval_crop, whole_patches};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::vit::VitConfig;

/// An image as the models see it: cropped to whole patches, not yet normalised.
#[derive(Debug, Clone)]
pub struct Picture {
    /// Unique within the inspection.
    pub name: String,
    /// Both sides are multiples of the patch size.
    pub image: RgbImage,
}

/// How large a picture is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PictureSize {
    /// Its shorter side has this many pixels, rounded to whole patches.
    Shorter(usize),
    /// As large as the image, cropped to whole patches.
    Original,
}

/// How images become pictures.
#[derive(Debug, Clone, Copy)]
pub struct Framing {
    /// Their size.
    pub size: PictureSize,
    /// Side of a patch in pixels.
    pub patch: usize,
    /// The resampling filter.
    pub interpolation: Interpolation,
}

impl Framing {
    /// Pictures whose shorter side is as long as that of the model's own images.
    pub fn of(model: &Model) -> Self {
        Self::new(model.config(), model.preprocess().interpolation)
    }

    /// As [`of`](Self::of), for a model that is not loaded yet.
    pub fn new(config: &VitConfig, interpolation: Interpolation) -> Self {
        let side = config.img_size[0].min(config.img_size[1]);
        Self { size: PictureSize::Shorter(side), patch: config.patch_size, interpolation }
    }
}

/// Reads at most `limit` images, evenly spread over all of `sets`. Images that cannot be
/// used are left out; the second value says why: [`Error::TooFewPixels`],
/// [`Error::TooManyPatches`], or an error of reading.
///
/// # Errors
/// [`Error::Setting`] for a limit of 0; the first image's error where none can be used.
pub fn open_pictures(
    sets: &[ImageSet],
    framing: Framing,
    limit: usize,
) -> Result<(Vec<Picture>, Vec<Error>)> {
    if limit == 0 {
        return Err(Error::setting("limit", 0, "it must be at least 1"));
    }
    let all: Vec<(&ImageSet, usize)> =
        sets.iter().flat_map(|set| (0..set.len()).map(move |index| (set, index))).collect();
    let count = limit.min(all.len());
    let chosen = (0..count).map(|i| all[i * all.len() / count]);

    let (mut paths, mut images, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
    for (set, index) in chosen {
        match frame(set, index, framing) {
            Ok(image) => {
                paths.push(set.name(index));
                images.push(image);
            }
            Err(error) => left_out.push(error),
        }
    }
    if images.is_empty() && !left_out.is_empty() {
        return Err(left_out.swap_remove(0));
    }
    let names = unique_names(&paths);
    let pictures = names.into_iter().zip(images).map(|(name, image)| Picture { name, image });
    Ok((pictures.collect(), left_out))
}

fn frame(set: &ImageSet, index: usize, framing: Framing) -> Result<RgbImage> {
    let image = set.read(index)?;
    let short = match framing.size {
        PictureSize::Shorter(side) => Some(side),
        PictureSize::Original => None,
    };
    let patch = framing.patch;
    let [height, width] = [image.height() as usize, image.width() as usize];
    let transform = whole_patches([height, width], short, patch, framing.interpolation);
    let transform = transform.ok_or_else(|| {
        let path = set.name(index).into();
        Error::TooFewPixels { path, width, height, patch }
    })?;
    let patches = transform.size.map(|side| side / patch).iter().product::<usize>();
    if patches > MOST_PATCHES {
        let path = set.name(index).into();
        return Err(Error::TooManyPatches { path, patches, limit: MOST_PATCHES });
    }
    eval_crop(&image, &transform).map_err(|error| Error::data(set.name(index), error.to_string()))
}

/// File names. Where several paths share one, it gets as many of their folders as tell
/// them apart, or a number where nothing does.
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
