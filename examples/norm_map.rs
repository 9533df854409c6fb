//! Draws the norm map of one scene over the scene, by the shaders on a GPU.
//!
//! `cargo run --release --example norm_map [DEVICE]` writes norm-map.png to the
//! folder for temporary files.

use burn::tensor::{Tensor, TensorData};
use image::DynamicImage;
use singer::data::{ImageSource, Normalise, Scenes};
use singer::maps::{Colouring, FeatureMaps};
use singer::{device, readback, weights};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let opened = device::open(&std::env::args().nth(1).unwrap_or_else(|| "auto".into()))?;
    let maps = FeatureMaps::new(&opened);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/demo-teacher.safetensors").as_ref();
    let (arch, config) = weights::stored_config(path)?.ok_or("a file written by singer")?;
    let teacher = weights::load(path, &arch, &config, &opened.device)?;

    let [height, width] = config.img_size;
    let scene = Scenes::new(2026, 20_000..20_008, height.max(width) as u32).read(2)?;
    let mut pixels = Vec::new();
    Normalise { mean: [0.5; 3], std: [0.5; 3] }.append(&scene, &mut pixels);
    let image = TensorData::new(pixels, [1, 3, height, width]);
    let image = Tensor::<4>::from_data(image, &opened.device);

    let last = teacher.depth() - 1;
    let tokens = teacher.intermediate(image, &[last]).remove(0);
    let norms = maps.norms(tokens, teacher.prefix_tokens())?;
    let outliers = maps.outliers(norms.clone(), 0.97)?;
    let count = readback::read(outliers.count)?[0];

    let size = [height * 8, width * 8];
    let enlarged = DynamicImage::from(scene).resize_exact(
        size[1] as u32,
        size[0] as u32,
        image::imageops::FilterType::Nearest,
    );
    let colouring = Colouring { opacity: 0.7, ..Colouring::default() };
    let map = norms.reshape(config.grid());
    let file = std::env::temp_dir().join("norm-map.png");
    maps.picture(map, size, &colouring, Some(&enlarged.into_rgba8()))?.save(&file)?;
    println!("{}: {count} outliers, see {}", opened.name, file.display());
    Ok(())
}
