use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use image::RgbImage;
use singer::data::{Normalise, Pixels};
use singer::distill::Distillation;
use singer::distill::singer::{Singer, SingerSettings};
use singer::train::{OptimizerSettings, ParamOptimizer, Shards};
use singer::vit::{VitConfig, init_weights};

use crate::support::{host, normal, software, widened};

struct Values(Vec<Vec<f32>>);

impl ModuleVisitor for Values {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.push(host(param.val().inner()));
    }
}

/// The loss of a step and the parameters after three.
fn train(device: &Device, shards: &Shards) -> (Vec<f32>, Vec<Vec<f32>>) {
    let training = device.clone().autodiff();
    let config = VitConfig {
        img_size: [32, 48],
        patch_size: 8,
        embed_dim: 48,
        depth: 4,
        num_heads: 4,
        ..VitConfig::default()
    };
    let teacher = init_weights(config.build(device).unwrap(), 1);
    let small = VitConfig { embed_dim: 24, depth: 3, num_heads: 2, ..config };
    let student = init_weights(small.build(&training).unwrap(), 2);
    let settings = SingerSettings::default().with(|s| {
        s.layers = vec![1];
        s.rank = 8;
        s.quantile = 0.9;
    });
    let (method, mut model, _) = Singer::new(teacher, student, &settings, 3).unwrap();
    let task = Distillation::new(method);
    // SGD, as Adam would blow rounding noise in small gradients up to whole steps.
    let mut optimizer =
        ParamOptimizer::new(&OptimizerSettings::Sgd { lr: 0.02, momentum: 0.9, weight_decay: 0.0 });
    let pixels = burn::tensor::TensorData::new(normal(2 * 3 * 32 * 48, 7), [2, 3, 32, 48]);
    let images = Tensor::<4>::from_data(pixels, device);
    let mut totals = Vec::new();
    for _ in 0..3 {
        let (loss, grads) = shards.backward(&task, &model, &training, &images, &[0, 0], 0);
        totals.push(host(loss.total())[0]);
        model = optimizer.step(0.02, model, grads, None);
    }
    let mut values = Values(Vec::new());
    model.visit(&mut values);
    (totals, values.0)
}

#[test]
fn a_distillation_step_on_software_vulkan_equals_the_cpu_backends_to_1e_4() {
    let (opened, _) = software();
    let (gpu_losses, gpu_values) = train(opened.burn(), &Shards::one());
    let (cpu_losses, cpu_values) = train(&Device::flex(), &Shards::one());
    for (gpu, cpu) in gpu_losses.iter().zip(&cpu_losses) {
        assert!((gpu - cpu).abs() <= 1e-4 * cpu.abs(), "loss {gpu} on the GPU, {cpu} on the CPU");
    }
    assert!(cpu_losses[2] < cpu_losses[0], "the steps do not train: {cpu_losses:?}");
    assert_close(&gpu_values, &cpu_values, 1e-4);
}

#[test]
fn micro_batches_and_recomputation_on_software_vulkan_train_as_the_whole_batch_does() {
    let (opened, _) = software();
    let (whole, wanted) = train(opened.burn(), &Shards::one());
    for shards in [Shards::one().accumulate(2), Shards::one().accumulate(2).recompute(true)] {
        let (losses, values) = train(opened.burn(), &shards);
        for (loss, whole) in losses.iter().zip(&whole) {
            assert!((loss - whole).abs() <= 1e-5 * whole.abs(), "{shards:?}: {loss} for {whole}");
        }
        assert_close(&values, &wanted, 1e-5);
    }
}

#[test]
fn bytes_normalised_on_software_vulkan_are_the_hosts_normalised_pixels_to_rounding() {
    let (opened, _) = software();
    let normalise = Normalise { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
    // 27 bytes: no multiple of a word.
    let bytes: Vec<u8> = (0..2 * 27).map(|place| (place * 37 % 256) as u8).collect();
    let images: Vec<RgbImage> =
        bytes.chunks(27).map(|image| RgbImage::from_raw(3, 3, image.to_vec()).unwrap()).collect();
    let wanted = host(normalise.batch(&images, &Device::flex()).unwrap());
    let found = host(Pixels::Bytes(bytes, normalise).to_device([3, 3], opened.burn()));
    assert_close(&[found], &[wanted], 1e-6);
}

fn assert_close(found: &[Vec<f32>], wanted: &[Vec<f32>], tolerance: f64) {
    assert_eq!(found.len(), wanted.len());
    for (found, wanted) in found.iter().zip(wanted) {
        let worst = found
            .iter()
            .zip(widened(wanted))
            .fold(0.0_f64, |most, (&found, wanted)| most.max((f64::from(found) - wanted).abs()));
        assert!(worst <= tolerance, "a parameter differs by {worst:.1e}");
    }
}
