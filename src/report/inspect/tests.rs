//! The report as a whole, read back from its files.

use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};
use serde_json::Value;

use super::ranges::Ranges;
use super::sample::{PLANTED, Wanted, summary};
use super::write;
use crate::device::Device;
use crate::inspect::{Findings, MapKind, STUDENT, TEACHER, VisualValues};
use crate::maps::{FeatureMaps, Palette};

/// A report in a folder that lives as long as the guard. With
/// `SINGER_REPORT_SAMPLES` a copy stays there for looking at.
fn report(name: &str, findings: &Findings) -> (tempfile::TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let written = write(findings, &Device::cpu(), folder.path()).unwrap();
    for path in &written {
        assert!(path.is_file(), "{}", path.display());
    }
    if let Some(samples) = std::env::var_os("SINGER_REPORT_SAMPLES") {
        write(findings, &Device::cpu(), Path::new(&samples).join(name)).unwrap();
    }
    (folder, written)
}

fn page(folder: &tempfile::TempDir) -> String {
    std::fs::read_to_string(folder.path().join("report.html")).unwrap()
}

fn picture(folder: &tempfile::TempDir, name: &str) -> RgbImage {
    image::open(folder.path().join(name)).unwrap().to_rgb8()
}

fn count(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

#[test]
fn everything_is_written_and_the_page_stands_alone() {
    let findings = Wanted::default().findings();
    let (folder, written) = report("whole", &findings);
    for name in [
        "report.html",
        "inspect.json",
        "images/scene-0.png",
        "images/scene-1.png",
        "charts/norms-by-depth.png",
        "charts/outlier-share-by-depth.png",
        "charts/norm-histograms.png",
        "charts/outlier-positions.png",
        "charts/spectra.png",
        "charts/injection-class-drift.png",
        "charts/injection-patch-drift.png",
        "charts/injection-relative-change.png",
    ] {
        assert!(written.contains(&folder.path().join(name)), "{name}");
    }
    assert_eq!(written.len(), 12);

    let page = page(&folder);
    assert!(!page.contains("http"), "no other resource");
    // Input and 4 norm, 4 marked and 3 paired maps for each of 2 images and 2
    // layers; 4 maps of positions for each layer; 7 charts.
    assert_eq!(count(&page, "<figure"), 2 * 2 * 12 + 2 * 4 + 7);
    assert_eq!(count(&page, "<figure"), count(&page, "</figure>"));
    assert_eq!(count(&page, "<img"), count(&page, " alt=\""));
    assert_eq!(count(&page, "image/jpeg"), 2, "each photograph once");
    // An input for each image and layer; 8 histograms, 2 spectra; 2 panels for each other chart, but one for the class
    // token, which only moves after layers other than the last.
    assert_eq!(count(&page, "role=\"img\""), 4 + 8 + 2 + 2 * 2 + 1 + 2 * 2);
    assert_eq!(count(&page, "<div"), count(&page, "</div>"));
}

#[test]
fn the_hottest_colour_lies_on_the_planted_outlier_and_nowhere_else() {
    let findings = Wanted { images: 1, ..Wanted::default() }.findings();
    let (folder, _) = report("outlier", &findings);
    let sheet = picture(&folder, "images/scene-0.png");
    let [r, g, b, _] = Palette::Inferno.table()[Palette::LEVELS - 1];
    let hot: Vec<[u32; 2]> = sheet
        .enumerate_pixels()
        .filter(|(_, _, pixel)| **pixel == Rgb([r, g, b]))
        .map(|(x, y, _)| [x, y])
        .collect();
    let side = |index: usize| {
        let values = || hot.iter().map(|place| place[index]);
        (values().min().unwrap(), values().max().unwrap())
    };
    // The second tile of both rows: its patch is as wide as the picture over 14.
    let (width, height) = (212 * 2, 136 * 2);
    let patch = width / 14;
    let left = (18 + 212 + 16) * 2 + patch * PLANTED as u32;
    let map: Vec<_> = hot.iter().filter(|[x, _]| x.abs_diff(left + patch / 2) <= patch).collect();
    assert!(map.len() as u32 >= patch * (height / 9) * 2 * 8 / 10, "{} pixels", map.len());
    assert!(side(1).1 < sheet.height() && side(0).0 > left - patch, "{:?}", side(0));
    assert!(picture(&folder, "charts/norms-by-depth.png").width() > 1400);
}

#[test]
fn names_are_escaped_in_the_page_and_made_safe_for_files() {
    let mut findings = Wanted { images: 3, ..Wanted::default() }.findings();
    findings.images[0].name = "<script>alert('x')</script>/../a&b.jpg".into();
    findings.images[1].name = format!("{}.JPEG", "a-very-long-name-".repeat(20));
    findings.images[2].name = findings.images[1].name.to_lowercase();
    findings.models[0].1 = "<b>model</b>".into();
    findings.notes.push("</style><script>".into());
    let (folder, written) = report("names", &findings);
    let page = page(&folder);
    assert_eq!(count(&page, "<script"), 1, "its own");
    assert!(!page.contains("<script>alert") && !page.contains("<b>model"));
    assert!(page.contains("&lt;script&gt;alert") && page.contains("a&amp;b.jpg"));
    let images = written.iter().filter(|path| path.parent() == Some(&folder.path().join("images")));
    assert_eq!(images.count(), 3);
}

#[test]
fn numbers_survive_the_json_file_and_nan_becomes_null() {
    let mut findings = Wanted::default().findings();
    findings.images[0].layers[0].maps[0].values[5] = f32::NAN;
    let (folder, _) = report("json", &findings);
    let text = std::fs::read_to_string(folder.path().join("inspect.json")).unwrap();
    let json: Value = serde_json::from_str(&text).unwrap();
    let map = &json["images"][0]["layers"][0]["maps"][0];
    assert_eq!(map["kind"], "norm");
    assert!(map["values"][5].is_null());
    for (value, read) in
        findings.images[0].layers[0].maps[0].values.iter().zip(map["values"].as_array().unwrap())
    {
        assert!(value.is_nan() || read.as_f64().unwrap() as f32 == *value);
    }
    assert_eq!(json["spectra"][0]["values"][3].as_f64().unwrap(), findings.spectra[0].values[3]);
    assert!(json["images"][0].get("picture").is_none());
}

#[test]
fn teacher_and_refinement_share_a_range_of_norms_and_the_student_has_its_own() {
    let findings = Wanted::default().findings();
    let (layer, ranges) = (&findings.images[0].layers[0], Ranges::of(&findings));
    let norms = || layer.maps.iter().filter(|map| map.kind == MapKind::Norm);
    let teacher = norms().find(|map| map.subject == TEACHER).unwrap();
    for map in norms() {
        let bar = ranges.bar(layer, map);
        let of = if map.subject == STUDENT { map } else { teacher };
        assert_eq!((bar.low, bar.high), (0.0, of.summary[2]), "{}", map.subject);
        assert_eq!(bar.tick.is_some(), map.subject != STUDENT);
    }
}

#[test]
fn cosines_are_coloured_from_minus_one_only_where_many_are_negative() {
    let mut findings = Wanted::default().findings();
    assert!(Ranges::of(&findings).cosine_sentence().contains("from 0 to 1"));
    for map in findings.images.iter_mut().flat_map(|image| &mut image.layers[0].maps) {
        if map.kind != MapKind::Norm {
            map.values.iter_mut().for_each(|value| *value -= 0.5);
        }
    }
    assert!(Ranges::of(&findings).cosine_sentence().contains("−1 to 1"));
}

#[test]
fn further_maps_have_rows_of_their_own_and_a_sheet() {
    let findings = Wanted { visuals: true, ..Wanted::default() }.findings();
    let (folder, written) = report("maps", &findings);
    assert!(written.contains(&folder.path().join("maps/scene-0.png")));
    let page = page(&folder);
    for heading in [
        "Layer 5: further maps",
        "Layer 5: attention of the class token, teacher",
        "principal components</span>",
        "segments</span>",
        "nearest patches</span>",
        "448 × 288 px</strong>",
    ] {
        assert!(page.contains(heading), "{heading}");
    }
    assert_eq!(count(&page, "image/jpeg"), 2, "each photograph once");
    // Background is hatched, and segments have their first colour.
    let sheet = picture(&folder, "maps/scene-0.png");
    for colour in [[225; 3], [0x00, 0x72, 0xb2]] {
        assert!(sheet.pixels().any(|pixel| *pixel == Rgb(colour)), "{colour:?}");
    }
    let json = std::fs::read_to_string(folder.path().join("inspect.json")).unwrap();
    let json: Value = serde_json::from_str(&json).unwrap();
    let pca = &json["images"][0]["visuals"][0];
    assert_eq!((&pca["kind"], &pca["subject"]), (&"pca".into(), &TEACHER.into()));
    assert!(pca["values"]["colours"][0][0].is_null() && pca["values"]["colours"][1][2] == 0.5);

    let mut findings = findings;
    findings.images[0].visuals[1].values = VisualValues::Labels(vec![0; 3]);
    let error = write(&findings, &Device::cpu(), folder.path()).unwrap_err().to_string();
    assert!(error.contains("3 values does not fill [9, 14] cells"), "{error}");
}

#[test]
fn a_page_of_sixteen_large_images_with_all_maps_is_below_20_mb() {
    let wanted = Wanted { images: 16, grid: [37, 37], visuals: true, ..Wanted::default() };
    let mut findings = wanted.findings();
    let mut state = 1u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32
    };
    for image in &mut findings.images {
        // As many heads as a ViT-B has, of class token and marked patch, and nothing compresses.
        let heads: Vec<_> =
            image.visuals.iter().filter(|visual| visual.part == "head 1").cloned().collect();
        image.visuals.extend((0..23).flat_map(|_| heads.clone()));
        for visual in &mut image.visuals {
            if let VisualValues::Numbers(values) = &mut visual.values {
                values.iter_mut().for_each(|value| *value = noise());
            }
        }
    }
    let maps = FeatureMaps::new(&Device::cpu());
    let bytes = super::page::page(&findings, &Ranges::of(&findings), &maps).unwrap().len();
    assert!((5_000_000..20_000_000).contains(&bytes), "{bytes} bytes");
}

