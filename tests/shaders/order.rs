//! Shaders and burn share a queue: neither sees the other's work too early.

use burn::tensor::Tensor;
use singer::gpu::{PatchNorm, Tokens};
use singer::refine::{Adapter, Gate};

use crate::reference;
use crate::support::{Batch, assert_close, gpu, host, software};

#[test]
fn shaders_see_burns_pending_work_and_burn_sees_theirs() {
    let (opened, maps) = software();
    let batch = Batch::new([2, 50, 64, 1], 3);
    let wanted: Vec<f64> = reference::norms(&batch).iter().map(|norm| 2.0 * (norm * 8.0)).collect();
    for _ in 0..30 {
        // Pending when the shader is asked for, and its memory free to be reused after.
        let mut tokens = batch.tensor(opened.burn());
        for _ in 0..3 {
            tokens = tokens * 2.0;
        }
        let norms = maps.norms(tokens.clone(), 1).unwrap();
        drop(tokens);
        let overwrite = Tensor::<3>::ones([2, 50, 64], opened.burn()) * 1e6;
        let found = host(norms.clone() + norms);
        drop(overwrite);
        assert_close("norms", &found, &wanted, 1e-5);
    }
}

#[test]
fn an_input_changed_in_place_afterwards_does_not_change_the_result() {
    let (opened, maps) = software();
    let batch = Batch::new([1, 300, 96, 0], 4);
    for _ in 0..20 {
        let tokens = batch.tensor(opened.burn());
        let norms = maps.norms(tokens.clone(), 0).unwrap();
        let changed = tokens.mul_scalar(3.0);
        assert_close("norms", &host(norms), &reference::norms(&batch), 1e-5);
        assert_eq!(host(changed)[0], batch.values[0] * 3.0);
    }
}

#[test]
fn results_chain_from_shader_to_shader() {
    let (opened, maps) = software();
    let batch = Batch::new([3, 40, 32, 1], 5);
    let norms = maps.norms(batch.tensor(opened.burn()), 1).unwrap();
    let outliers = maps.outliers(norms.clone(), 0.9).unwrap();
    let kept = norms * (outliers.mask.neg() + 1.0);
    let most = host(kept.max_dim(1));
    for (most, threshold) in most.iter().zip(host(outliers.threshold)) {
        assert!(*most <= threshold, "{most} lies above {threshold}");
    }
}

#[test]
fn tensors_of_another_thread_can_be_used_once_that_thread_has_synchronised() {
    let (opened, maps) = software();
    let batch = Batch::new([2, 30, 48, 0], 6);
    for _ in 0..10 {
        let device = opened.burn().clone();
        let made = batch.clone();
        let tokens = std::thread::spawn(move || {
            let tokens = made.tensor(&device) * 4.0;
            device.sync().unwrap();
            tokens
        });
        let norms = maps.norms(tokens.join().unwrap(), 0).unwrap();
        let wanted: Vec<f64> = reference::norms(&batch).iter().map(|norm| norm * 4.0).collect();
        assert_close("norms", &host(norms), &wanted, 1e-5);
    }
}

#[test]
fn threads_at_work_at_once_do_not_disturb_each_other() {
    let (opened, maps) = software();
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let (maps, device) = (maps.clone(), opened.burn().clone());
            scope.spawn(move || {
                let batch = Batch::new([2, 60, 40, 1], 40 + seed);
                for _ in 0..8 {
                    let norms = maps.norms(batch.tensor(&device) * 1.0, 1).unwrap();
                    assert_close("norms", &host(norms), &reference::norms(&batch), 1e-5);
                }
            });
        }
    });
}

#[test]
fn pipelines_are_made_once_and_shared() {
    let gpu = gpu(|_, _| {});
    assert_eq!(gpu.pipelines(), 0);
    let slice = gpu.upload("tokens", &Batch::new([1, 9, 8, 0], 8).values).unwrap();
    let tokens = Tokens { slice, images: 1, tokens: 9, dim: 8, prefix: 0 };
    for gpu in [gpu.clone(), gpu.clone()] {
        for _ in 0..3 {
            let norms = gpu.allocate("norms", 9).unwrap();
            let mut recording = gpu.record();
            PatchNorm::record(&mut recording, &tokens, &norms).unwrap();
            recording.submit().unwrap();
        }
    }
    assert_eq!(gpu.pipelines(), 1);
    gpu.warm_up().unwrap();
    let usual = gpu.pipelines();
    assert!(usual > 1);
    gpu.warm_up().unwrap();
    assert_eq!(gpu.pipelines(), usual);
}

#[test]
fn a_clock_adds_up_the_recordings_it_saw_and_says_where_it_missed_some() {
    let gpu = gpu(|_, _| {});
    assert!(gpu.stop_clock().unwrap().is_none(), "no clock ran");
    let batch = Batch::new([4, 100, 64, 0], 7);
    let slice = gpu.upload("tokens", &batch.values).unwrap();
    let tokens = Tokens { slice, images: 4, tokens: 100, dim: 64, prefix: 0 };
    let norms = gpu.allocate("norms", 400).unwrap();
    let seconds = |recordings: usize| {
        gpu.start_clock().unwrap();
        for _ in 0..recordings {
            let mut recording = gpu.record();
            PatchNorm::record(&mut recording, &tokens, &norms).unwrap();
            recording.submit().unwrap();
        }
        gpu.stop_clock().unwrap()
    };
    if !gpu.device().features().contains(wgpu::Features::TIMESTAMP_QUERY) {
        assert!(seconds(2).is_none(), "the device cannot tell");
        return;
    }
    assert_eq!(seconds(0), Some(0.0));
    let (few, many) = (seconds(2).unwrap(), seconds(200).unwrap());
    assert!(few > 0.0 && many > few, "{few} s for 2 and {many} s for 200");
    assert!(seconds(513).is_none());
}

#[test]
fn a_gated_refinement_sees_burns_pending_work_and_burn_sees_its_own() {
    let (opened, maps) = software();
    let batch = Batch::new([2, 30, 24, 1], 11);
    let dim = batch.dim;
    let up = Tensor::<2>::eye(dim, opened.burn()).narrow(0, 0, 1);
    let gate = Gate::new(
        Tensor::zeros([dim], opened.burn()),
        Tensor::full([1], 1.5_f32, opened.burn()),
        true,
    );
    // Takes the first channel out where it lies beyond the limit.
    let adapter = Adapter::from_parts(-up.clone().transpose(), up, Some(gate));
    for _ in 0..20 {
        let tokens = batch.tensor(opened.burn()) * 2.0;
        let refined = maps.refine(tokens.clone(), &adapter, 1).unwrap();
        drop(tokens);
        let overwrite = Tensor::<3>::ones([2, 30, dim], opened.burn()) * 1e6;
        let found = host(refined * 0.5);
        drop(overwrite);
        for (found, raw) in found.chunks(dim).zip(batch.values.chunks(dim)) {
            let first = if raw[0].abs() > 0.75 { 0.0 } else { raw[0] };
            assert_eq!((found[0], &found[1..]), (first, &raw[1..]));
        }
    }
}
