//! Files in a folder, a zip or a tar file: listed once, read by name.

mod archives;
mod names;
mod store;
mod walk;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) use archives::MAX_FILE;
pub(super) use names::{READ, count_unreadable, is_image, path_of, readable, unread_ending};
pub(super) use store::{Store, is_archive};

use super::place::Split;
use crate::error::{Error, Result};

/// The names of all files below a folder or in an archive, sorted.
#[derive(Debug)]
pub(super) struct Tree {
    root: PathBuf,
    store: Arc<Store>,
    names: Vec<String>,
}

impl Tree {
    /// Lists a folder, a zip or tar file, or a folder inside one.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Data`] where it cannot be read.
    pub(super) fn open(root: &Path) -> Result<Self> {
        let (store, mut names) = Store::list(root)?;
        names.sort_unstable();
        Ok(Self { root: root.to_owned(), store: Arc::new(store), names })
    }

    /// The outermost folder that holds one of `marks`: a file, or, with a slash at its
    /// end, a folder. `wanted` describes in a message what was expected.
    pub(super) fn inside(&self, marks: &[&str], wanted: &str) -> Result<Self> {
        let depth = |name: &str, mark: &str| -> Option<usize> {
            let fits = |at: usize| {
                let rest = &name[at..];
                rest == mark || (mark.ends_with('/') && rest.starts_with(mark))
            };
            let starts = name.match_indices('/').map(|(at, _)| at + 1);
            std::iter::once(0).chain(starts).find(|&at| fits(at))
        };
        let places = self.names.iter().flat_map(|name| {
            marks.iter().filter_map(move |mark| depth(name, mark).map(|at| &name[..at]))
        });
        let Some(place) = places.min_by_key(|place| place.len()).map(str::to_owned) else {
            return Err(Error::data(
                &self.root,
                format!("holds no {}; give the folder of {wanted}", marks.join(" and no ")),
            ));
        };
        let inner = self.names.iter().filter_map(|name| name.strip_prefix(&place));
        Ok(Self {
            root: if place.is_empty() { self.root.clone() } else { self.root.join(&place) },
            store: Arc::clone(&self.store),
            names: inner.map(str::to_owned).collect(),
        })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.names.binary_search_by(|known| known.as_str().cmp(name)).is_ok()
    }

    /// The images below a folder, which ends in a slash; all for the empty name.
    pub(super) fn images<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = &'a str> {
        self.below(folder).filter(|name| is_image(name))
    }

    /// How many images below these folders are in formats that cannot be read, by ending.
    pub(super) fn left_out(&self, folders: &[String]) -> BTreeMap<String, usize> {
        count_unreadable(folders.iter().flat_map(|folder| self.below(folder)))
    }

    fn below<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = &'a str> {
        let first = self.names.partition_point(|name| name.as_str() < folder);
        let below = self.names[first..].iter().take_while(move |name| name.starts_with(folder));
        below.map(String::as_str)
    }

    /// The folders of a split below `above` (which ends in a slash or is empty), each with
    /// a slash at its end. Empty where none has a split's name.
    pub(super) fn split_folders(&self, above: &str, split: Split) -> Vec<String> {
        let names = split.folders().iter().filter_map(|names| {
            let folders = names.iter().map(|name| format!("{above}{name}/"));
            folders.into_iter().find(|folder| self.images(folder).next().is_some())
        });
        names.collect()
    }

    /// The folders that all images share, each the only one in its parent.
    pub(super) fn shared_folders(&self) -> String {
        let images: Vec<&str> = self.images("").collect();
        let (Some(first), Some(last)) = (images.first(), images.last()) else {
            return String::new();
        };
        // The names are sorted, so what the first and last share, all share.
        let folders = |name: &str| name.rsplit_once('/').map(|(folder, _)| folder.to_owned());
        let (Some(first), Some(last)) = (folders(first), folders(last)) else {
            return String::new();
        };
        let shared: Vec<&str> = first
            .split('/')
            .zip(last.split('/'))
            .take_while(|(a, b)| a == b)
            .map(|(a, _)| a)
            .collect();
        let all = shared.len() == first.split('/').count() && first == last;
        // One class only: its folder is a class, not a step on the way.
        let keep = if all { shared.len().saturating_sub(1) } else { shared.len() };
        shared[..keep].join("/")
    }

    pub(super) fn bytes(&self, name: &str) -> Result<Vec<u8>> {
        if !self.has(name) {
            return Err(Error::data(self.path(name), "is missing"));
        }
        self.store.bytes(&self.path(name))
    }

    /// The lines of a text file that are not empty, trimmed, with their numbers from 1.
    pub(super) fn lines(&self, name: &str) -> Result<Vec<(usize, String)>> {
        let bytes = self.bytes(name)?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| Error::data(self.path(name), "is no text file"))?;
        let numbered = text.lines().enumerate().map(|(i, line)| (i + 1, line.trim().to_owned()));
        Ok(numbered.filter(|(_, line)| !line.is_empty()).collect())
    }

    /// Fails where a file that `list` names is missing.
    pub(super) fn require(&self, name: &str, list: &str) -> Result<()> {
        if self.has(name) {
            return Ok(());
        }
        Err(Error::data(
            self.path(name),
            format!("is missing, but {list} lists it; unpack the set again"),
        ))
    }
}
