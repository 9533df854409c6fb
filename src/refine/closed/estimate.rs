use burn::tensor::{Device, Int, Tensor, TensorData};
use faer::Mat;

use super::subspace::{Moments, Subspace, down, subspace};
use super::{ClosedForm, ClosedSettings, FoundArtifacts};
use crate::error::{Error, Result};
use crate::readback::read_async;
use crate::refine::neighbourhood::neighbour_mean;
use crate::refine::{Adapter, Adapters, Gate};
use crate::statistics::lower_median;
use crate::tokens::patch_norms;
use crate::vit::Vit;

/// Scores along a direction that are kept for its median; of more, an even sample.
const MOST_SCORES: usize = 1 << 22;
/// From the median absolute deviation to the standard deviation of a normal distribution.
const MAD: f32 = 1.4826;

/// Images that can be gone through more than once.
pub trait ImageBatches {
    /// All batches in the same order as before, `[B, 3, H, W]` each, normalised, on the
    /// teacher's device, all of one size.
    ///
    /// # Errors
    /// Those of the images.
    fn batches(&self) -> Result<Box<dyn Iterator<Item = Result<Tensor<4>>> + '_>>;
}

impl ImageBatches for [Tensor<4>] {
    fn batches(&self) -> Result<Box<dyn Iterator<Item = Result<Tensor<4>>> + '_>> {
        Ok(Box::new(self.iter().cloned().map(Ok)))
    }
}

impl ImageBatches for Vec<Tensor<4>> {
    fn batches(&self) -> Result<Box<dyn Iterator<Item = Result<Tensor<4>>> + '_>> {
        self.as_slice().batches()
    }
}

/// A teacher's refinement in closed form, estimated from images without labels. Statistics
/// are summed up batch by batch, so that any number of images serves; `report` hears of each
/// block that is done and of the number of blocks.
///
/// # Errors
/// [`Error::Setting`], [`Error::NoImages`], [`Error::NoClosedForm`], [`Error::Gpu`]; errors of the
/// images.
#[cfg(not(target_family = "wasm"))]
pub fn closed_form<I: ImageBatches + ?Sized>(
    teacher: &Vit,
    images: &I,
    settings: &ClosedSettings,
    report: &mut dyn FnMut(usize, usize),
) -> Result<ClosedForm> {
    pollster::block_on(closed_form_async(teacher, images, settings, report))
}

/// As `closed_form`, without blocking the thread, which a browser does not allow.
///
/// # Errors
/// As `closed_form`.
pub async fn closed_form_async<I: ImageBatches + ?Sized>(
    teacher: &Vit,
    images: &I,
    settings: &ClosedSettings,
    report: &mut dyn FnMut(usize, usize),
) -> Result<ClosedForm> {
    settings.check()?;
    let mut walk = Walk::start(teacher, images, settings)?;
    let mut blocks = Vec::new();
    for block in 0..teacher.depth() {
        walk.advance();
        let estimation = Estimation { walk: &walk, settings };
        if let Some((adapter, found)) = estimation.run(block).await? {
            walk.adapters.insert(block, adapter);
            blocks.push(found);
        }
        report(block + 1, teacher.depth());
    }
    Ok(ClosedForm { adapters: walk.adapters, blocks, images: walk.images })
}

/// All images on their way through the teacher, one block at a time.
struct Walk<'a, I: ?Sized> {
    teacher: &'a Vit,
    source: &'a I,
    /// Of the blocks passed.
    adapters: Adapters,
    /// Blocks passed.
    passed: usize,
    /// Tokens of the first batches, leaving the last block passed, not refined there.
    held: Vec<Tensor<3>>,
    /// Whether there are batches beyond the held ones.
    more: bool,
    images: usize,
    /// Patches along height and width.
    grid: [usize; 2],
}

impl<'a, I: ImageBatches + ?Sized> Walk<'a, I> {
    fn start(teacher: &'a Vit, source: &'a I, settings: &ClosedSettings) -> Result<Self> {
        let (mut held, mut more, mut images, mut grid) = (Vec::new(), false, 0, [0; 2]);
        let mut bytes = 0;
        for batch in source.batches()? {
            let batch = batch?;
            images += batch.dims()[0];
            grid = teacher.patch_embed.grid(&batch);
            more = more || bytes > settings.cache_bytes;
            if !more {
                let tokens = teacher.embed(batch);
                bytes += 4 * tokens.shape().num_elements();
                held.push(tokens);
            }
        }
        match images {
            0 => Err(Error::NoImages),
            _ => {
                let adapters = Adapters::closed();
                Ok(Self { teacher, source, adapters, passed: 0, held, more, images, grid })
            }
        }
    }

