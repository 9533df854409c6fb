use super::To::{Again, Is, Outside, Part, Tokens};
use super::{NOTHING_USUAL, Naming};

/// `DINOv3ViTModel` of transformers.
pub(super) const NAMING: Naming = Naming {
    title: "transformers' DINOv3",
    prefixes: &["", "dinov3_vit."],
    marks: &["layer.#.layer_scale1.lambda1", "model.layer.#.layer_scale1.lambda1"],
    counter: None,
    rules: &[&[
        // As version 5 names them in memory.
        ("model.layer.#.*", Again("layer.#.*")),
        ("embeddings.cls_token", Tokens("cls_token")),
        ("embeddings.mask_token", Outside),
        ("embeddings.register_tokens", Tokens("reg_token")),
        ("embeddings.patch_embeddings.*", Is("patch_embed.proj.*")),
        ("layer.#.norm1.*", Is("blocks.#.norm1.*")),
        ("layer.#.norm2.*", Is("blocks.#.norm2.*")),
        ("layer.#.attention.q_proj.*", Part("blocks.#.attn.qkv.*", 0)),
        ("layer.#.attention.k_proj.*", Part("blocks.#.attn.qkv.*", 1)),
        ("layer.#.attention.v_proj.*", Part("blocks.#.attn.qkv.*", 2)),
        ("layer.#.attention.o_proj.*", Is("blocks.#.attn.proj.*")),
        ("layer.#.layer_scale1.lambda1", Is("blocks.#.ls1.gamma")),
        ("layer.#.layer_scale2.lambda1", Is("blocks.#.ls2.gamma")),
        ("layer.#.mlp.gate_proj.*", Part("blocks.#.mlp.fc1.*", 0)),
        ("layer.#.mlp.up_proj.*", Part("blocks.#.mlp.fc1.*", 1)),
        ("layer.#.mlp.down_proj.*", Is("blocks.#.mlp.fc2.*")),
        ("norm.*", Is("norm.*")),
    ]],
    beside: &[],
    folds_class_position: false,
    mlp_is_a_guess: false,
    usual: NOTHING_USUAL,
};
