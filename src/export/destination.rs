use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::dtype::{Rounding, WeightDtype};
use super::file::{ExportFile, Package};
use super::{Exported, Format};
use crate::error::{Error, Result};
use crate::weights::{UNFINISHED, stream_atomically};

/// Name of an ONNX model in a folder.
const MODEL: &str = "model.onnx";

/// Where an export goes.
#[derive(Debug, Clone)]
pub(crate) enum Destination {
    /// A folder of its own.
    Folder(PathBuf),
    /// A file in a folder that may hold others.
    File { folder: PathBuf, name: String },
}

impl Destination {
    /// Of a format, at a path.
    ///
    /// # Errors
    /// [`Error::NeedsFolder`] where the path ends as a file does and the format has several.
    pub(crate) fn of(format: Format, path: &Path) -> Result<Self> {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if format == Format::Onnx && ending == "onnx" && !path.is_dir() {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            let folder = path.parent().unwrap_or(Path::new(""));
            return Ok(Self::File { folder: folder.into(), name: name.unwrap_or_default() });
        }
        if ["onnx", "safetensors"].contains(&ending) && !path.is_dir() {
            return Err(Error::NeedsFolder { path: path.to_owned() });
        }
        Ok(Self::Folder(path.into()))
    }

    /// Refuses what would replace something, unless `replace` allows it.
    ///
    /// # Errors
    /// [`Error::Exists`], and [`Error::NeedsFolder`] for a file in a folder's place.
    pub(crate) fn check(&self, replace: bool) -> Result<()> {
        let taken = match self {
            Self::Folder(path) if path.is_dir() => {
                let io = |error| Error::io(path, error);
                fs::read_dir(path).map_err(io)?.next().is_some().then(|| path.clone())
            }
            Self::Folder(path) if path.exists() => {
                return Err(Error::NeedsFolder { path: path.clone() });
            }
            Self::Folder(_) => None,
            Self::File { folder, name } => [name.clone(), format!("{name}.data")]
                .iter()
                .map(|name| folder.join(name))
                .find(|path| path.exists()),
        };
        match taken {
            Some(path) if !replace => Err(Error::Exists { path }),
            _ => Ok(()),
        }
    }

    /// The ONNX model's file name.
    pub(super) fn onnx_file(&self) -> String {
        match self {
            Self::Folder(_) => MODEL.into(),
            Self::File { name, .. } => name.clone(),
        }
    }

    /// Writes all files, or, where one fails, none of them; in a folder that is
    /// there, each is whole or as it was.
    pub(super) fn write(&self, package: Package<'_>, dtype: WeightDtype) -> Result<Exported> {
        let (folder, is_new) = match self {
            Self::Folder(path) => (path, !path.exists()),
            Self::File { folder, .. } => (folder, false),
        };
        let above = match folder.parent() {
            Some(above) if !above.as_os_str().is_empty() => above,
            _ => Path::new("."),
        };
        let make = match folder.as_os_str().is_empty() {
            true => Path::new("."),
            false if is_new => above,
            false => folder,
        };
        fs::create_dir_all(make).map_err(|error| Error::io(make, error))?;
        let staging = is_new.then(|| staging(above)).transpose()?;
        let into = staging.as_ref().map_or(folder.as_path(), |staging| staging.path());
        let mut rounding = Rounding::default();
        for file in &package.files {
            write_file(file, &into.join(&file.name), folder, dtype, &mut rounding)?;
        }
        if let Some(staging) = staging {
            fs::rename(staging.path(), folder).map_err(|error| Error::io(folder, error))?;
            // Its folder has gone under another name.
            let _ = staging.keep();
        }
        let files = package.files.iter().map(|file| (folder.join(&file.name), file.size()));
        let files = files.collect();
        Ok(Exported { files, notes: package.notes, vanished: rounding.vanished })
    }
}

/// A folder beside the one that it will become.
fn staging(above: &Path) -> Result<tempfile::TempDir> {
    let mut builder = tempfile::Builder::new();
    // Readable as any new folder is; temporary ones are private by default.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    builder.prefix(UNFINISHED).tempdir_in(above).map_err(|error| Error::io(above, error))
}

fn write_file(
    file: &ExportFile<'_>,
    path: &Path,
    folder: &Path,
    dtype: WeightDtype,
    rounding: &mut Rounding,
) -> Result<()> {
    let mut overflow = None;
    let written = stream_atomically(path, |out| {
        file.write(out, rounding)?;
        if rounding.infinite > 0 {
            overflow = Some(rounding.clone());
            return Err(io::Error::other("values beyond the type"));
        }
        Ok(())
    });
    match overflow {
        Some(Rounding { infinite: count, largest, of: tensor, .. }) => {
            Err(Error::Overflow { count, dtype: dtype.name(), largest, tensor })
        }
        None => written.map_err(|error| match error {
            Error::Io { source, .. } => Error::io(folder.join(&file.name), source),
            other => other,
        }),
    }
}
