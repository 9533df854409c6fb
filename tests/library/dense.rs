use std::fs;
use std::io::Write;
use std::path::Path;

use image::{GrayImage, ImageBuffer, Luma, RgbImage};
use singer::data::{DenseSet, DepthPairs, LabelPairs, LabelRule, SegmentationSet, VOID};

type Gray16 = ImageBuffer<Luma<u16>, Vec<u16>>;

fn image(path: &Path, width: u32, height: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    RgbImage::from_pixel(width, height, image::Rgb([9, 90, 200])).save(path).unwrap();
}

fn labels(path: &Path, width: u32, numbers: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let height = numbers.len() as u32 / width;
    GrayImage::from_raw(width, height, numbers.to_vec()).unwrap().save(path).unwrap();
}

/// Two images, one of them in a folder of its own.
fn segmentation(root: &Path) {
    image(&root.join("images/train/a.jpg"), 3, 2);
    image(&root.join("images/train/deep/b.png"), 2, 2);
    labels(&root.join("annotations/train/a.png"), 3, &[0, 1, 2, 4, 2, 0]);
    labels(&root.join("annotations/train/deep/b.png"), 2, &[4, 4, 1, 0]);
    image(&root.join("images/test/c.jpg"), 4, 4);
    labels(&root.join("annotations/test/c.png"), 2, &[1, 2, 3, 3]);
}

fn rule(ignore: &[u16]) -> LabelRule {
    LabelRule { ignore: ignore.to_vec(), names: None }
}

fn open(path: &Path, rule: &LabelRule) -> LabelPairs {
    LabelPairs::open(&[path], rule).unwrap_or_else(|error| panic!("{error}")).remove(0)
}

fn error(path: &Path, rule: &LabelRule) -> String {
    LabelPairs::open(&[path], rule).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn label_maps_belong_to_the_images_of_their_names_in_folders_and_zips() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("set");
    segmentation(&root);
    let zip_path = folder.path().join("set.zip");
    let mut zip = zip::ZipWriter::new(fs::File::create(&zip_path).unwrap());
    for name in [
        "images/train/a.jpg",
        "images/train/deep/b.png",
        "annotations/train/a.png",
        "annotations/train/deep/b.png",
    ] {
        let options = zip::write::SimpleFileOptions::default();
        zip.start_file(format!("inner/{name}"), options).unwrap();
        zip.write_all(&fs::read(root.join(name)).unwrap()).unwrap();
    }
    zip.finish().unwrap();
    for path in
        [root.join("images/train"), zip_path.join("inner/images/train"), zip_path.join("inner")]
    {
        let set = open(&path, &rule(&[4]));
        assert_eq!(set.images().len(), 2);
        assert_eq!(set.truth(0).unwrap().labels, [0, 1, 2, VOID, 2, 0]);
        assert_eq!(set.truth(1).unwrap().labels, [VOID, VOID, 1, 0]);
        assert_eq!((set.truth(0).unwrap().size, set.image_size(0).unwrap()), ([2, 3], [2, 3]));
        assert_eq!(set.classes(), ["0", "1", "2"]);
        assert!(set.images().file_size(0).unwrap().unwrap() > 100);
    }
}

#[test]
fn ignored_labels_close_the_ranks_and_two_sets_share_their_classes() {
    let folder = tempfile::tempdir().unwrap();
    segmentation(folder.path());
    let set = open(&folder.path().join("images/train"), &rule(&[255, 0]));
    assert_eq!(set.truth(0).unwrap().labels, [VOID, 0, 1, 3, 1, VOID]);
    assert_eq!(set.classes(), ["1", "2", "3", "4"]);
    let places = [folder.path().join("images/train"), folder.path().join("images/test")];
    let sets = LabelPairs::open(&[&places[0], &places[1]], &rule(&[4])).unwrap();
    assert_eq!(sets[0].classes(), ["0", "1", "2", "3"]);
    assert_eq!(sets[1].classes(), sets[0].classes());
    assert_eq!(sets[1].truth(0).unwrap().size, [2, 2], "a smaller label of the same shape");
    let named = LabelRule::numbered(vec![2], 3);
    assert_eq!(named.names.unwrap(), ["0", "1", "3"]);
}

#[test]
fn palette_and_narrow_png_files_give_their_numbers() {
    let folder = tempfile::tempdir().unwrap();
    image(&folder.path().join("images/p.png"), 5, 2);
    let path = folder.path().join("annotations/p.png");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut encoder = png::Encoder::new(fs::File::create(&path).unwrap(), 5, 2);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Four);
    encoder.set_palette((0..48).collect::<Vec<u8>>());
    let rows = [0x01, 0x23, 0x40, 0xf0, 0x12, 0x30];
    encoder.write_header().unwrap().write_image_data(&rows).unwrap();
    let set = open(folder.path(), &rule(&[15]));
    assert_eq!(set.truth(0).unwrap().labels, [0, 1, 2, 3, 4, VOID, 0, 1, 2, 3]);
}

#[test]
fn faults_of_labels_are_found_at_once_and_named_with_their_file() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    segmentation(root);
    let train = root.join("images/train");
    let three = LabelRule::numbered(vec![], 3);
    let text = error(&train, &three);
    assert!(
        text.contains("a.png") && text.contains("label 4") && text.contains("3 classes"),
        "{text}"
    );

    labels(&root.join("annotations/train/a.png"), 2, &[0, 1, 2, 1, 2, 0]);
    let text = error(&train, &rule(&[]));
    assert!(text.contains("a.png") && text.contains("2x3") && text.contains("3x2"), "{text}");

    image(&root.join("annotations/train/a.png"), 3, 2);
    assert!(error(&train, &rule(&[])).contains("colour picture"));
    fs::write(root.join("annotations/train/a.png"), b"no picture").unwrap();
    assert!(error(&train, &rule(&[])).contains("a.png: unreadable PNG"));
    fs::remove_file(root.join("annotations/train/a.png")).unwrap();
    let text = error(&train, &rule(&[]));
    assert!(text.contains("a.png: is missing") && text.contains("a.jpg"), "{text}");
    assert!(error(&root.join("none"), &rule(&[])).contains("holds `images` and `annotations`"));
    labels(&root.join("annotations/test/c.png"), 2, &[0, 0, 0, 0]);
    assert!(error(&root.join("images/test"), &rule(&[])).contains("at least two"));
}

#[test]
fn depth_maps_are_metres_and_must_have_16_bits() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    image(&root.join("images/a.jpg"), 2, 2);
    let path = root.join("depth/a.png");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    Gray16::from_raw(2, 2, vec![0, 1500, 9999, 65535]).unwrap().save(&path).unwrap();
    let set = DepthPairs::open(root, 0.001).unwrap();
    let depths = set.truth(0).unwrap().metres;
    let wanted = [0.0, 1.5, 9.999, 65.535];
    assert!(depths.iter().zip(wanted).all(|(ours, wanted)| (ours - wanted).abs() < 1e-5));

    labels(&path, 2, &[0, 1, 2, 3]);
    let text = DepthPairs::open(root, 0.001).map(|_| ()).unwrap_err().to_string();
    assert!(text.contains("a.png") && text.contains("16-bit"), "{text}");
}
