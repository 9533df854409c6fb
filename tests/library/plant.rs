use std::collections::BTreeSet;

use crate::normal;
use burn::tensor::{Device, Tensor};
use faer::Mat;
use singer::Error;
use singer::plant::{Kind, Placement, PlantSettings, Planted, plant};
use singer::vit::{Vit, VitConfig, init_weights};

const BLOCK: usize = 2;
const STRENGTH: f64 = 8.0;
const SHARE: f64 = 0.08;
const WIDTH: usize = 24;

fn config() -> VitConfig {
    VitConfig {
        img_size: [32, 32],
        patch_size: 4,
        embed_dim: WIDTH,
        depth: 4,
        num_heads: 2,
        ..VitConfig::default()
    }
}

fn clean() -> Vit {
    init_weights(config().build(&Device::flex()).unwrap(), 3)
}

fn images() -> Vec<Tensor<4>> {
    vec![normal([48, 3, 32, 32], 1.0, 8)]
}

fn settings(kind: Kind) -> PlantSettings {
    PlantSettings::default().with(|s| {
        (s.block, s.kind, s.strength, s.share) = (BLOCK, kind, STRENGTH, SHARE);
        (s.rank, s.placement) = (6, Placement::Mixed);
    })
}

/// A planted teacher's patches after the block, beside those without artifacts.
struct Seen {
    planted: Planted,
    /// The median norm of the clean patches.
    norm: f64,
    clean: Vec<Vec<f64>>,
    change: Vec<Vec<f64>>,
    /// Patches that changed by more than the median norm.
    fired: Vec<usize>,
    class_change: Vec<f64>,
}

fn rows(tokens: Tensor<3>) -> Vec<Vec<f64>> {
    let width = tokens.dims()[2];
    let values: Vec<f64> = tokens.into_data().iter::<f64>().collect();
    values.chunks(width).map(<[f64]>::to_vec).collect()
}

fn length(vector: &[f64]) -> f64 {
    dot(vector, vector).sqrt()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn see(settings: &PlantSettings) -> Seen {
    let (model, planted) = plant(clean(), &images(), settings).unwrap();
    let truth = planted.silence(clean());
    let at = |vit: &Vit| vit.intermediate(images().remove(0), &[settings.block]).remove(0);
    let (spoilt, truth) = (at(&model), at(&truth));
    let count = spoilt.dims()[1] - 1;
    let change = rows((spoilt.clone() - truth.clone()).narrow(1, 1, count));
    let class_change = rows((spoilt - truth.clone()).narrow(1, 0, 1));
    let clean = rows(truth.narrow(1, 1, count));
    let mut norms: Vec<f64> = clean.iter().map(|row| length(row)).collect();
    norms.sort_by(f64::total_cmp);
    let norm = norms[norms.len() / 2];
    let fired = (0..change.len()).filter(|&at| length(&change[at]) > norm).collect();
    let class_change = class_change.iter().map(|row| length(row)).collect();
    Seen { planted, norm, clean, change, fired, class_change }
}

impl Seen {
    fn fired(&self) -> impl Iterator<Item = &Vec<f64>> {
        self.fired.iter().map(|&at| &self.change[at])
    }

    /// Singular values of the changes, descending, over the largest.
    fn spectrum(&self) -> Vec<f64> {
        let fired: Vec<&Vec<f64>> = self.fired().collect();
        let matrix = Mat::from_fn(fired.len(), WIDTH, |i, j| fired[i][j]);
        let values = matrix.singular_values().unwrap();
        values.iter().map(|value| value / values[0]).collect()
    }

    /// The mean change on fired patches, as a unit vector.
    fn direction(&self) -> Vec<f64> {
        let mut sum = vec![0.0; WIDTH];
        self.fired().for_each(|row| sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x));
        let norm = length(&sum);
        sum.into_iter().map(|x| x / norm).collect()
    }

    /// How long each change is along the direction, in multiples of the planted norm.
    fn amplitudes(&self) -> Vec<f64> {
        let direction = self.direction();
        let mut found: Vec<f64> =
            self.fired().map(|row| dot(row, &direction) / self.planted.norm).collect();
        found.sort_by(f64::total_cmp);
        found
    }

    /// Root mean square of what is orthogonal to the direction, in multiples of the planted norm.
    fn across(&self) -> f64 {
        let direction = self.direction();
        let squares = self.fired().map(|row| dot(row, row) - dot(row, &direction).powi(2));
        (squares.sum::<f64>() / self.fired.len() as f64).sqrt() / self.planted.norm
    }

    fn share(&self) -> f64 {
        self.fired.len() as f64 / self.change.len() as f64
    }
}

fn rank(spectrum: &[f64]) -> usize {
    spectrum.iter().filter(|&&value| value > 1e-2).count()
}

