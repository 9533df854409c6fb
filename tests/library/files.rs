//! Image files as people have them: odd names, links, archives, and what lies beside.

use std::fs;
use std::io::Write;
use std::path::Path;

use image::{Rgb, RgbImage};
use singer::data::{ClassifySet, ImageSet, Split};

use crate::fuzz::fuzz;

/// A picture in one shade.
fn picture(shade: u8) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    RgbImage::from_pixel(6, 4, Rgb([shade; 3]))
        .write_to(&mut bytes, image::ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

fn write(path: impl AsRef<Path>, bytes: &[u8]) {
    fs::create_dir_all(path.as_ref().parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Two classes of two pictures each.
fn classes(root: &Path) {
    for (shade, name) in [(1, "cat/1.png"), (2, "cat/2.png"), (3, "dog/3.png"), (4, "dog/4.png")] {
        write(root.join(name), &picture(shade));
    }
}

/// The shades of a set's pictures, with the names of their classes.
fn shades(images: &ImageSet) -> Vec<(u8, String)> {
    let shade = |index: usize| {
        let class = images.label(index).map(|label| images.classes()[label].clone());
        (images.read(index).unwrap().get_pixel(0, 0).0[0], class.unwrap_or_default())
    };
    (0..images.len()).map(shade).collect()
}

fn of_classes() -> Vec<(u8, String)> {
    [(1, "cat"), (2, "cat"), (3, "dog"), (4, "dog")].map(|(s, c)| (s, c.to_owned())).into()
}

fn refused(place: &Path, parts: &[&str]) {
    let error = ImageSet::open(place).expect_err("it is refused").to_string();
    assert_eq!(error.lines().count(), 1, "{error}");
    for part in parts {
        assert!(error.contains(part), "{error:?} lacks {part:?}");
    }
}

#[cfg(unix)]
#[test]
fn links_that_lead_back_give_no_image_twice_and_others_are_followed() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("set");
    classes(&root);
    let elsewhere = folder.path().join("pool/hen");
    write(elsewhere.join("5.png"), &picture(5));
    for (target, link) in [
        ("..", "cat/loop"),
        ("../..", "dog/loop"),
        ("../dog", "cat/dog"),
        ("../cat", "dog/cat"),
        (".", "self"),
    ] {
        symlink(target, root.join(link)).unwrap();
    }
    assert_eq!(shades(&ImageSet::open(&root).unwrap()), of_classes());
    assert_eq!(ImageSet::open_all(&root).unwrap().len(), 4);

    // Links to one folder elsewhere, in which a link leads back, too.
    symlink(&root, elsewhere.join("back")).unwrap();
    symlink("../hen", elsewhere.join("again")).unwrap();
    symlink(&elsewhere, root.join("hen")).unwrap();
    symlink(&elsewhere, root.join("owl")).unwrap();
    symlink(root.join("cat/1.png"), root.join("dog/link.png")).unwrap();
    let found = shades(&ImageSet::open(&root).unwrap());
    let wanted = [of_classes(), vec![(1, "dog".into()), (5, "hen".into()), (5, "owl".into())]];
    assert_eq!(found, wanted.concat());
}

#[cfg(unix)]
#[test]
fn a_pipe_among_the_images_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    classes(folder.path());
    let pipe = folder.path().join("cat/pipe.png");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    assert_eq!(shades(&ImageSet::open(folder.path()).unwrap()), of_classes());
    assert!(ImageSet::open(&pipe).is_err());
}

#[cfg(target_os = "linux")]
#[test]
fn names_that_are_not_utf_8_are_read_and_told_apart() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let odd = |bytes: &[u8]| folder.path().join(OsStr::from_bytes(bytes));
    write(odd(b"Mu\xf1oz/1.png"), &picture(1));
    write(odd(b"Mu\xf1oz/Mu\xf2oz.png"), &picture(2));
    write(odd(b"Mu\xf1oz/Mu\xf1oz.png"), &picture(3));
    write(odd("Muñoz/1.png".as_bytes()), &picture(4));
    let images = ImageSet::open(folder.path()).unwrap();
    let class = "Mu<F1>oz".to_owned();
    let wanted = [(1, &class), (3, &class), (2, &class), (4, &"Muñoz".to_owned())];
    assert_eq!(shades(&images), wanted.map(|(shade, class)| (shade, class.clone())));
    assert!(images.name(1).ends_with("Mu<F1>oz/Mu<F1>oz.png"), "{}", images.name(1));
    assert_eq!(images.file_size(1).unwrap(), Some(picture(3).len() as u64));

    // A file, or a folder, that is named itself.
    let one = ImageSet::open(odd(b"Mu\xf1oz/Mu\xf2oz.png")).unwrap();
    assert_eq!(shades(&one), [(2, String::new())]);
    assert_eq!(ImageSet::open(odd(b"Mu\xf1oz")).unwrap().len(), 3);
}

