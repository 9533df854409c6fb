//! Parts that some ViTs have by an option of their architecture and that are not known here.

use super::naming::fit;

/// Names of tensors, under timm's names as patterns, and the option that they belong to.
#[rustfmt::skip]
const OPTIONS: &[(&str, &str)] = &[
    ("fc_norm.*", "timm's global_pool='avg', whose last norm follows the mean of the patch tokens"),
    ("norm.*", "timm's final_norm, a norm of all tokens behind the blocks"),
    ("attn_pool.*", "timm's global_pool='map', a pooling by attention"),
    ("norm_pre.*", "timm's pre_norm, a norm in front of the blocks"),
    ("reg_token", "timm's reg_tokens, register tokens"),
    ("dist_token", "DeiT's distillation, a second class token"),
    ("head_dist.*", "DeiT's distillation, a second head"),
    ("blocks.#.ls#.gamma", "timm's init_values, LayerScale"),
    ("blocks.#.gamma_#", "LayerScale"),
    ("blocks.#.attn.q_norm.*", "timm's qk_norm, norms of queries and keys"),
    ("blocks.#.attn.k_norm.*", "timm's qk_norm, norms of queries and keys"),
    ("blocks.#.attn.norm.*", "timm's scale_attn_norm, a norm within attention"),
    ("blocks.#.mlp.norm.*", "timm's scale_mlp_norm, a norm within MLPs"),
    ("blocks.#.attn.relative_position_bias_table", "BEiT's relative positions"),
    ("rel_pos_bias.*", "BEiT's relative positions"),
    ("blocks.#.temporal_*", "a ViT of videos"),
    ("time_embed", "a ViT of videos"),
    ("temporal_embed", "a ViT of videos"),
    ("patch_embed.norm.*", "a norm in the patch embedding"),
    ("patch_embed.backbone.*", "a hybrid of a ViT and a convolutional network"),
];

/// The option that a tensor with this name belongs to.
pub(super) fn option_of(name: &str) -> Option<&'static str> {
    OPTIONS.iter().find(|(pattern, _)| fit(pattern, name).is_some()).map(|&(_, option)| option)
}
