//! The report as one self-contained page.

use base64::Engine;
use image::RgbImage;
use maud::{Markup, PreEscaped, html};

use super::charts::{Chart, Part, charts};
use super::ranges::Ranges;
use super::{images, positions, tables, visuals};
use crate::error::Result;
use crate::figure::{ColourBar, Hue, SheetRow, Tile, TileImage, jpeg, png, small_map_picture};
use crate::inspect::{Findings, ImageFindings};
use crate::maps::{FeatureMaps, Palette};
use crate::report::document::document;

const TITLE: &str = "Inspection of a Vision Transformer's features";

/// The page's source.
pub(super) fn page(findings: &Findings, ranges: &Ranges, maps: &FeatureMaps) -> Result<String> {
    let images: Vec<Markup> = findings
        .images
        .iter()
        .map(|image| one_image(findings, image, ranges, maps))
        .collect::<Result<_>>()?;
    let [norms, spectra, injection] = [Part::Norms, Part::Spectra, Part::Injection]
        .map(|part| -> Result<Vec<Markup>> { charts(findings, part).iter().map(chart).collect() });
    let positions = where_outliers_are(findings, maps)?;
    let (spectra, injection) = (spectra?, injection?);
    let body = html! {
        h1 { (TITLE) }
        (settings(findings))
        (notes(findings))
        nav {
            a href="#images" { "Images" } a href="#norms" { "Norms" }
            @if !spectra.is_empty() { a href="#spectra" { "Spectra" } }
            @if !findings.injections.is_empty() { a href="#injection" { "Injection" } }
        }
        section #images {
            h2 { "Images" }
            p {
                "Patch norm: the L2 norm of each patch token; artifacts are single bright \
                 patches, mostly on plain ground. Similarity to ×: the cosine of each patch to \
                 the marked one; clean features light up where the same object or surface is, \
                 artifacts show as holes or specks. Similarity to student: the cosine of \
                 each patch to the student's, mapped into the teacher's space."
            }
            @for reading in visuals::reading(findings) { p { (reading) } }
            p.faint { (images::key(findings, ranges)) }
            @for image in &images { (image) }
        }
        section #norms {
            h2 { "Norms and outliers" }
            @for chart in &norms? { (chart) }
            (positions)
            (tables::norms(findings))
        }
        @if !spectra.is_empty() {
            section #spectra { h2 { "Spectra" } @for chart in &spectra { (chart) } }
        }
        @if !findings.injections.is_empty() {
            section #injection {
                h2 { "What the teacher makes of other features" }
                (about_injection())
                (tables::injections(findings))
                @for chart in &injection { (chart) }
            }
        }
        p.faint { "All numbers are in inspect.json beside this page; the figures are in images/, maps/ and charts/." }
        script { (PreEscaped(include_str!("page.js"))) }
    };
    Ok(document(TITLE, &style(), None, &body))
}

fn settings(findings: &Findings) -> Markup {
    let layers: Vec<String> = findings.layers.iter().map(usize::to_string).collect();
    html! {
        dl {
            @for (subject, model) in &findings.models { dt { (subject) } dd { (model) } }
            dt { "device" } dd { (findings.device) }
            dt { "layers" } dd { (layers.join(", ")) " (counted from 0)" }
            dt { "images" } dd { (findings.images.len()) }
            dt { "quantile γ" } dd { (findings.quantile) }
        }
    }
}

fn notes(findings: &Findings) -> Markup {
    html! {
        @if !findings.notes.is_empty() {
            div.notes {
                strong { "Notes" }
                ul { @for note in &findings.notes { li { (note) } } }
            }
        }
    }
}

fn about_injection() -> Markup {
    html! {
        p {
            "The features after one layer were replaced and the rest of the teacher ran on them. The \
             refinement starts in directions that the next block's linearised MLP hardly reads, but that \
             does not make the drift zero: the residual stream carries every change onwards to all later \
             blocks, LayerNorm rescales each token by its own norm, and attention reads it too. What can \
             be asked is how the drift compares with that of cruder means. The controls are outliers \
             clipped to the quantile and outliers set to zero."
        }
    }
}