#[test]
fn every_kind_writes_on_the_share_of_patches_that_it_says_and_nowhere_else() {
    for kind in Kind::ALL {
        let seen = see(&settings(kind));
        let name = kind.name();
        let most = match kind {
            Kind::Two => 1.5,
            Kind::Four => 2.1,
            // The other block's patches carry theirs on.
            Kind::Blocks => 2.0,
            _ => 1.0,
        };
        let share = seen.share() / SHARE;
        assert!((0.75..1.12 * most).contains(&share), "{name}: {share} of the share");
        if kind != Kind::Blocks {
            let said = seen.planted.fires_on / SHARE;
            assert!((0.98..=1.02 * most).contains(&said), "{name}: says {said} of the share");
            let silent = seen.change.iter().filter(|row| length(row) < 0.02 * seen.norm);
            let silent = silent.count() as f64 / seen.change.len() as f64;
            let written = seen.planted.fires_on;
            assert!(silent > 1.0 - 2.2 * written, "{name}: {silent} unchanged, {written} written");
        }
    }
}

#[test]
fn one_direction_has_rank_one_and_the_wanted_norm() {
    let seen = see(&settings(Kind::Single));
    assert_eq!(rank(&seen.spectrum()), 1);
    assert!((seen.planted.norm / seen.norm / STRENGTH - 1.0).abs() < 0.05);
    let amplitudes = seen.amplitudes();
    let mean = amplitudes.iter().sum::<f64>() / amplitudes.len() as f64;
    assert!((0.9..1.3).contains(&mean), "{mean}");
    assert_eq!(seen.planted.units[&BLOCK].len(), 1);
}

#[test]
fn several_directions_fire_on_patches_of_their_own_that_overlap() {
    for (kind, count) in [(Kind::Two, 2), (Kind::Four, 4)] {
        let seen = see(&settings(kind));
        let spectrum = seen.spectrum();
        assert_eq!(rank(&spectrum), count, "{spectrum:?}");
        assert_eq!(seen.planted.units[&BLOCK].len(), count);
    }
    // Some patches have the first vector alone, some the second, and some both.
    let first = see(&settings(Kind::Single));
    let both = see(&settings(Kind::Two));
    let along = first.direction();
    let of = |row: &Vec<f64>| {
        let on = dot(row, &along);
        [on, (dot(row, row) - on * on).max(0.0).sqrt()].map(|part| part > 0.5 * both.norm)
    };
    let seen: BTreeSet<[bool; 2]> = both.fired().map(of).collect();
    assert!(seen.contains(&[true, false]) && seen.contains(&[false, true]), "{seen:?}");
    assert!(seen.contains(&[true, true]), "{seen:?}");
}

#[test]
fn a_varied_amplitude_goes_from_a_third_to_three_times_the_strength() {
    let seen = see(&settings(Kind::Varied));
    assert_eq!(rank(&seen.spectrum()), 1);
    let amplitudes = seen.amplitudes();
    let at = |share: f64| amplitudes[(share * (amplitudes.len() - 1) as f64) as usize];
    assert!(at(0.05) < 0.8 && at(0.5) > 1.3 && at(0.95) > 2.2, "{amplitudes:?}");
    assert!(at(0.95) < 3.5, "{amplitudes:?}");
}

#[test]
fn a_wobbling_vector_turns_in_three_dimensions() {
    let seen = see(&settings(Kind::Wobble));
    let spectrum = seen.spectrum();
    assert_eq!(rank(&spectrum), 3, "{spectrum:?}");
    let turned = seen.across();
    // Two vectors of 0.4 in root mean square each.
    assert!((0.45..0.68).contains(&turned), "{turned}");
}

#[test]
fn noise_is_a_tenth_of_the_vector_in_all_directions() {
    let seen = see(&settings(Kind::Noise));
    assert_eq!(seen.planted.units[&BLOCK].len(), WIDTH + 2);
    let size = seen.across();
    assert!((0.07..0.14).contains(&size), "{size}");
    let spectrum = seen.spectrum();
    // LayerNorm leaves the input one direction without variance.
    let noise = &spectrum[1..WIDTH - 1];
    assert!(noise.iter().all(|&value| value > 2e-3 && value < 0.1), "{spectrum:?}");
}

#[test]
fn shrunk_content_is_less_than_half_of_what_it_was() {
    let seen = see(&settings(Kind::Shrunk));
    let mean = |rows: &[Vec<f64>]| -> Vec<f64> {
        let sum = |j: usize| seen.fired.iter().map(|&at| rows[at][j]).sum::<f64>();
        (0..WIDTH).map(|j| sum(j) / seen.fired.len() as f64).collect()
    };
    // The vector and the mean content do not vary.
    let (change_mean, clean_mean) = (mean(&seen.change), mean(&seen.clean));
    let from = |row: &[f64], mean: &[f64]| -> Vec<f64> {
        row.iter().zip(mean).map(|(x, m)| x - m).collect()
    };
    let (mut product, mut square) = (0.0, 0.0);
    for &at in &seen.fired {
        let clean = from(&seen.clean[at], &clean_mean);
        product += dot(&from(&seen.change[at], &change_mean), &clean);
        square += dot(&clean, &clean);
    }
    let kept = 1.0 + product / square;
    assert!((0.25..0.5).contains(&kept), "{kept} of the content is left");
    assert!((kept - seen.planted.content).abs() < 0.1, "{kept}, {}", seen.planted.content);
}

