//! The comparison of a study: methods by metrics, over seeds.
//!
//! ```
//! use singer::report::study::markdown;
//! use singer::study::{Metric, Results, Row};
//!
//! let accuracy = |values: [f64; 3]| vec![values.map(Some).to_vec()];
//! let rows = vec![
//!     Row::variant("FitNet", accuracy([70.0, 70.3, 69.8])).with_baseline(true),
//!     Row::variant("SiNGER", accuracy([71.2, 71.1, 70.9])),
//! ];
//! let metrics = vec![Metric { name: "top-1 accuracy".into(), lower_is_better: false }];
//! let results = Results::new("Two methods", vec![0, 1, 2], metrics, rows);
//! assert_eq!(results.best(0), Some(1));
//! assert!(markdown(&results).contains("| SiNGER | **71.07 ± 0.15**<br>+1.03, p = "));
//! ```

mod chart;
mod page;
mod text;

pub use chart::radar;
pub use page::page;
pub use text::markdown;

use std::path::{Path, PathBuf};

use super::Folder;
use crate::error::Result;
use crate::figure::{Radar, png};
use crate::study::Results;

/// Writes `results.json`, `results.md`, `results.html` and, where there are enough
/// metrics, `radar.png`. Returns what was written.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io); [`Error::Drawing`](crate::Error::Drawing).
pub fn write(results: &Results, out: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
    let mut folder = Folder::new(out.as_ref());
    folder.write_json("results.json", results, true)?;
    folder.write("results.md", markdown(results).as_bytes())?;
    let radar = radar(results);
    let svg = radar.as_ref().map(Radar::to_svg).transpose()?;
    folder.write("results.html", page(results, svg.as_deref()).as_bytes())?;
    if let Some(radar) = &radar {
        folder.write("radar.png", &png(radar.to_picture()?)?)?;
    }
    Ok(folder.written)
}
