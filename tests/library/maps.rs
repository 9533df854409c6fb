use image::{Rgb, RgbImage};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use singer::maps::{
    FineFeatures, HeldFeatures, PatchFeatures, Pca, PcaColours, SegmentSettings, Segments, shifted,
};

fn random(grids: &[[usize; 2]], dim: usize, seed: u64) -> HeldFeatures {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut features = HeldFeatures::new(dim);
    for &[rows, columns] in grids {
        let values = (0..rows * columns * dim).map(|_| rng.random_range(-1.0..1.0)).collect();
        features.push([rows, columns], values).unwrap();
    }
    features
}

fn message<T: std::fmt::Debug>(outcome: singer::Result<T>) -> String {
    let error = outcome.unwrap_err().to_string();
    assert!(!error.contains('\n') && error.len() < 200, "one clear line: {error}");
    error
}

#[test]
fn components_do_not_depend_on_how_patches_are_divided_into_images() {
    let whole = random(&[[6, 10]], 8, 1);
    let mut parts = HeldFeatures::new(8);
    for half in whole.read(0).unwrap().chunks(30 * 8) {
        parts.push([3, 10], half.to_vec()).unwrap();
    }
    let [whole, parts] = [&whole, &parts].map(|all| Pca::fit(all, 3, None).unwrap());
    for (a, b) in whole.components.iter().flatten().zip(parts.components.iter().flatten()) {
        assert!((a - b).abs() < 1e-9, "{a} {b}");
    }
    for component in &whole.components {
        let largest = component.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs()));
        assert!(largest.unwrap() > 0.0, "the sign is fixed");
    }
}

#[test]
fn colours_are_one_scale_for_models_that_share_a_space() {
    let raw = random(&[[8, 8], [4, 9]], 6, 2);
    let colours = PcaColours::fit(&raw, None).unwrap();
    let mut doubled = HeldFeatures::new(6);
    for (image, &grid) in raw.grids().iter().enumerate() {
        let values = raw.read(image).unwrap();
        doubled.push(grid, values.iter().map(|value| value * 2.0).collect()).unwrap();
    }
    let (scores, twice) = (colours.scores(&raw).unwrap(), colours.scores(&doubled).unwrap());
    let spread = |all: &[Vec<[f32; 3]>]| {
        all.iter().flatten().map(|score| score[0]).fold(0.0, |a: f32, b| a.max(b.abs()))
    };
    assert!(spread(&twice) > 1.6 * spread(&scores), "no scale of its own");
    let own = colours.turned_colours(&raw, &raw).unwrap();
    let direct = colours.colours(&raw).unwrap();
    for (a, b) in own.iter().flatten().flatten().zip(direct.iter().flatten().flatten()) {
        assert!((a - b).abs() < 1e-4, "turning features onto themselves changes nothing");
    }
    let error = message(colours.scores(&random(&[[8, 8], [4, 9]], 5, 2)));
    assert!(error.contains("of width 6"), "{error}");
    let error = message(colours.turned_colours(&raw, &random(&[[8, 8]], 5, 2)));
    assert!(error.contains("other images"), "{error}");
}

#[test]
fn too_few_patches_and_bad_thresholds_are_errors() {
    let error = message(PcaColours::fit(&random(&[[1, 1]], 6, 3), None));
    assert!(error.contains("at least two"), "{error}");
    let set = random(&[[5, 5]], 6, 3);
    let error = message(PcaColours::fit(&set, Some(50.0)));
    assert!(error.contains("foreground") && error.contains("0 of 25 patches"), "{error}");
    assert!(message(PcaColours::fit(&set, Some(f64::NAN))).contains("must be a number"));
    assert!(message(Pca::fit(&set, 7, None)).contains("width 6"));
    let error = message(HeldFeatures::new(4).push([2, 2], vec![f32::NAN; 16]));
    assert!(error.contains("not finite"), "{error}");
    assert!(message(HeldFeatures::new(4).push([2, 2], vec![0.0; 15])).contains("2x2 patches"));
}

#[test]
fn segments_are_seeded_ordered_by_size_and_at_most_as_many_as_patches() {
    let set = random(&[[6, 6], [3, 7]], 5, 4);
    let settings = SegmentSettings::default().with(|s| (s.count, s.seed) = (4, 7));
    let found = Segments::fit(&set, &settings).unwrap();
    assert_eq!(found, Segments::fit(&set, &settings).unwrap());
    let mut counts = [0; 4];
    found.labels.iter().flatten().for_each(|&label| counts[label] += 1);
    assert!(counts.is_sorted_by(|a, b| a >= b), "{counts:?}");
    assert_eq!(found.labels.iter().map(Vec::len).collect::<Vec<_>>(), [36, 21]);

    let all = Segments::fit(&set, &settings.clone().with(|s| s.count = 57)).unwrap();
    assert!(all.inertia < 1e-9, "each patch is a segment of its own");
    for count in [0, 58] {
        let error = message(Segments::fit(&set, &settings.clone().with(|s| s.count = count)));
        assert!(error.contains("57 patches"), "{error}");
    }
    let mut equal = HeldFeatures::new(3);
    equal.push([2, 3], vec![1.0; 18]).unwrap();
    let settings = settings.with(|s| s.count = 3);
    assert_eq!(Segments::fit(&equal, &settings).unwrap().inertia, 0.0, "equal patches do not hang");
    assert!(
        message(Segments::from_centres(&equal, vec![vec![0.0; 2]], &settings)).contains("width 3")
    );
}

#[test]
fn shifted_copies_average_to_cells_of_a_part_of_a_patch() {
    // The feature of a patch is the mean of its pixels: then a cell holds the mean over all
    // patch-sized windows that cover it, which is a box filter of the image.
    let (patch, shifts) = (4, 2);
    let image = RgbImage::from_fn(12, 8, |x, y| Rgb([(x * 7 + y * 3) as u8, 0, 0]));
    let means = |image: &RgbImage| -> Vec<f32> {
        let patches = (0..2).flat_map(|row| (0..3).map(move |column| [row, column]));
        patches
            .map(|[row, column]| {
                let pixels = (0..16).map(|i| [column * 4 + i % 4, row * 4 + i / 4]);
                pixels.map(|[x, y]| f32::from(image.get_pixel(x, y).0[0])).sum::<f32>() / 16.0
            })
            .collect()
    };
    let mut fine = FineFeatures::new([2, 3], shifts, 1);
    for [down, right] in FineFeatures::offsets(shifts) {
        let stride = (patch / shifts) as u32;
        let moved = shifted(&image, [down as u32 * stride, right as u32 * stride]);
        fine.add([down, right], &means(&moved)).unwrap();
    }
    assert_eq!(fine.cells(), [4, 6]);
    let found = fine.mean();
    let at = |x: f32, y: f32| x * 7.0 + y * 3.0;
    // A cell away from the edges: the windows that cover it are centred on it on average.
    assert!((found[6 + 2] - at(4.5, 2.5)).abs() < 1e-3, "{}", found[6 + 2]);
    assert_eq!(found[0], means(&image)[0], "the corner has one window alone");
    let error = message(FineFeatures::check(3, 14));
    assert!(error.contains("shifts") && error.contains("14 pixels"), "{error}");
    FineFeatures::check(7, 14).unwrap();
    assert!(message(FineFeatures::new([2, 3], 2, 1).add([0, 0], &[0.0; 5])).contains("2x3"));
}
