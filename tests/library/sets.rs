//! The layouts that data sets are published in, as tiny folders.

use std::fs;
use std::path::{Path, PathBuf};

use image::{GrayImage, Luma, Rgb, RgbImage};
use singer::data::{
    ClassifySet, DenseSet, DepthSet, ImageSet, SegmentSet, SegmentationSet, Split, VOID, render,
};
use tempfile::TempDir;

const MATLAB: &str = "tests/golden/sets";

/// A folder of files: pictures by their endings, texts by what follows.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match path.extension().and_then(|end| end.to_str()) {
            Some("jpg" | "JPEG" | "jpeg" | "png") => {
                // Its own shade tells it from others.
                let shade = name.bytes().map(u32::from).sum::<u32>() % 200;
                let picture = RgbImage::from_pixel(6, 4, Rgb([shade as u8; 3]));
                picture.save_with_format(&path, image::ImageFormat::Png).unwrap();
            }
            Some("mat") => drop(fs::copy(Path::new(MATLAB).join(text), &path).unwrap()),
            _ => fs::write(&path, text).unwrap(),
        }
    }
    root
}

fn pictures(names: &[&'static str]) -> Vec<(&'static str, &'static str)> {
    names.iter().map(|name| (*name, "")).collect()
}

fn open(kind: &str, root: &Path, split: Split) -> ClassifySet {
    ClassifySet::open(&format!("{kind}:{}", root.display()), split).unwrap()
}

/// File names and labels, in the order of the set; each is read.
fn listing(set: &ClassifySet) -> Vec<(String, usize)> {
    let images = set.images();
    let item = |index: usize| {
        assert_eq!(images.read(index).unwrap().width(), 6);
        let name = PathBuf::from(images.name(index));
        (name.file_name().unwrap().to_string_lossy().into_owned(), images.label(index).unwrap())
    };
    (0..images.len()).map(item).collect()
}

fn pairs(wanted: &[(&str, usize)]) -> Vec<(String, usize)> {
    wanted.iter().map(|(name, label)| ((*name).to_owned(), *label)).collect()
}

fn refused(place: String, split: Split, parts: &[&str]) {
    let error = ClassifySet::open(&place, split).expect_err("it is refused").to_string();
    assert_eq!(error.lines().count(), 1, "{error}");
    for part in parts {
        assert!(error.contains(part), "{error:?} lacks {part:?}");
    }
}

#[test]
fn imagenet_is_labelled_by_its_1000_classes_in_folders_and_flat() {
    let train =
        ["a/train/n01443537/x.JPEG", "a/train/n01440764/y.JPEG", "a/train/n15075141/z.JPEG"];
    let flat = ["a/val/ILSVRC2012_val_00000001.JPEG", "a/val/ILSVRC2012_val_00000002.JPEG"];
    let all = [&train[..], &flat[..]].concat();
    let with = |answers: &[(&'static str, &'static str)]| {
        folder(&[pictures(&all), answers.to_vec()].concat())
    };
    let root = with(&[]);
    let set = open("imagenet", root.path(), Split::Train);
    assert_eq!(listing(&set), pairs(&[("y.JPEG", 0), ("x.JPEG", 1), ("z.JPEG", 999)]));
    assert_eq!(set.images().classes().len(), 1000);
    assert_eq!(set.subset(), Some(&[0, 1, 999][..]));
    let place = format!("imagenet:{}", root.path().display());
    refused(place, Split::Val, &["a/val", "val.txt"]);

    let wanted =
        pairs(&[("ILSVRC2012_val_00000001.JPEG", 65), ("ILSVRC2012_val_00000002.JPEG", 0)]);
    let solution = "ImageId,PredictionString\nILSVRC2012_val_00000001,n01751748 1 2 3 4\nILSVRC2012_val_00000002,n01440764 1 1 1 1 n01440764 2 2 2 2\n";
    for (name, text) in [
        ("a/val.txt", "ILSVRC2012_val_00000001.JPEG 65\nILSVRC2012_val_00000002.JPEG 0\n"),
        ("a/ILSVRC2012_validation_synset_labels.txt", "n01751748\nn01440764\n"),
        ("LOC_val_solution.csv", solution),
    ] {
        let root = with(&[(name, text)]);
        assert_eq!(listing(&open("imagenet", root.path(), Split::Test)), wanted, "{name}");
    }
    let kit = with(&[
        ("kit/data/ILSVRC2012_validation_ground_truth.txt", "2\n3\n"),
        ("kit/data/meta.mat", "meta.mat"),
    ]);
    let set = open("imagenet", kit.path(), Split::Val);
    let labels: Vec<usize> = listing(&set).into_iter().map(|(_, label)| label).collect();
    let english_setter = 212;
    assert_eq!(labels, [english_setter, 0]);

    let wrong = |answers: &[(&'static str, &'static str)], parts: &[&str]| {
        let root = with(answers);
        refused(format!("imagenet:{}", root.path().display()), Split::Val, parts);
    };
    wrong(
        &[("val.txt", "ILSVRC2012_val_00000003.JPEG 1\n")],
        &["00000003.JPEG", "is missing", "val.txt"],
    );
    wrong(&[("val.txt", "ILSVRC2012_val_00000001.JPEG 1000\n")], &["val.txt", "line 1", "`1000`"]);
    wrong(&[("LOC_val_solution.csv", "ILSVRC2012_val_00000001,n99999999\n")], &["n99999999"]);
    let truth = "kit/ILSVRC2012_validation_ground_truth.txt";
    wrong(&[(truth, "2\n3\n")], &["meta.mat"]);
    wrong(&[(truth, "2\n"), ("kit/meta.mat", "meta.mat")], &["1 answers for the 2 images"]);
    wrong(&[(truth, "2\n9\n"), ("kit/meta.mat", "meta.mat")], &["line 2", "`9`"]);

    let strange = folder(&pictures(&["train/tench/1.JPEG", "train/hen/2.JPEG"]));
    let place = format!("imagenet:{}", strange.path().display());
    refused(place, Split::Train, &["`hen`", "no class of ImageNet-1k"]);
}

#[test]
fn imagenets_variants_map_their_folders_to_the_1000_classes() {
    let root = folder(&[
        ("imagenet-r/n01443537/a.jpg", ""),
        ("imagenet-r/n01484850/b.jpg", ""),
        ("imagenet-r/README.txt", "ImageNet-R"),
    ]);
    let set = open("imagenet-r", root.path(), Split::Test);
    assert_eq!(listing(&set), pairs(&[("a.jpg", 1), ("b.jpg", 2)]));
    assert_eq!(set.subset(), Some(&[1, 2][..]));

    let root = folder(&pictures(&["v2/0/a.jpeg", "v2/10/b.jpeg", "v2/2/c.jpeg", "v2/999/d.jpeg"]));
    let set = open("imagenet-v2", root.path(), Split::Test);
    let wanted = pairs(&[("a.jpeg", 0), ("b.jpeg", 10), ("c.jpeg", 2), ("d.jpeg", 999)]);
    assert_eq!(listing(&set), wanted);
    let root = folder(&pictures(&["0/a.jpeg", "1000/b.jpeg"]));
    let place = format!("imagenet-v2:{}", root.path().display());
    refused(place, Split::Test, &["1000/b.jpeg", "0 to 999"]);
}

#[test]
fn inaturalist_is_read_from_its_annotations() {
    let annotations = r#"{"info": {}, "images": [{"id": 7, "file_name": "train_val2019/Birds/5/b.jpg", "width": 6},
        {"id": 3, "file_name": "train_val2019/Plants/2/a.jpg"}],
        "annotations": [{"id": 1, "image_id": 3, "category_id": 20}, {"id": 2, "image_id": 7, "category_id": 5}],
        "categories": [{"id": 20, "name": "Rosa"}, {"id": 5, "name": "Parus"}]}"#;
    let root = folder(&[
        ("train_val2019/Birds/5/b.jpg", ""),
        ("train_val2019/Plants/2/a.jpg", ""),
        ("train2019.json", annotations),
        ("val2019.json", "{"),
    ]);
    let set = open("inat2019", root.path(), Split::Train);
    assert_eq!(listing(&set), pairs(&[("a.jpg", 1), ("b.jpg", 0)]));
    assert_eq!(set.images().classes(), ["Parus", "Rosa"]);
    let place = format!("inat2019:{}", root.path().display());
    refused(place.clone(), Split::Val, &["val2019.json", "not readable as annotations"]);
    fs::remove_file(root.path().join("train_val2019/Birds/5/b.jpg")).unwrap();
    refused(place.clone(), Split::Train, &["5/b.jpg", "is missing", "train2019.json"]);
    let strange = annotations.replace("\"category_id\": 5", "\"category_id\": 6");
    fs::write(root.path().join("train2019.json"), strange).unwrap();
    refused(place, Split::Train, &["train2019.json", "category 6"]);
}

