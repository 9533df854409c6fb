//! The further maps of one image as tiles.

use image::{Rgba, RgbaImage};

use crate::error::{Error, Result};
use crate::figure::{ColourBar, Cross, Hue, Sheet, SheetRow, Tile, TileImage, number};
use crate::inspect::{Findings, ImageFindings, Visual, VisualKind, VisualValues};

/// The colours of segments.
const SEGMENTS: [[u8; 3]; 12] = [
    Hue::Blue.rgb(),
    Hue::Vermilion.rgb(),
    Hue::Green.rgb(),
    Hue::Purple.rgb(),
    Hue::Sky.rgb(),
    [0xf0, 0xe4, 0x42],
    Hue::Grey.rgb(),
    [0x8c, 0x51, 0x0a],
    [0x5e, 0x3c, 0x99],
    [0xe6, 0x9f, 0x00],
    [0x11, 0x77, 0x33],
    [0xdd, 0xe0, 0xe4],
];

/// What the kinds of maps show, for those that there are.
pub(super) fn reading(findings: &Findings) -> Vec<&'static str> {
    let has = |kind| findings.images.iter().flat_map(|i| &i.visuals).any(|v| v.kind == kind);
    let kinds = [
        (
            VisualKind::Pca,
            "Principal components: the three leading components of the patches of all images as red, \
             green and blue; equal colours are equal content. Hatched patches are background.",
        ),
        (
            VisualKind::Segments,
            "Segments: patches of all images grouped by k-means of their directions; a segment has \
             one colour in all images.",
        ),
        (
            VisualKind::Nearest,
            "Nearest patches: the cosine of every patch to one patch of one image; × marks that \
             patch, and the nearest one of each other image.",
        ),
        (
            VisualKind::Attention,
            "Attention: the share that a token gives to each patch, by head and on average; each \
             map has a range of its own.",
        ),
        (VisualKind::Sizes, "Input sizes: patch norms with images made larger or smaller."),
    ];
    kinds.into_iter().filter(|(kind, _)| has(*kind)).map(|(_, reading)| reading).collect()
}

/// Rows of tiles: one for each layer, and one for each subject's and token's attention.
///
/// # Errors
/// [`Error::Drawing`] for a map that does not fill its grid.
pub(super) fn rows(image: &ImageFindings) -> Result<Vec<SheetRow<'_>>> {
    let mut rest: Vec<&Visual> = image.visuals.iter().collect();
    let attention = |visual: &Visual| visual.kind == VisualKind::Attention;
    rest.sort_by_key(|visual| (visual.layer, attention(visual), visual.kind));
    let mut rows = Vec::new();
    while let Some(first) = rest.first().copied() {
        let together = |visual: &&Visual| {
            let alike = (&visual.subject, &visual.of) == (&first.subject, &first.of);
            (visual.layer, attention(visual)) == (first.layer, attention(first))
                && (alike || !attention(first))
        };
        let (own, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(together);
        rest = others;
        rows.push(row(image, first, &own)?);
    }
    Ok(rows)
}

/// All rows as one picture; none where there are no further maps.
///
/// # Errors
/// As [`rows`].
pub(super) fn sheet<'a>(
    findings: &Findings,
    image: &'a ImageFindings,
) -> Result<Option<Sheet<'a>>> {
    let notes = reading(findings).into_iter().map(str::to_owned).collect();
    let rows = rows(image)?;
    let title = image.name.clone();
    Ok((!rows.is_empty()).then_some(Sheet { title, notes, rows, size: image.size }))
}

