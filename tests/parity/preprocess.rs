use safetensors::SafeTensors;
use singer::data::{EvalTransform, decode, eval_crop};

use crate::golden::{folder, json};

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
        let path = folder.join(name);
        let decoded = decode(&std::fs::read(&path).unwrap(), &path).unwrap();
        let number = |field: &str, index: usize| image[field][index].as_u64().unwrap() as usize;
        let size = [number("crop", 3), number("crop", 2)];
        let resize = number("resized", 0).min(number("resized", 1));
        let ours = eval_crop(&decoded, &EvalTransform { size, resize });

        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        let tensor = expected.tensor(name).or_else(|_| expected.tensor(stem)).unwrap();
        assert_eq!(tensor.shape(), [size[0], size[1], 3], "{name}");
        let close =
            ours.as_raw().iter().zip(tensor.data()).filter(|(a, b)| a.abs_diff(**b) <= 1).count();
        let share = close as f64 / tensor.data().len() as f64;
        assert!(share >= 0.999, "{name}: only {:.3} % within one grey level", share * 100.0);
    }
}
