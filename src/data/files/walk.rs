//! The files below a folder.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::names::readable;
use crate::error::{Error, Result};

/// Files below a folder.
#[derive(Default)]
pub(super) struct Listing {
    /// Their names from there, as text.
    pub(super) names: Vec<String>,
    /// The paths of those whose names are no text, by the path with the name as text.
    pub(super) odd: HashMap<PathBuf, PathBuf>,
    links: Vec<Link>,
}

/// A link to a folder.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Link {
    path: PathBuf,
    /// The start of the names below it.
    prefix: String,
    /// Whether that is another text than its path.
    odd: bool,
}

impl Listing {
    /// Lists a folder.
    ///
    /// A link to a folder is followed, unless that folder lies below `root`, holds it, or
    /// was already entered through the same link of `root`: those would give files twice,
    /// and loops without end. Folders whose names begin with a point are passed over.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn of(root: &Path) -> Result<Self> {
        let mut listing = Self::default();
        listing.add(root, root, "", false)?;
        let links = listing.take_links();
        if !links.is_empty() {
            let whole = canonical(root)?;
            for link in links {
                listing.follow(root, link, &mut vec![whole.clone()])?;
            }
        }
        Ok(listing)
    }

    /// Lists a folder of which names begin with `prefix`; `odd` says whether that is
    /// another text than its path.
    fn add(&mut self, root: &Path, folder: &Path, prefix: &str, odd: bool) -> Result<()> {
        let io = |error| Error::io(folder, error);
        for entry in fs::read_dir(folder).map_err(io)? {
            let entry = entry.map_err(io)?;
            let own = entry.file_name();
            let text = readable(own.as_encoded_bytes());
            let odd = odd || own.to_str() != Some(&text);
            let name = format!("{prefix}{text}");
            // Most file systems state the kind in the listing itself; only a link needs a look.
            let kind = entry.file_type().map_err(io)?;
            let hidden = own.as_encoded_bytes().starts_with(b".");
            if kind.is_dir() {
                if !hidden {
                    self.add(root, &entry.path(), &format!("{name}/"), odd)?;
                }
            } else if kind.is_symlink() && entry.path().is_dir() {
                if !hidden {
                    self.links.push(Link { path: entry.path(), prefix: format!("{name}/"), odd });
                }
            } else if kind.is_file() || kind.is_symlink() {
                if odd {
                    self.odd.insert(root.join(&name), entry.path());
                }
                self.names.push(name);
            }
        }
        Ok(())
    }

    /// Lists the folder that a link leads to; `entered` are the folders that are listed.
    fn follow(&mut self, root: &Path, link: Link, entered: &mut Vec<PathBuf>) -> Result<()> {
        let target = canonical(&link.path)?;
        if entered.iter().any(|known| target.starts_with(known) || known.starts_with(&target)) {
            return Ok(());
        }
        entered.push(target);
        self.add(root, &link.path, &link.prefix, link.odd)?;
        for link in self.take_links() {
            self.follow(root, link, entered)?;
        }
        Ok(())
    }

    /// The links found last, in the order of their names.
    fn take_links(&mut self) -> Vec<Link> {
        let mut links = std::mem::take(&mut self.links);
        links.sort_unstable();
        links
    }
}

fn canonical(path: &Path) -> Result<PathBuf> {
    fs::canonicalize(path).map_err(|error| Error::io(path, error))
}