    /// Runs the next block on all held tokens.
    fn advance(&mut self) {
        let held = std::mem::take(&mut self.held);
        self.held = held.into_iter().map(|tokens| self.through(tokens, self.passed)).collect();
        self.passed += 1;
    }

    /// Tokens that have left the block before, through `block`.
    fn through(&self, tokens: Tensor<3>, block: usize) -> Tensor<3> {
        let before = block.checked_sub(1).and_then(|before| self.adapters.get(before));
        let tokens = match before {
            Some(adapter) => adapter.forward(tokens, self.teacher.prefix_tokens()),
            None => tokens,
        };
        self.teacher.forward_blocks(tokens, block..block + 1)
    }

    /// Tokens `[B, T, D]` of all batches, leaving the last block passed.
    fn tokens(&self) -> Result<Box<dyn Iterator<Item = Result<Tensor<3>>> + '_>> {
        let held = self.held.iter().cloned().map(Ok);
        if !self.more {
            return Ok(Box::new(held));
        }
        let rest = self.source.batches()?.skip(self.held.len()).map(|batch| {
            let embedded = self.teacher.embed(batch?);
            Ok((0..self.passed).fold(embedded, |tokens, block| self.through(tokens, block)))
        });
        Ok(Box::new(held.chain(rest)))
    }
}

/// The estimation of one block's artifacts.
struct Estimation<'a, I: ?Sized> {
    walk: &'a Walk<'a, I>,
    settings: &'a ClosedSettings,
}

/// The gate and Φ_up, before Φ_down is known.
struct Rule {
    /// Of the inliers, `[D]`.
    mean: Tensor<1>,
    gate: Gate,
    up: Tensor<2>,
}

/// The patches of a batch.
struct Patches {
    /// `[B, P, D]`.
    patches: Tensor<3>,
    /// 1 for inliers, `[B, P, 1]`.
    inliers: Tensor<3>,
    /// Places of the outliers among `[B P]`.
    outliers: Vec<i32>,
}

