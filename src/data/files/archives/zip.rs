use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use zip::ZipArchive;
use zip::read::ZipFile;

use super::{Handles, MAX_FILE, inner_name, unreadable};
use crate::data::files::names::readable;
use crate::error::{Error, Result};

/// A zip file.
#[derive(Debug)]
pub(in crate::data) struct Zip {
    path: PathBuf,
    open: Handles<ZipArchive<File>>,
    /// Places of the files whose names are stored as other bytes than those of the text:
    /// in another encoding than UTF-8, or with `\` between folders.
    odd: HashMap<String, usize>,
}

impl Zip {
    /// Opens a zip file; with the names of its files, in no order.
    pub(in crate::data::files) fn open(path: PathBuf) -> Result<(Self, Vec<String>)> {
        let zip = open(&path)?;
        // Old programs on Windows write `\`; in others a name may contain it.
        let has = |byte| zip.file_names_raw().any(|name| name.contains(&byte));
        let windows = has(b'\\') && !has(b'/');
        let (mut names, mut odd) = (Vec::with_capacity(zip.len()), HashMap::new());
        for (index, (raw, decoded)) in zip.file_names_raw().zip(zip.file_names()).enumerate() {
            let text = decoded.map_or_else(|_| readable(raw), |text| readable(text.as_bytes()));
            let text = if windows { text.replace('\\', "/") } else { text };
            if text.as_bytes() != raw {
                odd.insert(text.clone(), index);
            }
            names.push(text);
        }
        Ok((Self { path, open: Handles::new(zip), odd }, names))
    }

    pub(in crate::data::files) fn bytes(&self, path: &Path) -> Result<Vec<u8>> {
        self.look(path, |file| {
            let mut bytes = Vec::new();
            file.take(MAX_FILE).read_to_end(&mut bytes)?;
            Ok(bytes)
        })
    }

    pub(in crate::data::files) fn size(&self, path: &Path) -> Result<u64> {
        self.look(path, |file| Ok(file.size()))
    }

    fn look<T>(
        &self,
        path: &Path,
        look: impl FnOnce(&mut ZipFile<'_, File>) -> std::io::Result<T>,
    ) -> Result<T> {
        let name = inner_name(&self.path, path);
        let work = |zip: &mut ZipArchive<File>| {
            let index = self.odd.get(&name).copied();
            let index = index.or_else(|| zip.index_for_name_raw(name.as_bytes()));
            let index = index.ok_or_else(|| unreadable(path, "it is not in the zip file"))?;
            let mut file = zip.by_index(index).map_err(|error| unreadable(path, error))?;
            look(&mut file).map_err(|error| unreadable(path, error))
        };
        self.open.with(|| open(&self.path), work)?
    }
}

fn open(path: &Path) -> Result<ZipArchive<File>> {
    let file = File::open(path).map_err(|error| Error::io(path, error))?;
    ZipArchive::new(file)
        .map_err(|error| Error::data(path, format!("not a readable zip file ({error})")))
}