#[test]
fn sets_of_lists_are_read_with_the_same_classes_in_every_part() {
    let aircraft = folder(&[
        ("d/data/images/0034309.jpg", ""),
        ("d/data/images/1025794.jpg", ""),
        ("d/data/variants.txt", "707-320\nA300B4\nDC-9 30\n"),
        ("d/data/images_variant_train.txt", "1025794 DC-9 30\n"),
        ("d/data/images_variant_val.txt", "0034309 707-320\n"),
        ("d/data/images_variant_trainval.txt", "1025794 DC-9 30\n0034309 707-320\n"),
        ("d/data/images_variant_test.txt", "0034309 737-200\n"),
    ]);
    let listed = |split| listing(&open("aircraft", aircraft.path(), split));
    assert_eq!(listed(Split::Train), pairs(&[("1025794.jpg", 2)]));
    assert_eq!(listed(Split::Val), pairs(&[("0034309.jpg", 0)]));
    assert_eq!(listed(Split::TrainVal), pairs(&[("1025794.jpg", 2), ("0034309.jpg", 0)]));
    let place = format!("aircraft:{}", aircraft.path().display());
    refused(place, Split::Test, &["0034309.jpg", "`737-200`"]);

    let pets = folder(&[
        ("images/Abyssinian_1.jpg", ""),
        ("images/great_pyrenees_2.jpg", ""),
        ("images/Bombay_3.jpg", ""),
        (
            "annotations/trainval.txt",
            "#Image CLASS-ID SPECIES BREED ID\nAbyssinian_1 1 1 1\ngreat_pyrenees_2 16 2 11\n",
        ),
        ("annotations/test.txt", "Bombay_3 8 1 3\n"),
    ]);
    let train = open("pets", pets.path(), Split::Train);
    assert_eq!(listing(&train), pairs(&[("Abyssinian_1.jpg", 0), ("great_pyrenees_2.jpg", 2)]));
    let test = open("pets", pets.path(), Split::Test);
    assert_eq!(listing(&test), pairs(&[("Bombay_3.jpg", 1)]));
    assert_eq!(test.images().classes(), ["Abyssinian", "Bombay", "great_pyrenees"]);
    assert_eq!(train.images().classes(), test.images().classes());

    let food = folder(&[
        ("food-101/images/apple_pie/1.jpg", ""),
        ("food-101/images/waffles/2.jpg", ""),
        ("food-101/meta/classes.txt", "apple_pie\nsushi\nwaffles\n"),
        ("food-101/meta/train.txt", "waffles/2\n"),
        ("food-101/meta/test.txt", "apple_pie/1\napple_pie/9\n"),
    ]);
    let train = open("food101", food.path(), Split::Train);
    assert_eq!(listing(&train), pairs(&[("2.jpg", 2)]));
    let place = format!("food101:{}", food.path().display());
    refused(place.clone(), Split::Test, &["apple_pie/9.jpg", "is missing", "meta/test.txt"]);
    fs::remove_file(food.path().join("food-101/meta/train.txt")).unwrap();
    refused(place, Split::Train, &["meta/train.txt"]);
}

