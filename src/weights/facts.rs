//! The shape that tensors show.

use std::collections::BTreeMap;

use super::entry::Source;
use crate::vit::Family;

/// The shape of a ViT as its tensors, under timm's names, show it.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) embed_dim: usize,
    pub(super) patch_size: usize,
    pub(super) depth: usize,
    /// Width of an MLP's hidden layer, gate included.
    pub(super) hidden_dim: usize,
    pub(super) gated: bool,
    pub(super) num_classes: usize,
    pub(super) class_token: bool,
    pub(super) reg_tokens: usize,
    /// Rows of a learned position embedding.
    pub(super) positions: Option<usize>,
    pub(super) pre_norm: bool,
    /// The last norm, on the tokens or on the pooled vector.
    pub(super) norm: bool,
    pub(super) fc_norm: bool,
    /// Norms within MLPs, and between the heads and the last layer of attention.
    pub(super) mlp_norm: bool,
    pub(super) attn_norm: bool,
    pub(super) attn_pool: bool,
    /// Width of the attention pool's hidden layer.
    pub(super) pool_hidden: Option<usize>,
    pub(super) layer_scale: bool,
    pub(super) qkv_bias: bool,
    pub(super) query_bias: bool,
}

impl Facts {
    /// Reads the shape; the error is the reason why the tensors are not a ViT's.
    pub(super) fn of(tensors: &BTreeMap<String, Source>) -> Result<Self, String> {
        let shape = |name: &str| tensors.get(name).map(Source::shape);
        let has = |name: &str| tensors.contains_key(name);
        let wanted = |name: &str| {
            shape(name).ok_or_else(|| format!("its tensor for timm's {name} is missing"))
        };
        let patch = wanted("patch_embed.proj.weight")?;
        let (embed_dim, height) = match *patch.as_slice() {
            [dim, 3, height, width] if dim > 0 && height > 0 && height == width => (dim, height),
            _ => {
                return Err(format!(
                    "its patch embedding has the shape {patch:?}, wanted that of square patches of 3 channels, [D, 3, p, p]"
                ));
            }
        };
        let matrix = |name: &str| match wanted(name)?.as_slice() {
            &[rows, columns] => Ok([rows, columns]),
            shape => Err(format!("its tensor for timm's {name} has the shape {shape:?}")),
        };
        let [hidden_dim, _] = matrix("blocks.0.mlp.fc1.weight")?;
        let [_, inner] = matrix("blocks.0.mlp.fc2.weight")?;
        let gated = hidden_dim == 2 * inner && hidden_dim > 0;
        let rows = |name: &str| match shape(name).as_deref() {
            Some(&[1, rows, _]) => Ok(Some(rows)),
            Some(shape) => Err(format!("its {name} has the shape {shape:?}, wanted [1, N, D]")),
            None => Ok(None),
        };
        let head = has("head.weight").then(|| matrix("head.weight")).transpose()?;
        Ok(Self {
            embed_dim,
            patch_size: height,
            depth: (0..).take_while(|i| has(&format!("blocks.{i}.mlp.fc1.weight"))).count(),
            hidden_dim,
            gated,
            num_classes: head.map_or(0, |[classes, _]| classes),
            class_token: has("cls_token"),
            reg_tokens: rows("reg_token")?.unwrap_or(0),
            positions: rows("pos_embed")?,
            pre_norm: has("norm_pre.weight"),
            norm: has("norm.weight"),
            fc_norm: has("fc_norm.weight"),
            mlp_norm: has("blocks.0.mlp.norm.weight"),
            attn_norm: has("blocks.0.attn.norm.weight"),
            attn_pool: has("attn_pool.latent"),
            pool_hidden: shape("attn_pool.mlp.fc1.weight").and_then(|s| s.first().copied()),
            layer_scale: has("blocks.0.ls1.gamma") || has("blocks.0.gamma_1"),
            qkv_bias: has("blocks.0.attn.qkv.bias"),
            query_bias: has("blocks.0.attn.q_bias"),
        })
    }

    /// The family with this structure.
    pub(super) fn family(&self) -> Family {
        match self {
            Self { positions: None, query_bias: true, .. } => Family::Dinov3Qkvb,
            Self { positions: None, .. } => Family::Dinov3,
            Self { norm: false, reg_tokens: 7.., layer_scale: true, .. } => Family::RadioV3,
            Self { norm: false, reg_tokens: 7, .. } => Family::RadioV3H,
            Self { norm: false, reg_tokens: 8.., .. } => Family::Radio,
            Self { query_bias: true, attn_norm: true, .. } => Family::Eva02Clip,
            Self { query_bias: true, mlp_norm: true, .. } => Family::Eva02Norm,
            Self { query_bias: true, .. } => Family::Eva02,
            Self { pre_norm: true, attn_pool: true, class_token: true, .. } => Family::PeCore,
            Self { pre_norm: true, attn_pool: true, .. } => Family::PeCoreG,
            Self { pre_norm: true, norm: false, class_token: false, .. } => Family::PeG,
            Self { pre_norm: true, norm: false, layer_scale: true, .. } => Family::PeLang,
            Self { pre_norm: true, norm: false, .. } => Family::PeSpatial,
            Self { pre_norm: true, .. } => Family::Clip,
            Self { attn_pool: true, .. } => Family::Siglip,
            Self { class_token: false, .. } => Family::SiglipGap,
            Self { layer_scale: true, reg_tokens: 1, .. } => Family::Tipsv2,
            Self { layer_scale: true, reg_tokens: 2.., .. } => Family::Dinov2Reg4,
            Self { layer_scale: true, positions: Some(rows), .. } if is_square(*rows) => {
                Family::Deit3
            }
            Self { layer_scale: true, .. } => Family::Dinov2,
            _ => Family::Plain,
        }
    }

    /// Number of class and register tokens.
    fn prefix(&self) -> usize {
        usize::from(self.class_token) + self.reg_tokens
    }

    /// The patch grid of a learned position embedding with `rows` rows, and whether it
    /// covers patch tokens only. `stated` is the image size of a config. None where the
    /// rows fit no grid.
    pub(super) fn grid(
        &self,
        rows: usize,
        stated: Option<[usize; 2]>,
    ) -> Option<([usize; 2], bool)> {
        let prefix = self.prefix();
        let (all, bare) =
            (rows.checked_sub(prefix).map(|count| (count, false)), Some((rows, true)));
        // With registers, positions are the patches' alone where both would do.
        let splits = match (prefix, self.reg_tokens) {
            (0, _) => [all, None],
            (_, 0) => [all, bare],
            _ => [bare, all],
        };
        let splits: Vec<(usize, bool)> =
            splits.into_iter().flatten().filter(|&(count, _)| count > 0).collect();
        let of_config = stated.and_then(|sides| {
            let grid = sides.map(|side| side / self.patch_size);
            let count = grid[0].checked_mul(grid[1])?;
            let &(_, bare) = splits.iter().find(|&&(patches, _)| patches == count)?;
            Some((grid, bare))
        });
        let square = || {
            let &(count, bare) = splits.iter().find(|&&(count, _)| is_square(count))?;
            Some(([count.isqrt(); 2], bare))
        };
        of_config.or_else(square)
    }
}

fn is_square(count: usize) -> bool {
    count.isqrt().pow(2) == count
}
