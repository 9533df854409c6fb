use crate::normal;
use burn::tensor::{Device, Tensor};
use singer::Error;
use singer::distill::singer::{AdapterFit, FitSettings, SingerSettings};
use singer::plant::{Kind, Placement, PlantSettings, plant, silence};
use singer::recover::{
    Errors, Experiment, Findings, GivenTeacher, Images, Recovery, Settings, Subject, Teachers,
    Treated, Treatment, Treatments, measure,
};
use singer::refine::Adapters;
use singer::refine::TrainingFree;
use singer::refine::nullspace::{Basis, BasisKind, Linearised, Selection};
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
    vec![normal([8, 3, 32, 32], 1.0, 8)]
}

fn planted(placement: Placement) -> (Vit, usize) {
    let settings = PlantSettings::default().with(|s| {
        (s.block, s.strength, s.placement) = (BLOCK, 8.0, placement);
        (s.rank, s.seed) = (RANK, 1);
    });
    let (model, planted) = plant(clean(), &images(), &settings).unwrap();
    (model, planted.units[&BLOCK][0])
}

fn settings() -> Settings {
    Settings { block: BLOCK, quantile: 0.9, rank: RANK, basis: BasisKind::default() }
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
    let wanted = |one: &&Recovery| {
        one.layer == Some(BLOCK) && one.block == block && one.treatment == treatment
    };
    let found = found.iter().find(wanted).unwrap();
    [found.artifacts, found.others]
}

/// Every treatment of a layer, of a planted teacher.
fn measured(planted: &Vit, adapters: Adapters) -> singer::Result<Vec<Recovery>> {
    let teachers = Teachers { clean: &clean(), planted, blocks: &[BLOCK] };
    measure(teachers, &treatments(adapters), &images(), &settings())
}

fn treatments(adapters: Adapters) -> Treatments {
    let adapters = vec![(Treatment::Published, adapters)];
    Treatments { plain: Treatment::ALL.into(), adapters, ..Treatments::default() }
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
    let found = measured(&spoilt, fit(&spoilt, 150)).unwrap();
    let [raw, raw_others] = one(&found, Treatment::Raw, BLOCK);
    assert!(raw.tokens > 0 && raw.distance > 1.0, "{raw:?}");
    assert!(raw_others.distance < 0.5, "{raw_others:?}");
    let [closed, _] = one(&found, Treatment::TrainingFree, BLOCK);
    assert!(closed.distance < 0.7 * raw.distance, "{closed:?} for {raw:?}");
    let [refined, _] = one(&found, Treatment::Published, BLOCK);
    assert!(refined.distance < 0.7 * raw.distance, "{refined:?} for {raw:?}");
    assert!(refined.norm < raw.norm);
    // Layer 1 in blocks 1, 2 and 3, and layer 3 in block 3; raw, published and three others.
    assert_eq!(found.len(), 4 * 5);
}

#[test]
fn the_closed_form_cannot_bring_back_what_lies_outside_the_nullspace() {
    let (spoilt, _) = planted(Placement::Outside);
    let found = measured(&spoilt, fit(&spoilt, 1)).unwrap();
    let [raw, _] = one(&found, Treatment::Raw, BLOCK);
    let [closed, _] = one(&found, Treatment::TrainingFree, BLOCK);
    assert!((closed.distance - raw.distance).abs() < 0.1 * raw.distance, "{closed:?}, {raw:?}");
}

#[test]
fn a_teacher_without_artifacts_and_adapters_that_do_not_fit_are_refused() {
    let adapters = fit(&clean(), 1);
    let error = measured(&clean(), adapters.clone()).unwrap_err();
    assert!(matches!(error, Error::NoArtifacts), "{error}");
    let (spoilt, _) = planted(Placement::Inside);
    let early = [(0, adapters.get(BLOCK).unwrap().clone())].into_iter().collect();
    let error = measured(&spoilt, early).unwrap_err();
    assert!(error.to_string().contains("layer 0"), "{error}");
    let beyond = |blocks: &[usize], settings: Settings| {
        let teachers = Teachers { clean: &clean(), planted: &spoilt, blocks };
        measure(teachers, &treatments(Adapters::default()), &images(), &settings).unwrap_err()
    };
    for error in [beyond(&[BLOCK], Settings { block: 9, ..settings() }), beyond(&[9], settings())] {
        assert!(matches!(error, Error::Setting { setting: "block", .. }), "{error}");
    }
    let mut none = small();
    none.seeds = 0;
    let error = run(&none, None).unwrap_err();
    assert!(matches!(error, Error::Setting { setting: "seeds", .. }), "{error}");
}