#[test]
fn flowers_are_read_from_matlabs_files() {
    let names = ["1", "2", "3", "4", "5", "6"].map(|n| format!("jpg/image_0000{n}.jpg"));
    let mut files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    files.extend([("imagelabels.mat", "imagelabels.mat"), ("setid.mat", "setid.mat")]);
    let root = folder(&files);
    let listed = |split| listing(&open("flowers102", root.path(), split));
    assert_eq!(listed(Split::Train), pairs(&[("image_00001.jpg", 2), ("image_00003.jpg", 1)]));
    assert_eq!(listed(Split::Val), pairs(&[("image_00005.jpg", 2)]));
    assert_eq!(listed(Split::TrainVal).len(), 3);
    let test = pairs(&[("image_00002.jpg", 0), ("image_00004.jpg", 1), ("image_00006.jpg", 0)]);
    assert_eq!(listed(Split::Test), test);

    let place = format!("flowers102:{}", root.path().display());
    let labels = root.path().join("imagelabels.mat");
    let whole = fs::read(&labels).unwrap();
    for bytes in [&whole[..150], &whole[..100], b"MATLAB 7.3 MAT-file"] {
        fs::write(&labels, bytes).unwrap();
        refused(place.clone(), Split::Train, &["imagelabels.mat", "unreadable"]);
    }
    // No damaged byte makes the reader panic.
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0xff;
        fs::write(&labels, damaged).unwrap();
        let _ = ClassifySet::open(&place, Split::Train);
    }
}

