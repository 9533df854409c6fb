//! What an inspection leaves behind: numbers, pictures and a page.

use std::path::{Path, PathBuf};

use super::charts::{Part, charts};
use super::names::file_names;
use super::ranges::Ranges;
use super::{images, page, positions};
use crate::cli::figure::{Painter, plate, png};
use crate::error::{Error, Result};
use crate::inspect::Findings;
use crate::maps::FeatureMaps;
use crate::weights::write_atomically;

/// Writes `inspect.json`, `report.html`, a sheet for each image under `images`
/// and the charts under `charts`. Returns what was written, the page first.
///
/// Numbers that are not finite are `null` in the JSON file.
pub(super) fn write(findings: &Findings, maps: &FeatureMaps, out: &Path) -> Result<Vec<PathBuf>> {
    let painter = Painter::new(maps);
    let ranges = Ranges::of(findings);
    let mut folder = Folder { out, written: Vec::new() };
    folder.write("report.html", page::page(findings, &ranges, &painter)?.as_bytes())?;
    folder.write("inspect.json", &json(findings)?)?;
    let names = file_names(findings.images.iter().map(|image| image.name.as_str()));
    for (image, name) in findings.images.iter().zip(names) {
        let sheet = images::sheet(findings, image, &ranges).draw(&painter)?;
        folder.write(&format!("images/{name}"), &png(sheet)?)?;
    }
    for chart in [Part::Norms, Part::Spectra, Part::Injection]
        .map(|part| charts(findings, part))
        .iter()
        .flatten()
    {
        let plate = plate(chart.title, &chart.panels)?;
        folder.write(&format!("charts/{}.png", chart.file), &png(plate)?)?;
    }
    if let Some(sheet) = positions::sheet(findings) {
        folder.write("charts/outlier-positions.png", &png(sheet.draw(&painter)?)?)?;
    }
    Ok(folder.written)
}

fn json(findings: &Findings) -> Result<Vec<u8>> {
    serde_json::to_vec(findings)
        .map_err(|error| Error::config(format!("cannot write the findings as JSON: {error}")))
}

/// The folder that is written to.
struct Folder<'a> {
    out: &'a Path,
    written: Vec<PathBuf>,
}

impl Folder<'_> {
    /// Writes a file and the folders above it.
    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.out.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|error| Error::io(parent, error))?;
        }
        write_atomically(&path, bytes)?;
        self.written.push(path);
        Ok(())
    }
}
