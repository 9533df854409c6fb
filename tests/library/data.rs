use image::RgbImage;
use singer::data::{
    Batch, EvalTransform, ImageSet, Interpolation, Loader, LoaderSettings, Normalise, Order,
    Pixels, Resize, Scenes, TrainTransform, Transform, Unreadable, eval_crop, render,
    whole_patches,
};

const NORMALISE: Normalise = Normalise { mean: [0.5; 3], std: [0.25; 3] };

fn loader(order: Order, workers: usize, first: usize) -> Loader {
    let images = ImageSet::new(Scenes::new(4, 0..19, 12));
    let settings =
        LoaderSettings { batch: 4, seed: 8, workers, order, max_unreadable: 0.0, part: (0, 1) };
    let transform = Transform::Train(TrainTransform {
        size: [8, 10],
        scale: [0.1, 1.0],
        ratio: [0.75, 4.0 / 3.0],
        flip: 0.5,
    });
    Loader::start(images, transform, NORMALISE, settings, first).unwrap()
}

#[test]
fn a_loader_that_starts_late_gives_what_an_early_one_would_whatever_its_workers() {
    let all: Vec<_> = loader(Order::Shuffled, 1, 0).take(13).map(Result::unwrap).collect();
    for (workers, first) in [(3, 0), (2, 5), (4, 9)] {
        let late = loader(Order::Shuffled, workers, first);
        for (batch, expected) in late.map(Result::unwrap).zip(&all[first..]) {
            assert_eq!(batch.labels, expected.labels);
            assert_eq!(batch.pixels, expected.pixels);
        }
    }
}

#[test]
fn bytes_that_a_device_normalises_are_the_normalised_pixels_to_rounding() {
    let device = burn::tensor::Device::flex();
    // 25 x 3 bytes an image: no multiple of a word.
    for (size, batch) in [([8, 10], 4), ([5, 5], 3)] {
        let start = |bytes: bool| {
            let images = ImageSet::new(Scenes::new(4, 0..19, 12));
            let order = Order::Sequential;
            let settings = LoaderSettings {
                batch,
                seed: 8,
                workers: 2,
                order,
                max_unreadable: 0.0,
                part: (0, 1),
            };
            let transform = Transform::Eval(EvalTransform::centre(size, 12));
            let start = if bytes { Loader::start_with_bytes } else { Loader::start };
            start(images, transform, NORMALISE, settings, 0).unwrap()
        };
        for (bytes, normalised) in start(true).zip(start(false)) {
            let values = |batch: Batch| -> Vec<f32> {
                let images = batch.pixels.to_device(size, &device);
                assert_eq!(images.dims(), [batch.labels.len(), 3, size[0], size[1]]);
                images.into_data().iter().collect()
            };
            let (bytes, normalised) = (bytes.unwrap(), normalised.unwrap());
            assert!(matches!(bytes.pixels, Pixels::Bytes(..)));
            for (found, wanted) in values(bytes).iter().zip(values(normalised)) {
                assert!((found - wanted).abs() <= 1e-6, "{found} for {wanted}");
            }
        }
    }
}

#[test]
fn epochs_differ_in_order_and_a_sequential_pass_gives_every_image_once() {
    let epochs: Vec<_> = loader(Order::Shuffled, 2, 0).take(8).map(|b| b.unwrap().labels).collect();
    assert_ne!(epochs[..4], epochs[4..], "two epochs of four batches");
    let labels: Vec<usize> =
        loader(Order::Sequential, 2, 0).flat_map(|batch| batch.unwrap().labels).collect();
    assert_eq!(labels, (0..19).map(|index| index % 8).collect::<Vec<_>>());
}

