//! Lists of images, patterns, and several places as one set.

use std::fs;
use std::path::Path;

use image::{Rgb, RgbImage};
use singer::data::{ClassifySet, ImageSet, Split};
use tempfile::TempDir;

use crate::fuzz::fuzz;

fn picture(path: &Path, shade: u8) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let image = RgbImage::from_pixel(6, 4, Rgb([shade; 3]));
    image.save_with_format(path, image::ImageFormat::Png).unwrap();
}

/// Pictures 1 to 4 in two folders.
fn pictures() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (shade, name) in [(1, "a/1.png"), (2, "a/2 x.png"), (3, "b/3.png"), (4, "b/4.png")] {
        picture(&root.path().join(name), shade);
    }
    root
}

fn shades(images: &ImageSet) -> Vec<(u8, &str)> {
    let shade = |index: usize| {
        let class = images.label(index).map(|label| images.classes()[label].as_str());
        (images.read(index).unwrap().get_pixel(0, 0).0[0], class.unwrap_or_default())
    };
    (0..images.len()).map(shade).collect()
}

fn list(root: &TempDir, name: &str, text: &str) -> ImageSet {
    let path = root.path().join(name);
    fs::write(&path, text).unwrap();
    ImageSet::open(&path).unwrap()
}

fn refused(root: &TempDir, name: &str, text: impl AsRef<[u8]>, parts: &[&str]) {
    let path = root.path().join(name);
    fs::write(&path, text).unwrap();
    let error = ImageSet::open(&path).expect_err("it is refused").to_string();
    assert_eq!(error.lines().count(), 1, "{error}");
    for part in parts {
        assert!(error.contains(part), "{error:?} lacks {part:?}");
    }
}

#[test]
fn a_text_names_files_with_labels_or_without() {
    let root = pictures();
    let none = [(1, ""), (2, ""), (4, "")];
    let text = "# photographs\n\na/1.png\r\n a/2 x.png\nb/4.png";
    assert_eq!(shades(&list(&root, "l.txt", text)), none);
    let whole = format!("{0}/a/1.png\n{0}/a/2 x.png\n{0}/b/4.png\n", root.path().display());
    assert_eq!(shades(&list(&root, "l.txt", &whole)), none);
    assert_eq!(shades(&list(&root, "l.txt", "\u{feff}a/1.png\na/2 x.png\nb/4.png")), none);
    let windows = "a\\1.png\na\\2 x.png\nb\\4.png\n";
    assert_eq!(shades(&list(&root, "l.txt", windows)), none);
    let labels = [(1, "red"), (2, "blue"), (4, "red")];
    for between in ["\t", ",", " ", ", "] {
        let line = |file: &str, class: &str| format!("{file}{between}{class}\n");
        let text = [line("a/1.png", "red"), line("a/2 x.png", "blue"), line("b/4.png", "red")];
        assert_eq!(shades(&list(&root, "l.txt", &text.concat())), labels, "{between:?}");
    }
    // Numbers are in their own order.
    let numbered = list(&root, "l.txt", "a/1.png 10\nb/3.png 9\nb/4.png 0\n");
    assert_eq!(numbered.classes(), ["0", "9", "10"]);
    assert_eq!(shades(&numbered), [(1, "10"), (3, "9"), (4, "0")]);
}

#[test]
fn a_table_names_files_by_its_columns() {
    let root = pictures();
    let labels = [(1, "x"), (2, "y"), (3, "x")];
    for text in [
        "path,label\na/1.png,x\na/2 x.png,y\nb/3.png,x\n",
        "id,class,width,FileName\n1,x,6,a/1.png\n2,y,6,\"a/2 x.png\"\n3,x,6,b/3.png\n",
        "target;image\nx;a/1.png\ny;a/2 x.png\nx;b/3.png\n",
        "picture,kind\na/1.png,x\na/2 x.png,y\nb/3.png,x\n",
        "a/1.png, x\na/2 x.png, y\nb/3.png, x\n",
    ] {
        assert_eq!(shades(&list(&root, "l.csv", text)), labels, "{text}");
        let tabs = text.replace([',', ';'], "\t");
        assert_eq!(shades(&list(&root, "l.tsv", &tabs)), labels, "{tabs}");
    }
    let none = [(1, ""), (3, "")];
    for text in [
        "file,width,height\na/1.png,6,4\nb/3.png,6,4\n",
        "file_name\na/1.png\nb/3.png\n",
        "a/1.png\nb/3.png\n",
        // Not every line has a label.
        "path,label\na/1.png,x\nb/3.png,\n",
    ] {
        assert_eq!(shades(&list(&root, "l.csv", text)), none, "{text}");
    }
}

#[test]
fn a_list_that_cannot_be_right_is_refused_with_the_line_and_the_file() {
    let root = pictures();
    refused(
        &root,
        "l.txt",
        "a/1.png\n\n# c\na/none.png\n",
        &["l.txt", "line 4", "a/none.png", "relative to"],
    );
    refused(&root, "l.csv", "path,label\na/1.png,x\na/9.png,x\n", &["l.csv", "line 3", "a/9.png"]);
    refused(&root, "l.csv", "a/9.png,x\n", &["line 1", "a/9.png"]);
    refused(&root, "l.txt", "a\n", &["line 1", "no file a"]);
    refused(&root, "l.txt", "# nothing\n", &["names no image"]);
    refused(&root, "l.csv", "path,label\n", &["names no image"]);
    refused(&root, "l.txt", b"\xff\xfea\0", &["UTF-16"]);
    refused(&root, "l.txt", "x.heic\n", &["1 .heic"]);
    let counted = list(&root, "l.txt", "a/1.png\nx.heic\n");
    assert_eq!((counted.len(), counted.left_out().get(".heic")), (1, Some(&1)));
}

