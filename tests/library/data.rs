use std::sync::Arc;

use image::RgbImage;
use singer::data::{
    EvalTransform, Loader, LoaderSettings, Normalise, Order, Scenes, SharedImages, TrainTransform,
    Transform, eval_crop, render,
};

const NORMALISE: Normalise = Normalise { mean: [0.5; 3], std: [0.25; 3] };

fn loader(order: Order, workers: usize, first: usize) -> Loader {
    let images: SharedImages = Arc::new(Scenes::new(4, 0..19, 12));
    let settings = LoaderSettings { batch: 4, seed: 8, workers, order, max_unreadable: 0.0 };
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
    assert_eq!(all[0].pixels.len(), 4 * 3 * 8 * 10);
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
            let crop = eval_crop(&image, &EvalTransform { size, resize: 24 });
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
