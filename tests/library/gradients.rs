use crate::normal;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use singer::distill::singer::{Singer, SingerModel, SingerSettings};
use singer::distill::{Distillation, Mapping, Method};
use singer::train::{Pretraining, Shards};
use singer::vit::{
    Activation, FinalNorm, Pooling, Positions, QkvBias, Vit, VitConfig, init_weights,
};

fn tiny() -> VitConfig {
    VitConfig {
        img_size: [16, 24],
        patch_size: 8,
        embed_dim: 12,
        depth: 3,
        num_heads: 2,
        num_classes: 4,
        reg_tokens: 1,
        init_values: Some(0.5),
        ..VitConfig::default()
    }
}

/// Norms within attention and MLPs, patches counted by row, the last norm on the mean.
fn eva02() -> VitConfig {
    VitConfig {
        embed_dim: 16,
        reg_tokens: 0,
        init_values: None,
        mlp: Activation::Swiglu,
        scale_mlp: true,
        scale_attn_inner: true,
        qkv_bias: QkvBias::QueryValue,
        positions: Positions::LearnedAndRotary { side: 4, first: 0, columns_first: false },
        pooling: Pooling::Mean,
        final_norm: FinalNorm::Pooled,
        ..tiny()
    }
}

/// Patches counted by column, an attention pool of its own width and heads.
fn perception() -> VitConfig {
    VitConfig {
        embed_dim: 16,
        reg_tokens: 0,
        pre_norm: true,
        positions: Positions::LearnedAndRotary { side: 4, first: 1, columns_first: true },
        pooling: Pooling::Attention,
        attn_pool_num_heads: Some(4),
        attn_pool_mlp_ratio: Some(2.0),
        ..tiny()
    }
}

/// No last norm, and DINOv3's positions.
fn unnormed() -> VitConfig {
    VitConfig {
        embed_dim: 16,
        positions: Positions::Rotary { temperature: 100.0 },
        pooling: Pooling::Mean,
        final_norm: FinalNorm::None,
        ..tiny()
    }
}

/// Matrices ten times a new model's, so that every part shows in the loss.
struct Strong;

impl ModuleMapper for Strong {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match D {
            2 => param.map(|tensor| Tensor::from_inner(tensor.inner() * 10.0).require_grad()),
            _ => param,
        }
    }
}

fn model(config: &VitConfig, seed: u64, device: &Device) -> Vit {
    init_weights(config.build(device).unwrap(), seed)
}

fn images(count: usize) -> Tensor<4> {
    normal([count, 3, 16, 24], 1.0, 5)
}

struct Without<'a> {
    grads: &'a GradientsParams,
    path: Vec<String>,
    names: Vec<String>,
}

impl ModuleVisitor for Without<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.grads.get::<D>(param.id).is_none() {
            self.names.push(self.path.join("."));
        }
    }
}

fn without_gradient<M: Module>(model: &M, grads: &GradientsParams) -> Vec<String> {
    let mut visitor = Without { grads, path: Vec::new(), names: Vec::new() };
    model.visit(&mut visitor);
    visitor.names
}

#[test]
fn a_new_model_trains_in_every_parameter() {
    let device = Device::flex().autodiff();
    for config in [tiny(), eva02(), perception(), unnormed()] {
        let model = model(&config, 1, &device);
        let task = Pretraining { label_smoothing: 0.1 };
        let (_, grads) = Shards::one().backward(&task, &model, &device, &images(3), &[0, 1, 3], 0);
        assert_eq!(without_gradient(&model, &grads), Vec::<String>::new(), "{config:?}");
    }
}

fn distillation(mapping: Mapping) -> (Distillation<Singer>, SingerModel) {
    let device = Device::flex().autodiff();
    let teacher = model(&VitConfig { embed_dim: 16, ..tiny() }, 2, &Device::flex());
    let student = model(&VitConfig { num_classes: 0, ..tiny() }, 3, &device);
    let settings = SingerSettings::default().with(|s| {
        s.layers = vec![1];
        s.mapping = mapping;
        s.rank = 4;
        s.quantile = 0.5;
    });
    let (method, model, _) = Singer::new(teacher, student, &settings, 4).unwrap();
    (Distillation::new(method), model)
}

