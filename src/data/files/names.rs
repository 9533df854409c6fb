//! Names of files: as text, and what their endings say.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
#[cfg(unix)]
use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

/// A name as text. Bytes that are not UTF-8 are written `<F1>`, so that no two names get
/// the same text, also where `\` separates folders.
pub(in crate::data) fn readable(name: &[u8]) -> String {
    if let Ok(text) = str::from_utf8(name)
        && !text.contains('<')
    {
        return text.to_owned();
    }
    let mut text = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        text.push_str(&chunk.valid().replace('<', "<3C>"));
        for byte in chunk.invalid() {
            // Writing to a string never fails.
            let _ = write!(text, "<{byte:02X}>");
        }
    }
    text
}

/// Endings of image files that are read.
const IMAGES: [&str; 11] =
    ["jpg", "jpeg", "jfif", "jpe", "jif", "png", "webp", "bmp", "gif", "tif", "tiff"];

/// What a message calls those.
pub(in crate::data) const READ: &str = ".jpg, .png, .webp, .bmp, .gif or .tif file";

/// Endings of images in formats that cannot be read.
const OTHER_IMAGES: [&str; 28] = [
    "arw", "avif", "cr2", "cr3", "dcm", "dds", "dng", "exr", "hdr", "heic", "heif", "ico", "j2k",
    "jp2", "jxl", "nef", "npy", "orf", "pbm", "pcx", "pgm", "pnm", "ppm", "psd", "raw", "rw2",
    "svg", "tga",
];

/// The path of which these are the bytes; where paths are no bytes, their text.
pub(in crate::data) fn path_of(bytes: &[u8]) -> Cow<'_, Path> {
    #[cfg(unix)]
    return Cow::Borrowed(Path::new(<OsStr as OsStrExt>::from_bytes(bytes)));
    #[cfg(not(unix))]
    Cow::Owned(String::from_utf8_lossy(bytes).into_owned().into())
}

/// A path's text with `/` between folders.
pub(super) fn slashed(text: &str) -> Cow<'_, str> {
    match std::path::MAIN_SEPARATOR {
        '/' => text.into(),
        other => text.replace(other, "/").into(),
    }
}

/// Whether a file of this name is a visible image.
pub(in crate::data) fn is_image(name: &str) -> bool {
    ending(name).is_some_and(|end| IMAGES.contains(&end.as_str()))
}

/// How many of the names are visible images that cannot be read, by ending.
pub(in crate::data) fn count_unreadable<'a>(
    names: impl IntoIterator<Item = &'a str>,
) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for end in names.into_iter().filter_map(unread_ending) {
        *counts.entry(end).or_default() += 1;
    }
    counts
}

/// The ending (`.heic`) of a visible image that cannot be read; none of other files.
pub(in crate::data) fn unread_ending(name: &str) -> Option<String> {
    let end = ending(name).filter(|end| OTHER_IMAGES.contains(&end.as_str()))?;
    Some(format!(".{end}"))
}

/// The ending of a visible file's name, in lower case. Hidden are names that begin with a
/// point, as macOS's `._1.jpg`, and its folder `__MACOSX`.
fn ending(name: &str) -> Option<String> {
    let hidden = |part: &str| part.starts_with('.') || part == "__MACOSX";
    let end = Path::new(name).extension()?.to_str()?.to_ascii_lowercase();
    (!name.split('/').any(hidden)).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_no_text_get_a_text_of_their_own() {
        let names: [&[u8]; 5] =
            [b"Mu\xf1oz.jpg", b"Mu<F1>oz.jpg", b"Mu\xf2oz.jpg", "Muñoz.jpg".as_bytes(), b"a\\b"];
        let texts = names.map(readable);
        assert_eq!(texts[0], "Mu<F1>oz.jpg");
        assert_eq!(texts[3..], ["Muñoz.jpg", r"a\b"]);
        let distinct: std::collections::BTreeSet<&String> = texts.iter().collect();
        assert_eq!(distinct.len(), names.len());
    }
}
