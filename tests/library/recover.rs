use burn::tensor::{Device, Distribution, Tensor, TensorData};
use singer::Error;
use singer::distill::singer::{AdapterFit, FitSettings, SingerSettings};
use singer::plant::{Placement, PlantSettings, plant, silence};
use singer::recover::{Errors, Recovery, Settings, Treated, Treatment, measure};
use singer::refine::Adapters;
use singer::refine::nullspace::{Basis, BasisKind, Linearised, Selection};
use singer::refine::{Adapter, TrainingFree};
use singer::train::Shards;
use singer::vit::{Vit, VitConfig, init_weights};

const BLOCK: usize = 1;
const RANK: usize = 6;

fn clean() -> Vit {
    let config = VitConfig {
        img_size: [32, 32],
        patch_size: 4,
        embed_dim: 24,
        depth: 4,
        num_heads: 2,
        ..VitConfig::default()
    };
    init_weights(config.build(&Device::flex()).unwrap(), 3)
}

fn images() -> Vec<Tensor<4>> {
    let device = Device::flex();
    device.seed(8);
    vec![Tensor::random([8, 3, 32, 32], Distribution::Normal(0.0, 1.0), &device)]
}

fn planted(placement: Placement) -> (Vit, usize) {
    let settings =
        PlantSettings { block: BLOCK, strength: 8.0, share: 0.03, placement, rank: RANK, seed: 1 };
    let (model, planted) = plant(clean(), &images(), &settings).unwrap();
    (model, planted.hidden_unit)
}

fn settings() -> Settings {
    Settings { block: BLOCK, quantile: 0.9, rank: RANK }
}

fn fit(teacher: &Vit, steps: usize) -> Adapters {
    let singer = SingerSettings::default().with(|s| {
        s.layers = vec![BLOCK];
        s.rank = RANK;
        s.quantile = 0.9;
    });
    let settings = FitSettings::default().with(|s| {
        s.singer = singer;
        s.steps = steps;
        s.lr = 0.01;
    });
    let mut fit = AdapterFit::new(teacher, images(), settings, Shards::one()).unwrap();
    fit.run(&mut |_| {}).unwrap();
    fit.adapters()
}

fn one(found: &[Recovery], treatment: Treatment, block: usize) -> [Errors; 2] {
    let wanted =
        |one: &&Recovery| one.layer == BLOCK && one.block == block && one.treatment == treatment;
    let found = found.iter().find(wanted).unwrap();
    [found.artifacts, found.clean]
}

#[test]
fn silencing_finds_the_planted_unit_and_takes_its_artifacts_away() {
    let (spoilt, unit) = planted(Placement::Outside);
    let (silenced, found) = silence(spoilt.clone(), BLOCK).unwrap();
    assert_eq!(found, unit);
    let tokens = |vit: &Vit| vit.intermediate(images().remove(0), &[BLOCK]).remove(0);
    let worst = |a: &Vit, b: &Vit| -> f32 { (tokens(a) - tokens(b)).abs().max().into_scalar() };
    let (before, after) = (worst(&clean(), &spoilt), worst(&clean(), &silenced));
    assert!(after < 0.01 * before, "{after} of {before} is left");
    assert!(matches!(silence(clean(), 4), Err(Error::Setting { .. })));
}

#[test]
fn fitted_adapters_and_the_closed_form_bring_artifacts_inside_the_nullspace_nearer() {
    let (spoilt, _) = planted(Placement::Inside);
    let found = measure(&clean(), &spoilt, &fit(&spoilt, 150), &images(), &settings()).unwrap();
    let [raw, raw_others] = one(&found, Treatment::Raw, BLOCK);
    assert!(raw.patches > 0 && raw.distance > 1.0, "{raw:?}");
    assert!(raw_others.distance < 0.5, "{raw_others:?}");
    let [closed, _] = one(&found, Treatment::TrainingFree, BLOCK);
    assert!(closed.distance < 0.7 * raw.distance, "{closed:?} for {raw:?}");
    let [refined, _] = one(&found, Treatment::Refined, BLOCK);
    assert!(refined.distance < 0.7 * raw.distance, "{refined:?} for {raw:?}");
    assert!(refined.norm < raw.norm);
    // Layer 1 in blocks 1, 2 and 3, and layer 3 in block 3.
    assert_eq!(found.len(), 4 * Treatment::ALL.len());
}