fn zip(path: &Path, files: &[(&str, u8)]) {
    let mut zip = zip::ZipWriter::new(fs::File::create(path).unwrap());
    for (name, shade) in files {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(&picture(*shade)).unwrap();
    }
    zip.finish().unwrap();
}

/// The bytes `from` of a file replaced by `to`.
fn patch(path: &Path, from: &[u8], to: &[u8]) {
    let mut bytes = fs::read(path).unwrap();
    let places: Vec<usize> =
        (0..bytes.len() - from.len()).filter(|&at| bytes[at..].starts_with(from)).collect();
    assert!(places.len() >= 2, "a name is in the header and in the directory");
    for at in places {
        bytes[at..at + from.len()].copy_from_slice(to);
    }
    fs::write(path, bytes).unwrap();
}

#[test]
fn zips_of_windows_and_of_other_encodings_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.zip");
    let names =
        [("tr/cat/1.png", 1), ("tr/cat/2.png", 2), ("tr/dog/3.png", 3), ("tr/dog/4.png", 4)];
    zip(&path, &names);
    for (name, _) in names {
        patch(&path, name.as_bytes(), name.replace('/', "\\").as_bytes());
    }
    assert_eq!(shades(&ImageSet::open(&path).unwrap()), of_classes());
    assert_eq!(ImageSet::open(path.join("tr/dog")).unwrap().len(), 2);
    assert_eq!(shades(&ImageSet::open(path.join("tr/dog/3.png")).unwrap())[0].0, 3);
    // Where folders are told by `/`, the other is a character of names.
    zip(&path, &[("cat/1\\x.png", 1), ("cat/2.png", 2), ("dog/3.png", 3), ("dog/4.png", 4)]);
    assert_eq!(shades(&ImageSet::open(&path).unwrap()), of_classes());

    zip(&path, &[("cat/AA.png", 1), ("cat/BB.png", 2), ("dog/CC.png", 3), ("dog/DD.png", 4)]);
    patch(&path, b"cat/AA", b"cat/\xf1\xf1");
    patch(&path, b"dog/CC", b"dog/\xff\xfe");
    let images = ImageSet::open(&path).unwrap();
    let mut found = shades(&images);
    found.sort();
    assert_eq!(found, of_classes());
}

#[test]
fn what_systems_leave_beside_images_is_passed_over_and_unread_formats_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("set");
    classes(&root);
    let junk =
        ["cat/._1.png", "dog/Thumbs.db", ".DS_Store", "__MACOSX/cat/._1.png", "cat/desktop.ini"];
    let other = ["README.md", "labels.csv", "a.json", "cat/notes.txt", ".git/x.png", "cat/.x.heic"];
    for name in junk.into_iter().chain(other) {
        write(root.join(name), b"no picture");
    }
    let images = ImageSet::open(&root).unwrap();
    assert_eq!(shades(&images), of_classes());
    assert!(images.left_out().is_empty(), "{:?}", images.left_out());

    for name in ["cat/a.HEIC", "dog/b.heic", "dog/c.avif", "x.jxl"] {
        write(root.join(name), b"no picture");
    }
    let images = ImageSet::open(&root).unwrap();
    let counts = images.left_out();
    let counts: Vec<(&str, usize)> =
        counts.iter().map(|(end, count)| (end.as_str(), *count)).collect();
    assert_eq!(counts, [(".avif", 1), (".heic", 2), (".jxl", 1)]);
    assert_eq!(images.sample(2).left_out(), images.left_out());
    assert_eq!(ImageSet::open_all(&root).unwrap().left_out(), images.left_out());
    let only = folder.path().join("only");
    write(only.join("1.heic"), b"");
    refused(&only, &["holds no .jpg", "1 .heic", "cannot be read"]);
}

