//! A model that is not trained, by shaders and by burn.

use std::path::Path;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{FloatDType, Tensor};
use singer::frozen::FrozenVit;
use singer::readback::read;
use singer::vit::{Vit, VitConfig};
use singer::weights::{WeightsFile, stored_config};
use singer::{Device, Error};

const TEACHER: &str = "assets/demo-teacher.safetensors";

fn teacher() -> (WeightsFile, String, VitConfig) {
    let path = Path::new(TEACHER);
    let (arch, config) = stored_config(path).unwrap().expect("it is in the file");
    (WeightsFile::open(path).unwrap(), arch, config)
}

fn image(config: &VitConfig, batch: usize, opened: &Device) -> Tensor<4> {
    let [height, width] = config.img_size;
    let count = (batch * 3 * height * width) as i64;
    let ramp = Tensor::arange(0..count, opened.burn()).float() * 0.37;
    ramp.sin().reshape([batch, 3, height, width])
}

#[track_caller]
fn assert_alike(found: Vec<Tensor<3>>, wanted: Vec<Tensor<3>>, tolerance: f32) {
    assert_eq!(found.len(), wanted.len());
    for (layer, (found, wanted)) in found.into_iter().zip(wanted).enumerate() {
        assert_eq!(found.dims(), wanted.dims());
        let (found, wanted) = (read(found).unwrap(), read(wanted).unwrap());
        let most = wanted.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        for (found, wanted) in found.iter().zip(&wanted) {
            let off = (found - wanted).abs() / most;
            assert!(off <= tolerance, "layer {layer}: {found} is not {wanted}");
        }
    }
}

#[test]
fn frozen_features_equal_burns_for_batches_layers_and_other_grids() {
    let (software, cpu) = (Device::open("software").unwrap(), Device::cpu());
    let (file, arch, config) = teacher();
    let wanted = file.load(&arch, &config, cpu.burn()).unwrap();
    let found = FrozenVit::new(file.load(&arch, &config, software.burn()).unwrap(), &software);
    let found = found.unwrap();
    assert!(found.by_shaders());
    // In any order, more than once, and not up to the last block.
    for (batch, layers) in [(1, vec![0, 1, 2, 3, 4, 5]), (3, vec![4, 1, 4])] {
        assert_alike(
            found.intermediate(image(&config, batch, &software), &layers).unwrap(),
            wanted.intermediate(image(&config, batch, &cpu), &layers),
            1e-5,
        );
    }
    let (own, wide) = (config.grid(), VitConfig { img_size: [24, 52], ..config.clone() });
    let regridded = pollster::block_on(found.with_grid_async(&software, own, wide.grid()));
    assert_alike(
        regridded.unwrap().intermediate(image(&wide, 2, &software), &[5]).unwrap(),
        wanted.with_grid(own, wide.grid()).unwrap().intermediate(image(&wide, 2, &cpu), &[5]),
        1e-5,
    );
}

#[test]
fn a_pass_goes_on_from_tokens_that_were_changed_on_the_way() {
    let (software, cpu) = (Device::open("software").unwrap(), Device::cpu());
    let (file, arch, config) = teacher();
    let vit = file.load(&arch, &config, cpu.burn()).unwrap();
    // Doubled after block 1, as a view that is not contiguous.
    let changed = |device: &Device| {
        let tokens = vit.intermediate(image(&config, 2, &cpu), &[1]).remove(0) * 2.0;
        let turned = Tensor::<3>::from_data(tokens.swap_dims(1, 2).into_data(), device.burn());
        turned.swap_dims(1, 2)
    };
    let third = vit.forward_blocks(changed(&cpu), 2..3);
    let wanted = vec![third.clone(), vit.forward_blocks(third, 3..4)];
    for device in [&software, &cpu] {
        let frozen = FrozenVit::new(file.load(&arch, &config, device.burn()).unwrap(), device);
        let frozen = frozen.unwrap();
        assert_alike(frozen.go_on(changed(device), 2..4).unwrap(), wanted.clone(), 1e-5);
        assert!(frozen.go_on(changed(device), 2..2).unwrap().is_empty());
        let error = frozen.go_on(changed(device), 4..7).unwrap_err();
        assert!(error.to_string().contains("6; the model's blocks are 0 to 5"), "{error}");
        let fewer = changed(device).narrow(1, 0, 64);
        let error = frozen.go_on(fewer, 2..4).unwrap_err();
        assert!(error.to_string().contains("the model takes [65, 128]"), "{error}");
    }
}

#[test]
fn what_does_not_fit_a_frozen_model_is_refused() {
    let software = Device::open("software").unwrap();
    let (file, arch, config) = teacher();
    let model = FrozenVit::new(file.load(&arch, &config, software.burn()).unwrap(), &software);
    let model = model.unwrap();
    let error = model.intermediate(image(&config, 1, &software), &[6]).unwrap_err();
    assert!(error.to_string().contains("6; the model's blocks are 0 to 5"), "{error}");
    let larger = VitConfig { img_size: [64, 64], ..config };
    let error = model.intermediate(image(&larger, 1, &software), &[0]).unwrap_err();
    assert!(error.to_string().contains("are 257 tokens"), "{error}");
    assert!(error.to_string().contains("the model takes 65"), "{error}");
}

/// Rounds the blocks' matrices to f16.
struct Rounded;

impl ModuleMapper for Rounded {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|tensor| match D {
            2 => tensor.cast(FloatDType::F16).cast(FloatDType::F32),
            _ => tensor,
        })
    }
}

#[test]
fn matrices_in_half_precision_are_those_rounded_to_f16_and_computed_in_f32() {
    let (software, cpu) = (Device::open("software").unwrap(), Device::cpu());
    let (file, arch, config) = teacher();
    let found = FrozenVit::load_half(&file, &arch, &config, &software).unwrap();
    assert!(found.full().is_none());
    let mut rounded: Vit = file.load(&arch, &config, cpu.burn()).unwrap();
    rounded.blocks = rounded.blocks.map(&mut Rounded);
    let layers = [0, 5];
    assert_alike(
        found.intermediate(image(&config, 2, &software), &layers).unwrap(),
        rounded.intermediate(image(&config, 2, &cpu), &layers),
        1e-5,
    );
    let error = FrozenVit::load_half(&file, &arch, &config, &cpu).unwrap_err();
    assert!(matches!(error, Error::HalfMatrices), "{error}");
}
