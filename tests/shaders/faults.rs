use std::time::{Duration, Instant};

use burn::tensor::{Device, Tensor};
use singer::gpu::{
    CosineMap, GatedRefine, Gpu, GramMatrix, LowRankRefine, NormQuantile, Outliers, PatchNorm,
    Slice, Tokens,
};
use singer::refine::{Adapter, Gate};
use singer::{Error, LimitKind};

use crate::reference;
use crate::support::{Batch, assert_close, gpu, normal, own_device, software};

fn upload(gpu: &Gpu, batch: &Batch) -> Tokens {
    Tokens {
        slice: gpu.upload("tokens", &batch.values).unwrap(),
        images: batch.images,
        tokens: batch.tokens,
        dim: batch.dim,
        prefix: batch.prefix,
    }
}

/// A closed form whose parts are all `part`.
fn gated(part: &Slice, rank: usize) -> GatedRefine<'_> {
    GatedRefine { down: part, up: part, centre: part, limit: part, rank, class_token: true }
}

#[test]
fn an_adapter_with_too_small_limits_is_refused_with_the_numbers() {
    let (device, queue) = own_device(|limits, _| {
        limits.max_compute_invocations_per_workgroup = 128;
        limits.max_compute_workgroup_size_x = 128;
        limits.max_compute_workgroup_size_y = 128;
    });
    let error = Gpu::new(device, queue).unwrap_err();
    let told =
        matches!(error, Error::GpuLimit { needed: 256, limit: 128, kind: LimitKind::Device, .. });
    assert!(told, "{error}");
    assert!(error.to_string().contains("invocations a workgroup"), "{error}");
}

#[test]
fn an_image_beyond_the_binding_limit_is_refused_with_the_numbers() {
    let gpu = gpu(|limits, _| limits.max_storage_buffer_binding_size = 64 << 10);
    let batch = Batch::new([1, 300, 64, 0], 1);
    let tokens = upload(&gpu, &batch);
    let out = gpu.allocate("norms", 300).unwrap();
    let error = PatchNorm::record(&mut gpu.record(), &tokens, &out).unwrap_err();
    assert!(matches!(error, Error::GpuLimit { needed: 76_800, limit: 65_536, .. }), "{error}");
}

#[test]
fn an_adapter_that_binds_less_than_its_device_claims_is_believed() {
    let (device, queue) = own_device(|_, _| {});
    let adapter = wgpu::Limits { max_storage_buffer_binding_size: 64 << 10, ..device.limits() };
    let gpu = Gpu::within(device, queue, &adapter).unwrap();
    let tokens = upload(&gpu, &Batch::new([1, 300, 64, 0], 1));
    let out = gpu.allocate("norms", 300).unwrap();
    let error = PatchNorm::record(&mut gpu.record(), &tokens, &out).unwrap_err();
    let told = matches!(error, Error::GpuLimit { limit: 65_536, kind: LimitKind::Size, .. });
    assert!(told, "{error}");
}

#[test]
fn a_buffer_beyond_the_devices_limit_is_refused_with_the_numbers() {
    let gpu = gpu(|limits, _| {
        limits.max_buffer_size = 1 << 20;
        limits.max_storage_buffer_binding_size = 1 << 20;
    });
    let error = gpu.allocate("norms", 1 << 20).unwrap_err();
    assert!(
        matches!(error, Error::GpuLimit { needed: 4_194_304, limit: 1_048_576, .. }),
        "{error}"
    );
}

