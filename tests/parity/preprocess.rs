use std::path::Path;

use safetensors::SafeTensors;
use singer::data::{EvalTransform, Preprocess, decode, eval_crop};
use singer::vit::{Preset, preset};

use crate::golden::{folder, json};

/// Share of values of which the difference is at most one.
fn share_within_one(ours: &[u8], theirs: &[u8]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    let close = ours.iter().zip(theirs).filter(|(a, b)| a.abs_diff(**b) <= 1).count();
    close as f64 / theirs.len() as f64
}

fn read(path: &Path) -> image::RgbImage {
    decode(&std::fs::read(path).unwrap(), path).unwrap()
}

#[test]
fn crops_of_jpegs_equal_pillow_to_one_grey_level() {
    let folder = folder().join("preprocess");
    let expected = std::fs::read(folder.join("expected.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&expected).unwrap();
    let meta = json(&folder.join("meta.json"));
    let images = meta["images"].as_array().unwrap();
    assert!(!images.is_empty());
    for image in images {
        let name = image["file"].as_str().unwrap();
        let number = |field: &str, index: usize| image[field][index].as_u64().unwrap() as usize;
        let size = [number("crop", 3), number("crop", 2)];
        let resize = number("resized", 0).min(number("resized", 1));
        let ours =
            eval_crop(&read(&folder.join(name)), &EvalTransform::centre(size, resize)).unwrap();

        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        let tensor = expected.tensor(name).or_else(|_| expected.tensor(stem)).unwrap();
        assert_eq!(tensor.shape(), [size[0], size[1], 3], "{name}");
        let share = share_within_one(ours.as_raw(), tensor.data());
        assert!(share >= 0.999, "{name}: only {:.3} % within one grey level", share * 100.0);
    }
}

#[test]
fn every_kind_of_picture_is_read_as_pillow_reads_it() {
    let folder = Path::new("tests/golden/preprocess/kinds");
    let expected = std::fs::read(folder.join("expected.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&expected).unwrap();
    assert!(expected.len() >= 52);
    let mut wrong = Vec::new();
    for (name, tensor) in expected.tensors() {
        let ours = read(&folder.join(&name));
        assert_eq!(tensor.shape(), [ours.height() as usize, ours.width() as usize, 3], "{name}");
        if ours.as_raw() != tensor.data() {
            wrong.push((share_within_one(ours.as_raw(), tensor.data()), name));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn models_see_what_timm_and_transformers_make_of_a_picture_by_the_same_file() {
    let above = Path::new("tests/golden/preprocess");
    let expected = std::fs::read(above.join("framing/expected.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&expected).unwrap();
    let cases = json(&above.join("framing/cases.json"));
    let folder = tempfile::tempdir().unwrap();
    assert!(cases.as_array().unwrap().len() >= 36);
    for case in cases.as_array().unwrap() {
        let (name, config) = (case["name"].as_str().unwrap(), &case["config"]);
        let arch = case["arch"].as_str();
        let place = folder.path().join(name);
        std::fs::create_dir(&place).unwrap();
        let file = arch.map_or("preprocessor_config.json", |_| "config.json");
        std::fs::write(place.join(file), config.to_string()).unwrap();
        let weights = place.join("model.safetensors");
        let usual = arch.and_then(preset).map(Preset::preprocess).unwrap_or_default();
        let found = Preprocess::beside(&weights, arch.unwrap_or_default(), &usual).unwrap();
        let preprocess = found.unwrap();

        let size = [0, 1].map(|i| case["size"][i].as_u64().unwrap() as usize);
        let image = read(&above.join(case["file"].as_str().unwrap()));
        let mut ours = Vec::new();
        let crop = eval_crop(&image, &preprocess.transform(size)).unwrap();
        preprocess.normalise.append(&crop, &mut ours);
        let theirs = expected.tensor(name).unwrap();
        let theirs =
            theirs.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
        let plane = size[0] * size[1];
        // torchvision rounds tensors otherwise than Pillow, and DINOv3's not at all.
        let off = ours
            .iter()
            .zip(theirs)
            .enumerate()
            .map(|(i, (a, b))| (a - b).abs() * preprocess.normalise.std[i / plane] * 255.0);
        let off: Vec<f32> = off.collect();
        assert_eq!(off.len(), 3 * plane);
        let close = off.iter().filter(|&&off| off <= 1.01).count() as f64 / off.len() as f64;
        assert!(
            close >= 0.999,
            "{name}: only {:.3} % within one grey level, largest {}: {config}",
            close * 100.0,
            off.iter().copied().fold(0.0, f32::max)
        );
    }
}