#[test]
fn the_closed_form_cannot_bring_back_what_lies_outside_the_nullspace() {
    let (spoilt, _) = planted(Placement::Outside);
    let found = measure(&clean(), &spoilt, &fit(&spoilt, 1), &images(), &settings()).unwrap();
    let [raw, _] = one(&found, Treatment::Raw, BLOCK);
    let [closed, _] = one(&found, Treatment::TrainingFree, BLOCK);
    assert!((closed.distance - raw.distance).abs() < 0.1 * raw.distance, "{closed:?}, {raw:?}");
}

#[test]
fn a_teacher_without_artifacts_and_adapters_that_do_not_fit_are_refused() {
    let adapters = fit(&clean(), 1);
    let refused = |planted: &Vit, adapters: &Adapters, settings: &Settings| match measure(
        &clean(),
        planted,
        adapters,
        &images(),
        settings,
    ) {
        Err(error) => error,
        other => panic!("{other:?}"),
    };
    let error = refused(&clean(), &adapters, &settings());
    assert!(matches!(error, Error::NoArtifacts), "{error}");
    let early = [(0, adapters.get(BLOCK).unwrap().clone())].into_iter().collect();
    let error = refused(&clean(), &early, &settings());
    assert!(error.to_string().contains("layer 0"), "{error}");
    let beyond = Settings { block: 9, ..settings() };
    let error = refused(&clean(), &adapters, &beyond);
    assert!(matches!(error, Error::Setting { setting: "block", .. }), "{error}");
}

#[test]
fn treatments_equal_hand_worked_numbers() {
    let device = Device::flex();
    let zero = || TensorData::new(vec![0.0_f32; 2], [2, 1]);
    let adapter = Adapter::from_data(zero(), TensorData::new(vec![0.0_f32; 2], [1, 2]), &device);
    let block = Linearised::of(&clean().blocks[0]);
    let selection = Selection { kind: BasisKind::Random, rank: 2, threshold: 0.0, seed: 0 };
    let basis = Basis::select(&block, &selection, 0).unwrap();
    let closed = TrainingFree::new(&basis, 1.0, &device);
    // A class token, then patches of norm 1, 2, 3 and 10.
    let tokens = [[[9.0, 9.0], [1.0, 0.0], [0.0, 2.0], [3.0, 0.0], [6.0, 8.0]]];
    let tokens = Tensor::<3>::from_data(tokens, &device);
    let given = Treated {
        tokens: tokens.clone(),
        prefix: 1,
        quantile: 0.5,
        adapter: &adapter,
        closed: &closed,
    };
    let values =
        |treatment| -> Vec<f32> { given.treat(treatment).into_data().iter::<f32>().collect() };
    let before: Vec<f32> = tokens.into_data().iter::<f32>().collect();
    assert_eq!(values(Treatment::Raw), before);
    assert_eq!(values(Treatment::Refined), before, "an adapter of zeros changes nothing");
    // The median is 2.5: the last two are outliers.
    let near = |a: Vec<f32>, b: [f32; 10]| {
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5), "{a:?}");
    };
    near(values(Treatment::Clipped), [9.0, 9.0, 1.0, 0.0, 0.0, 2.0, 2.5, 0.0, 1.5, 2.0]);
    near(values(Treatment::ReplacedByMean), [9.0, 9.0, 1.0, 0.0, 0.0, 2.0, 0.5, 1.0, 0.5, 1.0]);
}

#[test]
fn files_that_call_the_mean_masked_are_still_read() {
    let read: Treatment = serde_json::from_str("\"masked\"").unwrap();
    assert_eq!(read, Treatment::ReplacedByMean);
    assert_eq!(serde_json::to_string(&read).unwrap(), "\"replaced-by-mean\"");
}
