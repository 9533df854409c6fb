//! The report of an inspection: numbers, pictures and a page.

mod charts;
mod file_names;
mod images;
mod look;
mod page;
mod positions;
mod ranges;
mod tables;
mod visuals;

#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use super::Folder;
use crate::device::Device;
use crate::error::Result;
use crate::figure::{png, subplots};
use crate::inspect::Findings;
use crate::maps::FeatureMaps;
use charts::{Part, charts};
use file_names::file_names;
use ranges::Ranges;

/// Writes `inspect.json`, `report.html`, a sheet for each image under `images`
/// (of further maps under `maps`) and the charts under `charts`; the maps are coloured on `device`. Returns what was
/// written, the page first.
///
/// Numbers that are not finite are `null` in the JSON file.
///
/// # Errors
/// [`Error::Drawing`](crate::Error::Drawing) for a map that does not fill its grid;
/// [`Error::Io`](crate::Error::Io); those of the device.
pub fn write(findings: &Findings, device: &Device, out: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
    let maps = &FeatureMaps::new(device);
    let ranges = Ranges::of(findings);
    let mut folder = Folder::new(out.as_ref());
    folder.write("report.html", page::page(findings, &ranges, maps)?.as_bytes())?;
    folder.write_json("inspect.json", findings, false)?;
    let names = file_names(findings.images.iter().map(|image| image.name.as_str()));
    for (image, name) in findings.images.iter().zip(names) {
        let sheet = images::sheet(findings, image, &ranges).draw(maps)?;
        folder.write(&format!("images/{name}"), &png(sheet)?)?;
        if let Some(sheet) = visuals::sheet(findings, image)? {
            folder.write(&format!("maps/{name}"), &png(sheet.draw(maps)?)?)?;
        }
    }
    let parts = [Part::Norms, Part::Spectra, Part::Injection].map(|part| charts(findings, part));
    for chart in parts.iter().flatten() {
        let picture = subplots(chart.title, &chart.panels)?;
        folder.write(&format!("charts/{}.png", chart.file), &png(picture)?)?;
    }
    if let Some(sheet) = positions::sheet(findings) {
        folder.write("charts/outlier-positions.png", &png(sheet.draw(maps)?)?)?;
    }
    Ok(folder.written)
}
