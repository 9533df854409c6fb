//! The closed form's gated adapter by the shader, by burn on the same device, and in f64.

use burn::tensor::{Device, Tensor, TensorData};
use singer::gpu::{GatedRefine, Gpu, Slice, Tokens};
use singer::refine::Gate;

use crate::reference;
use crate::support::{Batch, assert_close, gpu, host, normal, software, widened};

/// Images, tokens, width, prefix (class token first): tiny, odd, not multiples of 4, more
/// tokens than one workgroup takes, register tokens.
const SHAPES: [[usize; 4]; 7] = [
    [1, 2, 4, 1],
    [1, 1, 1, 0],
    [3, 6, 7, 1],
    [2, 198, 192, 2],
    [5, 66, 65, 1],
    [1, 129, 130, 0],
    [2, 257, 384, 5],
];

/// An adapter on the host, whose gate some of a batch's tokens pass and none by rounding.
struct Adapter {
    down: Vec<f32>,
    up: Vec<f32>,
    centre: Vec<f32>,
    limit: Vec<f32>,
    rank: usize,
}

impl Adapter {
    fn new(batch: &Batch, rank: usize, seed: u64) -> Self {
        let dim = batch.dim;
        let scale = 1.0 / (dim as f32).sqrt();
        let weights = |seed| -> Vec<f32> {
            normal(dim * rank, seed).into_iter().map(|value| value * scale).collect()
        };
        let (down, up) = (weights(100 + seed), weights(200 + seed));
        let centre: Vec<f32> = normal(dim, 300 + seed).into_iter().map(|c| c * 0.3).collect();
        let limit = up.chunks(dim).map(|line| limit(batch, &centre, line, rank)).collect();
        Self { down, up, centre, limit, rank }
    }

    fn passes(&self, token: &[f32]) -> bool {
        let lines = self.up.chunks(token.len()).zip(&self.limit);
        lines
            .into_iter()
            .any(|(line, &l)| reference::score(token, &self.centre, line).abs() > f64::from(l))
    }

    /// As the library holds it.
    fn on(&self, class_token: bool, device: &Device) -> singer::refine::Adapter {
        let matrix = |values: &[f32], shape: [usize; 2]| {
            Tensor::<2>::from_data(TensorData::new(values.to_vec(), shape), device)
        };
        let vector = |values: &[f32]| Tensor::<1>::from_data(values, device);
        let dim = self.centre.len();
        let (down, up) = (matrix(&self.down, [dim, self.rank]), matrix(&self.up, [self.rank, dim]));
        let gate = Gate::new(vector(&self.centre), vector(&self.limit), class_token);
        singer::refine::Adapter::from_parts(down, up, Some(gate))
    }
}

/// A limit that some tokens' scores along `line` exceed, as far from every score as their
/// order allows: beyond what f32 loses in adding one up.
fn limit(batch: &Batch, centre: &[f32], line: &[f32], rank: usize) -> f32 {
    let scored: Vec<(f64, f64)> = batch
        .values
        .chunks(batch.dim)
        .map(|token| {
            let terms = token.iter().zip(centre).zip(line);
            let size = terms.map(|((x, c), u)| f64::from(((x - c) * u).abs())).sum();
            (reference::score(token, centre, line).abs(), size)
        })
        .collect();
    let mut sorted: Vec<f64> = scored.iter().map(|&(score, _)| score).collect();
    sorted.sort_by(|a, b| b.total_cmp(a));
    sorted.push(0.0);
    let above = (sorted.len() / (2 * rank)).clamp(1, 40);
    let apart = |limit: f64| {
        let margins = scored.iter().map(|&(score, size)| (score - limit).abs() / size);
        margins.fold(f64::INFINITY, f64::min)
    };
    let highest = above.min(sorted.len() - 2);
    let pairs = sorted.windows(2).skip(highest).take(above);
    let candidates = pairs.map(|pair| (pair[0] + pair[1]) / 2.0);
    let best = candidates.max_by(|&a, &b| apart(a).total_cmp(&apart(b))).unwrap();
    assert!(apart(best) > 1e-5, "no limit is apart from all scores: {}", apart(best));
    best as f32
}

struct Uploaded {
    down: Slice,
    up: Slice,
    centre: Slice,
    limit: Slice,
    rank: usize,
}

