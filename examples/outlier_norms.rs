//! Prints how the patch norms of a teacher spread, block by block.
//!
//! `cargo run --release --example outlier_norms [WEIGHTS]`

use singer::data::{ImageSource, Scenes};
use singer::tokens::{NormStats, patch_norms};
use singer::{Device, Model, Result};

fn main() -> Result<()> {
    let bundled = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/demo-teacher.safetensors");
    let reference = std::env::args().nth(1).unwrap_or_else(|| bundled.into());
    let teacher = Model::open(&reference, &Device::cpu())?;

    let scenes = Scenes::new(2026, 20_000..20_064, teacher.config().img_size[0] as u32);
    let images = (0..scenes.len()).map(|index| scenes.read(index)).collect::<Result<Vec<_>>>()?;
    let blocks: Vec<usize> = (0..teacher.config().depth).collect();

    println!("block  median norm  largest  largest/median  patches above 3x the median");
    for (block, tokens) in teacher.features(&images, &blocks)?.into_iter().enumerate() {
        let mut stats = NormStats::default();
        stats.add(patch_norms(tokens, teacher.config().prefix_tokens()))?;
        let Some(norms) = stats.summary() else { continue };
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
