//! What a distillation takes of a device's memory, from the shapes alone.

use serde::Serialize;

use super::{DistillConfig, MethodKind, RefineKind, shapes};
use crate::distill::{queue_size, with_last_layer};
use crate::error::{Error, Result};
use crate::ops::Precision;
use crate::train::OptimizerSettings;
use crate::vit::VitConfig;

/// Bytes of an f32.
const F32: u64 = 4;

/// The memory that a distillation takes on its device, in bytes, before anything is
/// computed: [`Plan::of`].
///
/// It counts what is alive at the moment of a step that needs most: the weights, the
/// gradients and the optimiser's state; for each image the pixels, what the student's
/// blocks keep for the backward pass and what the method's loss keeps; and the largest
/// intermediate results. Of a block of width D with H hidden units that is, for each token,
/// `2 D` numbers in f32 (the block's input and the MLP's) and `4 D + H` in the precision of
/// products (queries, keys, values, attention's output, hidden units); the rest is
/// recomputed. What a driver and a pool of memory pages need on top is not counted.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Plan {
    /// The teacher's name; none where the method has none.
    pub teacher: Option<String>,
    /// The student's name.
    pub student: String,
    /// Images in a batch.
    pub batch: usize,
    /// Micro-batches that it goes in.
    pub accumulate: usize,
    /// The precision of products.
    pub precision: Precision,
    /// The teacher's weights.
    pub teacher_weights: u64,
    /// The weights that are trained: the student's and the method's.
    pub trained_weights: u64,
    /// Their gradients: each shard's, and those of a micro-batch that are added to them.
    pub gradients: u64,
    /// The optimiser's state.
    pub optimizer: u64,
    /// What the method keeps from batch to batch.
    pub method_state: u64,
    /// What each image of a micro-batch takes.
    pub image: ImageBytes,
    /// What each image of a batch takes however it is split: its pixels, and the teacher's
    /// features that are kept from the counting of outliers on.
    pub whole_batch: u64,
}

/// Bytes for each image of a micro-batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ImageBytes {
    /// What the student's blocks keep for the backward pass.
    pub student: u64,
    /// What the method's loss keeps, the teacher's features included.
    pub method: u64,
    /// The largest intermediate results.
    pub workspace: u64,
}

impl ImageBytes {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.student + self.method + self.workspace
    }
}

impl Plan {
    /// The plan of a distillation by its settings, with products in `precision` and `shards`
    /// shards: one on a GPU and one for each thread on a CPU, with gradients of its own. The
    /// teacher's weights are not read.
    ///
    /// # Errors
    /// [`Error::Missing`] without a teacher; those of the shapes of teacher and student, and
    /// of the layers.
    pub fn of(config: &DistillConfig, precision: Precision, shards: usize) -> Result<Self> {
        let teacher = match config.method {
            MethodKind::None => None,
            _ if config.teacher.arch.is_none() && config.teacher.weights.is_none() => {
                return Err(Error::Missing("teacher"));
            }
            _ => Some(config.teacher.resolve_for("teacher")?),
        };
        let student = shapes::student(config, teacher.as_ref(), None)?;
        let (batch, accumulate) = (config.train.batch, config.train.accumulate);
        if !(1..=batch).contains(&accumulate) {
            let expected = format!("a batch of {batch} goes in 1 to {batch} micro-batches");
            return Err(Error::setting("accumulate", accumulate, expected));
        }
        let half = if precision == Precision::F32 { F32 } else { 2 };
        let shape = &student.config;
        let method = match &teacher {
            Some(teacher) => method_memory(config, &teacher.config, shape, half)?,
            None => MethodMemory::default(),
        };
        let trained = shape.num_params()? as u64 + method.parameters;
        let teacher_weights = match &teacher {
            Some(teacher) => F32 * teacher.config.num_params()? as u64,
            None => 0,
        };
        let states = match config.optimizer {
            OptimizerSettings::Adamw { .. } => 2,
            OptimizerSettings::Sgd { momentum, .. } => u64::from(momentum > 0.0),
        };
        let own = block_workspace(shape, half);
        let pixels = 3 * (shape.img_size[0] * shape.img_size[1]) as u64 * F32;
        let ahead = if accumulate > 1 { method.features } else { 0 };
        Ok(Self {
            teacher: teacher.map(|teacher| teacher.arch),
            student: student.arch.clone(),
            batch,
            accumulate,
            precision,
            teacher_weights,
            trained_weights: F32 * trained,
            gradients: F32 * trained * shards.max(1) as u64 * if accumulate > 1 { 2 } else { 1 },
            optimizer: F32 * trained * states,
            method_state: method.state,
            image: ImageBytes {
                student: student_memory(shape, half, config.train.recompute),
                method: method.kept,
                workspace: method.workspace.max(own),
            },
            whole_batch: pixels + ahead,
        })
    }