#[test]
fn a_batch_beyond_the_binding_limit_is_worked_through_in_groups() {
    // An image of 21 x 7 values begins at no aligned offset.
    let gpu = gpu(|limits, _| limits.max_storage_buffer_binding_size = 4 << 10);
    for dim in [7, 8, 12] {
        let batch = Batch::new([13, 21, dim, 2], dim as u64);
        let tokens = upload(&gpu, &batch);
        let patches = 13 * 19;
        let norms = gpu.allocate("norms", patches).unwrap();
        let cosines = gpu.allocate("cosines", patches).unwrap();
        let own = gpu.allocate("own", patches).unwrap();
        let marked: Vec<u32> = (0..13).map(|image| image % 19).collect();
        let marked = gpu.upload("marked", &marked).unwrap();
        let rank = 5;
        let weights = normal(dim * rank, 9);
        let adapter = gpu.upload("adapter", &weights).unwrap();
        let refined = gpu.allocate("refined", 13 * 21 * dim).unwrap();
        let gram = gpu.allocate("gram", 13 * 19 * 19).unwrap();
        let distance = gpu.allocate("distance", 13).unwrap();
        let refined_tokens = Tokens { slice: refined.clone(), ..tokens.clone() };
        let mut recording = gpu.record();
        PatchNorm::record(&mut recording, &tokens, &norms).unwrap();
        CosineMap::to_marked(&mut recording, &tokens, &marked, &cosines).unwrap();
        CosineMap::between(&mut recording, &tokens, &tokens, &own).unwrap();
        LowRankRefine::record(&mut recording, &tokens, &adapter, &adapter, rank, &refined).unwrap();
        GramMatrix::record(&mut recording, &tokens, &gram).unwrap();
        GramMatrix::distance(&mut recording, &tokens, &refined_tokens, &distance).unwrap();
        recording.submit().unwrap();

        assert_close("norms", &gpu.read(&norms).unwrap(), &reference::norms(&batch), 1e-5);
        let wanted = reference::each_patch(&batch, |image, patch| {
            reference::cosine(batch.patch(image, patch), batch.patch(image, image % 19))
        });
        assert_close("cosines", &gpu.read(&cosines).unwrap(), &wanted, 1e-5);
        assert_close("own", &gpu.read(&own).unwrap(), &vec![1.0; patches], 1e-5);
        let found: Vec<f32> = gpu.read(&refined).unwrap();
        for (index, token) in batch.values.chunks(dim).enumerate() {
            if index % 21 >= 2 {
                let wanted = reference::refine(token, &weights, &weights, rank);
                assert_close("refined", &found[index * dim..(index + 1) * dim], &wanted, 1e-5);
            }
        }
        assert_close("gram", &gpu.read(&gram).unwrap(), &reference::gram(&batch), 1e-5);
        let refined = Batch { values: found, ..batch.clone() };
        let (a, b) = (reference::gram(&batch), reference::gram(&refined));
        let wanted: Vec<f64> = a
            .chunks(19 * 19)
            .zip(b.chunks(19 * 19))
            .map(|(a, b)| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / 361.0)
            .collect();
        assert_close("distance", &gpu.read(&distance).unwrap(), &wanted, 1e-5);
    }
}

#[test]
fn a_lost_device_is_an_error_and_no_hang() {
    let gpu = gpu(|_, _| {});
    let batch = Batch::new([1, 20, 16, 0], 1);
    let tokens = upload(&gpu, &batch);
    let out = gpu.allocate("norms", 20).unwrap();
    let start = Instant::now();
    gpu.device().destroy();
    let mut recording = gpu.record();
    let done = PatchNorm::record(&mut recording, &tokens, &out)
        .and_then(|()| recording.submit())
        .and_then(|()| gpu.read::<f32>(&out).map(drop));
    let error = done.unwrap_err();
    assert!(matches!(error, Error::Gpu { .. }), "{error}");
    assert!(!error.to_string().contains('\n'), "{error}");
    assert!(start.elapsed() < Duration::from_secs(20));
    assert!(gpu.read::<f32>(&out).is_err());
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let (opened, maps) = software();
    let device = opened.burn();
    let zeros = |shape: [usize; 3]| Tensor::<3>::zeros(shape, device);
    let weights = |shape: [usize; 2]| Tensor::<2>::zeros(shape, device);
    let adapter = |down, up, gate: Option<[usize; 2]>| {
        let vector = |count: usize| Tensor::<1>::zeros([count], device);
        let gate = gate.map(|[dim, rank]| Gate::new(vector(dim), vector(rank), true));
        Adapter::from_parts(weights(down), weights(up), gate)
    };
    let refused = [
        maps.norms(zeros([1, 3, 4]), 3).err(),
        maps.outliers(weights([1, 4]), 1.5).err(),
        maps.outliers(weights([1, 4]), f64::NAN).err(),
        maps.refine(zeros([1, 3, 4]), &adapter([5, 2], [2, 4], None), 1).err(),
        maps.refine(zeros([1, 3, 4]), &adapter([4, 2], [3, 4], None), 1).err(),
        maps.refine(zeros([1, 3, 4]), &adapter([4, 2], [2, 4], Some([5, 2])), 1).err(),
        maps.refine(zeros([1, 3, 4]), &adapter([4, 2], [2, 4], Some([4, 1])), 1).err(),
        maps.cosine_to(zeros([2, 3, 4]), &[0], 1).err(),
        maps.cosine_to(zeros([1, 3, 4]), &[2], 1).err(),
        maps.cosine_between(zeros([1, 3, 4]), zeros([1, 4, 4]), [1, 1]).err(),
        maps.gram_distance(zeros([1, 3, 4]), zeros([1, 3, 5]), 1).err(),
        maps.picture(weights([2, 2]), [0, 4], &Default::default(), None).err(),
    ];
    for (index, error) in refused.into_iter().enumerate() {
        let refused = matches!(error, Some(Error::Shape { .. } | Error::Setting { .. }));
        assert!(refused, "case {index}: {error:?}");
    }
}

