//! Which places are shards: brace patterns, globs, folders, URLs and single files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::remote::Remote;
use super::shard::{Format, Place, Shard};
use super::tar::has_samples;
use crate::data::place::Split;
use crate::error::{Error, Result};

/// The most shards that a pattern stands for.
const MAX_SHARDS: usize = 1_000_000;

/// The shards at a place; none where it is something else.
///
/// # Errors
/// [`Error::Data`] for patterns that cannot be and URLs of other files; [`Error::Io`] for a
/// folder that cannot be read.
pub(super) fn shards(place: &str, split: Split) -> Result<Option<Vec<Shard>>> {
    if Remote::is_url(place) {
        let urls = expand(place)?.into_iter().map(remote);
        return urls.collect::<Result<_>>().map(Some);
    }
    let path = Path::new(place);
    if let Some((scheme, _)) = place.split_once("://").filter(|_| !path.exists()) {
        let known = "http, https, s3 and gs are read; for Azure give the https URL";
        return Err(Error::data(place, format!("`{scheme}` is no scheme that is known: {known}")));
    }
    if path.is_dir() {
        return folder(path, split);
    }
    if path.is_file() {
        let one = match Format::of(place) {
            Some(Format::Parquet | Format::TarGz) => true,
            // Other tar files are folders of images.
            Some(Format::Tar) => has_samples(path),
            None => false,
        };
        return Ok(one.then(|| local(path.to_owned())).flatten().map(|shard| vec![shard]));
    }
    let has_braces = place.contains('{');
    let mut found = Vec::new();
    for name in expand(place)? {
        if name.contains(['*', '?', '[']) && !Path::new(&name).exists() {
            let matches = glob::glob(&name)
                .map_err(|error| Error::data(place, format!("is no pattern ({error})")))?;
            let paths = matches.collect::<Result<Vec<_>, _>>();
            found.extend(
                paths.map_err(|error| Error::io(PathBuf::from(error.path()), error.into()))?,
            );
        } else if has_braces {
            found.push(name.into());
        }
    }
    let all = found.len();
    let shards: Vec<Shard> = found.into_iter().filter_map(local).collect();
    Ok((all > 0 && shards.len() == all).then_some(shards))
}

fn local(path: PathBuf) -> Option<Shard> {
    let format = Format::of(&path.file_name()?.to_string_lossy())?;
    Some(Shard { place: Place::Local(path), format })
}

fn remote(url: String) -> Result<Shard> {
    let format = Format::of(Remote::path(&url));
    let remote = Remote::new(url);
    match format {
        Some(format) => Ok(Shard { place: Place::Remote(remote), format }),
        None => Err(Error::data(
            remote.to_string(),
            "images are streamed from .tar, .tar.gz and .parquet files alone; download other files first",
        )),
    }
}

/// The shards of a split in a folder that holds nothing else, or in its only folders of shards
/// (`data/` as the hub stores sets, or one for each split).
fn folder(path: &Path, split: Split) -> Result<Option<Vec<Shard>>> {
    let Some((files, folders)) = list(path)? else { return Ok(None) };
    if !files.is_empty() {
        return named(path, files, split).map(Some);
    }
    if let [only] = folders.as_slice()
        && only.file_name().is_some_and(|name| name == "data")
    {
        return folder(only, split);
    }
    let mut found = Vec::new();
    let splits = folders.iter().filter(|folder| {
        folder.file_name().is_some_and(|name| Split::is_folder(&name.to_string_lossy()))
    });
    for names in split.folders() {
        let wanted = |folder: &PathBuf| {
            let name = folder.file_name().unwrap_or_default().to_string_lossy();
            names.iter().position(|known| *known == name)
        };
        let Some(best) = splits.clone().filter(|&f| wanted(f).is_some()).min_by_key(|&f| wanted(f))
        else {
            continue;
        };
        let Some((files, _)) = list(best)? else { return Ok(None) };
        found.extend(files.into_iter().filter_map(local));
    }
    Ok((!found.is_empty()).then_some(found))
}

/// The shards directly in a folder and its folders; none where it has images or other data.
fn list(path: &Path) -> Result<Option<(Vec<PathBuf>, Vec<PathBuf>)>> {
    let io = |error| Error::io(path, error);
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(path).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        // What describes a set, beside its shards.
        let beside = ["md", "json", "jsonl", "yaml", "yml", "txt", "py"];
        if name.starts_with('.') || beside.iter().any(|known| extension == *known) {
            continue;
        }
        if path.is_dir() {
            folders.push(path);
        } else if Format::of(&name).is_some() {
            files.push(path);
        } else {
            return Ok(None);
        }
    }
    files.sort_unstable();
    folders.sort_unstable();
    Ok(Some((files, folders)))
}

