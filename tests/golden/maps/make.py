"""Golden numbers of the maps: `python tests/golden/maps/make.py` writes sets.safetensors (principal components, their
colours and k-means by scikit-learn and SciPy) and attention.safetensors (timm's attention in every block of models of
`tests/golden/vit`). Made with scikit-learn 1.9.1 and timm 1.0.31.
"""

import json
from functools import partial
from pathlib import Path

import numpy as np
import sklearn
import timm
import torch
from safetensors.torch import load_file, save_file
from scipy.linalg import orthogonal_procrustes
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from timm.models import eva, vision_transformer

here = Path(__file__).parent
print("scikit-learn", sklearn.__version__, "timm", timm.__version__)

# Patches of three images with an object in the middle, and another model's features of them.
rng = np.random.default_rng(0)
GRIDS, D, E = [(8, 10), (9, 9), (6, 12)], 20, 12
mixes = rng.normal(size=(5, D)), rng.normal(size=(5, E))


def image(rows, columns):
    y, x = np.mgrid[:rows, :columns]
    inside = np.hypot((y + 0.5) / rows - 0.5, (x + 0.5) / columns - 0.5) < 0.33
    content = rng.normal(size=(rows, columns, 5)) * [0.3, 1.2, 0.9, 0.6, 0.4]
    content[..., 0] += 4 * inside
    return [
        (content @ mix + 0.1 * rng.normal(size=(rows, columns, mix.shape[1])) + 2).reshape(rows * columns, -1)
        for mix in mixes
    ]


images = [image(*grid) for grid in GRIDS]
edge = np.concatenate(
    [np.pad(np.zeros((r - 2, c - 2)), 1, constant_values=1).ravel().astype(bool) for r, c in GRIDS]
)
own, other = (np.concatenate([image[which] for image in images]).astype(np.float32) for which in (0, 1))
exact, foreign = own.astype(np.float64), other.astype(np.float64)


def colours(scores, kept):
    low, high = np.quantile(scores[kept].astype(np.float32), [0.01, 0.99], axis=0)
    rgb = np.clip((scores - low) / (high - low), 0, 1)
    rgb[~kept] = -1
    return rgb


out = dict(own=own, other=other)
for name, threshold in [("all", None), ("foreground", 0.25)]:
    kept = np.ones(len(own), bool)
    if threshold is not None:
        first = PCA(1, svd_solver="full").fit(exact)
        score = first.transform(exact)[:, 0]
        score *= -np.sign(score[edge].mean())
        kept = score > threshold * np.sqrt(first.explained_variance_[0])
        out["mask"] = kept.astype(np.float32)
    pca = PCA(3, svd_solver="full").fit(exact[kept])
    scores = pca.transform(exact)
    out |= {
        f"{name}.mean": pca.mean_, f"{name}.components": pca.components_, f"{name}.variances": pca.explained_variance_,
        f"{name}.scores": scores, f"{name}.colours": colours(scores, kept),
    }  # fmt: skip
    theirs = PCA(3, svd_solver="full").fit(foreign[kept])
    unit = theirs.transform(foreign) / np.sqrt(theirs.explained_variance_)
    wanted = scores / np.sqrt(pca.explained_variance_)
    turn, _ = orthogonal_procrustes(unit[kept], wanted[kept])
    out[f"{name}.turned"] = colours(unit @ turn, kept)

for name, features in [("plain", exact), ("unit", exact / np.linalg.norm(exact, axis=1, keepdims=True))]:
    start = features[[3, 40, 90, 130, 200]]
    found = KMeans(5, init=start, n_init=1, algorithm="lloyd", tol=0, max_iter=300).fit(features)
    out |= {
        f"{name}.start": start, f"{name}.labels": found.labels_, f"{name}.centres": found.cluster_centers_,
        f"{name}.inertia": np.array([found.inertia_]),
    }  # fmt: skip
save_file({name: torch.tensor(np.ascontiguousarray(value, np.float32)) for name, value in out.items()},
          here / "sets.safetensors")  # fmt: skip


def model_of(name):
    told = json.loads((here.parent / "vit" / f"{name}.json").read_text())
    if name.startswith(("vit_augreg", "dinov2_reg4")):
        wanted = ["img_size", "patch_size", "embed_dim", "depth", "num_heads", "num_classes", "init_values",
                  "reg_tokens", "no_embed_class"]  # fmt: skip
        return vision_transformer.VisionTransformer(**{key: told[key] for key in wanted if key in told})
    counting = dict(ref_feat_shape=(4, 4), rope_grid_offset=0.0, rope_grid_indexing="ij")
    return eva.Eva(img_size=(16, 24), patch_size=8, embed_dim=32, depth=2, num_heads=2, num_classes=5,
                   use_rot_pos_emb=True, norm_layer=partial(torch.nn.LayerNorm, eps=1e-6), swiglu_mlp=True, mlp_ratio=2,
                   **counting)  # fmt: skip


attention = {}
for name in ["vit_augreg", "dinov2_reg4", "eva02"]:
    model = model_of(name).eval()
    model.load_state_dict(load_file(here.parent / "vit" / f"{name}.safetensors"))
    for i, block in enumerate(model.blocks):
        block.attn.fused_attn = False
        keep = lambda _, __, result, i=i: attention.__setitem__(f"{name}.{i}", result.clone())
        block.attn.attn_drop.register_forward_hook(keep)
    with torch.no_grad():
        model(load_file(here.parent / "vit" / f"{name}.io.safetensors")["image"])
save_file({name: value.contiguous() for name, value in attention.items()}, here / "attention.safetensors")