#[test]
fn unusual_inspections_are_drawn_too() {
    let wide = Wanted { grid: [6, 18], ..Wanted::default() };
    report("wide", &wide.findings());
    report("tall", &Wanted { grid: [18, 6], images: 1, ..Wanted::default() }.findings());
    let alone = Wanted { refined: false, student: false, layers: vec![23], depth: 24, ..wide };
    let (folder, _) = report("teacher-alone", &alone.findings());
    assert!(!page(&folder).contains("id=\"injection\""));
    report("one-patch", &Wanted { grid: [1, 1], images: 1, ..Wanted::default() }.findings());
    report(
        "one-block",
        &Wanted { layers: vec![0], depth: 1, images: 1, ..Wanted::default() }.findings(),
    );
    report(
        "deep",
        &Wanted { layers: vec![3, 17, 39], depth: 40, images: 1, ..Wanted::default() }.findings(),
    );
    let (folder, _) =
        report("many", &Wanted { images: 40, layers: vec![11], ..Wanted::default() }.findings());
    assert_eq!(count(&page(&folder), "<article"), 40);
    let empty = Wanted { images: 0, layers: vec![], ..Wanted::default() };
    report("empty", &empty.findings());
}

#[test]
fn values_without_contrast_or_meaning_are_drawn_too() {
    let mut findings = Wanted::default().findings();
    let layer = &mut findings.images[0].layers[0];
    layer.maps[0].values.fill(0.0);
    layer.maps[1].values.fill(7.5);
    layer.maps[2].values[20..60].fill(f32::NAN);
    layer.maps[3].values.fill(f32::NAN);
    layer.threshold = f32::NAN;
    for map in &mut layer.maps {
        map.summary = summary(&map.values);
    }
    for row in &mut findings.depth[0].rows[3..5] {
        row.quantiles = [f32::NAN; 8];
        row.outlier_share = f32::NAN;
    }
    findings.depth[0].rows[8].quantiles[7] = f32::INFINITY;
    findings.histograms[0].counts.fill(0);
    findings.histograms[1].threshold = f32::NAN;
    findings.spectra[0].values.fill(0.0);
    findings.spectra[1].values.clear();
    for block in &mut findings.injections[0].blocks {
        (block.class_cosine, block.relative_change) = (1.0, f32::NAN);
    }
    findings.injections[1].blocks.clear();
    findings.injections[2].logits = None;
    let (folder, _) = report("strange", &findings);
    // Grey hatching, which no colour scale holds.
    let sheet = picture(&folder, "images/scene-0.png");
    assert!(sheet.pixels().filter(|pixel| **pixel == Rgb([225; 3])).count() > 5000);
}

#[test]
fn a_map_that_does_not_fill_its_grid_is_an_error() {
    let mut findings = Wanted::default().findings();
    findings.images[1].layers[0].maps[2].values.pop();
    let folder = tempfile::tempdir().unwrap();
    let error = write(&findings, &Device::cpu(), folder.path()).unwrap_err().to_string();
    assert!(error.contains("125 values does not fill 9 x 14 patches"), "{error}");
}
