use super::To::{Is, LeftOut, Outside, Part, Tokens};
use super::{NOTHING_USUAL, Naming, Usual};
use crate::vit::Statistics;

/// `Dinov2Model`, `Dinov2WithRegistersModel` and their classifiers of
/// transformers.
pub(super) const NAMING: Naming = Naming {
    title: "transformers' DINOv2",
    prefixes: &["dinov2.", "dinov2_with_registers.", ""],
    marks: &["encoder.layer.#.layer_scale1.lambda1"],
    counter: None,
    rules: &[&[
        ("embeddings.cls_token", Tokens("cls_token")),
        ("embeddings.mask_token", Outside),
        ("embeddings.register_tokens", Tokens("reg_token")),
        ("embeddings.position_embeddings", Tokens("pos_embed")),
        ("embeddings.patch_embeddings.projection.*", Is("patch_embed.proj.*")),
        ("encoder.layer.#.norm1.*", Is("blocks.#.norm1.*")),
        ("encoder.layer.#.norm2.*", Is("blocks.#.norm2.*")),
        ("encoder.layer.#.attention.attention.query.*", Part("blocks.#.attn.qkv.*", 0)),
        ("encoder.layer.#.attention.attention.key.*", Part("blocks.#.attn.qkv.*", 1)),
        ("encoder.layer.#.attention.attention.value.*", Part("blocks.#.attn.qkv.*", 2)),
        ("encoder.layer.#.attention.output.dense.*", Is("blocks.#.attn.proj.*")),
        ("encoder.layer.#.layer_scale1.lambda1", Is("blocks.#.ls1.gamma")),
        ("encoder.layer.#.layer_scale2.lambda1", Is("blocks.#.ls2.gamma")),
        ("encoder.layer.#.mlp.fc1.*", Is("blocks.#.mlp.fc1.*")),
        ("encoder.layer.#.mlp.fc2.*", Is("blocks.#.mlp.fc2.*")),
        ("encoder.layer.#.mlp.weights_in.*", Is("blocks.#.mlp.fc1.*")),
        ("encoder.layer.#.mlp.weights_out.*", Is("blocks.#.mlp.fc2.*")),
        // As version 5 names them in memory.
        ("encoder.layer.#.attention.q_proj.*", Part("blocks.#.attn.qkv.*", 0)),
        ("encoder.layer.#.attention.k_proj.*", Part("blocks.#.attn.qkv.*", 1)),
        ("encoder.layer.#.attention.v_proj.*", Part("blocks.#.attn.qkv.*", 2)),
        ("encoder.layer.#.attention.o_proj.*", Is("blocks.#.attn.proj.*")),
        ("encoder.layer.#.mlp.gate_proj.*", Part("blocks.#.mlp.fc1.*", 0)),
        ("encoder.layer.#.mlp.up_proj.*", Part("blocks.#.mlp.fc1.*", 1)),
        ("encoder.layer.#.mlp.down_proj.*", Is("blocks.#.mlp.fc2.*")),
        ("layernorm.*", Is("norm.*")),
    ]],
    beside: &[(
        "classifier.*",
        LeftOut("its classifier, which reads the class token and the mean of the patches together"),
    )],
    folds_class_position: true,
    mlp_is_a_guess: false,
    usual: Usual { statistics: Some(Statistics::ImageNet), ..NOTHING_USUAL },
};