#[test]
fn a_list_of_a_hundred_thousand_lines_opens_in_one_pass() {
    let root = pictures();
    let text = "a/1.png x\nb/3.png y\n".repeat(50_000);
    let images = list(&root, "l.txt", &text);
    assert_eq!((images.len(), images.classes().len()), (100_000, 2));
    assert_eq!(images.label(99_999), Some(1));
}

#[test]
fn patterns_match_files_folders_and_lists() {
    let root = pictures();
    let open = |pattern: &str| ImageSet::open(root.path().join(pattern)).unwrap();
    fs::write(root.path().join("a/notes.txt"), "no image").unwrap();
    fs::write(root.path().join("a/x.heic"), "no image").unwrap();
    assert_eq!(shades(&open("*/*.png")), [(1, ""), (2, ""), (3, ""), (4, "")]);
    assert_eq!(shades(&open("a/*")), [(1, ""), (2, "")]);
    assert_eq!(open("a/*").left_out().get(".heic"), Some(&1));
    assert_eq!(shades(&open("[b-z]")), [(3, ""), (4, "")]);
    fs::write(root.path().join("1.csv"), "a/1.png,x\n").unwrap();
    fs::write(root.path().join("2.csv"), "b/3.png,y\n").unwrap();
    assert_eq!(shades(&open("?.csv")), [(1, "x"), (3, "y")]);
    let error = ImageSet::open(root.path().join("*.gif")).unwrap_err().to_string();
    assert!(error.contains("matches nothing"), "{error}");
    // A name that only looks like a pattern.
    picture(&root.path().join("c/a[1].png"), 7);
    assert_eq!(shades(&open("c/a[1].png")), [(7, "")]);
}

#[test]
fn several_places_are_one_set_whose_classes_are_united_by_name() {
    let root = tempfile::tempdir().unwrap();
    for (shade, name) in [
        (1, "one/train/cat/1.png"),
        (2, "one/train/dog/2.png"),
        (3, "two/train/ant/3.png"),
        (4, "two/train/dog/4.png"),
        (5, "two/val/ant/5.png"),
        (6, "flat/6.png"),
    ] {
        picture(&root.path().join(name), shade);
    }
    let at = |name: &str| root.path().join(name).display().to_string();
    let two = [at("one"), at("two")];
    let labelled = [(1, "cat"), (2, "dog"), (3, "ant"), (4, "dog")];
    let joined = ImageSet::open_places(&two, Split::Train).unwrap();
    assert_eq!(joined.classes(), ["ant", "cat", "dog"]);
    assert_eq!(shades(&joined), labelled);
    assert_eq!(shades(&ImageSet::open(at("*/train")).unwrap()), labelled);
    assert_eq!(shades(&ClassifySet::open_places(&two, Split::Train).unwrap().images()), labelled);
    assert_eq!(shades(&joined.sample(2)), [(1, "cat"), (3, "ant")]);
    assert!(joined.name(2).ends_with("3.png"));

    // Where one has no labels, none has; where labels are needed, that one is named.
    let all = [two[0].clone(), at("flat")];
    let plain = ImageSet::open_places(&all, Split::Train).unwrap();
    assert_eq!(shades(&plain), [(1, ""), (2, ""), (6, "")]);
    let error = ClassifySet::open_places(&all, Split::Train).unwrap_err().to_string();
    assert!(error.contains("flat") && error.contains("0 class folder"), "{error}");

    // Lists of one class each make two.
    fs::write(root.path().join("1.txt"), "one/train/cat/1.png cat\n").unwrap();
    fs::write(root.path().join("2.txt"), "one/train/dog/2.png dog\n").unwrap();
    let lists = [at("1.txt"), at("2.txt")];
    let found = ClassifySet::open_places(&lists, Split::Train).unwrap().images();
    assert_eq!(shades(&found), [(1, "cat"), (2, "dog")]);
    let error = ClassifySet::open(&lists[0], Split::Train).unwrap_err().to_string();
    assert!(error.contains("one class"), "{error}");

    // Scenes keep being drawn at the side that is asked for.
    let scenes = ImageSet::open_places(&["scenes:2".to_owned(), at("flat")], Split::Train).unwrap();
    let scenes = scenes.with_scene_side(32);
    assert_eq!([0, 2].map(|index| scenes.read(index).unwrap().width()), [32, 6]);
}

#[test]
fn no_mutated_list_panics_or_grows() {
    let root = pictures();
    let texts = [
        "path,label\na/1.png,x\n\"a/2 x.png\",y\nb/3.png,x\n",
        "a/1.png x\na/2 x.png y\n# c\n\nb/4.png z\n",
        "target;image\nx;a/1.png\ny;b/3.png\n",
    ];
    let seeds = texts.map(|text| text.as_bytes().to_vec());
    fuzz("list", &seeds, |bytes| {
        for name in ["l.txt", "l.csv", "l.tsv"] {
            let path = root.path().join(name);
            fs::write(&path, bytes).unwrap();
            if let Ok(images) = ImageSet::open(&path) {
                assert_eq!(shades(&images).len(), images.len());
            }
        }
    });
}