fn one_image(
    findings: &Findings,
    image: &ImageFindings,
    ranges: &Ranges,
    maps: &FeatureMaps,
) -> Result<Markup> {
    let own = images::rows(findings, image, ranges).into_iter().chain(visuals::rows(image)?);
    let rows: Vec<Markup> =
        own.map(|row| tiles(&row, image.size, &image.name, maps)).collect::<Result<_>>()?;
    // Once for all rows, so that the page stays small.
    let photo = format!("--photo:url({})", photo(&image.picture)?);
    Ok(html! {
        article style=(photo) {
            h3 { (image.name) }
            p.faint { (images::facts(image)) "." }
            @for row in &rows { (row) }
        }
    })
}

fn where_outliers_are(findings: &Findings, maps: &FeatureMaps) -> Result<Markup> {
    let grid = findings.positions.first().map_or([1, 1], |share| share.grid);
    let rows: Vec<Markup> = positions::rows(findings)
        .iter()
        .map(|row| tiles(row, grid, positions::TITLE, maps))
        .collect::<Result<_>>()?;
    Ok(html! {
        @if !rows.is_empty() {
            h3 { (positions::TITLE) }
            p { (positions::READING) }
            @for row in &rows { (row) }
        }
    })
}

/// A row of tiles; `size` is height and width of what they show. Tiles of one kind stay together,
/// and norms beside the input.
fn tiles(row: &SheetRow, size: [usize; 2], of: &str, maps: &FeatureMaps) -> Result<Markup> {
    let [height, width] = size.map(|side| side.max(1));
    let ratio = width as f64 / height as f64;
    // Wide pictures get wider cells, so that all cover about the same area; on a
    // phone two stand side by side unless they are very wide.
    let cell = 7.0 * ratio.sqrt().clamp(0.9, 2.2);
    let most = if ratio < 2.0 { "calc(50% - .5rem)" } else { "100%" };
    let apart = |[a, b]: [&Tile; 2]| a.kind != b.kind && !matches!(a.image, TileImage::Photo(_));
    let groups: Vec<Vec<Markup>> = row
        .tiles
        .chunk_by(|a, b| !apart([a, b]))
        .map(|group| {
            let tile =
                |tile| one_tile(tile, [height, width], &format!("{of}, {}", row.heading), maps);
            group.iter().map(tile).collect()
        })
        .collect::<Result<_>>()?;
    Ok(html! {
        div.layer {
            h4 { (row.heading) }
            div.tiles style=(format!("--cell:{cell:.2}rem;--most:{most}")) {
                @for group in &groups {
                    div.group.single[group.len() == 1] style=(format!("--n:{}", group.len())) { @for tile in group { (tile) } }
                }
            }
        }
    })
}

fn one_tile(tile: &Tile, size: [usize; 2], of: &str, maps: &FeatureMaps) -> Result<Markup> {
    let [height, width] = size;
    let alt = format!("{} {} of {of}. {}", tile.kind, tile.subject, tile.numbers);
    let shape = format!("aspect-ratio:{width}/{height}");
    let map = match &tile.image {
        TileImage::Photo(_) => None,
        TileImage::Map { values, grid, bar } => Some(small_map_picture(maps, values, *grid, bar)?),
        TileImage::Patches(patches) => Some(patches.clone()),
    };
    let source = map.map(png).transpose()?.map(|bytes| data_url("png", &bytes));
    Ok(html! {
        figure.tile {
            figcaption { span { (tile.kind) } strong { (tile.subject) } }
            @match (&tile.image, source) {
                (TileImage::Photo(photo), _) => {
                    div.face.photo.pixels[is_small(photo)] role="img" aria-label=(alt) style=(shape) {
                        (cross(tile))
                    }
                }
                (_, source) => {
                    div.face style=(shape) {
                        img.pixels src=(source.unwrap_or_default()) alt=(alt);
                        (cross(tile))
                    }
                }
            }
            @if let TileImage::Map { bar, .. } = &tile.image { (colour_bar(bar)) }
            @if !tile.numbers.is_empty() { p { (tile.numbers) } }
        }
    })
}

