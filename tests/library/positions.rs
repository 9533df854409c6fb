use crate::normal;
use burn::tensor::{Device, Distribution, Tensor};
use singer::model::{ImageSize, Model, ModelSpec};
use singer::vit::{VitConfig, init_weights, resample_positions};

#[test]
fn the_same_grid_gives_the_same_bits_and_a_constant_stays_one() {
    let values: Vec<f32> = normal([1 + 12, 5], 3.0, 5).into_data().iter::<f32>().collect();
    assert_eq!(resample_positions(&values, 1, [3, 4], [3, 4]), values);
    for (prefix, to) in [(0, [1, 1]), (1, [7, 2]), (3, [20, 31]), (5, [3, 5])] {
        let constant = vec![0.7_f32; (prefix + 12) * 4];
        let resampled = resample_positions(&constant, prefix, [3, 4], to);
        assert_eq!(resampled.len(), (prefix + to[0] * to[1]) * 4);
        assert!(resampled.iter().all(|value| (value - 0.7).abs() < 1e-6), "{to:?}");
    }
}

#[test]
fn a_model_takes_another_grid_and_keeps_its_prefix_positions() {
    let device = Device::flex();
    for no_embed_class in [false, true] {
        let config = VitConfig {
            img_size: [16, 24],
            patch_size: 8,
            embed_dim: 8,
            depth: 1,
            num_heads: 2,
            reg_tokens: 2,
            no_embed_class,
            ..VitConfig::default()
        };
        let model = init_weights(config.build(&device).unwrap(), 3);
        let wide = model.with_grid([2, 3], [4, 5]).unwrap();
        let image = Tensor::<4>::random([1, 3, 32, 40], Distribution::Default, &device);
        assert_eq!(wide.embed(image).dims(), [1, 3 + 20, 8]);
        if !no_embed_class {
            let prefix = |model: &singer::vit::Vit| {
                model
                    .pos_embed
                    .as_ref()
                    .unwrap()
                    .val()
                    .narrow(1, 0, 3)
                    .into_data()
                    .iter::<f32>()
                    .collect::<Vec<_>>()
            };
            assert_eq!(prefix(&wide), prefix(&model));
        }
        assert!(model.with_grid([3, 3], [4, 5]).is_err(), "the model's grid is another");
    }
}

#[test]
fn weights_opened_at_another_size_have_resampled_positions_that_train() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.safetensors");
    let mut spec = ModelSpec::named("vit_tiny_patch16_224");
    spec.img_size = Some(ImageSize::Sides([16, 24]));
    spec.patch_size = Some(8);
    (spec.embed_dim, spec.depth, spec.num_heads) = (Some(8), Some(1), Some(2));
    let device = singer::Device::cpu();
    let model = Model::new(spec, 3, &device).unwrap();
    model.save(&file).unwrap();
    let values = |vit: &singer::vit::Vit| -> Vec<f32> {
        vit.pos_embed.as_ref().unwrap().val().into_data().iter::<f32>().collect()
    };

    let mut larger = ModelSpec::weights(&file);
    larger.img_size = Some(ImageSize::Sides([40, 32]));
    let resolved = larger.resolve().unwrap();
    let training = resolved.build(0, &device.autodiff()).unwrap();
    let wanted = resample_positions(&values(model.vit()), 1, [2, 3], [5, 4]);
    assert_eq!(values(&training), wanted);
    assert_eq!(values(model.clone().with_size([40, 32]).unwrap().vit()), wanted);

    let image = Tensor::<4>::random([1, 3, 40, 32], Distribution::Default, &device.autodiff());
    let gradients = training.forward_features(image).sum().backward();
    let positions = training.pos_embed.as_ref().unwrap().val();
    assert_eq!(positions.grad(&gradients).expect("positions are trained").dims(), [1, 21, 8]);
    assert!(model.with_size([20, 16]).is_err(), "20 is not whole patches");
}