    /// What does not depend on the batch: weights, gradients, the optimiser's state and the
    /// method's.
    pub fn fixed(&self) -> u64 {
        let weights = self.teacher_weights + self.trained_weights + self.gradients;
        weights + self.optimizer + self.method_state
    }

    /// All of it, for the batch of the settings.
    pub fn total(&self) -> u64 {
        self.for_batch(self.batch)
    }

    /// As [`total`](Self::total) for another batch in as many micro-batches.
    pub fn for_batch(&self, batch: usize) -> u64 {
        let micro = batch.div_ceil(self.accumulate) as u64;
        self.fixed() + batch as u64 * self.whole_batch + micro * self.image.total()
    }

    /// The largest batch in as many micro-batches that fits into `bytes`; 0 where none does.
    pub fn largest_batch(&self, bytes: u64) -> usize {
        let left = bytes.saturating_sub(self.fixed());
        let micro_batch = self.accumulate as u64 * self.whole_batch + self.image.total();
        let whole = (left / micro_batch.max(1)) as usize * self.accumulate;
        // The next ones make the last micro-batches larger by one image.
        (whole..whole + self.accumulate).rev().find(|&n| self.for_batch(n) <= bytes).unwrap_or(0)
    }

    /// The fewest micro-batches in which a distillation fits into `bytes`; none where not
    /// even single images do.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn fewest_micro_batches(
        config: &DistillConfig,
        precision: Precision,
        shards: usize,
        bytes: u64,
    ) -> Result<Option<usize>> {
        let mut config = config.clone();
        for accumulate in 1..=config.train.batch {
            config.train.accumulate = accumulate;
            if Self::of(&config, precision, shards)?.total() <= bytes {
                return Ok(Some(accumulate));
            }
        }
        Ok(None)
    }
}

/// What the student keeps of an image: what its blocks keep, or their inputs and what one of
/// them keeps while it is computed anew.
fn student_memory(shape: &VitConfig, half: u64, recompute: bool) -> u64 {
    let (depth, block) = (shape.depth as u64, block_memory(shape, half));
    match recompute {
        true => depth * (shape.tokens() * shape.embed_dim) as u64 * F32 + block,
        false => depth * block,
    }
}

/// What a block keeps of an image for the backward pass.
fn block_memory(shape: &VitConfig, half: u64) -> u64 {
    let (dim, hidden) = (shape.embed_dim as u64, shape.hidden_dim() as u64);
    shape.tokens() as u64 * (2 * dim * F32 + (4 * dim + hidden) * half)
}

/// The largest intermediate results of a block and its gradient: either the attention's
/// `[heads, T, T]` with queries, keys, values and their gradients, or the MLP's.
fn block_workspace(shape: &VitConfig, half: u64) -> u64 {
    let tokens = shape.tokens() as u64;
    let (dim, hidden) = (shape.embed_dim as u64, shape.hidden_dim() as u64);
    let attention = 6 * dim * half + 3 * shape.num_heads as u64 * tokens * F32;
    let mlp = 2 * hidden * half;
    tokens * (2 * dim * F32 + attention.max(mlp))
}

/// What a method adds, for each image but for the parameters.
#[derive(Default)]
struct MethodMemory {
    /// Trained besides the student.
    parameters: u64,
    /// Bytes for the backward pass, the teacher's features included.
    kept: u64,
    /// Bytes of the teacher's features alone.
    features: u64,
    /// Bytes of the largest intermediate results.
    workspace: u64,
    /// Bytes that are kept from batch to batch, whatever their size.
    state: u64,
}