#[test]
fn folders_of_classes_may_lie_below_folders_of_parts() {
    let root = folder(&pictures(&[
        "cifar10/train/cat/1.png",
        "cifar10/train/dog/2.png",
        "cifar10/test/cat/3.png",
        "cifar10/test/dog/4.png",
    ]));
    for kind in ["cifar10:", "folders:", ""] {
        let place = format!("{kind}{}", root.path().display());
        let names = |split| listing(&ClassifySet::open(&place, split).unwrap());
        assert_eq!(names(Split::Train), pairs(&[("1.png", 0), ("2.png", 1)]), "{kind}");
        assert_eq!(names(Split::Test), pairs(&[("3.png", 0), ("4.png", 1)]), "{kind}");
        assert_eq!(names(Split::Val), names(Split::Test), "{kind}");
    }
    // A zip of it gives the same.
    let zip_path = root.path().join("set.zip");
    let mut zip = zip::ZipWriter::new(fs::File::create(&zip_path).unwrap());
    for name in ["train/cat/1.png", "train/dog/2.png", "test/cat/3.png", "test/dog/4.png"] {
        zip.start_file(format!("in/{name}"), zip::write::SimpleFileOptions::default()).unwrap();
        let bytes = fs::read(root.path().join("cifar10").join(name)).unwrap();
        std::io::Write::write_all(&mut zip, &bytes).unwrap();
    }
    zip.finish().unwrap();
    let zipped = open("cifar10", &zip_path, Split::Test);
    assert_eq!(listing(&zipped), pairs(&[("3.png", 0), ("4.png", 1)]));
    // Without parts, or with a class that is called like one, it is what it was.
    let plain = folder(&pictures(&["train/1.png", "car/2.png"]));
    let set = ClassifySet::open(plain.path().to_str().unwrap(), Split::Test).unwrap();
    assert_eq!(set.images().classes(), ["car", "train"]);
    refused("folders:/nowhere/at/all".into(), Split::Train, &["/nowhere/at/all"]);
}

fn labels(path: &Path, width: u32, height: u32, label: impl Fn(u32, u32) -> u8) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    GrayImage::from_fn(width, height, |x, y| Luma([label(x, y)])).save(path).unwrap();
}