fn row<'a>(image: &'a ImageFindings, first: &Visual, own: &[&'a Visual]) -> Result<SheetRow<'a>> {
    let what = match first.kind {
        VisualKind::Attention => format!("attention of {}, {}", first.of, first.subject),
        _ => "further maps".to_owned(),
    };
    let on_input = (first.kind == VisualKind::Attention).then_some(first.marked).flatten();
    let input = Tile {
        kind: "input".into(),
        subject: if on_input.is_some() { "marked patch ×" } else { "as the model sees it" }.into(),
        image: TileImage::Photo(&image.picture),
        cross: on_input.map(|place| Cross::on_patch(place, first.grid)),
        numbers: String::new(),
    };
    let mut tiles = vec![input];
    for visual in own {
        tiles.push(tile(visual, own)?);
    }
    Ok(SheetRow { heading: format!("Layer {}: {what}", first.layer), tiles })
}

fn tile<'a>(visual: &'a Visual, row: &[&Visual]) -> Result<Tile<'a>> {
    let (kind, subject) = match visual.kind {
        VisualKind::Pca => ("principal components", visual.subject.clone()),
        VisualKind::Segments => ("segments", visual.subject.clone()),
        VisualKind::Nearest => ("nearest patches", visual.subject.clone()),
        VisualKind::Attention => ("attention", visual.part.clone()),
        _ => ("patch norm", format!("{}, {}", visual.subject, visual.part)),
    };
    let count = visual.grid[0] * visual.grid[1];
    let filled = |values: usize| match values == count {
        true => Ok(()),
        false => Err(Error::Drawing {
            reason: format!("a map of {values} values does not fill {:?} cells", visual.grid),
        }),
    };
    let image = match &visual.values {
        VisualValues::Colours(colours) => {
            filled(colours.len())?;
            patches(visual.grid, |cell| {
                let colour = colours[cell];
                let seen = colour.iter().all(|value| value.is_finite());
                seen.then(|| colour.map(|value| (value * 255.0).round() as u8))
            })
        }
        VisualValues::Labels(labels) => {
            filled(labels.len())?;
            patches(visual.grid, |cell| Some(SEGMENTS[labels[cell] % SEGMENTS.len()]))
        }
        VisualValues::Numbers(values) => {
            filled(values.len())?;
            TileImage::Map { values, grid: visual.grid, bar: bar(visual, values, row) }
        }
    };
    let shown = match (visual.kind, &visual.values) {
        (VisualKind::Attention, VisualValues::Numbers(values)) => {
            let largest = values.iter().copied().fold(0.0, f32::max);
            format!("largest {} %, {}", number(largest * 100.0), visual.note)
        }
        _ => visual.note.clone(),
    };
    let marked = visual.marked.filter(|_| visual.kind == VisualKind::Nearest);
    let cross = marked.map(|place| Cross::on_patch(place, visual.grid));
    Ok(Tile { kind: kind.into(), subject, image, cross, numbers: shown })
}

/// Norms of a subject share a range over all input sizes.
fn bar(visual: &Visual, values: &[f32], row: &[&Visual]) -> ColourBar {
    match visual.kind {
        VisualKind::Nearest => {
            let negative = values.iter().filter(|value| **value < 0.0).count();
            let signed = negative * 20 > values.len();
            ColourBar::cosine(if signed { -1.0 } else { 0.0 }, !signed && negative > 0)
        }
        VisualKind::Sizes => {
            let sizes = row.iter().filter(|other| other.kind == VisualKind::Sizes);
            let alike = sizes.filter(|other| other.subject == visual.subject);
            let numbers = alike.filter_map(|other| match &other.values {
                VisualValues::Numbers(values) => Some(values),
                _ => None,
            });
            ColourBar::from_zero(numbers.flatten().copied())
        }
        _ => {
            let bar = ColourBar::from_zero(values.iter().copied());
            let most = format!("{} %", number(bar.high * 100.0));
            ColourBar { ends: ["0".into(), most], ..bar }
        }
    }
}

fn patches(
    [rows, columns]: [usize; 2],
    colour: impl Fn(usize) -> Option<[u8; 3]>,
) -> TileImage<'static> {
    TileImage::Patches(RgbaImage::from_fn(columns as u32, rows as u32, |x, y| {
        match colour(y as usize * columns + x as usize) {
            Some([r, g, b]) => Rgba([r, g, b, 255]),
            None => Rgba([0; 4]),
        }
    }))
}
