//! Input, truth and prediction side by side.

use std::path::Path;

use image::{Rgb, RgbImage};

use super::outcome::percent;
use crate::cli::figure::{Bar, Face, Painter, Sheet, SheetRow, Tile};
use crate::data::VOID;
use crate::device::Device;
use crate::error::Result;
use crate::maps::FeatureMaps;

/// A segmented image.
pub(super) struct Segmented {
    pub(super) name: String,
    pub(super) input: RgbImage,
    /// Height and width of the labels.
    pub(super) size: [usize; 2],
    pub(super) truth: Vec<u16>,
    pub(super) prediction: Vec<u16>,
    pub(super) accuracy: f64,
}

/// An image with depths; NaN where the truth is not known.
pub(super) struct Measured {
    pub(super) name: String,
    pub(super) input: RgbImage,
    /// Height and width of the depths.
    pub(super) size: [usize; 2],
    pub(super) truth: Vec<f32>,
    pub(super) prediction: Vec<f32>,
    pub(super) rmse: Option<f64>,
}

pub(super) fn segments(images: &[Segmented], arch: &str) -> Result<RgbImage> {
    let pictures: Vec<[RgbImage; 2]> = images
        .iter()
        .map(|image| [&image.truth, &image.prediction].map(|labels| paint(labels, image.size)))
        .collect();
    let rows = images.iter().zip(&pictures).map(|(image, [truth, prediction])| {
        let accuracy = format!("pixel accuracy {}", percent(image.accuracy));
        vec![
            tile("input", &short(&image.name), Face::Photo(&image.input), String::new()),
            tile("labels", "truth", Face::Photo(truth), String::new()),
            tile("labels", "prediction", Face::Photo(prediction), accuracy),
        ]
    });
    let note = "A colour for each class; black pixels do not count.";
    let size = images.first().map_or([1, 1], |image| image.size);
    draw(rows, format!("Segments by a linear head on {arch}"), note.into(), size)
}

pub(super) fn depths(images: &[Measured], max_depth: f32, arch: &str) -> Result<RgbImage> {
    let bar = Bar::from_zero([max_depth]);
    let rows = images.iter().map(|image| {
        let rmse = image.rmse.map_or(String::new(), |rmse| format!("RMSE {rmse:.2} m"));
        let map = |values| Face::Map { values, grid: image.size, bar: bar.clone() };
        vec![
            tile("input", &short(&image.name), Face::Photo(&image.input), String::new()),
            tile("depth in metres", "truth", map(&image.truth), String::new()),
            tile("depth in metres", "prediction", map(&image.prediction), rmse),
        ]
    });
    let note = "Hatched pixels have no known depth.";
    let size = images.first().map_or([1, 1], |image| image.size);
    draw(rows, format!("Depths by a linear head on {arch}"), note.into(), size)
}

fn draw<'a>(
    rows: impl Iterator<Item = Vec<Tile<'a>>>,
    title: String,
    note: String,
    size: [usize; 2],
) -> Result<RgbImage> {
    let rows = rows.map(|tiles| SheetRow { heading: String::new(), tiles }).collect();
    let maps = FeatureMaps::new(&Device::cpu());
    Sheet { title, notes: vec![note], rows, size }.draw(&Painter::new(&maps))
}

fn tile<'a>(kind: &str, subject: &str, face: Face<'a>, numbers: String) -> Tile<'a> {
    Tile { kind: kind.into(), subject: subject.into(), face, cross: None, numbers }
}

fn short(name: &str) -> String {
    Path::new(name).file_name().map_or(name.into(), |name| name.to_string_lossy().into_owned())
}

fn paint(labels: &[u16], [height, width]: [usize; 2]) -> RgbImage {
    RgbImage::from_fn(width as u32, height as u32, |x, y| {
        colour(labels[y as usize * width + x as usize])
    })
}

/// The colours of PASCAL VOC, which are told apart to the last of 255 classes:
/// bits of the number, from the lowest, become the highest bits of the channels.
fn colour(label: u16) -> Rgb<u8> {
    if label == VOID {
        return Rgb([0; 3]);
    }
    // VOC's first colour is black.
    let mut bits = label % 255 + 1;
    let mut channels = [0; 3];
    for place in (0..8).rev() {
        for (channel, value) in channels.iter_mut().enumerate() {
            *value |= ((bits >> channel & 1) as u8) << place;
        }
        bits >>= 3;
    }
    Rgb(channels)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn classes_have_colours_of_their_own_and_void_is_black() {
        let colours: BTreeSet<[u8; 3]> = (0..255).map(|label| colour(label).0).collect();
        assert_eq!(colours.len(), 255);
        assert!(!colours.contains(&colour(VOID).0));
    }
}
