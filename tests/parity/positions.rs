use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use singer::vit::resample_positions;

use crate::golden::folder;

fn floats(view: &TensorView<'_>) -> Vec<f32> {
    view.data().chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

#[test]
fn resampled_positions_equal_timm() {
    let bytes = std::fs::read(folder().join("resize/pos_embed.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let cases: Vec<String> =
        file.names().iter().filter_map(|name| Some(name.strip_suffix(".in")?.to_owned())).collect();
    assert!(cases.len() >= 5, "{cases:?}");
    for case in cases {
        let tensor = |part: &str| file.tensor(&format!("{case}.{part}")).unwrap();
        let meta: Vec<usize> = tensor("meta")
            .data()
            .chunks_exact(8)
            .map(|bytes| i64::from_le_bytes(bytes.try_into().unwrap()) as usize)
            .collect();
        let (from, to) = ([meta[0], meta[1]], [meta[2], meta[3]]);
        let ours = resample_positions(&floats(&tensor("in")), meta[4], from, to);
        let golden = floats(&tensor("out"));
        assert_eq!(ours.len(), golden.len(), "{case}");
        let worst = ours.iter().zip(&golden).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst <= 1e-5, "{case}: {from:?} to {to:?} differs by {worst:.3e}");
    }
}
