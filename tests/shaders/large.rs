use singer::gpu::{
    CosineMap, GatedRefine, LowRankRefine, NormQuantile, Outliers, PatchNorm, Tokens,
};

use crate::reference;
use crate::support::{Batch, assert_close, gpu, normal};

/// The largest case that the shaders are made for: 64 images of DINOv2-giant, 514
/// MiB of tokens, which no binding of this device holds at once.
#[test]
fn sixty_four_images_of_1369_patches_and_width_1536_agree_with_f64() {
    let gpu = gpu(|limits, adapter| limits.max_buffer_size = adapter.max_buffer_size);
    let (images, patches, dim, rank) = (64, 1369, 1536, 8);
    let one = Batch::new([1, patches + 1, dim, 1], 1).with_extremes(1e4);
    // One image's tokens, scaled differently for each image.
    let mut all = Batch { images, values: Vec::new(), ..one.clone() };
    for image in 0..images {
        let factor = 1.0 + image as f32 / 64.0;
        all.values.extend(one.values.iter().map(|value| value * factor));
    }
    let slice = gpu.upload("tokens", &all.values).unwrap();
    let tokens = Tokens { slice, images, tokens: patches + 1, dim, prefix: 1 };
    let norms = gpu.allocate("norms", images * patches).unwrap();
    let outliers = Outliers {
        thresholds: gpu.allocate("thresholds", images).unwrap(),
        mask: gpu.allocate("mask", images * patches).unwrap(),
        counts: gpu.allocate("counts", images).unwrap(),
    };
    let marked: Vec<u32> = (0..images as u32).map(|image| 5 + image).collect();
    let marked_slice = gpu.upload("marked", &marked).unwrap();
    let cosines = gpu.allocate("cosines", images * patches).unwrap();
    let weights: Vec<f32> = normal(dim * rank, 3).iter().map(|value| value / 40.0).collect();
    let adapter = gpu.upload("adapter", &weights).unwrap();
    let refined = gpu.allocate("refined", all.values.len()).unwrap();
    let gated = gpu.allocate("gated", all.values.len()).unwrap();
    // Scores of patches at 1e4 are some hundreds, those of others below 10.
    let limit = gpu.upload("limit", &[20.0_f32; 8]).unwrap();
    let centre = gpu.upload("centre", &vec![0.0_f32; dim]).unwrap();
    let closed_form = GatedRefine {
        down: &adapter,
        up: &adapter,
        centre: &centre,
        limit: &limit,
        rank,
        class_token: true,
    };

    let mut recording = gpu.record();
    PatchNorm::record(&mut recording, &tokens, &norms).unwrap();
    let shape = [images, patches];
    NormQuantile::record(&mut recording, &norms, shape, 0.97, &outliers).unwrap();
    CosineMap::to_marked(&mut recording, &tokens, &marked_slice, &cosines).unwrap();
    LowRankRefine::record(&mut recording, &tokens, &adapter, &adapter, rank, &refined).unwrap();
    closed_form.record(&mut recording, &tokens, &gated).unwrap();
    recording.submit().unwrap();

    let found: Vec<f32> = gpu.read(&norms).unwrap();
    let cosines: Vec<f32> = gpu.read(&cosines).unwrap();
    let refined: Vec<f32> = gpu.read(&refined).unwrap();
    let gated: Vec<f32> = gpu.read(&gated).unwrap();
    for (image, &marked) in marked.iter().enumerate() {
        for patch in [0, 1, 2, 700, 1368] {
            let token = all.patch(image, patch);
            let (norm, at) = (reference::norm(token), image * patches + patch);
            assert!((f64::from(found[at]) - norm).abs() <= 1e-5 * norm, "norm of {image}, {patch}");
            let cosine = reference::cosine(token, all.patch(image, marked as usize));
            assert!((f64::from(cosines[at]) - cosine).abs() <= 1e-5, "cosine of {image}, {patch}");
            let start = (image * (patches + 1) + patch + 1) * dim;
            let wanted = reference::refine(token, &weights, &weights, rank);
            assert_close("refined", &refined[start..start + dim], &wanted, 1e-5);
            match patch {
                1 => assert_close("gated", &gated[start..start + dim], &wanted, 1e-5),
                _ => assert_eq!(&gated[start..start + dim], token, "{image}, {patch}"),
            }
        }
    }
    let thresholds: Vec<f32> = gpu.read(&outliers.thresholds).unwrap();
    for (row, threshold) in found.chunks(patches).zip(thresholds) {
        let wanted = reference::quantile(row, 0.97);
        assert!((f64::from(threshold) - wanted).abs() <= 2e-7 * wanted);
    }
}