#[test]
fn distillation_trains_all_but_what_lies_after_the_last_mapped_block() {
    for mapping in [Mapping::Last, Mapping::Reference] {
        let (task, model) = distillation(mapping);
        let device = Device::flex().autodiff();
        let (_, grads) = Shards::one().backward(&task, &model, &device, &images(3), &[0; 3], 0);
        let last = *task.method.student_layers().iter().max().unwrap();
        assert_eq!(last, if mapping == Mapping::Last { 2 } else { 1 });
        let untrained = without_gradient(&model, &grads);
        let after = |name: &String| lies_after(name, last);
        assert!(untrained.iter().all(after), "no gradient for {untrained:?}");
        assert_eq!(task.untrained_blocks(3), last + 1..3);
        let blocks = untrained.iter().filter(|name| name.starts_with("student.blocks.")).count();
        assert_eq!(blocks > 0, mapping == Mapping::Reference, "{untrained:?}");
    }
}

/// Whether a student's parameter lies after block `last`.
fn lies_after(name: &str, last: usize) -> bool {
    let block = name.strip_prefix("student.blocks.").and_then(|rest| rest.split('.').next());
    block.map_or(name.starts_with("student.norm."), |block| block.parse::<usize>().unwrap() > last)
}

/// A matrix of a model.
type Matrix = fn(&mut Vit) -> &mut Param<Tensor<2>>;

#[test]
fn the_gradient_equals_finite_differences() {
    let device = Device::flex().autodiff();
    let task = Pretraining { label_smoothing: 0.0 };
    let loss_at = |model: &Vit| -> f64 {
        let (loss, _) = Shards::one().backward(&task, model, &device, &images(2), &[1, 2], 0);
        loss.total().into_scalar::<f32>().into()
    };
    let matrices: [Matrix; 3] = [
        |vit| &mut vit.blocks[1].mlp.fc1.weight,
        |vit| &mut vit.blocks[0].attn.qkv.weight,
        |vit| &mut vit.blocks[2].attn.proj.weight,
    ];
    for (config, matrix) in [tiny(), eva02(), perception(), unnormed()]
        .iter()
        .flat_map(|config| matrices.iter().map(move |matrix| (config, matrix)))
    {
        let mut start = model(config, 6, &device).map(&mut Strong);
        let (_, grads) = Shards::one().backward(&task, &start, &device, &images(2), &[1, 2], 0);
        let grad = grads.get::<2>(matrix(&mut start).id).unwrap();
        for seed in 0..3 {
            // Along the gradient itself, mixed with a random direction.
            let noise = normal(grad.dims(), 1.0, seed);
            let direction = grad.clone() * (0.01 / grad.clone().abs().max().into_scalar::<f32>())
                + noise * 0.0004;
            let moved = |sign: f64| {
                let mut model = start.clone();
                let weight = matrix(&mut model);
                let step = Tensor::from_inner(direction.clone()) * sign;
                *weight = weight.clone().map(|w| w + step.clone());
                loss_at(&model)
            };
            let measured = (moved(1.0) - moved(-1.0)) / 2.0;
            let predicted: f64 =
                (grad.clone() * direction.clone()).sum().into_scalar::<f32>().into();
            let error = (measured - predicted).abs();
            assert!(
                error <= 0.02 * predicted.abs() + 2e-6,
                "measured {measured:.3e}, predicted {predicted:.3e} of {config:?}"
            );
        }
    }
}

#[test]
fn shards_of_a_batch_add_up_to_the_whole() {
    let (task, model) = distillation(Mapping::Last);
    let device = Device::flex().autodiff();
    let images = images(5);
    let run = |count: usize| {
        let shards = Shards::new(count).unwrap();
        let (loss, grads) = shards.backward(&task, &model, &device, &images, &[0; 5], 0);
        let total: f32 = loss.total().into_scalar();
        let grad = grads.get::<2>(model.adapters[0].down.id).unwrap();
        let grad: Vec<f32> = grad.into_data().iter::<f32>().collect();
        (total, grad)
    };
    let (whole, whole_grad) = run(1);
    for count in [2, 3, 8] {
        let (total, grad) = run(count);
        assert!((total - whole).abs() <= 1e-5 * whole.abs(), "{count} shards: {total} for {whole}");
        let norm = |v: &[f32]| v.iter().map(|x| x * x).sum::<f32>().sqrt();
        let difference: Vec<f32> = grad.iter().zip(&whole_grad).map(|(a, b)| a - b).collect();
        assert!(norm(&difference) <= 1e-4 * norm(&whole_grad), "{count} shards: gradients differ");
    }
}
