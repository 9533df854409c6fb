use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
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
fn train(device: &Device) -> (Vec<f32>, Vec<Vec<f32>>) {
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
    let shards = Shards::new(1).unwrap();
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
    let (gpu_losses, gpu_values) = train(opened.burn());
    let (cpu_losses, cpu_values) = train(&Device::flex());
    for (gpu, cpu) in gpu_losses.iter().zip(&cpu_losses) {
        assert!((gpu - cpu).abs() <= 1e-4 * cpu.abs(), "loss {gpu} on the GPU, {cpu} on the CPU");
    }
    assert!(cpu_losses[2] < cpu_losses[0], "the steps do not train: {cpu_losses:?}");
    assert_eq!(gpu_values.len(), cpu_values.len());
    for (gpu, cpu) in gpu_values.iter().zip(&cpu_values) {
        let worst = gpu
            .iter()
            .zip(widened(cpu))
            .fold(0.0_f64, |most, (&gpu, cpu)| most.max((f64::from(gpu) - cpu).abs()));
        assert!(worst <= 1e-4, "a parameter differs by {worst:.1e}");
    }
}
