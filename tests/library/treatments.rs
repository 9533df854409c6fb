use std::collections::BTreeMap;

use crate::normal;
use burn::tensor::{Device, Distribution, Tensor};
use singer::Error;
use singer::data::{Normalise, Preprocess};
use singer::plant::{PlantSettings, plant};
use singer::refine::{
    Averaged, AveragedSettings, Detection, NeighbourSettings, Neighbours, Refiner,
    RegisterSettings, Registers, View, defect_directions,
};
use singer::tokens::patch_norms;
use singer::vit::{Activation, Positions, Vit, VitConfig, init_weights};

fn config() -> VitConfig {
    VitConfig {
        img_size: [32, 48],
        patch_size: 8,
        embed_dim: 24,
        depth: 3,
        num_heads: 3,
        ..VitConfig::default()
    }
}

fn model(config: &VitConfig) -> Vit {
    init_weights(config.build(&Device::flex()).unwrap(), 3)
}

fn images(count: usize, [height, width]: [usize; 2]) -> Tensor<4> {
    normal([count, 3, height, width], 1.0, 4)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter().collect()
}

fn largest<const D: usize>(tensor: Tensor<D>) -> f32 {
    tensor.abs().max().into_scalar()
}

fn imagenet() -> Normalise {
    Preprocess::default().normalise
}

/// Neighbours that treat layer 0 along the first axis.
fn along_the_first_axis(dim: usize, outliers: Detection) -> Neighbours {
    let mut direction = vec![0.0; dim];
    direction[0] = 1.0;
    let settings = NeighbourSettings::default().with(|s| s.outliers = outliers);
    Neighbours::along(BTreeMap::from([(0, direction)]), &settings, &Device::flex()).unwrap()
}

/// A class token and a grid of patches that all are (0, 1, 2), but for some.
fn flat_with(grid: [usize; 2], artifacts: &[usize], artifact: [f32; 3]) -> Tensor<3> {
    let mut rows = vec![[0.0, 1.0, 2.0]; 1 + grid[0] * grid[1]];
    rows[0] = [50.0, 0.0, 0.0];
    for patch in artifacts {
        rows[1 + patch] = artifact;
    }
    let rows: Vec<f32> = rows.into_iter().flatten().collect();
    Tensor::<1>::from_data(rows.as_slice(), &Device::flex()).reshape([1, 1 + grid[0] * grid[1], 3])
}

#[test]
fn a_patch_along_the_defect_direction_becomes_what_surrounds_it() {
    for grid in [[5, 7], [3, 3], [2, 9]] {
        // In the middle and in a corner.
        for place in [grid[1] + 1, 0] {
            let tokens = flat_with(grid, &[place], [40.0, 1.0, 2.0]);
            let neighbours = along_the_first_axis(3, Detection::Norm { factor: 2.0 });
            let treated = neighbours.treat(0, tokens.clone(), 1, grid);
            let clean = flat_with(grid, &[], [0.0; 3]);
            // The patch itself keeps exp(-10) of its weight.
            assert!(largest(treated.clone() - clean) < 40.0 * 1e-4, "{grid:?} {place}");
            // The others and the class token are not touched at all.
            let change = (treated - tokens).abs().sum_dim(2);
            assert_eq!(values(change).into_iter().filter(|&change| change > 0.0).count(), 1);
        }
    }
}

#[test]
fn an_artifact_apart_from_the_defect_direction_keeps_its_own_weight() {
    let tokens = flat_with([5, 5], &[12], [0.0, 40.0, 2.0]);
    let neighbours = along_the_first_axis(3, Detection::Norm { factor: 2.0 });
    let treated = neighbours.treat(0, tokens, 1, [5, 5]);
    // A quarter of the weight is the centre's: 1 + (40 - 1) / 4.
    assert!((values(treated)[13 * 3 + 1] - 10.75).abs() < 1e-4);
}