#[test]
fn the_class_token_of_a_share_of_images_carries_the_vector() {
    let wanted = settings(Kind::ClassToken).with(|s| s.class_share = 0.25);
    let seen = see(&wanted);
    let carries = seen.class_change.iter().filter(|&&change| change > seen.norm).count();
    let share = carries as f64 / seen.class_change.len() as f64;
    assert!((0.15..=0.27).contains(&share), "{share}");
    assert!((seen.planted.class_token - 0.25).abs() < 0.03);
    // The patches are those of one vector alone.
    let single = see(&settings(Kind::Single));
    assert_eq!(seen.fired, single.fired);
}

#[test]
fn two_blocks_have_artifacts_each() {
    let (model, planted) = plant(clean(), &images(), &settings(Kind::Blocks)).unwrap();
    let blocks: Vec<usize> = planted.units.keys().copied().collect();
    assert_eq!(blocks, [BLOCK / 2, BLOCK]);
    let truth = planted.silence(clean());
    let at = |vit: &Vit| vit.intermediate(images().remove(0), &[BLOCK / 2]).remove(0);
    let largest: f64 = (at(&model) - at(&truth)).abs().max().into_scalar();
    assert!(largest > 1.0, "{largest}");
    // The second unit writes what it writes without the first, wherever that has written.
    let first = [(BLOCK / 2, planted.units[&(BLOCK / 2)].clone())].into();
    let alone = Planted { units: first, ..planted }.silence(model.clone());
    let at = |vit: &Vit| {
        let tokens = vit.intermediate(images().remove(0), &[BLOCK]).remove(0);
        rows(tokens.narrow(1, 1, 64)).iter().map(|row| length(row)).fold(0.0, f64::max)
    };
    assert!(at(&model) < 1.5 * at(&alone), "{} {}", at(&model), at(&alone));
}

#[test]
fn silencing_what_was_planted_leaves_the_clean_model() {
    for kind in Kind::ALL {
        let (model, planted) = plant(clean(), &images(), &settings(kind)).unwrap();
        let (silenced, truth) = (planted.silence(model), planted.silence(clean()));
        let at = |vit: &Vit| vit.intermediate(images().remove(0), &[3]).remove(0);
        let worst: f64 = (at(&silenced) - at(&truth)).abs().max().into_scalar();
        assert!(worst < 1e-4, "{}: {worst}", kind.name());
    }
}

#[test]
fn seeds_plant_other_directions_on_the_same_patches() {
    let (one, other) =
        (see(&settings(Kind::Single)), see(&settings(Kind::Single).with(|s| s.seed = 1)));
    assert_eq!(one.fired, other.fired);
    assert!(dot(&one.direction(), &other.direction()).abs() < 0.9);
}

#[test]
fn what_cannot_be_planted_is_refused() {
    let refuse = |model: Vit, settings: PlantSettings| {
        let error = plant(model, &images(), &settings).unwrap_err();
        (matches!(error, Error::Setting { .. } | Error::Incompatible { .. }), error.to_string())
    };
    let build = |config: VitConfig| init_weights(config.build(&Device::flex()).unwrap(), 3);
    let narrow = build(VitConfig { mlp_ratio: 1.0, ..config() });
    let headless =
        build(VitConfig { class_token: false, pooling: singer::vit::Pooling::Mean, ..config() });
    let with = |kind: Kind, change: fn(&mut PlantSettings)| settings(kind).with(change);
    let cases = [
        (narrow, with(Kind::Noise, |_| {}), "26 hidden units"),
        (headless, with(Kind::ClassToken, |_| {}), "class token"),
        (clean(), with(Kind::ClassToken, |s| s.class_share = 0.0), "class_share"),
        (clean(), with(Kind::ClassToken, |s| s.class_share = f64::NAN), "class_share"),
        (clean(), with(Kind::Blocks, |s| s.block = 0), "two blocks"),
        (clean(), with(Kind::Four, |s| s.rank = 3), "4 directions"),
        (
            clean(),
            with(Kind::Single, |s| (s.rank, s.placement) = (WIDTH, Placement::Outside)),
            "rank",
        ),
        (clean(), with(Kind::Single, |s| s.strength = f64::INFINITY), "strength"),
        (clean(), with(Kind::Single, |s| s.share = 0.5), "share"),
    ];
    for (model, settings, words) in cases {
        let (typed, message) = refuse(model, settings);
        assert!(typed && message.contains(words), "{message}");
    }
    assert!(matches!(plant(clean(), &[], &settings(Kind::Noise)), Err(Error::NoImages)));
}
