use burn::module::Module;
use burn::tensor::Device;
use singer::distill::singer::{Singer, SingerSettings};
use singer::model::ImageSize;
use singer::run::{DistillConfig, MethodKind, Plan, RefineKind};
use singer::vit::{Precision, VitConfig, init_weights, preset};

fn large_to_small() -> DistillConfig {
    let mut config = DistillConfig::default();
    config.teacher.arch = Some("vit_large_patch16_224".into());
    config.student.arch = Some("vit_small_patch16_224".into());
    config.singer.layers = vec![17];
    config
}

#[test]
fn the_plan_counts_the_parameters_that_are_trained() {
    let shape = |name: &str| VitConfig { num_classes: 0, ..preset(name).unwrap().config() };
    let mut config = large_to_small();
    config.teacher.arch = Some("vit_small_patch16_224".into());
    config.student.arch = Some("vit_tiny_patch16_224".into());
    config.singer.layers = vec![6];
    config.singer.rank = 16;
    config.refine = Some(RefineKind::Published);
    let vit = |name, device: &Device| init_weights(shape(name).build(device).unwrap(), 0);
    let teacher = vit("vit_small_patch16_224", &Device::flex());
    let student = vit("vit_tiny_patch16_224", &Device::flex().autodiff());
    let settings = SingerSettings::default().with(|s| {
        s.layers = vec![6];
        s.rank = 16;
    });
    let (_, model, _) = Singer::new(teacher, student, &settings, 0).unwrap();
    let trained = 4 * model.num_params() as u64;
    let plan = Plan::of(&config, Precision::F32, 1).unwrap();
    assert_eq!(plan.trained_weights, trained);
    assert_eq!((plan.gradients, plan.optimizer), (trained, 2 * trained));
    assert_eq!(Plan::of(&config, Precision::F32, 3).unwrap().gradients, 3 * trained);
}

#[test]
fn the_largest_batch_fits_and_the_next_one_does_not() {
    let mut config = large_to_small();
    for accumulate in [1, 3, 8] {
        config.train.accumulate = accumulate;
        let plan = Plan::of(&config, Precision::F32, 1).unwrap();
        for bytes in [4_000_000_000, 12_000_000_000] {
            let batch = plan.largest_batch(bytes);
            assert!(batch > 0 && plan.for_batch(batch) <= bytes, "{batch}");
            assert!(plan.for_batch(batch + 1) > bytes, "{batch}, {accumulate} micro-batches");
        }
        assert_eq!(plan.largest_batch(plan.fixed()), 0);
    }
}

#[test]
fn micro_batches_are_as_few_as_fit() {
    let mut config = large_to_small();
    config.train.batch = 256;
    let bytes = 6_000_000_000;
    let count = Plan::fewest_micro_batches(&config, Precision::F32, 1, bytes).unwrap().unwrap();
    let total = |accumulate| {
        let mut config = config.clone();
        config.train.accumulate = accumulate;
        Plan::of(&config, Precision::F32, 1).unwrap().total()
    };
    assert!(count > 1 && total(count) <= bytes && total(count - 1) > bytes);
    assert_eq!(Plan::fewest_micro_batches(&config, Precision::F32, 1, 1_000_000).unwrap(), None);
}

#[test]
fn a_large_teacher_fits_a_small_card_and_a_giant_one_a_large_card() {
    // ViT-L -> ViT-S at 224 px in 12 GB, ViT-g/14 -> ViT-B in 48 GB, batches of 64.
    let plan = Plan::of(&large_to_small(), Precision::F32, 1).unwrap();
    assert!(plan.total() < 12_000_000_000, "{}", plan.total());
    let mut giant = large_to_small();
    giant.teacher.arch = Some("vit_giant_patch14_dinov2".into());
    giant.teacher.img_size = Some(ImageSize::Sides([224, 224]));
    giant.student.arch = Some("vit_base_patch14_dinov2".into());
    giant.singer.layers = vec![28];
    let plan = Plan::of(&giant, Precision::F32, 1).unwrap();
    assert!(plan.total() < 48_000_000_000, "{}", plan.total());
}

#[test]
fn every_method_has_a_plan() {
    use MethodKind::{
        Cosine, Fitnet, Kd, None, Normalised, Proteus, Relational, Singer, Vitkd, VitkdReference,
    };
    let features = [Singer, Fitnet, Cosine, Normalised, Relational, Proteus, Vitkd, VitkdReference];
    for method in features.into_iter().chain([Kd, None]) {
        let mut config = large_to_small();
        config.method = method;
        config.teacher.num_classes = Some(1000);
        let plan = Plan::of(&config, Precision::F32, 1).unwrap();
        assert_eq!(plan.teacher.is_none(), method == None);
        assert!(plan.total() > plan.fixed());
    }
}