#[test]
fn where_artifacts_outnumber_clean_patches_the_median_hides_them_and_nothing_changes() {
    let many: Vec<usize> = (0..16).filter(|patch| patch % 3 > 0).collect();
    let tokens = flat_with([4, 4], &many, [40.0, 1.0, 2.0]);
    for rule in [Detection::Norm { factor: 2.0 }, Detection::Angle { deviations: 4.0 }] {
        let treated = along_the_first_axis(3, rule).treat(0, tokens.clone(), 1, [4, 4]);
        assert_eq!(largest(treated - tokens.clone()), 0.0, "{rule:?}");
    }
}

#[test]
fn without_outliers_neighbours_and_registers_leave_every_bit() {
    let vit = model(&config());
    let (image, layers) = (images(3, [32, 48]), [0, 2]);
    let raw = vit.intermediate(image.clone(), &layers);
    let far = Detection::Norm { factor: 100.0 };
    let settings = NeighbourSettings::default().with(|s| s.outliers = far);
    let neighbours = Refiner::Neighbours(Neighbours::new(&vit, &settings).unwrap());
    let settings = RegisterSettings::default().with(|s| s.factor = 100.0);
    let registers = Registers::find(&vit, &vec![image.clone()], &settings).unwrap();
    assert!(registers.neurons().is_empty());
    for refiner in [neighbours, Refiner::Registers(registers)] {
        for (ours, raw) in refiner.intermediate(&vit, image.clone(), &layers).into_iter().zip(&raw)
        {
            assert_eq!(values(ours), values(raw.clone()));
        }
    }
}

#[test]
fn tokens_keep_their_shape_in_every_family_and_on_any_grid() {
    let plain = config();
    let rotary = VitConfig {
        reg_tokens: 2,
        positions: Positions::Rotary { temperature: 100.0 },
        num_heads: 2,
        ..plain.clone()
    };
    let gated = VitConfig { mlp: Activation::Swiglu, init_values: Some(0.5), ..plain.clone() };
    let bare = VitConfig {
        class_token: false,
        pooling: singer::vit::Pooling::Mean,
        pre_norm: true,
        mlp: Activation::QuickGelu,
        ..plain.clone()
    };
    for config in [plain, rotary, gated, bare] {
        let vit = model(&config);
        let image = images(2, [32, 48]);
        let factor = 1.0001;
        let settings = NeighbourSettings::default().with(|s| {
            s.outliers = Detection::Norm { factor };
        });
        let neighbours = Neighbours::new(&vit, &settings).unwrap();
        let settings = RegisterSettings::default().with(|s| {
            s.factor = factor;
            s.sparse = false;
        });
        let registers = Registers::find(&vit, &vec![image.clone()], &settings).unwrap();
        assert_eq!(registers.neurons().len(), 10);
        let averaged = Averaged::new(&AveragedSettings::default(), imagenet()).unwrap();
        let refiners = [
            Refiner::Neighbours(neighbours),
            Refiner::Registers(registers),
            Refiner::Averaged(averaged),
        ];
        let raw = vit.intermediate(image.clone(), &[2, 0]);
        for refiner in refiners {
            let tokens = refiner.intermediate(&vit, image.clone(), &[2, 0]);
            for (tokens, raw) in tokens.into_iter().zip(&raw) {
                assert_eq!(tokens.dims(), raw.dims());
                let change = largest(tokens - raw.clone());
                assert!(change.is_finite() && change > 0.0, "{refiner:?}");
            }
        }
    }
}