#[test]
fn every_size_and_shape_of_image_gives_the_wanted_crop() {
    for (width, height) in [(1, 1), (3, 200), (200, 3), (31, 17), (64, 64)] {
        let image = RgbImage::from_pixel(width, height, image::Rgb([10, 200, 30]));
        for size in [[16, 16], [8, 24]] {
            let crop = eval_crop(&image, &EvalTransform::centre(size, 24)).unwrap();
            assert_eq!((crop.height() as usize, crop.width() as usize), (size[0], size[1]));
            assert_eq!(crop.get_pixel(4, 4).0, [10, 200, 30], "{width}x{height}");
        }
    }
}

#[test]
fn scenes_repeat_by_seed_and_their_labels_agree() {
    for index in 0..24 {
        let scene = render(6, index, 40);
        let again = render(6, index, 40);
        assert_eq!(scene.image, again.image);
        assert_ne!(scene.image, render(7, index, 40).image);
        assert_eq!(scene.class, index % 8);
        assert_eq!((scene.mask.len(), scene.depth.len()), (1600, 1600));
        assert!(scene.depth.iter().all(|&depth| depth > 0.0 && depth <= 10.0));
        let own = 1 + scene.class as u8;
        assert!(scene.mask.iter().all(|&label| label <= 8));
        let pixels = scene.mask.iter().filter(|&&label| label == own).count();
        assert!(pixels > 20, "scene {index}: its shape covers {pixels} pixels only");
        let nearest = |want: bool| {
            let pairs = scene.mask.iter().zip(&scene.depth);
            pairs
                .filter(|(label, _)| (**label == own) == want)
                .map(|(_, d)| *d)
                .fold(f32::MAX, f32::min)
        };
        assert!(nearest(true) <= 3.5, "the class is that of the nearest shape");
    }
}

