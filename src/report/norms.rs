use image::RgbImage;

use crate::figure::{ColourBar, Sheet, SheetRow, Tile, TileImage, number};

/// Patch norms of one model's features.
#[derive(Debug, Clone)]
pub struct NormMaps {
    /// Whose features.
    pub name: String,
    /// Maps of the same space, which share one range of colours.
    pub group: usize,
    /// Row-major norms `[P]` of each picture.
    pub norms: Vec<Vec<f32>>,
}

/// A row for each picture, with a map of patch norms for each of `subjects`; `grid`
/// is rows and columns of patches. Colours start at 0.
pub fn norm_sheet<'a>(
    title: &str,
    note: &str,
    pictures: &'a [RgbImage],
    subjects: &'a [NormMaps],
    grid: [usize; 2],
) -> Sheet<'a> {
    let bar = |subject: &NormMaps| {
        let group = subjects.iter().filter(|other| other.group == subject.group);
        ColourBar::from_zero(group.flat_map(|one| one.norms.iter().flatten().copied()))
    };
    let bars: Vec<ColourBar> = subjects.iter().map(bar).collect();
    let row = |(index, picture): (usize, &'a RgbImage)| {
        let input = Tile {
            kind: "input".into(),
            subject: "scene".into(),
            image: TileImage::Photo(picture),
            cross: None,
            numbers: String::new(),
        };
        let map = |(subject, bar): (&'a NormMaps, &ColourBar)| {
            let values = subject.norms.get(index).map_or(&[][..], Vec::as_slice);
            let most = values.iter().copied().fold(0.0, f32::max);
            Tile {
                kind: "patch norm".into(),
                subject: subject.name.clone(),
                image: TileImage::Map { values, grid, bar: bar.clone() },
                cross: None,
                numbers: format!("largest {}", number(most)),
            }
        };
        let tiles = std::iter::once(input).chain(subjects.iter().zip(&bars).map(map)).collect();
        SheetRow { heading: String::new(), tiles }
    };
    Sheet {
        title: title.into(),
        notes: vec![note.into()],
        rows: pictures.iter().enumerate().map(row).collect(),
        size: grid,
    }
}