/// Of a method that learns `layers` frozen features of `width` bytes, of which it keeps each
/// `copies` times.
fn frozen_features(
    layers: u64,
    projection: u64,
    width: u64,
    copies: u64,
    workspace: u64,
) -> MethodMemory {
    MethodMemory {
        parameters: layers * projection,
        kept: copies * layers * width,
        features: layers * width,
        workspace,
        state: 0,
    }
}

fn method_memory(
    config: &DistillConfig,
    teacher: &VitConfig,
    student: &VitConfig,
    half: u64,
) -> Result<MethodMemory> {
    let layers = with_last_layer(&config.singer.layers, teacher.depth)?.len() as u64;
    let (wide, narrow) = (teacher.embed_dim as u64, student.embed_dim as u64);
    let (tokens, patches) = (teacher.tokens() as u64, teacher.patches() as u64);
    let width = tokens * wide * F32;
    let projection = narrow * wide + wide;
    let forward = block_workspace(teacher, half);
    Ok(match config.method {
        MethodKind::None => MethodMemory::default(),
        MethodKind::Kd => MethodMemory { workspace: forward, ..MethodMemory::default() },
        MethodKind::Singer
            if !matches!(config.refine, Some(RefineKind::Published | RefineKind::Trained)) =>
        {
            frozen_features(layers, projection, width, 2, forward)
        }
        // The feature's and the projection's unit tokens, and the projection.
        MethodKind::Cosine => frozen_features(layers, projection, width, 4, forward),
        // The feature and the difference from it.
        MethodKind::Fitnet | MethodKind::Normalised => {
            frozen_features(layers, projection, width, 2, forward)
        }
        MethodKind::Relational => {
            let queue = config.relational.queue.unwrap_or(queue_size(None)) as u64;
            let gram = patches * patches * F32;
            MethodMemory {
                parameters: 2 * projection,
                // The feature, both sides' unit tokens and the projection; of both sides the
                // similarities, as they are and as probabilities.
                kept: 4 * width + 4 * gram + 4 * queue * F32,
                features: width,
                workspace: forward.max(2 * gram),
                state: queue * wide * F32,
            }
        }
        MethodKind::Proteus => {
            let norm = 2 * narrow;
            // The student's second pass, over a share of the images.
            let again = config.proteus.masked_images * student_memory(student, half, false) as f64;
            MethodMemory {
                parameters: 3 * (projection + norm) + narrow,
                // The feature, the student's normed tokens and the difference, once for all
                // images and once for the masked ones.
                kept: 6 * width + again as u64,
                features: width,
                workspace: forward,
                state: 0,
            }
        }
        MethodKind::Vitkd | MethodKind::VitkdReference => {
            let mimics = config.vitkd.mimic_layers.len() as u64;
            let generators = 2 * (9 * wide * wide + wide);
            MethodMemory {
                parameters: (layers + mimics) * projection + layers * generators + wide,
                // The feature, masked tokens, both padded maps, the first one's output, and
                // the difference from the feature.
                kept: (layers * 7 + mimics * 2) * width,
                features: (layers + mimics) * width,
                // Nine taps and their gradient.
                workspace: forward.max(18 * width),
                state: 0,
            }
        }
        MethodKind::Singer => {
            let rank = (config.singer.rank as u64).min(wide);
            let between = layers - 1;
            let gram = patches * patches * F32;
            // The feature; patches and refined tokens; the patches whose norms are taken;
            // the distance from the student; patches, unit patches, their product, and the
            // difference of the two Gram matrices.
            let each = 8 * width + tokens * rank * F32 + gram;
            MethodMemory {
                parameters: layers * (2 * rank * wide + projection),
                // An intermediate layer's next block and what it gives for the raw feature.
                kept: layers * each + between * (width + block_memory(teacher, half)),
                features: (layers + between) * width,
                workspace: forward.max(2 * gram + 3 * width),
                state: 0,
            }
        }
    })
}
