//! The maps of one image as tiles, for its sheet and for the page.

use super::ranges::Ranges;
use crate::figure::{Cross, Sheet, SheetRow, Tile, TileImage, number};
use crate::inspect::{Findings, ImageFindings, LayerFindings, Map, MapKind, STUDENT};

/// One row of tiles per layer.
pub(super) fn rows<'a>(
    findings: &Findings,
    image: &'a ImageFindings,
    ranges: &Ranges,
) -> Vec<SheetRow<'a>> {
    let cross = Cross::on_patch(image.marked, image.grid);
    let row = |layer: &'a LayerFindings| {
        let input = Tile {
            kind: "input".into(),
            subject: "marked patch ×".into(),
            image: TileImage::Photo(&image.picture),
            cross: Some(cross),
            numbers: String::new(),
        };
        let maps = layer.maps.iter().map(|map| Tile {
            kind: kind(map.kind).into(),
            subject: map.subject.clone(),
            image: TileImage::Map {
                values: &map.values,
                grid: image.grid,
                bar: ranges.bar(layer, map),
            },
            cross: (map.kind == MapKind::MarkedSimilarity).then_some(cross),
            numbers: numbers(map, findings.quantile),
        });
        SheetRow { heading: heading(layer), tiles: std::iter::once(input).chain(maps).collect() }
    };
    image.layers.iter().map(row).collect()
}

/// The sheet of one image.
pub(super) fn sheet<'a>(
    findings: &Findings,
    image: &'a ImageFindings,
    ranges: &Ranges,
) -> Sheet<'a> {
    let models: Vec<String> =
        findings.models.iter().map(|(subject, model)| format!("{subject}: {model}")).collect();
    Sheet {
        title: image.name.clone(),
        notes: vec![format!("{}. {}.", facts(image), models.join(", ")), key(findings, ranges)],
        rows: rows(findings, image, ranges),
        size: image.size,
    }
}

/// Size, patches and the marked patch.
pub(super) fn facts(image: &ImageFindings) -> String {
    let ([height, width], [rows, columns]) = (image.size, image.grid);
    let [row, column] = image.marked;
    format!(
        "{width} × {height} pixels, {columns} × {rows} patches; marked: row {}, column {}",
        row + 1,
        column + 1
    )
}

/// How to read the colours.
pub(super) fn key(findings: &Findings, ranges: &Ranges) -> String {
    let student = findings.models.iter().any(|(subject, _)| subject == STUDENT);
    let own = if student { ", the student has its own" } else { "" };
    format!(
        "Norms are coloured from 0 to the largest; teacher and refinements of a layer share this \
         range{own}. The mark in their bars is the {}-quantile of the raw teacher's norms. {} \
         Hatched patches have no finite value.",
        findings.quantile,
        ranges.cosine_sentence()
    )
}

/// "Layer 17", with the student's layer where it is compared.
pub(super) fn heading(layer: &LayerFindings) -> String {
    match layer.student_layer {
        Some(student) => format!("Layer {} (student's layer {student})", layer.layer),
        None => format!("Layer {}", layer.layer),
    }
}

fn kind(kind: MapKind) -> &'static str {
    match kind {
        MapKind::Norm => "patch norm",
        MapKind::MarkedSimilarity => "similarity to ×",
        MapKind::TeacherStudentSimilarity => "similarity to student",
    }
}

fn numbers(map: &Map, quantile: f64) -> String {
    let [least, median, largest] = map.summary;
    if map.kind != MapKind::Norm {
        return format!("least {}, median {}", number(least), number(median));
    }
    let ratio = match largest / median {
        ratio if ratio.is_finite() => format!(" ({}\u{a0}×\u{a0}median)", number(ratio)),
        _ => String::new(),
    };
    let outliers = match map.outliers {
        Some(count) if map.subject == STUDENT => {
            format!("; {count} above its own {quantile}-quantile")
        }
        Some(count) => format!("; {count} above the {quantile}-quantile"),
        None => String::new(),
    };
    format!("median {}, largest {}{ratio}{outliers}", number(median), number(largest))
}