#[test]
fn treatments_equal_hand_worked_numbers() {
    let device = Device::flex();
    let block = Linearised::of(&clean().blocks[0]);
    let selection = Selection { kind: BasisKind::Random, rank: 2, threshold: 0.0, seed: 0 };
    let basis = Basis::select(&block, &selection, 0).unwrap();
    let closed = TrainingFree::new(&basis, 1.0, &device);
    // A class token, then patches of norm 1, 2, 3 and 10.
    let tokens = [[[9.0, 9.0], [1.0, 0.0], [0.0, 2.0], [3.0, 0.0], [6.0, 8.0]]];
    let tokens = Tensor::<3>::from_data(tokens, &device);
    let given =
        Treated { tokens: tokens.clone(), prefix: 1, quantile: 0.5, training_free: &closed };
    assert!(given.treat(Treatment::Published).is_none(), "that needs adapters");
    let values = |treatment| -> Vec<f32> {
        given.treat(treatment).unwrap().into_data().iter::<f32>().collect()
    };
    let before: Vec<f32> = tokens.into_data().iter::<f32>().collect();
    assert_eq!(values(Treatment::Raw), before);
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

fn small() -> Experiment {
    let mut experiment = Experiment::default();
    (experiment.block, experiment.rank, experiment.share) = (Some(BLOCK), RANK, 0.06);
    (experiment.strengths, experiment.placements) = (vec![8.0], vec![Placement::Inside]);
    experiment.treatments = vec![Treatment::Raw, Treatment::Clipped, Treatment::ReplacedByMean];
    experiment
}

fn run(experiment: &Experiment, given: Option<GivenTeacher>) -> singer::Result<Findings> {
    let images = images();
    let normalise = singer::data::Normalise { mean: [0.5; 3], std: [0.5; 3] };
    let images = Images { fit: &images, measure: &images, normalise };
    let device = singer::Device::cpu();
    experiment.run("clean", &clean(), images, given, &device, &mut |_| {})
}

#[test]
fn every_kind_is_measured_over_its_seeds_and_the_clean_teacher_first() {
    let mut experiment = small();
    (experiment.kinds, experiment.seeds) = (Kind::ALL.into(), 2);
    let found = run(&experiment, None).unwrap();
    assert_eq!(found.cases.len(), 1 + 2 * Kind::ALL.len());
    let clean = &found.cases[0];
    assert_eq!(clean.subject, Subject::Clean);
    for one in clean.recoveries.iter().filter(|one| one.treatment == Treatment::Raw) {
        assert_eq!((one.artifacts.tokens, one.all.distance), (0, 0.0));
    }
    for case in &found.cases[1..] {
        for one in &case.recoveries {
            let (artifacts, others, all) = (one.artifacts, one.others, one.all);
            assert!(artifacts.tokens > 0 && artifacts.tokens + others.tokens == all.tokens);
            let sum = |errors: Errors| errors.distance * errors.tokens as f64;
            assert!((sum(artifacts) + sum(others) - sum(all)).abs() < 1e-6 * sum(all).max(1.0));
            let class = one.class_token.unwrap();
            assert_eq!(class.all.tokens, 8);
        }
    }
    // Both blocks of the kind that has two are compared, the others from their own on.
    let first = |name: &str| {
        let case = found.cases.iter().find(|case| case.name().starts_with(name)).unwrap();
        case.recoveries.iter().map(|one| one.block).min().unwrap()
    };
    assert_eq!((first("single"), first("blocks")), (BLOCK, BLOCK / 2));
}

#[test]
fn summaries_are_means_and_deviations_over_the_seeds() {
    let mut experiment = small();
    (experiment.seeds, experiment.clean) = (3, false);
    let found = run(&experiment, None).unwrap();
    let summaries = found.summaries();
    let raw = summaries.iter().find(|one| {
        one.treatment == Treatment::Raw && one.block == BLOCK && one.layer == Some(BLOCK)
    });
    let raw = raw.unwrap();
    let each: Vec<f64> = found
        .cases
        .iter()
        .map(|case| one(&case.recoveries, Treatment::Raw, BLOCK)[0].distance)
        .collect();
    let mean = each.iter().sum::<f64>() / 3.0;
    let deviation = (each.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / 2.0).sqrt();
    let spread = raw.artifacts.unwrap();
    assert!((spread.mean - mean).abs() < 1e-12 && (spread.deviation - deviation).abs() < 1e-12);
    assert_eq!((raw.seeds, raw.name.as_str()), (3, "single, inside, 8x"));
    assert_eq!(summaries.iter().filter(|one| one.block == BLOCK).count(), 3);
}

#[test]
fn the_closed_form_brings_single_directions_back_and_leaves_the_rest_alone() {
    let mut experiment = small();
    experiment.treatments = vec![Treatment::Raw, Treatment::ClosedForm];
    experiment.placements = Placement::ALL.into();
    let found = run(&experiment, None).unwrap();
    assert!(
        found.cases[0].found.is_empty(),
        "a clean teacher has none: {:?}",
        found.cases[0].found
    );
    for case in &found.cases {
        let of = |treatment, layer| {
            let wanted = |one: &&Recovery| {
                (one.treatment, one.layer, one.block) == (treatment, layer, BLOCK)
            };
            case.recoveries.iter().find(wanted).unwrap()
        };
        let (raw, closed) = (of(Treatment::Raw, Some(BLOCK)), of(Treatment::ClosedForm, None));
        let name = case.name();
        if case.subject == Subject::Clean {
            assert_eq!(closed.all.distance, 0.0, "{name}");
            continue;
        }
        assert_eq!(case.found.iter().map(|found| found.block).collect::<Vec<_>>(), [BLOCK]);
        let (before, after) = (raw.all.distance, closed.all.distance);
        assert!(after < 0.2 * before, "{name}: {before} to {after}");
        assert!(closed.others.distance < 0.02, "{name}: {:?}", closed.others);
    }
}
