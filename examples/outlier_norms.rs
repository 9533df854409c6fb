//! Loads a teacher and prints how its patch norms spread, block by block.
//!
//! `cargo run --release --example outlier_norms [WEIGHTS]`

use std::path::PathBuf;

use burn::tensor::{Device, Tensor, TensorData};
use singer::data::{ImageSource, Normalise, Scenes};
use singer::refine::{NormStats, patch_norms};
use singer::weights::{self, Recognised};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let bundled = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/demo-teacher.safetensors");
    let path = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| bundled.into()));
    let Recognised { arch, config, mean_std: (mean, std), .. } = weights::recognise(&path)?;
    let device = Device::flex();
    let teacher = weights::load(&path, &arch, &config, &device)?;

    let [height, width] = config.img_size;
    let scenes = Scenes::new(2026, 20_000..20_064, height.max(width) as u32);
    let normalise = Normalise { mean, std };
    let mut pixels = Vec::new();
    for index in 0..scenes.len() {
        normalise.append(&scenes.read(index)?, &mut pixels);
    }
    let images = TensorData::new(pixels, [scenes.len(), 3, height, width]);
    let images = Tensor::<4>::from_data(images, &device);

    println!("block  median norm  largest  largest/median  patches above 3x the median");
    let blocks: Vec<usize> = (0..teacher.depth()).collect();
    for (block, tokens) in teacher.intermediate(images, &blocks).into_iter().enumerate() {
        let mut stats = NormStats::default();
        stats.add(patch_norms(tokens, teacher.prefix_tokens()))?;
        let norms = stats.summary().ok_or("no patches")?;
        println!(
            "{block:5}  {:11.2}  {:7.2}  {:14.2}  {:26.2} %",
            norms.median,
            norms.max,
            norms.max_over_median,
            norms.outlier_share * 100.0
        );
    }
    Ok(())
}
