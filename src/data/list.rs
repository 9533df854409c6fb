//! Lists of image files: text, CSV or TSV, with labels or without.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use csv::{ByteRecord, ReaderBuilder, Trim};
use rayon::prelude::*;

use super::file_set::FileSet;
use super::files::{path_of, readable, unread_ending};
use crate::error::{Error, Result};

/// Names of the column of paths.
const PATHS: [&str; 6] = ["path", "file", "filename", "file_name", "filepath", "image"];

/// Names of the column of labels.
const LABELS: [&str; 3] = ["label", "class", "target"];

/// Whether a path is that of a list.
pub(super) fn is_list(path: &Path) -> bool {
    let end = path.extension().unwrap_or_default().to_ascii_lowercase();
    ["txt", "csv", "tsv"].iter().any(|known| end == *known) && path.is_file()
}

/// A line of a list.
struct Row {
    /// Counted from 1.
    line: u64,
    path: Vec<u8>,
    label: Option<String>,
}

/// The images that a list names, with labels where every line has one. Paths are relative
/// to the list's own folder.
///
/// In a text each line is a path, or a path and a label behind a tab, a comma or a space;
/// empty lines and those that begin with `#` are passed over. In a table the column of
/// paths is called `path`, `file`, `filename`, `file_name`, `filepath` or `image`, or is the
/// first; that of labels `label`, `class` or `target`, or is the second of two or where
/// there is no line of names.
///
/// # Errors
/// [`Error::Io`]; [`Error::Data`] with the line and the file that is missing.
pub(super) fn open(path: &Path) -> Result<FileSet> {
    let bytes = fs::read(path).map_err(|error| Error::io(path, error))?;
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(Error::data(path, "is UTF-16 text; save it as UTF-8"));
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let root = path.parent().unwrap_or(Path::new(""));
    let end = path.extension().unwrap_or_default().to_ascii_lowercase();
    let mut rows = match end.to_str() {
        Some("txt") => lines(text, root),
        Some("tsv") => table(text, b'\t', root, path)?,
        _ => table(text, separator(text), root, path)?,
    };
    let first = rows.first().ok_or_else(|| Error::data(path, "names no image"))?;
    // Written on Windows.
    if first.path.contains(&b'\\') && !is_there(root, &first.path) {
        for byte in rows.iter_mut().flat_map(|row| &mut row.path) {
            *byte = if *byte == b'\\' { b'/' } else { *byte };
        }
    }
    let mut left_out = BTreeMap::new();
    let own = |path: &[u8]| readable(path.rsplit(|&byte| byte == b'/').next().unwrap_or_default());
    rows.retain(|row| match unread_ending(&own(&row.path)) {
        Some(end) => {
            *left_out.entry(end).or_default() += 1;
            false
        }
        None => true,
    });
    if let Some(row) = rows.par_iter().find_first(|row| !is_there(root, &row.path)) {
        let name = readable(&row.path);
        let below = if root == Path::new("") { Path::new(".") } else { root };
        return Err(Error::data(
            path,
            format!(
                "line {}: there is no file {name}; paths are relative to {}",
                row.line,
                below.display()
            ),
        ));
    }
    if rows.is_empty() {
        return Err(super::file_set::no_images(path, &left_out));
    }
    let classes = classes(&rows);
    let labels: HashMap<&str, usize> =
        classes.iter().enumerate().map(|(label, name)| (name.as_str(), label)).collect();
    let mut odd = HashMap::new();
    let mut files = Vec::with_capacity(rows.len());
    for row in &rows {
        let (name, own) = (readable(&row.path), path_of(&row.path));
        if own != Path::new(&name) {
            odd.insert(root.join(&name), root.join(own));
        }
        let label = row.label.as_deref().and_then(|label| labels.get(label));
        files.push((name, label.copied().unwrap_or_default()));
    }
    Ok(FileSet::listed(root, odd, files, classes).beside(left_out))
}

fn is_there(root: &Path, path: &[u8]) -> bool {
    fs::metadata(root.join(path_of(path))).is_ok_and(|file| file.is_file())
}

/// The labels that occur, sorted, as numbers where all are; none where a line has none.
fn classes(rows: &[Row]) -> Vec<String> {
    let labels: Option<Vec<&str>> = rows.iter().map(|row| row.label.as_deref()).collect();
    let mut labels = labels.unwrap_or_default();
    labels.sort_unstable();
    labels.dedup();
    let numbers: Option<Vec<u64>> = labels.iter().map(|label| label.parse().ok()).collect();
    if let Some(numbers) = numbers {
        let mut numbered: Vec<(u64, &str)> = numbers.into_iter().zip(labels).collect();
        numbered.sort_unstable();
        labels = numbered.into_iter().map(|(_, label)| label).collect();
    }
    labels.into_iter().map(str::to_owned).collect()
}

