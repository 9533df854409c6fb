//! A few of a run's images: how norms go from block to block, and their maps.

use base64::Engine;
use image::{RgbImage, RgbaImage};
use maud::{Markup, PreEscaped, html};

use super::examples::{Example, Examples, NormMap, Subject};
use super::{TrainingRun, distinct};
use crate::error::{Error, Result};
use crate::figure::{Axis, Dash, Hue, Line, Mark, Marker, Panel, jpeg, number, png};
use crate::maps::{ColourRange, Colouring, Palette, Upsampling, draw};
use crate::statistics::median;

/// Norms that span more than this factor are drawn on a logarithmic axis.
const WIDE: f64 = 20.0;

/// The section of a run; empty where nothing was measured.
pub(super) fn section(run: &TrainingRun) -> Result<Markup> {
    let Some(examples) = &run.examples else { return Ok(html! {}) };
    let charts: Vec<String> = panels(examples).iter().map(Panel::to_svg).collect::<Result<_>>()?;
    let images = examples.images.iter().enumerate();
    let images: Vec<Markup> = images
        .map(|(index, image)| rows(examples, index, image, run.photographs.get(index)))
        .collect::<Result<_>>()?;
    let refined = examples.blocks.iter().any(|of| of.subject == Subject::Refined);
    Ok(html! {
        h2 { "Norms by block" }
        p {
            "Largest patch norm of an image over its median, after each block: means over "
            (examples.measured) " of the run's own images. Above 3 are artifacts."
        }
        div.charts { @for chart in &charts { figure { (PreEscaped(chart)) } } }
        h2 { "Maps of patch norms" }
        p {
            "Of these images, those with the largest norms. Colours go from 0 to the first number under each map"
            @if refined { "; teacher and refined teacher share them" }
            ". "
            @if run.photographs.is_empty() && run.description["command"] == "distill" {
                "Photographs are left out, as a page may be passed on: " code { "singer report --photos" } " adds them."
            }
        }
        @for image in &images { (image) }
    })
}

/// Teacher and refined teacher, and the student.
fn panels(examples: &Examples) -> Vec<Panel> {
    let series = |subject: Subject| -> Vec<[f64; 2]> {
        let of = examples.blocks.iter().filter(|of| of.subject == subject);
        of.map(|of| [of.block as f64, f64::from(of.norms.max_over_median)]).collect()
    };
    let panel = |title: &str, lines: &[(Subject, Hue, Dash)]| {
        let lines: Vec<_> = lines
            .iter()
            .map(|&(subject, hue, dash)| (series(subject), subject, hue, dash))
            .collect();
        let points = || lines.iter().flat_map(|(points, ..)| points);
        let blocks = points().map(|[block, _]| *block as usize).max()?;
        let high = points().map(|[_, ratio]| *ratio).fold(3.0, f64::max);
        let y = match high > WIDE {
            true => Axis::log("logarithmic", 1.0, high),
            false => Axis::from_zero("", high, ""),
        };
        let marks = lines.into_iter().filter(|(points, ..)| !points.is_empty()).map(
            |(points, subject, hue, dash)| {
                // Adapters refine a few blocks, between which there is no line.
                let alone = points.len() <= blocks;
                let dash = if alone { Dash::Unjoined } else { dash };
                let marker = if alone { Marker::Disc } else { Marker::None };
                let line = Line { points, hue, width: 1.8, dash, marker };
                (Mark::Line(line), Some(subject.name().to_owned()))
            },
        );
        let x = Axis::integers("block", 0, blocks);
        Some(Panel { title: title.to_owned(), x, y, marks: marks.collect() })
    };
    let teacher =
        [(Subject::Teacher, Hue::Grey, Dash::Solid), (Subject::Refined, Hue::Blue, Dash::Solid)];
    let student = [(Subject::Student, Hue::Vermilion, Dash::Solid)];
    [panel("teacher", &teacher), panel("student", &student)].into_iter().flatten().collect()
}

/// An image's maps, a row for each layer.
fn rows(
    examples: &Examples,
    index: usize,
    image: &Example,
    photograph: Option<&RgbImage>,
) -> Result<Markup> {
    let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let photograph = photograph
        .map(|photo| Ok::<_, Error>(format!("data:image/jpeg;base64,{}", encode(&jpeg(photo)?))))
        .transpose()?;
    let [height, width] = examples.grid;
    let layers = distinct(image.maps.iter().map(|map| map.layer));
    let row = |layer: usize| {
        let maps = image.maps.iter().filter(|map| map.layer == layer);
        let tiles: Vec<Markup> = maps
            .map(|map| {
                let high = high(image, map);
                let picture = picture(map, examples.grid, 4, high)?;
                let source = format!("data:image/png;base64,{}", encode(&png(picture)?));
                // Short, so that three stand beside each other on a phone.
                let name = match map.subject {
                    Subject::Refined => "refined",
                    subject => subject.name(),
                };
                let alt =
                    format!("Patch norms of image {}, {name}, block {}", index + 1, map.block);
                Ok(html! {
                    figure.tile {
                        figcaption { strong { (name) } span { "block " (map.block) } }
                        img src=(source) alt=(alt) style=(format!("aspect-ratio:{width}/{height}"));
                        p { "0–" (number(high)) br; "median " (number(median(&map.norms))) }
                    }
                })
            })
            .collect::<Result<_>>()?;
        Ok(tiles)
    };
    let rows: Vec<Vec<Markup>> = layers.into_iter().map(row).collect::<Result<_>>()?;
    Ok(html! {
        article {
            h3 { "Image " (index + 1) }
            @for (number, tiles) in rows.iter().enumerate() {
                div.tiles {
                    @if let Some(source) = &photograph {
                        figure.tile.of-image {
                            @if number == 0 {
                                img.photo src=(source) alt=(format!("Image {}", index + 1));
                                p { "as the teacher sees it" br; "\u{a0}" }
                            }
                        }
                    }
                    @for tile in tiles { (tile) }
                }
            }
        }
    })
}

/// The norm of a map's last colour: teacher and refined teacher of a layer share one range.
pub(in crate::report) fn high(image: &Example, map: &NormMap) -> f32 {
    let student = |map: &NormMap| map.subject == Subject::Student;
    let alike = image.maps.iter();
    let alike = alike.filter(|of| of.layer == map.layer && student(of) == student(map));
    alike.flat_map(|of| &of.norms).copied().filter(|norm| norm.is_finite()).fold(0.0, f32::max)
}

/// A map with so many pixels a patch.
pub(in crate::report) fn picture(
    map: &NormMap,
    grid: [usize; 2],
    pixels: usize,
    high: f32,
) -> Result<RgbaImage> {
    let colouring = Colouring {
        palette: Palette::Inferno,
        upsampling: Upsampling::Nearest,
        range: ColourRange::Fixed(0.0, high),
        opacity: 1.0,
    };
    draw(&map.norms, grid, grid.map(|side| side * pixels), &colouring, None)
}