#[test]
fn tensors_of_another_backend_or_of_a_graph_are_refused() {
    let (opened, maps) = software();
    let on_cpu = Tensor::<3>::zeros([1, 3, 4], &Device::flex());
    assert!(matches!(maps.norms(on_cpu, 1), Err(Error::Placement)));
    let tracked = Tensor::<3>::zeros([1, 3, 4], &opened.autodiff());
    assert!(matches!(maps.norms(tracked, 1), Err(Error::Placement)));
}

#[test]
fn ranks_and_quantiles_beyond_the_shaders_are_refused() {
    let gpu = gpu(|_, _| {});
    let tokens = upload(&gpu, &Batch::new([1, 4, 8, 0], 1));
    let spare = gpu.allocate("spare", 4096).unwrap();
    let mut recording = gpu.record();
    for rank in [0, 257] {
        let refused = LowRankRefine::record(&mut recording, &tokens, &spare, &spare, rank, &spare);
        assert!(matches!(refused, Err(Error::Setting { setting: "rank", .. })), "{refused:?}");
        let refused = gated(&spare, rank).record(&mut recording, &tokens, &spare);
        assert!(matches!(refused, Err(Error::Setting { setting: "rank", .. })), "{refused:?}");
    }
    let out = Outliers { thresholds: spare.clone(), mask: spare.clone(), counts: spare.clone() };
    for q in [-0.1, 1.1, f64::NAN] {
        let refused = NormQuantile::record(&mut recording, &spare, [1, 4], q, &out);
        assert!(matches!(refused, Err(Error::Setting { setting: "quantile", .. })), "{refused:?}");
    }
    let refused = NormQuantile::record(&mut recording, &spare, [1, 0], 0.5, &out);
    assert!(matches!(refused, Err(Error::Shape { .. })), "{refused:?}");
}

#[test]
fn buffers_too_short_for_their_shapes_are_refused() {
    let gpu = gpu(|_, _| {});
    let tokens = upload(&gpu, &Batch::new([2, 5, 8, 1], 1));
    let short = gpu.allocate("short", 1).unwrap();
    let long = gpu.allocate("long", 4096).unwrap();
    let recording = &mut gpu.record();
    let out = Outliers { thresholds: short.clone(), mask: long.clone(), counts: long.clone() };
    let refused = [
        PatchNorm::record(recording, &tokens, &short),
        PatchNorm::record(recording, &Tokens { images: 99, ..tokens.clone() }, &long),
        NormQuantile::record(recording, &long, [2, 4], 0.5, &out),
        LowRankRefine::record(recording, &tokens, &short, &long, 4, &long),
        LowRankRefine::record(recording, &tokens, &long, &long, 4, &short),
        gated(&long, 4).record(recording, &tokens, &short),
        GatedRefine { down: &short, ..gated(&long, 4) }.record(recording, &tokens, &long),
        GatedRefine { up: &short, ..gated(&long, 4) }.record(recording, &tokens, &long),
        GatedRefine { centre: &short, ..gated(&long, 4) }.record(recording, &tokens, &long),
        GatedRefine { limit: &short, ..gated(&long, 4) }.record(recording, &tokens, &long),
        CosineMap::to_marked(recording, &tokens, &short, &long),
        CosineMap::between(recording, &tokens, &tokens, &short),
        GramMatrix::record(recording, &tokens, &short),
        GramMatrix::distance(recording, &tokens, &tokens, &short),
    ];
    for (index, refused) in refused.into_iter().enumerate() {
        assert!(matches!(refused, Err(Error::Shape { .. })), "case {index}: {refused:?}");
    }
}