/// The lines of a text. Its first entry decides whether labels follow the paths.
fn lines(text: &[u8], root: &Path) -> Vec<Row> {
    let lines = (1..).zip(text.split(|&byte| byte == b'\n'));
    let lines = lines.map(|(line, text)| (line, text.trim_ascii()));
    let lines = lines.filter(|(_, text)| !text.is_empty() && !text.starts_with(b"#"));
    let mut between = None;
    let mut rows = Vec::new();
    for (line, text) in lines {
        let split = |byte: u8| {
            let at = text.iter().rposition(|&other| other == byte)?;
            Some((text[..at].trim_ascii_end(), text[at + 1..].trim_ascii_start()))
        };
        if rows.is_empty() && !is_there(root, text) {
            let has_label = |&byte: &u8| split(byte).is_some_and(|(path, _)| is_there(root, path));
            between = [b'\t', b',', b' '].into_iter().find(has_label);
        }
        let (path, label) = match between.and_then(split) {
            Some((path, label)) => (path, Some(readable(label))),
            None => (text, None),
        };
        rows.push(Row { line, path: path.to_owned(), label });
    }
    rows
}

/// What separates the columns of a table: a comma, or in some countries a semicolon.
fn separator(text: &[u8]) -> u8 {
    let first = text.split(|&byte| byte == b'\n').next().unwrap_or_default();
    if first.contains(&b';') && !first.contains(&b',') { b';' } else { b',' }
}

fn table(text: &[u8], separator: u8, root: &Path, list: &Path) -> Result<Vec<Row>> {
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(separator)
        .trim(Trim::All)
        .from_reader(text);
    let damaged = |error: csv::Error| Error::data(list, format!("is no table ({error})"));
    let mut record = ByteRecord::new();
    let mut next = |record: &mut ByteRecord| reader.read_byte_record(record).map_err(damaged);
    let mut columns = Columns { path: 0, label: Some(1) };
    let mut rows = Vec::new();
    let mut first = true;
    while next(&mut record)? {
        if std::mem::take(&mut first)
            && let Some(named) = Columns::named(&record, root)
        {
            columns = named;
            continue;
        }
        let line = record.position().map_or(0, csv::Position::line);
        let path = record.get(columns.path).unwrap_or_default().to_vec();
        let label = columns.label.and_then(|column| record.get(column)).map(readable);
        rows.push(Row { line, path, label: label.filter(|label| !label.is_empty()) });
    }
    Ok(rows)
}

/// Which columns of a table are looked at.
struct Columns {
    path: usize,
    label: Option<usize>,
}

impl Columns {
    /// Those that the first line names; none where it names a file.
    fn named(first: &ByteRecord, root: &Path) -> Option<Self> {
        let names: Vec<String> = first.iter().map(|name| readable(name).to_lowercase()).collect();
        let find = |known: &[&str]| {
            known.iter().find_map(|known| names.iter().position(|name| name == known))
        };
        let (path, label) = (find(&PATHS), find(&LABELS));
        if path.is_none() && label.is_none() {
            // Other names, or no names at all.
            let has_ending = Path::new(names.first()?).extension().is_some();
            if has_ending || first.get(0).is_some_and(|path| is_there(root, path)) {
                return None;
            }
        }
        let path = path.unwrap_or(usize::from(label == Some(0)));
        let other = (names.len() == 2).then_some(1 - path.min(1));
        Some(Self { path, label: label.or(other) })
    }
}

/// The paths of a pattern's matches; none where `place` is no pattern, or names a file.
///
/// # Errors
/// [`Error::Data`] where it is no pattern or matches nothing; [`Error::Io`].
pub(super) fn matches(place: &Path) -> Result<Option<Vec<PathBuf>>> {
    let Some(pattern) = place.to_str().filter(|text| text.contains(['*', '?', '['])) else {
        return Ok(None);
    };
    if place.exists() {
        return Ok(None);
    }
    let options = glob::MatchOptions { require_literal_leading_dot: true, ..Default::default() };
    let found = glob::glob_with(pattern, options)
        .map_err(|error| Error::data(place, format!("is no pattern ({error})")))?;
    let found = found.collect::<Result<Vec<PathBuf>, _>>();
    let mut found = found.map_err(|error| Error::io(PathBuf::from(error.path()), error.into()))?;
    found.sort_unstable();
    if found.is_empty() {
        return Err(Error::data(place, "matches nothing"));
    }
    Ok(Some(found))
}