#[test]
fn ade20k_counts_its_classes_from_one_and_leaves_zero_out() {
    let root = folder(&pictures(&[
        "ADE/images/training/a.jpg",
        "ADE/images/validation/b.jpg",
        "ADE/images/validation/c.jpg",
    ]));
    let truth = |name: &str| root.path().join("ADE/annotations").join(name);
    labels(&truth("training/a.png"), 6, 4, |x, _| x as u8);
    labels(&truth("validation/b.png"), 6, 4, |_, y| if y == 3 { 150 } else { 0 });
    labels(&truth("validation/c.png"), 6, 4, |_, _| 151);
    let place = format!("ade20k:{}", root.path().display());
    let train = SegmentSet::open(&place, Split::Train).unwrap();
    assert_eq!((train.images().len(), train.classes().len()), (1, 150));
    let map = train.truth(0).unwrap();
    assert_eq!((map.size, &map.labels[..6]), ([4, 6], &[VOID, 0, 1, 2, 3, 4][..]));
    assert_eq!(train.image_size(0).unwrap(), [4, 6]);
    train.check().unwrap();

    let val = SegmentSet::open(&place, Split::Val).unwrap();
    assert_eq!(val.images().len(), 2);
    assert_eq!(val.truth(0).unwrap().labels[17..19], [VOID, 149]);
    let error = val.check().unwrap_err().to_string();
    assert!(error.contains("c.png") && error.contains("label 151"), "{error}");

    // A map that is not there is found when the set is opened, of another shape by the check.
    labels(&truth("training/a.png"), 5, 5, |_, _| 1);
    let error = SegmentSet::open(&place, Split::Train).unwrap().check().unwrap_err().to_string();
    assert!(error.contains("a.png") && error.contains("5x5"), "{error}");
    fs::write(truth("training/a.png"), "no picture").unwrap();
    let error = SegmentSet::open(&place, Split::Train).unwrap().truth(0).unwrap_err().to_string();
    assert!(error.contains("a.png") && error.contains("unreadable"), "{error}");
    fs::remove_file(truth("training/a.png")).unwrap();
    let error = SegmentSet::open(&place, Split::Train).unwrap_err().to_string();
    assert!(error.contains("a.png") && error.contains("is missing"), "{error}");
}

#[test]
fn camvid_is_read_with_its_void_labels() {
    let root = folder(&pictures(&["camvid/images/train/a.jpg", "camvid/images/test/b.jpg"]));
    for (name, void) in [("train/a.png", 11), ("test/b.png", 255)] {
        let path = root.path().join("camvid/annotations").join(name);
        labels(&path, 6, 4, |x, _| if x == 0 { void } else { 10 });
    }
    for split in [Split::Train, Split::Test] {
        let place = format!("camvid:{}", root.path().display());
        let set = SegmentSet::open(&place, split).unwrap();
        assert_eq!(set.truth(0).unwrap().labels[..2], [VOID, 10]);
        assert_eq!(set.classes()[10], "bicyclist");
    }
    let segnet = folder(&pictures(&["CamVid/train/a.png", "CamVid/test/b.png"]));
    labels(&segnet.path().join("CamVid/trainannot/a.png"), 6, 4, |_, _| 3);
    labels(&segnet.path().join("CamVid/testannot/b.png"), 6, 4, |_, _| 12);
    let place = format!("camvid:{}", segnet.path().display());
    SegmentSet::open(&place, Split::Train).unwrap().check().unwrap();
    let error = SegmentSet::open(&place, Split::Test).unwrap().check().unwrap_err().to_string();
    assert!(error.contains("b.png") && error.contains("label 12"), "{error}");

    let place = segnet.path().to_str().unwrap();
    let error = SegmentSet::open(place, Split::Train).unwrap_err().to_string();
    assert!(error.contains("none of ade20k:, camvid: and scenes:"), "{error}");
}