impl Uploaded {
    fn new(gpu: &Gpu, adapter: &Adapter) -> Self {
        let upload = |values: &[f32]| gpu.upload("adapter", values).unwrap();
        let [down, up] = [&adapter.down, &adapter.up].map(|values| upload(values));
        let [centre, limit] = [&adapter.centre, &adapter.limit].map(|values| upload(values));
        Self { down, up, centre, limit, rank: adapter.rank }
    }

    fn shader(&self, class_token: bool) -> GatedRefine<'_> {
        let Self { down, up, centre, limit, rank } = self;
        GatedRefine { down, up, centre, limit, rank: *rank, class_token }
    }
}

fn upload(gpu: &Gpu, batch: &Batch) -> Tokens {
    Tokens {
        slice: gpu.upload("tokens", &batch.values).unwrap(),
        images: batch.images,
        tokens: batch.tokens,
        dim: batch.dim,
        prefix: batch.prefix,
    }
}

fn refined(gpu: &Gpu, batch: &Batch, adapter: &Adapter, class_token: bool) -> Vec<f32> {
    let (tokens, uploaded) = (upload(gpu, batch), Uploaded::new(gpu, adapter));
    let out = gpu.allocate("refined", batch.values.len()).unwrap();
    let mut recording = gpu.record();
    uploaded.shader(class_token).record(&mut recording, &tokens, &out).unwrap();
    recording.submit().unwrap();
    gpu.read(&out).unwrap()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Tokens of a batch by kind: how many were refined, and how many passed unchanged.
#[derive(Debug, Default)]
struct Counts {
    patches: [usize; 2],
    class_tokens: [usize; 2],
    registers: usize,
}

impl Counts {
    /// Compares every token with the f64 reference, and with burn's where that is at hand.
    fn check(
        &mut self,
        batch: &Batch,
        adapter: &Adapter,
        class_token: bool,
        found: &[f32],
        burns: Option<&[f32]>,
    ) {
        let dim = batch.dim;
        for (index, token) in batch.values.chunks(dim).enumerate() {
            let part = index * dim..(index + 1) * dim;
            let found = &found[part.clone()];
            let at = index % batch.tokens;
            let is_patch = at >= batch.prefix;
            let may = is_patch || (at == 0 && class_token);
            let passes = may && adapter.passes(token);
            match (is_patch, at) {
                (true, _) => self.patches[usize::from(passes)] += 1,
                (false, 0) => self.class_tokens[usize::from(passes)] += 1,
                (false, _) => self.registers += 1,
            }
            if !passes {
                assert_eq!(bits(found), bits(token), "token {at} changed: {batch:?}");
                continue;
            }
            let Adapter { down, up, centre, rank, .. } = adapter;
            let wanted = reference::refine_from(token, centre, down, up, *rank);
            assert_close("f64", found, &wanted, 1e-5);
            if let Some(burns) = burns {
                assert_close("burn", found, &widened(&burns[part]), 1e-5);
            }
        }
    }
}

#[test]
fn tokens_at_an_artifact_agree_with_burn_and_f64_to_1e_5_and_all_others_pass_bit_for_bit() {
    let (opened, maps) = software();
    let mut counts = Counts::default();
    for (seed, &shape) in SHAPES.iter().enumerate() {
        let seed = seed as u64;
        let plain = Batch::new(shape, seed);
        for batch in [plain.clone(), plain.with_extremes(1e4)] {
            for rank in [1, 3, 8, 64] {
                let reference = Adapter::new(&batch, rank, seed);
                for class_token in [false, true] {
                    let adapter = reference.on(class_token, opened.burn());
                    let (tokens, prefix) = (batch.tensor(opened.burn()), batch.prefix);
                    let found = host(maps.refine(tokens.clone(), &adapter, prefix).unwrap());
                    let burns = host(adapter.forward(tokens, prefix));
                    counts.check(&batch, &reference, class_token, &found, Some(&burns));
                }
            }
        }
    }
    let Counts { patches, class_tokens, registers } = counts;
    assert!(patches.iter().all(|&count| count > 1000), "{patches:?}");
    assert!(class_tokens.iter().all(|&count| count > 30), "{class_tokens:?}");
    assert!(registers > 100, "{registers}");
}

#[test]
fn of_a_rank_as_high_as_the_shader_takes_every_direction_opens_the_gate_alone() {
    let gpu = gpu(|_, _| {});
    let (dim, rank) = (12, GatedRefine::MAX_RANK);
    let batch = Batch::new([1, rank, dim, 0], 5);
    // Line j is token j's own direction: its score is its norm, which no other token reaches
    // along it.
    let mut up = batch.values.clone();
    for line in up.chunks_mut(dim) {
        let norm = reference::norm(line) as f32;
        line.iter_mut().for_each(|value| *value /= norm);
    }
    let (down, centre) = (normal(dim * rank, 6), vec![0.0; dim]);
    for open in [0, 1, 2, 3, 4, 130, 254, 255] {
        let mut limit = vec![1e6; rank];
        let own = batch.patch(0, open);
        let norm = reference::norm(own) as f32;
        limit[open] = 0.999 * norm;
        let adapter =
            Adapter { down: down.clone(), up: up.clone(), centre: centre.clone(), limit, rank };
        let found = refined(&gpu, &batch, &adapter, false);
        let changed = |token: usize| {
            let part = token * dim..(token + 1) * dim;
            bits(&found[part.clone()]) != bits(&batch.values[part])
        };
        assert!(changed(open), "direction {open} opens nothing");
        for token in 0..rank {
            assert_eq!(changed(token), adapter.passes(batch.patch(0, token)), "token {token}");
        }
    }
}

#[test]
fn a_direction_that_the_adapter_takes_out_is_left_as_long_as_at_the_centre() {
    let gpu = gpu(|_, _| {});
    let dim = 96;
    let mut batch = Batch::new([4, 50, dim, 1], 8);
    let mut up = normal(dim, 9);
    let norm = reference::norm(&up) as f32;
    up.iter_mut().for_each(|value| *value /= norm);
    let centre = normal(dim, 10);
    // An artifact of eight times the typical norm on the class token and every ninth patch.
    let is_artifact = |index: usize| index.is_multiple_of(50) || index % 9 == 4;
    for (index, token) in batch.values.chunks_mut(dim).enumerate().filter(|(i, _)| is_artifact(*i))
    {
        let sign = if index % 2 == 0 { 1.0 } else { -1.0 };
        token.iter_mut().zip(&up).for_each(|(value, u)| *value += sign * 80.0 * u);
    }
    let down = up.iter().map(|u| -u).collect();
    let adapter = Adapter { down, up, centre, limit: vec![20.0], rank: 1 };
    let found = refined(&gpu, &batch, &adapter, true);
    for (index, (token, before)) in found.chunks(dim).zip(batch.values.chunks(dim)).enumerate() {
        let score = reference::score(token, &adapter.centre, &adapter.up);
        match is_artifact(index) {
            true => assert!(score.abs() < 1e-4, "{score} is left of an artifact"),
            false => assert_eq!(bits(token), bits(before)),
        }
    }
}

#[test]
fn tokens_that_are_no_number_pass_unchanged_and_change_no_other() {
    let gpu = gpu(|_, _| {});
    for dim in [8, 9] {
        let clean = Batch::new([2, 21, dim, 1], dim as u64);
        let adapter = Adapter::new(&clean, 3, 1);
        let mut batch = clean.clone();
        batch.values[5 * dim] = f32::NAN;
        let found = refined(&gpu, &batch, &adapter, true);
        let part = 5 * dim..6 * dim;
        assert!(found[5 * dim].is_nan());
        assert_eq!(bits(&found[part.clone()])[1..], bits(&batch.values[part.clone()])[1..]);
        let mut wanted = refined(&gpu, &clean, &adapter, true);
        wanted[part.clone()].copy_from_slice(&found[part]);
        assert_eq!(bits(&found), bits(&wanted));
    }
}

#[test]
fn a_batch_beyond_the_binding_limit_is_refined_in_groups() {
    // An image of 21 x 7 values begins at no aligned offset.
    let gpu = gpu(|limits, _| limits.max_storage_buffer_binding_size = 4 << 10);
    for dim in [7, 8, 12] {
        let batch = Batch::new([13, 21, dim, 2], dim as u64);
        let adapter = Adapter::new(&batch, 5, dim as u64);
        let found = refined(&gpu, &batch, &adapter, true);
        let mut counts = Counts::default();
        counts.check(&batch, &adapter, true, &found, None);
        assert!(counts.patches.iter().all(|&count| count > 10), "{counts:?}");
        assert!(counts.class_tokens[1] > 0, "{counts:?}");
    }
}