impl<I: ImageBatches + ?Sized> Estimation<'_, I> {
    /// The block's adapter; none where no direction stands out.
    async fn run(&self, block: usize) -> Result<Option<(Adapter, FoundArtifacts)>> {
        let failed = |()| Error::NoClosedForm(block);
        let seeds = self.count_outliers(block).await?;
        if seeds < self.settings.min_outliers {
            return Ok(None);
        }
        let dim = self.walk.teacher.embed_dim();
        let device = self.walk.teacher.device();
        let mut rule = None;
        let mut found = None;
        for _ in 0..self.settings.rounds {
            let (inliers, outliers, mean) = self.residuals(rule.as_ref(), dim).await?;
            let Some(directions) = subspace(&inliers, &outliers, self.settings).map_err(failed)?
            else {
                return Ok(None);
            };
            rule = Some(self.rule(&directions, mean, &device).await?);
            found = Some(directions);
        }
        let (Some(rule), Some(Subspace { directions, eigenvalues })) = (rule, found) else {
            return Ok(None);
        };
        let (clean, refined, class_token) = self.clean(&rule, dim).await?;
        if refined < self.settings.min_outliers {
            return Ok(None);
        }
        let down = down(&directions, &clean, self.settings.ridge).map_err(failed)?;
        let rank = directions.ncols();
        let down = Tensor::<2>::from_data(rows(&down), &device);
        let adapter = Adapter::from_parts(down, rule.up, Some(rule.gate));
        let patches = (self.walk.images * self.walk.grid.into_iter().product::<usize>()) as f64;
        let found = FoundArtifacts {
            block,
            rank,
            eigenvalues,
            outliers: seeds as f64 / patches,
            refined: refined as f64 / patches,
            class_token: class_token.map(|count| count as f64 / self.walk.images as f64),
        };
        Ok(Some((adapter, found)))
    }

    async fn count_outliers(&self, block: usize) -> Result<usize> {
        let mut count = 0;
        for tokens in self.walk.tokens()? {
            let outliers = self.outliers(tokens?).await?;
            count += outliers.ok_or(Error::NoClosedForm(block))?.len();
        }
        Ok(count)
    }

    /// Places of the patches whose norm makes them outliers, among `[B P]`; none where a norm
    /// is not finite.
    async fn outliers(&self, tokens: Tensor<3>) -> Result<Option<Vec<i32>>> {
        let norms = patch_norms(tokens, self.walk.teacher.prefix_tokens());
        let patches = norms.dims()[1];
        let norms = read_async(norms).await?;
        if !norms.iter().all(|norm| norm.is_finite()) {
            return Ok(None);
        }
        let mut outliers = Vec::new();
        for (image, norms) in norms.chunks(patches).enumerate() {
            let limit = lower_median(norms) * self.settings.norm_factor as f32;
            let places = (0..patches).filter(|&place| norms[place] > limit);
            outliers.extend(places.map(|place| (image * patches + place) as i32));
        }
        Ok(Some(outliers))
    }

    /// The patches of a batch; those that a rule refines are no inliers.
    async fn patches(&self, tokens: Tensor<3>, rule: Option<&Rule>) -> Result<Patches> {
        let prefix = self.walk.teacher.prefix_tokens();
        let [batch, count, _] = tokens.dims();
        let outliers = self.outliers(tokens.clone()).await?.unwrap_or_default();
        let patches = tokens.narrow(1, prefix, count - prefix);
        let mut inliers = vec![1.0_f32; batch * (count - prefix)];
        for &place in &outliers {
            inliers[place as usize] = 0.0;
        }
        let inliers = TensorData::new(inliers, [batch, count - prefix, 1]);
        let mut inliers = Tensor::<3>::from_data(inliers, &patches.device());
        if let Some(rule) = rule {
            let scores = rule.gate.scores(rule.up.clone(), patches.clone());
            inliers = inliers * scores.lower_equal_elem(1.0).float().unsqueeze_dim::<3>(2);
        }
        Ok(Patches { patches, inliers, outliers })
    }

    /// Moments of what inliers and outliers have beyond the mean of their neighbours, and the
    /// mean of the inliers.
    async fn residuals(
        &self,
        rule: Option<&Rule>,
        dim: usize,
    ) -> Result<(Moments, Moments, Vec<f64>)> {
        let (mut inner, mut outer) = (Moments::new(dim), Moments::new(dim));
        let mut tokens_of_inliers = vec![0.0; dim];
        for tokens in self.walk.tokens()? {
            let Patches { patches, inliers, outliers } = self.patches(tokens?, rule).await?;
            let near = neighbour_mean(patches.clone(), inliers.clone(), self.walk.grid);
            let residual = patches.clone() - near;
            let counted = read_async(inliers.clone().sum()).await?;
            inner.count += f64::from(counted[0]);
            let sum = read_async((patches * inliers.clone()).sum_dim(0).sum_dim(1)).await?;
            add(&mut tokens_of_inliers, &sum);
            add_products(&mut inner, flat(residual.clone() * inliers)).await?;
            if !outliers.is_empty() {
                let count = outliers.len();
                let places = TensorData::new(outliers, [count]);
                let places = Tensor::<1, Int>::from_data(places, &residual.device());
                let rows = flat(residual).select(0, places);
                outer.count += count as f64;
                add(&mut outer.sum, &read_async(rows.clone().sum_dim(0)).await?);
                add_products(&mut outer, rows).await?;
            }
        }
        let mean = tokens_of_inliers.iter().map(|sum| sum / inner.count.max(1.0)).collect();
        Ok((inner, outer, mean))
    }

    /// The gate of a subspace: medians and deviations of all patches' scores.
    async fn rule(
        &self,
        Subspace { directions, .. }: &Subspace,
        mean: Vec<f64>,
        device: &Device,
    ) -> Result<Rule> {
        let rank = directions.ncols();
        let prefix = self.walk.teacher.prefix_tokens();
        let along = Tensor::<2>::from_data(rows(directions), device);
        let centre: Vec<f32> = mean.iter().map(|&mean| mean as f32).collect();
        let mean_of_inliers = Tensor::<1>::from_data(TensorData::new(centre, [mean.len()]), device);
        let mut scores = Scores::new(rank);
        for tokens in self.walk.tokens()? {
            let tokens = tokens?;
            let count = tokens.dims()[1] - prefix;
            let centred = tokens.narrow(1, prefix, count) - mean_of_inliers.clone().unsqueeze();
            scores.add(&read_async(flat(centred).matmul(along.clone())).await?);
        }
        let (medians, deviations) = scores.medians();
        let mut centre = mean;
        for (i, centre) in centre.iter_mut().enumerate() {
            let along = |j: usize| directions[(i, j)] * f64::from(medians[j]);
            *centre += (0..rank).map(along).sum::<f64>();
        }
        let centre: Vec<f32> = centre.into_iter().map(|value| value as f32).collect();
        let limit = deviations.into_iter().map(|deviation| {
            // Patches that do not vary still get a limit to compare with.
            (deviation * self.settings.gate as f32).max(f32::MIN_POSITIVE)
        });
        let tensor = |values: Vec<f32>| {
            let count = values.len();
            Tensor::<1>::from_data(TensorData::new(values, [count]), device)
        };
        let class_token = self.settings.class_token && self.walk.teacher.cls_token.is_some();
        let gate = Gate::new(tensor(centre), tensor(limit.collect()), class_token);
        Ok(Rule { mean: mean_of_inliers, gate, up: along.transpose() })
    }

    /// Moments of clean patches about their mean, and how many patches and class
    /// tokens are refined.
    async fn clean(&self, rule: &Rule, dim: usize) -> Result<(Moments, usize, Option<usize>)> {
        let prefix = self.walk.teacher.prefix_tokens();
        let mut moments = Moments::new(dim);
        let (mut refined, mut class_tokens) = (0, 0);
        for tokens in self.walk.tokens()? {
            let tokens = tokens?;
            let count = tokens.dims()[1];
            let scores = read_async(rule.gate.scores(rule.up.clone(), tokens.clone())).await?;
            for image in scores.chunks(count) {
                let (first, patches) = image.split_at(prefix);
                refined += patches.iter().filter(|&&score| score > 1.0).count();
                class_tokens += first.iter().take(1).filter(|&&score| score > 1.0).count();
            }
            let Patches { patches, inliers, .. } = self.patches(tokens, Some(rule)).await?;
            moments.count += f64::from(read_async(inliers.clone().sum()).await?[0]);
            let centred = (patches - rule.mean.clone().unsqueeze()) * inliers;
            add(&mut moments.sum, &read_async(centred.clone().sum_dim(0).sum_dim(1)).await?);
            add_products(&mut moments, flat(centred)).await?;
        }
        Ok((moments, refined, rule.gate.class_token.then_some(class_tokens)))
    }
}