fn photo(photo: &RgbImage) -> Result<String> {
    Ok(match is_small(photo) {
        true => data_url("png", &png(photo.clone())?),
        false => data_url("jpeg", &jpeg(photo)?),
    })
}

fn data_url(kind: &str, bytes: &[u8]) -> String {
    let bytes = base64::engine::general_purpose::STANDARD.encode(bytes);
    format!("data:image/{kind};base64,{bytes}")
}

/// So few pixels that JPEG would blur them and PNG stays small.
fn is_small(photo: &RgbImage) -> bool {
    photo.width().max(photo.height()) <= 96
}

fn cross(tile: &Tile) -> Markup {
    html! {
        @if let Some(cross) = tile.cross {
            @let [top, left] = cross.centre.map(|share| share * 100.0);
            svg.cross viewBox="-8 -8 16 16" aria-hidden="true" style=(format!("top:{top:.2}%;left:{left:.2}%")) {
                @for (stroke, width) in [("#000", "5.4"), ("#fff", "4.2"), ("#e50021", "2.4")] {
                    path d="M-5-5 5 5M-5 5 5-5" stroke=(stroke) stroke-width=(width) stroke-linecap="round" fill="none" {}
                }
            }
        }
    }
}

fn colour_bar(bar: &ColourBar) -> Markup {
    let class = match bar.palette {
        Palette::Viridis => "bar viridis",
        _ => "bar inferno",
    };
    html! {
        div class=(class) {
            @if let Some(tick) = bar.tick {
                i style=(format!("left:{:.2}%", bar.share(tick) * 100.0)) {}
            }
        }
        div.ends { span { (bar.ends[0]) } span { (bar.ends[1]) } }
    }
}

fn chart(chart: &Chart) -> Result<Markup> {
    let panels: Vec<(String, &str)> = chart
        .panels
        .iter()
        .map(|panel| Ok((plain_svg(&panel.to_svg()?), panel.title.as_str())))
        .collect::<Result<_>>()?;
    Ok(html! {
        figure.chart {
            h3 { (chart.title) }
            figcaption { (chart.reading) }
            div.panels {
                @for (svg, title) in &panels {
                    div role="img" aria-label=(format!("{}: {title}. {}", chart.title, chart.reading)) {
                        (PreEscaped(svg))
                    }
                }
            }
        }
    })
}

/// Inside a page an SVG element needs no namespace.
fn plain_svg(svg: &str) -> String {
    svg.replacen(" xmlns=\"http://www.w3.org/2000/svg\"", "", 1)
}

/// The style sheet, with the colour scales and the charts' inks, which follow
/// the reader's light or dark ground.
fn style() -> String {
    let mut style = include_str!("style.css").to_owned();
    for (class, palette) in [("inferno", Palette::Inferno), ("viridis", Palette::Viridis)] {
        let table = palette.table();
        let stop = |step: usize| {
            let [r, g, b, _] = table[step * (Palette::LEVELS - 1) / 16];
            format!("#{r:02x}{g:02x}{b:02x}")
        };
        let stops: Vec<String> = (0..=16).map(stop).collect();
        style += &format!(".{class}{{background:linear-gradient(to right,{})}}\n", stops.join(","));
    }
    for (hue, name) in [(Hue::Ink, "ink"), (Hue::Faint, "faint"), (Hue::Rule, "rule")] {
        for attribute in ["fill", "stroke"] {
            let hex = hue.hex();
            style += &format!(".chart [{attribute}=\"{hex}\"]{{{attribute}:var(--{name})}}\n");
        }
    }
    style
}
