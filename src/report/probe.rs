//! The files of a probe: scores, the head and, of dense probes, inputs, truths and
//! predictions side by side.

use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};
use serde_json::Value;

use super::Folder;
use crate::data::VOID;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::figure::{ColourBar, Sheet, SheetRow, Tile, TileImage, png};
use crate::maps::FeatureMaps;
use crate::probe::{DepthImage, LinearHead, SegmentedImage};
use crate::weights::NamedTensors;

/// Config, scores and times of a probe.
const REPORT: &str = "probe.json";
/// Weight and bias of the head.
const HEAD: &str = "head.safetensors";
/// Inputs, truths and predictions.
const SHEET: &str = "sheet.png";

/// Whether a folder holds a finished probe.
pub fn is_finished(folder: &Path) -> bool {
    folder.join(REPORT).exists()
}

/// Writes `head.safetensors`, `sheet.png` where there is one, and `report` as
/// `probe.json`; its `config` goes into the head's file too. Returns what was written.
///
/// # Errors
/// [`Error::Io`]; [`Error::Drawing`].
pub fn write(
    report: &Value,
    head: &LinearHead,
    sheet: Option<RgbImage>,
    out: impl AsRef<Path>,
) -> Result<Vec<PathBuf>> {
    let mut folder = Folder::new(out.as_ref());
    let tensors = NamedTensors {
        tensors: head.to_tensors(),
        metadata: [("singer.probe".to_owned(), report["config"].to_string())].into(),
    };
    let path = folder.path.join(HEAD);
    tensors.write(&path)?;
    folder.written.push(path);
    if let Some(sheet) = sheet {
        folder.write(SHEET, &png(sheet)?)?;
    }
    // Last, as it tells a finished probe.
    folder.write(REPORT, format!("{report:#}\n").as_bytes())?;
    Ok(folder.written)
}

/// Draws input, labels and predicted labels of each image; `arch` names the model.
///
/// # Errors
/// [`Error::Drawing`] where labels do not fill their image.
pub fn segmentation_sheet(images: &[SegmentedImage], arch: &str) -> Result<RgbImage> {
    let pictures: Vec<[RgbImage; 2]> = images
        .iter()
        .map(|image| Ok([paint(&image.truth, image.size)?, paint(&image.prediction, image.size)?]))
        .collect::<Result<_>>()?;
    let rows = images.iter().zip(&pictures).map(|(image, [truth, prediction])| {
        let accuracy = format!("pixel accuracy {:.2} %", image.accuracy * 100.0);
        vec![
            tile("input", &short(&image.name), TileImage::Photo(&image.input), String::new()),
            tile("labels", "truth", TileImage::Photo(truth), String::new()),
            tile("labels", "prediction", TileImage::Photo(prediction), accuracy),
        ]
    });
    let note = "A colour for each class; black pixels do not count.";
    let size = images.first().map_or([1, 1], |image| image.size);
    draw(rows, format!("Segments by a linear head on {arch}"), note.into(), size)
}

/// Draws input, depths and predicted depths of each image, coloured from 0 to
/// `max_depth`; `arch` names the model.
///
/// # Errors
/// [`Error::Drawing`] where depths do not fill their image.
pub fn depth_sheet(images: &[DepthImage], max_depth: f32, arch: &str) -> Result<RgbImage> {
    let bar = ColourBar::from_zero([max_depth]);
    let rows = images.iter().map(|image| {
        let rmse = image.rmse.map_or(String::new(), |rmse| format!("RMSE {rmse:.2} m"));
        let map = |values| TileImage::Map { values, grid: image.size, bar: bar.clone() };
        vec![
            tile("input", &short(&image.name), TileImage::Photo(&image.input), String::new()),
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
    Sheet { title, notes: vec![note], rows, size }.draw(&maps)
}

fn tile<'a>(kind: &str, subject: &str, image: TileImage<'a>, numbers: String) -> Tile<'a> {
    Tile { kind: kind.into(), subject: subject.into(), image, cross: None, numbers }
}

fn short(name: &str) -> String {
    Path::new(name).file_name().map_or(name.into(), |name| name.to_string_lossy().into_owned())
}

fn paint(labels: &[u16], [height, width]: [usize; 2]) -> Result<RgbImage> {
    let pixels = labels.iter().flat_map(|label| colour(*label).0).collect();
    let fits = labels.len() == height * width;
    let image = RgbImage::from_raw(width as u32, height as u32, pixels).filter(|_| fits);
    image.ok_or_else(|| Error::Drawing {
        reason: format!("{} labels do not fill {width} x {height} pixels", labels.len()),
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
