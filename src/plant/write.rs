//! The hidden units of each kind.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::gate::{FIRING, Gate, Written, moments};
use super::placement::random_basis;
use super::samples::{Samples, project};
use super::units::Unit;
use super::{Kind, PlantSettings};
use crate::error::{Error, Result};

/// Amplitudes of `Varied`, in strengths: those between which all but 4 % lie.
const VARIED: [f64; 2] = [0.3, 3.0];
/// Standard deviations of a normal distribution between which all but 4 % lie, halved.
const WITHIN: f64 = 2.05;
/// Root mean square of each of the two vectors that turn `Wobble`, in strengths.
const WOBBLE: f64 = 0.4;
/// Root mean square of `Noise`, in strengths.
const NOISE: f64 = 0.1;
/// Share of the content that `Shrunk` takes away.
const SHRUNK: f64 = 0.7;
const SHRUNK_ENERGY: f64 = 0.99;
/// So far are patches from firing a unit of the class token, in standard deviations of what
/// tells class tokens apart.
const APART: f64 = 6.0;

/// What a kind is made of.
pub(super) struct Plan {
    pub(super) units: Vec<Unit>,
    /// The patches on which one of them fires.
    pub(super) fired: Vec<usize>,
    /// Share of class tokens that the class token's unit fires on.
    pub(super) class_token: f64,
    /// Share of the patches' own content that is left.
    pub(super) content: f64,
}

/// The units that plant `vectors`, of the wanted norm, as the settings' kind says.
pub(super) fn plan(
    samples: &Samples,
    settings: &PlantSettings,
    vectors: &[Vec<f64>],
) -> Result<Plan> {
    let PlantSettings { kind, share, seed, .. } = *settings;
    let gate = Gate::low_information(samples, share);
    let mut content = Readings { samples, rng: ChaCha8Rng::seed_from_u64(seed ^ 0xc0_47e7) };
    let main = Written::constant(&vectors[0]);
    let (mut class_token, mut left) = (0.0, 1.0);
    let units = match kind {
        Kind::Single | Kind::Blocks => vec![gate.ramp(&vectors[0])],
        Kind::Two | Kind::Four => return Ok(several(&gate, &mut content, share, vectors)),
        Kind::ClassToken => {
            let (class, share) = class_gate(&mut content, settings.class_share)?;
            class_token = share;
            vec![gate.ramp(&vectors[0]), class.ramp(&vectors[0])]
        }
        Kind::Varied => {
            let [least, most] = VARIED;
            let (mean, deviation) = ((least + most) / 2.0, (most - least) / 2.0 / WITHIN);
            let (reader, offset) = content.standard(&gate);
            let reader = reader.iter().map(|r| r * deviation * FIRING).collect();
            let offset = (offset * deviation + mean) * FIRING;
            gate.step(vec![Written { reader, offset, ..main }])
        }
        Kind::Wobble => {
            let mut written = vec![main];
            for vector in &vectors[1..] {
                let (reader, offset) = content.standard(&gate);
                let vector = vector.iter().map(|v| v * WOBBLE).collect();
                written.push(Written { reader, offset, vector });
            }
            gate.step(written)
        }
        Kind::Noise => {
            let mut written = vec![main];
            written.extend(noise(samples, &gate, NOISE * norm(&vectors[0]), seed)?);
            gate.step(written)
        }
        Kind::Shrunk => {
            let mut written = vec![main];
            let (taken, content) = shrunk(samples, &gate)?;
            left = content;
            written.extend(taken);
            gate.step(written)
        }
    };
    Ok(Plan { units, fired: gate.fired, class_token, content: left })
}

/// A unit for each vector; the first fires on the patches of `first`.
fn several(first: &Gate, content: &mut Readings<'_>, share: f64, vectors: &[Vec<f64>]) -> Plan {
    let mut units = vec![first.ramp(&vectors[0])];
    let mut fired = first.fired.clone();
    for (index, vector) in vectors.iter().enumerate().skip(1) {
        let direction = content.direction();
        let share = share / (index + 1) as f64;
        let gate = Gate::of_some_content(content.samples, share, &direction);
        units.push(gate.ramp(vector));
        fired.extend(gate.fired);
    }
    fired.sort_unstable();
    fired.dedup();
    Plan { units, fired, class_token: 0.0, content: 1.0 }
}

