//! Where in the image outliers are.

use crate::figure::{ColourBar, Sheet, SheetRow, Tile, TileImage, number};
use crate::inspect::{Findings, PositionShare};

pub(super) const TITLE: &str = "Outlier share by position";

/// What the figure shows.
pub(super) const READING: &str = "Share of images in which the patch at each position has a norm \
    above three times its image's median. An even map means that outliers follow the content; \
    bright borders or corners mean that they prefer places. All maps of a layer share one range.";

/// One row of tiles per layer.
pub(super) fn rows(findings: &Findings) -> Vec<SheetRow<'_>> {
    let mut layers: Vec<usize> = findings.positions.iter().map(|share| share.layer).collect();
    layers.sort_unstable();
    layers.dedup();
    let row = |layer: usize| {
        let of_layer = || findings.positions.iter().filter(move |share| share.layer == layer);
        let bar = ColourBar::from_zero(of_layer().flat_map(|share| share.share.iter().copied()));
        let bar = ColourBar { ends: ["0\u{a0}%".into(), percent(bar.high)], ..bar };
        let tile = |share| tile(share, &bar);
        SheetRow { heading: format!("Layer {layer}"), tiles: of_layer().map(tile).collect() }
    };
    layers.into_iter().map(row).collect()
}

fn tile<'a>(share: &'a PositionShare, bar: &ColourBar) -> Tile<'a> {
    let finite = || share.share.iter().copied().filter(|value| value.is_finite());
    let mean = finite().sum::<f32>() / finite().count().max(1) as f32;
    Tile {
        kind: "outlier share".into(),
        subject: share.subject.clone(),
        image: TileImage::Map { values: &share.share, grid: share.grid, bar: bar.clone() },
        cross: None,
        numbers: format!(
            "mean {}, largest {}",
            percent(mean),
            percent(finite().fold(0.0, f32::max))
        ),
    }
}

/// The same as a picture; none where no positions were measured.
pub(super) fn sheet(findings: &Findings) -> Option<Sheet<'_>> {
    let size = findings.positions.first()?.grid;
    Some(Sheet { title: TITLE.into(), notes: vec![READING.into()], rows: rows(findings), size })
}

pub(super) fn percent(share: f32) -> String {
    format!("{}\u{a0}%", number(share * 100.0))
}