#[test]
fn a_planted_unit_is_the_first_register_neuron_and_its_artifacts_go_to_the_register() {
    let config = VitConfig { img_size: [64, 64], ..config() };
    let clean = model(&config);
    let image = images(16, [64, 64]);
    let settings = PlantSettings::default()
        .with(|s| (s.block, s.strength, s.share, s.rank) = (1, 8.0, 0.05, 4));
    let (vit, planted) = plant(clean.clone(), std::slice::from_ref(&image), &settings).unwrap();
    let settings = RegisterSettings::default().with(|s| s.neurons = 1);
    let registers = Registers::find(&vit, &vec![image.clone()], &settings).unwrap();
    let found = registers.neurons()[0];
    assert_eq!((found.block, found.neuron), (1, planted.units[&1][0]));
    let spread = |tokens: Tensor<3>| {
        let norms = patch_norms(tokens, 1);
        let median = singer::tokens::quantile(norms.clone(), 0.5);
        largest(norms / median.expand([16, 64]))
    };
    let raw = vit.intermediate(image.clone(), &[1]).remove(0);
    let treated = registers.intermediate(&vit, image.clone(), &[1]).remove(0);
    assert!(spread(raw) > 4.0 && spread(treated.clone()) < 2.0);
    // What is left is what one more token in the attention does.
    let truth = clean.intermediate(image, &[1]).remove(0);
    let change = patch_norms(treated - truth.clone(), 1).mean().into_scalar::<f32>();
    assert!(change < 0.3 * patch_norms(truth, 1).mean().into_scalar::<f32>(), "{change}");
}

/// A model whose patches know their own pixels alone: no positions, no attention.
fn pixelwise() -> Vit {
    let mut vit = model(&config());
    let positions = vit.pos_embed.take().unwrap();
    let zeros = positions.val().zeros_like();
    vit.pos_embed = Some(burn::module::Param::from_tensor(zeros));
    for block in &mut vit.blocks {
        let parameter = &mut block.attn.proj.weight;
        *parameter = burn::module::Param::from_tensor(parameter.val().zeros_like());
    }
    vit
}

#[test]
fn averages_of_a_model_that_moves_with_its_image_are_its_own_features() {
    let vit = pixelwise();
    let image = images(2, [32, 48]);
    let shifts: Vec<View> = [[0, 0], [1, -2], [-3, 4], [2, 5], [-9, 0]]
        .into_iter()
        .map(|shift| View { shift, flip: false })
        .collect();
    let averaged = Averaged::new(&AveragedSettings::default(), imagenet()).unwrap();
    let raw = vit.intermediate(image.clone(), &[2]).remove(0);
    let ours = averaged.over(&shifts, &vit, image.clone(), &[2]).remove(0);
    assert!(largest(ours - raw.clone()) < 1e-4 * largest(raw.clone()));
    // Mirrored pixels within a patch are another patch, unless they are all alike.
    let flat = images(2, [4, 6]).unsqueeze_dims::<6>(&[3, 5]).expand([2, 3, 4, 8, 6, 8]);
    let flat = flat.reshape([2, 3, 32, 48]);
    let views = AveragedSettings::default().with(|s| s.shift = 0.4).views([4, 6]);
    assert!(views.iter().any(|view| view.flip));
    let raw = vit.intermediate(flat.clone(), &[2]).remove(0);
    let ours = averaged.over(&views, &vit, flat, &[2]).remove(0);
    assert!(largest(ours - raw.clone()) < 1e-4 * largest(raw));
}

#[test]
fn views_start_with_the_image_stay_within_the_shift_and_follow_from_the_seed() {
    let settings = AveragedSettings::default();
    for (grid, most) in [([16, 16], [2, 2]), ([8, 30], [1, 4]), ([1, 2], [0, 0])] {
        let views = settings.views(grid);
        assert_eq!(views.len(), 10);
        assert_eq!(views[0], View { shift: [0, 0], flip: false });
        for view in &views {
            assert!((0..2).all(|axis| view.shift[axis].abs() <= most[axis]), "{view:?}");
        }
        assert_eq!(views, settings.views(grid));
    }
    // Far apart: all that lie as far out as can be come before any other.
    let shifts: Vec<_> = settings.views([16, 16]).iter().map(|view| view.shift).collect();
    let corners = shifts[1..5].iter().filter(|shift| shift.map(i32::abs) == [2, 2]).count();
    assert_eq!(corners, 4);
    assert_ne!(settings.views([16, 16]), settings.clone().with(|s| s.seed = 1).views([16, 16]));
}

