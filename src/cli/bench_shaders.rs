//! `singer bench-shaders`: measures each shader, and prints JSON.

use std::fmt::Display;
use std::process::ExitCode;
use std::time::Instant;

use burn::tensor::{Device as BurnDevice, Distribution, Tensor};
use serde_json::{Value, json};

use super::args::BenchShadersArgs;
use super::bench::median;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::frozen::FrozenVit;
use crate::gpu::{
    Activation, Attention, ColorMap, CosineMap, Drawing, GatedRefine, Gpu, GramMatrix, LayerNorm,
    Linear, LowRankRefine, NormQuantile, Outliers, PatchNorm, Recording, Slice, Tokens,
};
use crate::maps::{FeatureMaps, Palette};
use crate::model::ModelSpec;
use crate::refine::Adapter;
use crate::vit::init_weights;

pub(super) fn run(args: &BenchShadersArgs) -> Result<ExitCode> {
    let opened = Device::open(&args.device)?;
    let Some(gpu) = opened.gpu() else {
        return Err(Error::config(
            "the shaders need a GPU: use --device gpu, or --device software for a software rasteriser",
        ));
    };
    let least = [args.images, args.tokens, args.dim, args.runs, args.repeats];
    if least.contains(&0) || args.prefix >= args.tokens {
        return Err(Error::config(
            "--images, --tokens, --dim, --runs and --repeats must be at least 1, --prefix below --tokens",
        ));
    }
    let bench = Bench { gpu, runs: args.runs, repeats: args.repeats };
    let elements = args.images * args.tokens * args.dim;
    // A driver may copy with fewer units than compute: a quarter of the rate on an H100.
    let copy = bench.copy_rate(elements)?.max(bench.pass_rate(elements, opened.burn())?);
    let mut shaders = bench.shaders(args, copy)?;
    shaders.extend(bench.block(args, copy)?);
    let forward = args.arch.as_ref().map(|arch| forward_against_burn(arch, args, &opened));
    let report = json!({
        "device": opened.name(),
        "tokens": [args.images, args.tokens, args.dim],
        "prefix": args.prefix,
        "rank": args.rank,
        "runs": args.runs,
        "copy_gb_per_s": copy / 1e9,
        "shaders": shaders,
        "refine_against_burn": against_burn(args, opened.burn(), &FeatureMaps::new(&opened))?,
        "forward_against_burn": forward.transpose()?,
    });
    say!("{}", serde_json::to_string_pretty(&report).unwrap_or_default());
    Ok(ExitCode::SUCCESS)
}

struct Bench<'a> {
    gpu: &'a Gpu,
    runs: usize,
    repeats: usize,
}

