//! Draws the norm map of one scene over the scene, by the shaders on a GPU.
//!
//! `cargo run --release --example norm_map [DEVICE]` writes norm-map.png to the folder for
//! temporary files.

use image::DynamicImage;
use image::imageops::FilterType;
use singer::data::{ImageSource, Scenes};
use singer::maps::{Colouring, FeatureMaps};
use singer::{Device, Model, readback};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::open(&std::env::args().nth(1).unwrap_or_else(|| "auto".into()))?;
    let bundled = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/demo-teacher.safetensors");
    let teacher = Model::open(bundled, &device)?;
    let config = teacher.config();

    let scene = Scenes::new(2026, 20_000..20_008, config.img_size[0] as u32).read(2)?;
    let tokens = teacher.features(std::slice::from_ref(&scene), &[config.depth - 1])?.remove(0);
    let maps = FeatureMaps::new(&device);
    let norms = maps.norms(tokens, config.prefix_tokens())?;
    let outliers = maps.outliers(norms.clone(), 0.97)?;
    let count = readback::read(outliers.count)?[0];

    let [height, width] = config.img_size.map(|side| 8 * side as u32);
    let enlarged = DynamicImage::from(scene).resize_exact(width, height, FilterType::Nearest);
    let colouring = Colouring { opacity: 0.7, ..Colouring::default() };
    let map = norms.reshape(config.grid());
    let size = [height as usize, width as usize];
    let picture = maps.picture(map, size, &colouring, Some(&enlarged.into_rgba8()))?;
    let file = std::env::temp_dir().join("norm-map.png");
    picture.save(&file)?;
    println!("{}: {count} outliers, see {}", device.name(), file.display());
    Ok(())
}