#[test]
fn one_view_is_the_raw_teacher() {
    let (vit, image) = (model(&config()), images(2, [32, 48]));
    let averaged = Averaged::new(&AveragedSettings::default().with(|s| s.views = 1), imagenet());
    let ours = averaged.unwrap().intermediate(&vit, image.clone(), &[1]).remove(0);
    assert_eq!(values(ours), values(vit.intermediate(image, &[1]).remove(0)));
}

#[test]
fn the_defect_direction_of_blocks_that_write_one_direction_is_that_one() {
    let mut vit = model(&config());
    let dim = 24;
    let mut wanted = vec![0.0_f32; dim];
    (wanted[3], wanted[7]) = (0.6, -0.8);
    let u = Tensor::<1>::from_data(wanted.as_slice(), &Device::flex()).unsqueeze_dim::<2>(0);
    for block in &mut vit.blocks {
        // Every hidden unit writes along u.
        let hidden = block.mlp.fc2.weight.dims()[0];
        let gains =
            Tensor::<2>::random([hidden, 1], Distribution::Uniform(20.0, 90.0), &Device::flex());
        let column = burn::module::Param::from_tensor(gains.matmul(u.clone()));
        block.mlp.fc2.weight = column;
    }
    for (layer, direction) in defect_directions(&vit, &[0, 2]).unwrap() {
        let cosine: f32 = direction.iter().zip(&wanted).map(|(a, b)| a * b).sum();
        assert!(cosine.abs() > 0.99, "block {layer}: {cosine}");
    }
}

#[test]
fn settings_that_cannot_work_and_models_without_a_linearisation_are_errors() {
    let vit = model(&config());
    let setting = |error: Error| match error {
        Error::Setting { setting, .. } => setting,
        other => panic!("{other}"),
    };
    let neighbours = |change: fn(&mut NeighbourSettings)| {
        Neighbours::new(&vit, &NeighbourSettings::default().with(change)).unwrap_err()
    };
    assert_eq!(setting(neighbours(|s| s.temperature = 0.0)), "neighbours.temperature");
    let narrow = |s: &mut NeighbourSettings| s.outliers = Detection::Norm { factor: 1.0 };
    assert_eq!(setting(neighbours(narrow)), "neighbours.factor");
    assert!(matches!(neighbours(|s| s.layers = vec![3]), Error::Layer { layer: 3, last: 2, .. }));
    let registers = |change: fn(&mut RegisterSettings)| {
        let settings = RegisterSettings::default().with(change);
        Registers::find(&vit, &vec![images(1, [32, 48])], &settings).unwrap_err()
    };
    assert_eq!(setting(registers(|s| s.neurons = 0)), "registers.neurons");
    assert_eq!(setting(registers(|s| s.factor = f64::NAN)), "registers.factor");
    assert_eq!(setting(registers(|s| s.detect = Some(3))), "block");
    let none: Vec<Tensor<4>> = Vec::new();
    let error = Registers::find(&vit, &none, &RegisterSettings::default());
    assert!(matches!(error, Err(Error::NoImages)));
    let averaged = |change: fn(&mut AveragedSettings)| {
        Averaged::new(&AveragedSettings::default().with(change), imagenet()).unwrap_err()
    };
    assert_eq!(setting(averaged(|s| s.views = 0)), "averaged.views");
    assert_eq!(setting(averaged(|s| s.shift = 1.0)), "averaged.shift");
    let normed = VitConfig { mlp: Activation::Swiglu, scale_mlp: true, ..config() };
    let error = Neighbours::new(&model(&normed), &NeighbourSettings::default()).unwrap_err();
    assert!(matches!(error, Error::Incompatible { .. }), "{error}");
}