impl Bench<'_> {
    /// Bytes a second, read and written, of plain copies.
    fn copy_rate(&self, elements: usize) -> Result<f64> {
        let (from, to) = (self.gpu.allocate("from", elements)?, self.gpu.allocate("to", elements)?);
        let once = || -> Result<f64> {
            let start = Instant::now();
            let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
            for _ in 0..self.repeats {
                encoder.copy_buffer_to_buffer(&from.buffer, 0, &to.buffer, 0, from.size);
            }
            self.gpu.queue().submit([encoder.finish()]);
            self.gpu.wait()?;
            Ok(start.elapsed().as_secs_f64() / self.repeats as f64)
        };
        Ok(2.0 * from.size as f64 / self.median(once)?)
    }

    /// Bytes a second, read and written, of a kernel of burn's that reads and writes each value once.
    fn pass_rate(&self, elements: usize, device: &BurnDevice) -> Result<f64> {
        let values = Tensor::<1>::zeros([elements], device);
        let failed = |error: &dyn Display| Error::gpu("adding", &error.to_string());
        let once = || -> Result<f64> {
            device.sync().map_err(|error| failed(&error))?;
            let start = Instant::now();
            for _ in 0..self.repeats {
                let sums = values.clone() + 1.0;
                // Or burn would make one kernel of all repeats.
                device.flush().map_err(|error| failed(&error))?;
                drop(sums);
            }
            device.sync().map_err(|error| failed(&error))?;
            Ok(start.elapsed().as_secs_f64() / self.repeats as f64)
        };
        Ok(8.0 * elements as f64 / self.median(once)?)
    }

    /// Median seconds of one piece of work, by the device's clock where it has one.
    fn time(&self, work: impl Fn(&mut Recording) -> Result<()>) -> Result<f64> {
        let once = || -> Result<f64> {
            let mut recording = self.gpu.record();
            for _ in 0..self.repeats {
                work(&mut recording)?;
            }
            let start = Instant::now();
            let on_device = recording.submit_timed()?;
            let waited = start.elapsed().as_secs_f64();
            Ok(on_device.unwrap_or(waited) / self.repeats as f64)
        };
        self.median(once)
    }

    /// Median seconds of the runs, after one that is not counted.
    fn median(&self, once: impl Fn() -> Result<f64>) -> Result<f64> {
        once()?;
        Ok(median(&(0..self.runs).map(|_| once()).collect::<Result<Vec<_>>>()?))
    }

    fn shaders(&self, args: &BenchShadersArgs, copy: f64) -> Result<Vec<Value>> {
        let gpu = self.gpu;
        let BenchShadersArgs { images, tokens: count, dim, prefix, rank, .. } = *args;
        let patches = count - prefix;
        let norms = gpu.allocate("norms", images * patches)?;
        let mut rows = Vec::new();
        let mut add = |name: &str, bytes: usize, flops: usize, seconds: f64| {
            rows.push(row(copy, name, bytes, flops, seconds));
        };

        let all = images * count * dim;
        let read = images * patches * dim;
        let values: Vec<f32> = (0..count * dim).map(|i| (i % 251) as f32 / 251.0 - 0.4).collect();
        let make = || -> Result<Tokens> {
            let slice = gpu.allocate("tokens", all)?;
            for image in 0..images {
                let (at, bytes) = ((image * count * dim * 4) as u64, bytemuck::cast_slice(&values));
                gpu.queue().write_buffer(&slice.buffer, at, bytes);
            }
            Ok(Tokens { slice, images, tokens: count, dim, prefix })
        };
        let tokens = make()?;
        let seconds = self.time(|recording| PatchNorm::record(recording, &tokens, &norms))?;
        add("patch_norm", 4 * (read + images * patches), 2 * read, seconds);

        let outliers = Outliers {
            thresholds: gpu.allocate("thresholds", images)?,
            mask: gpu.allocate("mask", images * patches)?,
            counts: gpu.allocate("counts", images)?,
        };
        let shape = [images, patches];
        let seconds =
            self.time(|recording| NormQuantile::record(recording, &norms, shape, 0.97, &outliers))?;
        add("norm_quantile", 4 * 2 * images * patches, 0, seconds);

        let marked = gpu.upload("marked", &vec![(patches / 2) as u32; images])?;
        let seconds =
            self.time(|recording| CosineMap::to_marked(recording, &tokens, &marked, &norms))?;
        add("cosine_map (to a patch)", 4 * (read + images * patches), 6 * read, seconds);

        let other = make()?;
        let seconds =
            self.time(|recording| CosineMap::between(recording, &tokens, &other, &norms))?;
        add("cosine_map (between maps)", 4 * (2 * read + images * patches), 6 * read, seconds);

        let weights = gpu.upload("adapter", &vec![0.01_f32; dim * rank])?;
        let seconds = self.time(|recording| {
            LowRankRefine::record(recording, &tokens, &weights, &weights, rank, &other.slice)
        })?;
        let flops = 4 * images * count * dim * rank;
        add("low_rank_refine", 4 * (2 * all + 2 * dim * rank), flops, seconds);

        // The values lie within 1, so no score reaches the first limit and all pass the second.
        for (name, limit, flops) in [
            ("gated_refine (no artifact)", f32::MAX, flops / 2),
            ("gated_refine (artifacts alone)", -1.0, 3 * flops / 2),
        ] {
            let limit = gpu.upload("limit", &vec![limit; rank])?;
            let (down, up, centre, class_token) = (&weights, &weights, &weights, true);
            let adapter = GatedRefine { down, up, centre, limit: &limit, rank, class_token };
            let seconds =
                self.time(|recording| adapter.record(recording, &tokens, &other.slice))?;
            add(name, 4 * (2 * all + 2 * dim * rank), flops, seconds);
        }

        let gram_flops = images * patches * (patches + 1) * dim;
        let distances = gpu.allocate("distances", images)?;
        let seconds =
            self.time(|recording| GramMatrix::distance(recording, &tokens, &other, &distances))?;
        add("gram (distance)", 4 * 2 * read, 2 * gram_flops, seconds);
        drop(other);
        let matrix = gpu.allocate("gram", images * patches * patches)?;
        let seconds = self.time(|recording| GramMatrix::record(recording, &tokens, &matrix))?;
        add("gram (matrix)", 4 * (read + images * patches * patches), gram_flops, seconds);
        drop(matrix);

        let seconds = self.colormap(patches, &norms)?;
        add("colormap (1024 x 1024)", 4 * (1 << 20), 0, seconds);
        Ok(rows)
    }

    /// The kernels of a block's forward pass; none where the width is no multiple of 4.
    fn block(&self, args: &BenchShadersArgs, copy: f64) -> Result<Vec<Value>> {
        let gpu = self.gpu;
        let BenchShadersArgs { images, tokens, dim, .. } = *args;
        let Some(head_dim) = [64, 32, 16, 8, 4].into_iter().find(|&size| dim.is_multiple_of(size))
        else {
            return Ok(Vec::new());
        };
        let (tokens_of_all, hidden) = (images * tokens, 4 * dim);
        let elements = tokens_of_all * dim;
        let x = gpu.upload("x", &vec![0.5_f32; elements])?;
        let qkv = gpu.upload("qkv", &vec![0.1_f32; 3 * elements])?;
        let vector = gpu.upload("vector", &vec![0.1_f32; hidden])?;
        let matrix = gpu.upload("matrix", &vec![0.01_f32; dim * hidden])?;
        let out = gpu.allocate("out", tokens_of_all * hidden)?;

        let norm = LayerNorm { gamma: &vector, beta: &vector, dim, epsilon: 1e-6 };
        let norms = self.time(|recording| norm.record(recording, &x, tokens_of_all, &out))?;
        let linear =
            |half| Linear { weight: &matrix, bias: &vector, inner: dim, columns: hidden, half };
        let product = |half| {
            self.time(|recording| {
                linear(half).record(recording, &x, tokens_of_all, Activation::Gelu, &out)
            })
        };
        let [full, half] = [product(false)?, product(true)?];
        let attention = Attention { images, tokens, heads: dim / head_dim, head_dim };
        let attended = self.time(|recording| attention.record(recording, &qkv, &out))?;

        let (moved, weights) = (4 * tokens_of_all * (dim + hidden), dim * hidden);
        let flops = 2 * tokens_of_all * weights;
        Ok(vec![
            row(copy, "layer_norm", 4 * 2 * elements, 8 * elements, norms),
            row(copy, "linear (GELU)", moved + 4 * weights, flops, full),
            row(copy, "linear (GELU, f16 weights)", moved + 2 * weights, flops, half),
            row(copy, "attention", 4 * 4 * elements, 4 * elements * tokens, attended),
        ])
    }

    fn colormap(&self, patches: usize, norms: &Slice) -> Result<f64> {
        let gpu = self.gpu;
        let table = gpu.upload("colours", &Palette::Inferno.table())?;
        let range = gpu.allocate("range", 2)?;
        let pixels = gpu.allocate("pixels", 1 << 20)?;
        let drawing = Drawing {
            grid: [1, patches],
            size: [1024, 1024],
            row_stride: 1024,
            bilinear: true,
            opacity: 1.0,
        };
        self.time(|recording| {
            ColorMap::extent(recording, norms, &drawing, &range)?;
            ColorMap::record(recording, norms, &drawing, [&table, &range], None, &pixels)
        })
    }
}