/// Scores along each direction, or an even sample of them.
struct Scores {
    kept: Vec<Vec<f32>>,
    /// One row in so many is kept.
    stride: usize,
    seen: usize,
}

impl Scores {
    fn new(rank: usize) -> Self {
        Self { kept: vec![Vec::new(); rank], stride: 1, seen: 0 }
    }

    /// Adds rows of one score for each direction.
    fn add(&mut self, scores: &[f32]) {
        for row in scores.chunks(self.kept.len()) {
            if self.seen.is_multiple_of(self.stride) {
                self.kept.iter_mut().zip(row).for_each(|(kept, &score)| kept.push(score));
            }
            self.seen += 1;
            if self.kept[0].len() > MOST_SCORES {
                self.stride *= 2;
                for kept in &mut self.kept {
                    *kept = kept.iter().copied().step_by(2).collect();
                }
            }
        }
    }

    /// Median, and deviation from it, along each direction.
    fn medians(&self) -> (Vec<f32>, Vec<f32>) {
        let of = |scores: &Vec<f32>| {
            let median = lower_median(scores);
            let apart: Vec<f32> = scores.iter().map(|score| (score - median).abs()).collect();
            (median, MAD * lower_median(&apart))
        };
        self.kept.iter().map(of).unzip()
    }
}

/// `[B, P, D] -> [B P, D]`.
fn flat(tokens: Tensor<3>) -> Tensor<2> {
    let [batch, count, dim] = tokens.dims();
    tokens.reshape([batch * count, dim])
}

fn add(sums: &mut [f64], values: &[f32]) {
    sums.iter_mut().zip(values).for_each(|(sum, &value)| *sum += f64::from(value));
}

/// Adds `Σ x xᵀ` over rows `[N, D]`.
async fn add_products(moments: &mut Moments, rows: Tensor<2>) -> Result<()> {
    let dim = rows.dims()[1];
    let products = read_async(rows.clone().transpose().matmul(rows)).await?;
    for (i, row) in products.chunks(dim).enumerate() {
        for (j, &value) in row.iter().enumerate() {
            moments.products[(i, j)] += f64::from(value);
        }
    }
    Ok(())
}

/// A matrix in f32, row-major.
fn rows(matrix: &Mat<f64>) -> TensorData {
    let (height, width) = (matrix.nrows(), matrix.ncols());
    let entries = (0..height).flat_map(|i| (0..width).map(move |j| (i, j)));
    let entries: Vec<f32> = entries.map(|place| matrix[place] as f32).collect();
    TensorData::new(entries, [height, width])
}
