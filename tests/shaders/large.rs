use burn::tensor::{Tensor, TensorData};

use crate::reference;
use crate::support::{Batch, assert_close, host, normal, software};

/// The largest case that the shaders are made for: 64 images of DINOv2-giant.
#[test]
fn sixty_four_images_of_1369_patches_and_width_1536_agree_with_f64() {
    let (opened, maps) = software();
    let (images, patches, dim, rank) = (64, 1369, 1536, 8);
    // One image's random tokens, scaled differently for each image.
    let one = Batch::new([1, patches + 1, dim, 1], 1).with_extremes(1e4);
    let mut all = Batch { values: Vec::with_capacity(images * (patches + 1) * dim), ..one.clone() };
    all.images = images;
    for image in 0..images {
        let factor = 1.0 + image as f32 / 64.0;
        all.values.extend(one.values.iter().map(|value| value * factor));
    }
    let tokens = all.tensor(&opened.device);
    let samples: Vec<(usize, usize)> =
        (0..images).flat_map(|image| [0, 2, 700, 1368].map(|patch| (image, patch))).collect();

    let norms = maps.norms(tokens.clone(), 1).unwrap();
    let found = host(norms.clone());
    for &(image, patch) in &samples {
        let wanted = reference::norm(all.patch(image, patch));
        let found = f64::from(found[image * patches + patch]);
        assert!((found - wanted).abs() <= 1e-5 * wanted, "{found} is not {wanted}");
    }

    let thresholds = host(maps.outliers(norms, 0.97).unwrap().threshold);
    for (image, row) in found.chunks(patches).enumerate() {
        let wanted = reference::quantile(row, 0.97);
        assert!((f64::from(thresholds[image]) - wanted).abs() <= 2e-7 * wanted);
    }

    let marked: Vec<usize> = (0..images).map(|image| 5 + image).collect();
    let cosines = host(maps.cosine_to(tokens.clone(), &marked, 1).unwrap());
    for &(image, patch) in &samples {
        let wanted = reference::cosine(all.patch(image, patch), all.patch(image, marked[image]));
        assert!((f64::from(cosines[image * patches + patch]) - wanted).abs() <= 1e-5);
    }

    let weights: Vec<f32> = normal(dim * rank, 3).iter().map(|value| value / 40.0).collect();
    let tensor = |shape: [usize; 2]| {
        Tensor::<2>::from_data(TensorData::new(weights.clone(), shape), &opened.device)
    };
    let refined = maps.refine(tokens, tensor([dim, rank]), tensor([rank, dim]), 1).unwrap();
    for &(image, patch) in samples.iter().step_by(7) {
        let token = refined.clone().slice([image..image + 1, patch + 1..patch + 2, 0..dim]);
        let wanted = reference::refine(all.patch(image, patch), &weights, &weights, rank);
        assert_close("refined", &host(token), &wanted, 1e-5);
    }
}