/// What is printed of one kernel; `copy` is the rate of plain copies.
fn row(copy: f64, name: &str, bytes: usize, flops: usize, seconds: f64) -> Value {
    let rate = bytes as f64 / seconds;
    json!({
        "name": name,
        "median_s": seconds,
        "mib_moved": bytes as f64 / f64::from(1 << 20),
        "gb_per_s": rate / 1e9,
        "share_of_copy": rate / copy,
        "gflop_per_s": flops as f64 / seconds / 1e9,
    })
}

/// The shader against the burn operations that it replaces, both from tensor to
/// tensor, waiting for the device.
fn against_burn(args: &BenchShadersArgs, device: &BurnDevice, maps: &FeatureMaps) -> Result<Value> {
    let noise = Distribution::Normal(0.0, 1.0);
    let tokens = Tensor::<3>::random([args.images, args.tokens, args.dim], noise, device);
    let down = Tensor::<2>::random([args.dim, args.rank], noise, device);
    let adapter =
        Adapter::from_data(down.clone().into_data(), down.transpose().into_data(), device);
    let burn = until_done(args, device, || Ok(adapter.forward(tokens.clone(), args.prefix)))?;
    let refine = || maps.refine(tokens.clone(), &adapter, args.prefix);
    let shader = until_done(args, device, refine)?;
    Ok(json!({ "burn_s": burn, "shader_s": shader, "burn_over_shader": burn / shader }))
}

/// A model's last block by the shaders and by burn, with new weights.
fn forward_against_burn(arch: &str, args: &BenchShadersArgs, opened: &Device) -> Result<Value> {
    let config = ModelSpec::named(arch).resolve()?.config;
    let model = init_weights(config.build(opened.burn())?, 4);
    let [height, width] = config.img_size;
    let noise = Distribution::Normal(0.0, 1.0);
    let image = Tensor::<4>::random([args.images, 3, height, width], noise, opened.burn());
    let last = [config.depth - 1];
    let burn = until_done(args, opened.burn(), || Ok(model.intermediate(image.clone(), &last)))?;
    let frozen = FrozenVit::new(model.clone(), opened)?;
    let shader = until_done(args, opened.burn(), || frozen.intermediate(image.clone(), &last))?;
    Ok(json!({
        "arch": arch,
        "images": args.images,
        "burn_s": burn,
        "shader_s": shader,
        "burn_over_shader": burn / shader,
    }))
}

/// Median seconds until the device has done some work, after one run that does not
/// count.
fn until_done<T>(
    args: &BenchShadersArgs,
    device: &BurnDevice,
    work: impl Fn() -> Result<T>,
) -> Result<f64> {
    let mut seconds = Vec::new();
    for run in 0..=args.runs {
        let start = Instant::now();
        let done = work()?;
        device.sync().map_err(|error| Error::gpu("computing", &error.to_string()))?;
        drop(done);
        if run > 0 {
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    Ok(median(&seconds))
}