/// A tenth of the artifact in directions without a preference: each of an orthonormal basis as
/// often as one principal axis of the input says.
fn noise(samples: &Samples, gate: &Gate, size: f64, seed: u64) -> Result<Vec<Written>> {
    let axes = samples.principal_axes()?;
    let each = size / (axes.len() as f64).sqrt();
    let scored: Vec<(f64, f64)> =
        axes.iter().map(|axis| moments(&samples.project(axis), &gate.fired)).collect();
    // LayerNorm leaves one direction without variance.
    let least = 1e-2 * scored.iter().map(|(_, deviation)| *deviation).fold(0.0, f64::max);
    let basis = random_basis(axes.len(), seed ^ 0x9015e);
    let written = axes.into_iter().zip(scored).zip(basis).map(|((axis, (mean, deviation)), to)| {
        let deviation = deviation.max(least).max(1e-12);
        Written {
            reader: axis.iter().map(|a| a / deviation).collect(),
            offset: -mean / deviation,
            vector: to.iter().map(|v| v * each).collect(),
        }
    });
    Ok(written.collect())
}

/// Takes most of the patch's own content away. Returns the share that is left too: a linear map
/// does not tell all of it.
fn shrunk(samples: &Samples, gate: &Gate) -> Result<(Vec<Written>, f64)> {
    let content = samples.content(SHRUNK_ENERGY)?;
    let mean: Vec<f64> = content.mean.iter().map(|m| -SHRUNK * m).collect();
    let mut written = vec![Written::constant(&mean)];
    let mut told = 0.0;
    for direction in content.directions {
        let scores = samples.project(&direction.reader);
        let all: Vec<usize> = (0..scores.len()).collect();
        let (mean, _) = moments(&scores, &all);
        let (_, deviation) = moments(&scores, &gate.fired);
        let deviation = deviation.max(1e-9);
        let own = project(&samples.outputs, &direction.axis);
        let centre = dot(&content.mean, &direction.axis);
        told += gate.fired.iter().map(|&at| (scores[at] - mean) * (own[at] - centre)).sum::<f64>();
        written.push(Written {
            reader: direction.reader.iter().map(|r| r / deviation).collect(),
            offset: -mean / deviation,
            vector: direction.axis.iter().map(|a| -SHRUNK * deviation * a).collect(),
        });
    }
    let all: f64 = gate.fired.iter().map(|&at| samples.content_of(at, &content.mean)).sum();
    Ok((written, 1.0 - SHRUNK * told / all.max(1e-12)))
}

/// Fires on about a share of the class tokens, and on no patch. Returns the share too.
fn class_gate(content: &mut Readings<'_>, share: f64) -> Result<(Gate, f64)> {
    let samples = content.samples;
    let classes = samples.class_inputs.len() / samples.dim;
    if classes < 2 {
        return Err(Error::incompatible(
            "the class token needs a model that has one, and two images or more",
        ));
    }
    let apart = samples.class_direction();
    let random = content.direction();
    let spread = |inputs: &[f32], direction: &[f64]| {
        let values = project(inputs, direction);
        let all: Vec<usize> = (0..values.len()).collect();
        moments(&values, &all)
    };
    let (class_mean, _) = spread(&samples.class_inputs, &apart);
    let (patch_mean, patch_spread) = spread(&samples.inputs, &apart);
    let (_, class_content) = spread(&samples.class_inputs, &random);
    let (patch_content_mean, patch_content) = spread(&samples.inputs, &random);
    let (class_content_mean, _) = spread(&samples.class_inputs, &random);
    // Patches lie below every class token, however their content varies.
    let content_gap = (patch_content_mean - class_content_mean).abs();
    let needed = APART * (class_content + patch_content) + content_gap;
    let gain = needed / (class_mean - patch_mean - APART * patch_spread).max(1e-3 * patch_spread);
    let direction: Vec<f64> = apart.iter().zip(&random).map(|(a, r)| a * gain + r).collect();
    let gate = Gate::new(direction.clone(), &project(&samples.class_inputs, &direction), share);
    let fired = gate.fired.len() as f64 / classes as f64;
    Ok((gate, fired))
}

fn norm(vector: &[f64]) -> f64 {
    dot(vector, vector).sqrt()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Directions of the patches' content.
struct Readings<'a> {
    samples: &'a Samples,
    rng: ChaCha8Rng,
}

impl Readings<'_> {
    fn direction(&mut self) -> Vec<f64> {
        (0..self.samples.dim).map(|_| self.rng.random_range(-1.0..1.0)).collect()
    }

    /// A direction and an offset whose sum with the input has mean 0 and variance 1 where the
    /// gate is open.
    fn standard(&mut self, gate: &Gate) -> (Vec<f64>, f64) {
        let direction = self.direction();
        let (mean, deviation) = moments(&self.samples.project(&direction), &gate.fired);
        let deviation = deviation.max(1e-12);
        (direction.iter().map(|d| d / deviation).collect(), -mean / deviation)
    }
}