#[test]
fn nyu_is_read_from_matlabs_file_with_its_columns_turned() {
    let root = folder(&[("splits.mat", "splits.mat")]);
    let file = root.path().join("nyu_depth_v2_labeled.mat");
    fs::copy(Path::new(MATLAB).join("nyu_depth_v2_labeled.mat"), &file).unwrap();
    let place = format!("nyu:{}", root.path().display());
    let train = DepthSet::open(&place, Split::Train).unwrap();
    let images = train.images();
    assert_eq!(images.len(), 3);
    for (index, number) in [0u32, 3, 4].into_iter().enumerate() {
        let image = images.read(index).unwrap();
        assert_eq!((image.width(), image.height()), (12, 10));
        let depth = train.truth(index).unwrap();
        assert_eq!(depth.size, [10, 12]);
        for (x, y, pixel) in image.enumerate_pixels() {
            let wanted = [0, 1, 2].map(|c| ((number * 50 + c * 20 + x * 3 + y * 5) % 256) as u8);
            assert_eq!(pixel.0, wanted);
            let metres = depth.metres[(y * 12 + x) as usize];
            let wanted = 1.0 + number as f32 + x as f32 / 100.0 + y as f32 / 1000.0;
            // One of them is not a number: not known.
            let wanted = if (number, x, y) == (0, 0, 0) { 0.0 } else { wanted };
            assert!((metres - wanted).abs() < 1e-5, "image {number}, {x}, {y}: {metres}");
        }
    }
    train.check().unwrap();
    let test = DepthSet::open(&format!("nyu:{}", file.display()), Split::Test).unwrap();
    assert_eq!(test.images().len(), 2);

    let refused = |part: &str| {
        let error = DepthSet::open(&place, Split::Train).unwrap_err().to_string();
        assert!(error.contains(part) && error.lines().count() == 1, "{error}");
    };
    fs::copy(Path::new(MATLAB).join("setid.mat"), root.path().join("splits.mat")).unwrap();
    refused("trainNdxs");
    fs::remove_file(root.path().join("splits.mat")).unwrap();
    refused("splits.mat");
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() / 3]).unwrap();
    fs::copy(Path::new(MATLAB).join("splits.mat"), root.path().join("splits.mat")).unwrap();
    refused("nyu_depth_v2_labeled.mat");
    fs::write(&file, "MATLAB 5.0").unwrap();
    refused("MATLAB 7.3");
}

#[test]
fn no_damaged_byte_makes_the_reader_of_nyu_panic() {
    let root = folder(&[("splits.mat", "splits.mat")]);
    let file = root.path().join("nyu_depth_v2_labeled.mat");
    let whole = fs::read(Path::new(MATLAB).join("nyu_depth_v2_labeled.mat")).unwrap();
    let place = format!("nyu:{}", root.path().display());
    // Most of the structure lies at the beginning.
    for at in (512..4096).step_by(7).chain((4096..whole.len()).step_by(101)) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0xff;
        fs::write(&file, damaged).unwrap();
        if let Ok(set) = DepthSet::open(&place, Split::Train) {
            let _ = set.images().read(0);
            let _ = set.truth(1);
        }
    }
}

#[test]
fn a_rotated_photograph_has_its_upright_size_before_it_is_decoded() {
    let kinds = Path::new("tests/golden/preprocess/kinds");
    let root = folder(&[]);
    fs::create_dir(root.path().join("images")).unwrap();
    let names = ["orientation_1.jpg", "orientation_6.jpg", "orientation.png", "orientation.webp"];
    for name in names {
        let stem = name.replace('.', "_");
        let end = name.rsplit_once('.').unwrap().1;
        fs::copy(kinds.join(name), root.path().join(format!("images/{stem}.{end}"))).unwrap();
        labels(&root.path().join(format!("annotations/{stem}.png")), 19, 29, |_, _| 1);
    }
    let place = format!("camvid:{}", root.path().display());
    let set = SegmentSet::open(&place, Split::Train).unwrap();
    for index in 0..names.len() {
        let image = set.images().read(index).unwrap();
        let size = [image.height() as usize, image.width() as usize];
        assert_eq!(set.image_size(index).unwrap(), size);
        let upright = set.images().name(index).contains("orientation_1_");
        assert_eq!(size, if upright { [19, 29] } else { [29, 19] });
    }
    let error = set.check().unwrap_err().to_string();
    assert!(error.contains("orientation_1_jpg.png"), "{error}");
}

#[test]
fn a_layout_that_is_none_is_refused_by_name() {
    let error = DepthSet::open("photographs", Split::Train).unwrap_err().to_string();
    assert!(error.contains("photographs: begins with neither nyu: nor scenes:"), "{error}");
}