#[test]
fn crops_are_the_largest_of_whole_patches() {
    let plan = |size, short, patch| {
        let planned = whole_patches(size, short, patch, Interpolation::Bicubic);
        planned.map(|t| match t.resize {
            Resize::Shorter(short) => (t.size, short),
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(plan([360, 480], Some(64), 4), Some(([64, 84], 64)));
    assert_eq!(plan([480, 360], Some(70), 16), Some(([80, 64], 70)));
    assert_eq!(plan([33, 50], None, 16), Some(([32, 48], 33)));
    assert_eq!(plan([15, 500], None, 16), None);
    assert_eq!(plan([15, 500], Some(16), 16), Some(([16, 528], 16)));
    assert_eq!(plan([0, 0], Some(16), 16), None);

    // As large as it is: the centre, pixel by pixel.
    let image = RgbImage::from_fn(50, 33, |x, y| image::Rgb([x as u8, y as u8, 7]));
    let crop =
        eval_crop(&image, &whole_patches([33, 50], None, 16, Interpolation::Bicubic).unwrap())
            .unwrap();
    assert_eq!(crop.get_pixel(0, 0).0, [1, 0, 7]);
    assert_eq!(crop.get_pixel(47, 31).0, [48, 31, 7]);
}

#[test]
fn pictures_are_found_in_files_folders_and_zips_of_any_nesting() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("set");
    let zip_path = folder.path().join("set.zip");
    let mut zip = zip::ZipWriter::new(std::fs::File::create(&zip_path).unwrap());
    for (index, name) in ["b/deep/1.png", "0.png", "b/2.jpg"].iter().enumerate() {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        render(1, index, 24).image.save(&path).unwrap();
        zip.start_file(format!("in/{name}"), zip::write::SimpleFileOptions::default()).unwrap();
        std::io::Write::write_all(&mut zip, &std::fs::read(&path).unwrap()).unwrap();
    }
    zip.finish().unwrap();
    std::fs::write(root.join("notes.txt"), "no image").unwrap();
    std::fs::copy(root.join("0.png"), root.join("unnamed")).unwrap();

    let read = |path: &std::path::Path| -> Vec<RgbImage> {
        let set = ImageSet::open_all(path).unwrap();
        (0..set.len()).map(|index| set.read(index).unwrap()).collect()
    };
    let all = read(&root);
    assert_eq!(all.len(), 3);
    assert_eq!(all, read(&zip_path));
    assert_eq!(all, read(&zip_path.join("in")));
    assert_eq!(all[1..], read(&zip_path.join("in/b")));
    assert_eq!(all[..1], read(&zip_path.join("in/0.png")));
    assert_eq!(all[..1], read(&root.join("0.png")));
    assert_eq!(all[..1], read(&root.join("unnamed")), "a file that is named is taken as it is");
    assert!(ImageSet::open_all(folder.path().join("none")).is_err());
    assert!(ImageSet::open_all(zip_path.join("in/none")).is_err());
}

#[test]
fn a_share_of_unreadable_images_is_allowed_and_of_twenty_one() {
    let allowed = |images: usize, share: f64| {
        let tally = Unreadable::new(Some(images), share);
        let error = || singer::Error::data("a.jpg", "unreadable image");
        (0..images).take_while(|&image| tally.note(image as u64, error(), 0).is_ok()).count()
    };
    assert_eq!(
        [19, 20, 50, 199, 200, 1000].map(|images| allowed(images, 0.01)),
        [0, 1, 1, 1, 2, 10]
    );
    assert_eq!([1, 20, 1000].map(|images| allowed(images, 0.0)), [0, 0, 0]);
    assert_eq!([1, 2, 10].map(|images| allowed(images, 1.0)), [0, 1, 9]);

    // An image counts once, and the first by its place is named.
    let tally = Unreadable::new(Some(300), 0.01);
    for (image, name) in [(7, "b.jpg"), (7, "b.jpg"), (2, "a.jpg")] {
        tally.note(image, singer::Error::data(name, "is damaged"), 0).unwrap();
    }
    let said = tally.passed_over().unwrap().to_string();
    assert_eq!(
        said,
        "2 of 300 images were unreadable and passed over; the first: a.jpg: is damaged"
    );
}

#[test]
fn more_threads_than_a_machine_has_use_for_are_refused() {
    let images = ImageSet::open("scenes:8").unwrap();
    let eval = EvalTransform::centre([8, 8], 8);
    let transform = Transform::Eval(eval);
    let settings = LoaderSettings { batch: 2, workers: 100_000, ..LoaderSettings::default() };
    let error = Loader::start(images, transform, NORMALISE, settings, 0).err().unwrap();
    assert!(error.to_string().contains("workers is 100000"), "{error}");
}

#[test]
fn the_parts_of_a_batch_are_the_batch_over_epochs_and_with_unreadable_images() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..23 {
        let path = folder.path().join(format!("{number:02}.png"));
        match number {
            7 => std::fs::write(&path, b"damaged").unwrap(),
            _ => RgbImage::from_pixel(9, 9, image::Rgb([number; 3])).save(&path).unwrap(),
        }
    }
    let load = |part| {
        let order = Order::Shuffled;
        let settings = LoaderSettings {
            batch: 5,
            workers: 2,
            order,
            max_unreadable: 0.1,
            part,
            ..LoaderSettings::default()
        };
        let transform = Transform::Train(TrainTransform {
            size: [4, 4],
            scale: [0.1, 1.0],
            ratio: [0.75, 4.0 / 3.0],
            flip: 0.5,
        });
        let images = ImageSet::open(folder.path()).unwrap();
        let loader = Loader::start(images, transform, NORMALISE, settings, 0).unwrap();
        // Two epochs and a half.
        let batches = loader.take(10).map(|batch| {
            let Pixels::Normalised(pixels) = batch.unwrap().pixels else { panic!("no bytes") };
            pixels
        });
        batches.collect::<Vec<_>>()
    };
    let whole = load((0, 1));
    for of in [2, 3, 5] {
        let parts: Vec<_> = (0..of).map(|part| load((part, of))).collect();
        for (number, batch) in whole.iter().enumerate() {
            let joined: Vec<f32> = parts.iter().flat_map(|part| part[number].clone()).collect();
            assert_eq!(&joined, batch, "batch {number} of {of} parts");
        }
    }
}