/// The files of a split by their names, `train-00000-of-00010.parquet`; all where no name
/// states one.
fn named(folder: &Path, files: Vec<PathBuf>, split: Split) -> Result<Vec<Shard>> {
    let words = |path: &PathBuf| -> BTreeSet<String> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let words = name.split(|c: char| !c.is_ascii_alphabetic());
        words.filter(|word| Split::is_folder(word)).map(str::to_owned).collect()
    };
    let words: Vec<BTreeSet<String>> = files.iter().map(words).collect();
    if words.iter().all(BTreeSet::is_empty) {
        return Ok(files.into_iter().filter_map(local).collect());
    }
    let mut wanted = BTreeSet::new();
    for names in split.folders() {
        let known = names.iter().find(|name| words.iter().any(|words| words.contains(**name)));
        wanted.extend(known.map(|name| (*name).to_owned()));
    }
    let files = files.into_iter().zip(&words);
    let files = files.filter(|(_, words)| words.intersection(&wanted).next().is_some());
    let shards: Vec<Shard> = files.filter_map(|(path, _)| local(path)).collect();
    match shards.is_empty() {
        true => Err(Error::data(folder, format!("has no shards of the {split} split"))),
        false => Ok(shards),
    }
}

/// The names that a pattern with braces stands for: `{000..099}` counts, with zeros as
/// written, `{a,b}` lists.
fn expand(pattern: &str) -> Result<Vec<String>> {
    let too_many = || {
        let reason = format!("stands for more than {MAX_SHARDS} files");
        Error::data(Remote::new(pattern.into()).to_string(), reason)
    };
    let Some((before, rest)) = pattern.split_once('{') else { return Ok(vec![pattern.into()]) };
    let Some((inside, after)) = rest.split_once('}') else { return Ok(vec![pattern.into()]) };
    let parts: Vec<String> = match range(inside) {
        Some((from, to, _)) if to - from >= MAX_SHARDS as u64 => return Err(too_many()),
        Some((from, to, width)) => (from..=to).map(|number| format!("{number:0width$}")).collect(),
        None if inside.contains(',') => inside.split(',').map(str::to_owned).collect(),
        None => vec![format!("{{{inside}}}")],
    };
    let rest = expand(after)?;
    if parts.len().saturating_mul(rest.len()) > MAX_SHARDS {
        return Err(too_many());
    }
    let all =
        parts.iter().flat_map(|part| rest.iter().map(move |end| format!("{before}{part}{end}")));
    Ok(all.collect())
}

/// First, last and width of `008..123`.
fn range(inside: &str) -> Option<(u64, u64, usize)> {
    let (from, to) = inside.split_once("..")?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(from) || !digits(to) {
        return None;
    }
    let (first, last) = (from.parse().ok()?, to.parse().ok()?);
    let padded = from.starts_with('0') && from.len() > 1;
    (first <= last).then_some((first, last, if padded { from.len() } else { 1 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_count_and_list() {
        let all = expand("s/{08..11}-{a,b}.tar").unwrap();
        let numbers = ["08", "09", "10", "11"];
        let expected: Vec<String> =
            numbers.iter().flat_map(|n| ["a", "b"].map(|x| format!("s/{n}-{x}.tar"))).collect();
        assert_eq!(all, expected);
        assert_eq!(expand("{0..2}").unwrap(), ["0", "1", "2"]);
        assert_eq!(expand("{9..10}.tar").unwrap(), ["9.tar", "10.tar"]);
        for plain in ["photos/{x}.tar", "a{b.tar", "a}b.tar", "{3..1}.tar", "{-1..2}.tar"] {
            assert_eq!(expand(plain).unwrap(), [plain]);
        }
        assert!(expand("{0..99999999}.tar").is_err());
        assert!(expand("{0..9999}{0..9999}.tar").is_err());
    }

    #[test]
    fn queries_of_urls_are_kept_and_not_shown() {
        let url = "https://me:word@host/{0..1}.tar?sig=secret";
        let found = shards(url, Split::Train).unwrap().unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[1].path(), Path::new("https://host/1.tar"));
        assert_eq!(found[1].format, Format::Tar);
        let error = shards("https://host/x.zip?sig=secret", Split::Train).unwrap_err().to_string();
        assert!(error.contains(".parquet") && !error.contains("secret"), "{error}");
    }
}