#[test]
fn scenes_are_a_set_of_every_task_and_their_parts_share_none() {
    let labels = ClassifySet::open("scenes:16", Split::Train).unwrap();
    assert_eq!((labels.images().len(), labels.images().classes().len()), (16, 8));
    let masks = SegmentSet::open("scenes:16", Split::Train).unwrap().with_scene_side(24);
    let depths = DepthSet::open("scenes:16", Split::Train).unwrap().with_scene_side(24);
    assert_eq!(masks.classes().len(), 9);
    for index in [0, 7, 15] {
        let scene = render(2026, index, 24);
        assert_eq!(masks.images().read(index).unwrap(), scene.image);
        let map = masks.truth(index).unwrap();
        assert!(map.labels.iter().zip(&scene.mask).all(|(a, b)| *a == u16::from(*b)));
        assert_eq!(depths.truth(index).unwrap().metres, scene.depth);
    }
    masks.check().unwrap();
    let first = |split| ClassifySet::open("scenes:16", split).unwrap().images().name(0);
    assert_eq!(first(Split::Train), "scene 0");
    assert_eq!(first(Split::Val), "scene 1000000");
    assert_eq!(first(Split::Test), "scene 2000000");
    let range = ClassifySet::open("scenes:5-9", Split::Test).unwrap();
    assert_eq!((range.images().name(0), range.images().len()), ("scene 5".into(), 4));
    for wrong in ["scenes:0", "scenes:9-5", "scenes:x", "scenes:2000000"] {
        refused(wrong.into(), Split::Train, &["scenes:N"]);
    }
}

/// The images of a set by the last part of their names.
fn names(images: &ImageSet) -> Vec<String> {
    (0..images.len())
        .map(|index| images.name(index).rsplit('/').next().unwrap().to_owned())
        .collect()
}

#[test]
fn a_place_opens_with_labels_where_it_has_them_and_without_where_not() {
    let folder = folder(&pictures(&[
        "flat/b.png",
        "flat/a.png",
        "classes/cat/1.png",
        "classes/dog/2.png",
        "mixed/stray.png",
        "mixed/cat/1.png",
        "mixed/dog/2.png",
        "nested/x/y/1.png",
        "parts/train/1.png",
        "parts/train/2.png",
        "parts/val/3.png",
    ]));
    let root = folder.path();
    let open = |place: &str| ImageSet::open(root.join(place)).unwrap();

    let classes = open("classes");
    assert_eq!(classes.classes(), ["cat", "dog"]);
    assert_eq!((classes.label(0), classes.label(1)), (Some(0), Some(1)));
    for (place, expected) in [
        ("flat", &["a.png", "b.png"][..]),
        // No image is dropped for the sake of labels.
        ("mixed", &["1.png", "2.png", "stray.png"]),
        ("nested", &["1.png"]),
        ("flat/b.png", &["b.png"]),
        ("parts", &["1.png", "2.png"]),
    ] {
        let images = open(place);
        assert_eq!(names(&images), expected, "{place}");
        assert!(!images.has_labels() && images.label(0).is_none(), "{place}");
        images.read(0).unwrap();
    }
    let test = ImageSet::open_split(root.join("parts"), Split::Test).unwrap();
    assert_eq!(names(&test), ["3.png"]);
    assert_eq!(ImageSet::open_all(root.join("parts")).unwrap().len(), 3);
    fs::create_dir(root.join("empty")).unwrap();
    let error = ImageSet::open(root.join("empty")).unwrap_err().to_string();
    assert!(error.contains("holds no .jpg"), "{error}");
}

#[test]
fn scenes_are_drawn_at_the_side_that_is_asked_for_also_in_a_sample() {
    let scenes = ImageSet::open("scenes:10").unwrap();
    assert_eq!(scenes.read(0).unwrap().dimensions(), (224, 224));
    let sample = scenes.sample(4);
    assert_eq!(names(&sample), ["scene 0", "scene 2", "scene 5", "scene 7"]);
    let small = sample.with_scene_side(24);
    assert_eq!(small.read(1).unwrap(), render(2026, 2, 24).image);
    assert_eq!((small.len(), small.label(1)), (4, Some(2)));
}