/// A tar file of these members.
fn tar(path: &Path, files: &[(&str, &[u8])]) {
    let mut tar = tar::Builder::new(fs::File::create(path).unwrap());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, *bytes).unwrap();
    }
    tar.finish().unwrap();
}

#[test]
fn a_tar_file_is_a_folder_whose_images_are_read_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.tar");
    let long = format!("set/train/dog/{}/4.png", "x".repeat(180));
    let [one, two, three, four] = [1, 2, 3, 4].map(picture);
    tar(
        &path,
        &[
            ("./set/train/cat/1.png", &one),
            ("set/train/cat/2.png", &one),
            ("set/train/dog/3.png", &three),
            (&long, &four),
            ("set/val/dog/3.png", &three),
            ("set/README.txt", b"no picture"),
            ("set/train/dog/._3.png", b"no picture"),
            // Appended later: it replaces the one before.
            ("set/train/cat/2.png", &two),
        ],
    );
    assert_eq!(shades(&ImageSet::open(&path).unwrap()), of_classes());
    let val = ClassifySet::open(path.to_str().unwrap(), Split::Val).unwrap_err().to_string();
    assert!(val.contains("1 class"), "{val}");
    assert_eq!(ImageSet::open_all(path.join("set/train/dog")).unwrap().len(), 2);
    let single = ImageSet::open(path.join("set/train/cat/2.png")).unwrap();
    assert_eq!(shades(&single), [(2, String::new())]);
    assert_eq!(single.file_size(0).unwrap(), Some(two.len() as u64));

    let bytes = fs::read(&path).unwrap();
    // Within the last picture: two empty blocks end the file.
    fs::write(&path, &bytes[..bytes.len() - 1024 - 500]).unwrap();
    refused(&path, &["set.tar", "not a readable tar file"]);
    fs::write(&path, b"no tar at all, although it is called one".repeat(20)).unwrap();
    refused(&path, &["set.tar", "not a readable tar file"]);
    for name in ["set.tar.gz", "set.tgz", "set.tar.zst"] {
        write(folder.path().join(name), b"packed");
        refused(&folder.path().join(name), &[name, "compressed tar", "decompress"]);
    }
}

#[test]
fn links_in_a_tar_file_are_passed_over_and_sparse_images_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.tar");
    let write = |kind: tar::EntryType, name: &str| {
        let mut tar = tar::Builder::new(fs::File::create(&path).unwrap());
        for (shade, name) in
            [(1, "cat/1.png"), (2, "cat/2.png"), (3, "dog/3.png"), (4, "dog/4.png")]
        {
            let mut header = tar::Header::new_ustar();
            header.set_size(picture(shade).len() as u64);
            tar.append_data(&mut header, name, picture(shade).as_slice()).unwrap();
        }
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        match kind.is_gnu_sparse() {
            true => {
                header.as_gnu_mut().unwrap().realsize.copy_from_slice(b"00000000000\0");
                tar.append_data(&mut header, name, std::io::empty()).unwrap();
            }
            false => tar.append_link(&mut header, name, "cat/1.png").unwrap(),
        }
        tar.finish().unwrap();
    };
    for kind in [tar::EntryType::Symlink, tar::EntryType::Link] {
        write(kind, "cat/link.png");
        assert_eq!(shades(&ImageSet::open(&path).unwrap()), of_classes());
    }
    write(tar::EntryType::GNUSparse, "cat/sparse.bin");
    assert_eq!(shades(&ImageSet::open(&path).unwrap()), of_classes());
    write(tar::EntryType::GNUSparse, "cat/sparse.png");
    refused(&path, &["cat/sparse.png", "sparse"]);
}

#[test]
fn no_mutated_tar_file_panics_or_grows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seed.tar");
    let long = format!("train/{}/1.png", "x".repeat(150));
    let [one, two] = [1, 2].map(picture);
    tar(&path, &[("train/cat/1.png", &one), (&long, &two), ("val/cat/2.png", &two)]);
    let seeds = [fs::read(&path).unwrap()];
    let mutated = folder.path().join("mutated.tar");
    fuzz("tar", &seeds, |bytes| {
        fs::write(&mutated, bytes).unwrap();
        if let Ok(images) = ImageSet::open_all(&mutated) {
            for index in 0..images.len() {
                let _ = images.read(index);
            }
        }
    });
}
