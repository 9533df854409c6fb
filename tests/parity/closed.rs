//! The closed form against its PyTorch reference, `tests/golden/closed/closed_form.py`.

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use singer::refine::{Adapters, ClosedSettings, PartsFile, Refiner, closed_form};
use singer::vit::{Vit, VitConfig, init_weights};
use singer::weights::WeightsFile;

use crate::golden::Golden;

const DIM: usize = 48;
const PATCH: usize = 4;

on_both_devices!(
    refined_tokens_and_the_artifact_subspace_equal_the_references,
    tokens_computed_anew_give_what_held_ones_give,
    a_stored_closed_form_refines_alike_and_clean_images_have_none,
);

/// A ViT that embeds 4×4 pixels as they are and whose only block adds nothing: the images of
/// the golden file are its features.
fn transparent(golden: &Golden, device: &Device) -> Vit {
    let config = VitConfig {
        img_size: [24, 24],
        patch_size: PATCH,
        embed_dim: DIM,
        depth: 1,
        num_heads: 2,
        num_classes: 0,
        ..VitConfig::default()
    };
    let mut vit = init_weights(config.build(device).unwrap(), 0);
    let identity = Tensor::<2>::eye(DIM, device).reshape([DIM, 3, PATCH, PATCH]);
    vit.patch_embed.proj.weight = Param::from_tensor(identity);
    let zeros = |param: &Param<Tensor<2>>| Param::from_tensor(param.val().zeros_like());
    let block = &mut vit.blocks[0];
    block.attn.proj.weight = zeros(&block.attn.proj.weight);
    block.mlp.fc2.weight = zeros(&block.mlp.fc2.weight);
    vit.pos_embed = vit.pos_embed.map(|positions| positions.map(|all| all.zeros_like()));
    let class: Tensor<1> = golden.tensor("class_token", device);
    vit.cls_token = Some(Param::from_tensor(class.reshape([1, 1, DIM])));
    vit
}

fn batches(golden: &Golden, device: &Device) -> Vec<Tensor<4>> {
    golden.tensor::<4>("images", device).split(10, 0)
}

fn refined(vit: &Vit, adapters: Adapters, batches: &[Tensor<4>]) -> Tensor<3> {
    let refiner = Refiner::ClosedForm(adapters);
    let parts =
        batches.iter().map(|batch| refiner.intermediate(vit, batch.clone(), &[0]).remove(0));
    Tensor::cat(parts.collect(), 0)
}

fn refined_tokens_and_the_artifact_subspace_equal_the_references(device: &Device) {
    let golden = Golden::own("closed/closed");
    let vit = transparent(&golden, device);
    let batches = batches(&golden, device);
    let mut done = Vec::new();
    let mut report = |block, of| done.push((block, of));
    let found = closed_form(&vit, &batches, &ClosedSettings::default(), &mut report).unwrap();
    assert_eq!((found.images, done), (24, vec![(1, 1)]));
    let [block] = &found.blocks[..] else { panic!("{:?}", found.blocks) };
    assert_eq!((block.block, block.rank), (0, 2));
    let adapter = found.adapters.get(0).unwrap();
    let up = adapter.up.val();
    golden.assert_close("projector", up.clone().transpose().matmul(up), 1e-4);
    golden.assert_close("refined", refined(&vit, found.adapters, &batches), 2e-3);
}

fn tokens_computed_anew_give_what_held_ones_give(device: &Device) {
    let golden = Golden::own("closed/closed");
    let vit = transparent(&golden, device);
    let batches = batches(&golden, device);
    let find = |cache_bytes: usize| {
        let settings = ClosedSettings::default().with(|s| s.cache_bytes = cache_bytes);
        let found = closed_form(&vit, &batches, &settings, &mut |_, _| {}).unwrap();
        (found.blocks.clone(), refined(&vit, found.adapters, &batches).into_data())
    };
    assert_eq!(find(usize::MAX), find(0));
}

fn a_stored_closed_form_refines_alike_and_clean_images_have_none(device: &Device) {
    let golden = Golden::own("closed/closed");
    assert_eq!(golden.values("nothing"), [1.0], "nor does the reference");
    let vit = transparent(&golden, device);
    let batches = batches(&golden, device);
    let found = closed_form(&vit, &batches, &ClosedSettings::default(), &mut |_, _| {}).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("closed.safetensors");
    found.adapters.save(&file).unwrap();
    let stored = PartsFile::new(WeightsFile::open(&file).unwrap()).adapters(device).unwrap();
    assert!(stored.is_closed() && stored.get(0).unwrap().gate.as_ref().unwrap().class_token);
    let [kept, made] = [stored, found.adapters].map(|a| refined(&vit, a, &batches).into_data());
    assert_eq!(kept, made);

    let clean = golden.data("clean").iter::<f32>().collect::<Vec<_>>();
    let clean = Tensor::<3>::from_data(TensorData::new(clean, [24, 36, DIM]), device);
    let images = clean
        .reshape([24, 6, 6, 3, PATCH, PATCH])
        .permute([0, 3, 1, 4, 2, 5])
        .reshape([24, 3, 24, 24]);
    let none = closed_form(&vit, &vec![images], &ClosedSettings::default(), &mut |_, _| {});
    let none = none.unwrap();
    assert!(none.blocks.is_empty() && none.adapters.is_empty() && none.adapters.is_closed());
    none.adapters.save(&file).unwrap();
    let stored = Adapters::open(&file, device).unwrap();
    assert!(stored.is_closed() && stored.is_empty());
}
