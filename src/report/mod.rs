//! Reports of what was measured: pages that need nothing else, tables, charts and
//! sheets of maps, each from plain values and written into a folder.
//!
//! - [`inspect`]: the page and the figures of an inspection.
//! - [`recover`]: table and chart of what comes back from planted artifacts.
//! - [`study`]: methods compared over seeds, with paired tests and a radar chart.
//! - [`training`]: curves, norms and settings of runs, and in words how they went.
//! - [`track`]: TensorBoard's event files and an MLflow server, which follow trainings.
//! - [`probe`]: inputs, truths and predictions of dense probes, side by side.
//! - [`NormFigure`]: patch norms of teacher, refined teacher and student.
//!
//! ```no_run
//! use singer::data::ImageSet;
//! use singer::inspect::{Comparison, Framing, Inspection, open_pictures};
//! use singer::{Device, Model, report};
//!
//! let device = Device::open("auto")?;
//! let teacher = Model::open("vit_large_patch16_224.augreg_in21k", &device)?;
//! let (pictures, _) = open_pictures(&[ImageSet::open("photos/")?], Framing::of(&teacher), 16)?;
//! let findings = Inspection::default().run(&Comparison::of(teacher), &pictures, &device)?;
//! for path in report::inspect::write(&findings, &device, "inspection")? {
//!     println!("wrote {}", path.display());
//! }
//! # Ok::<(), singer::Error>(())
//! ```

mod document;
pub mod inspect;
mod norms;
pub mod probe;
pub mod recover;
pub mod study;
pub mod track;
pub mod training;

pub use norms::NormFigure;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::weights::write_atomically;

/// Makes a folder and makes sure that files can be written to it, before the work
/// and not after it.
///
/// # Errors
/// [`Error::Unwritable`].
pub fn make_folder(folder: &Path) -> Result<()> {
    let unwritable = |source| Error::Unwritable { path: folder.to_owned(), source };
    std::fs::create_dir_all(folder).map_err(unwritable)?;
    tempfile::tempfile_in(folder).map(drop).map_err(unwritable)
}

/// A folder that a report is written to.
struct Folder<'a> {
    path: &'a Path,
    written: Vec<PathBuf>,
}

impl<'a> Folder<'a> {
    fn new(path: &'a Path) -> Self {
        Self { path, written: Vec::new() }
    }

    /// Writes a file and makes the folders above it.
    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|error| Error::io(parent, error))?;
        }
        write_atomically(&path, bytes)?;
        self.written.push(path);
        Ok(())
    }

    /// Writes a value as JSON; numbers that are not finite become `null`.
    fn write_json(&mut self, name: &str, value: &impl Serialize, pretty: bool) -> Result<()> {
        let text = match pretty {
            true => serde_json::to_vec_pretty(value),
            false => serde_json::to_vec(value),
        };
        let text = text.map_err(|error| Error::io(self.path.join(name), error.into()))?;
        self.write(name, &text)
    }
}
