"""Writes presets.json, what timm says of every model in src/vit/presets.rs; with --rows,
prints the rows of its table instead. Made with timm 1.0.31."""

import json
import re
import sys
from pathlib import Path

import timm
import torch

FAMILIES = {
    "Plain": r"vit_(tiny|small|base|large|huge|giant|gigantic)_patch\d+_(224|384)",
    "Deit3": r"deit3_\w+",
    "Dinov2": r"vit_(small|base|large|giant)_patch14_dinov2",
    "Dinov2Reg4": r"vit_(small|base|large|giant)_patch14_reg4_dinov2",
    "Clip": r"vit_\w+_patch\d+_clip_(quickgelu_)?\d+",
    "Siglip": r"vit_\w+_patch\d+_siglip_\d+",
    "SiglipGap": r"vit_\w+_patch\d+_siglip_gap_\d+",
    "Dinov3": r"vit_\w+_patch16_dinov3",
    "Dinov3Qkvb": r"vit_\w+_patch16_dinov3_qkvb",
    "Tipsv2": r"vit_\w+_tipsv2",
    "Lingbot": r"vit_(small|base|large)_patch16_lingbot",
    "LingbotG": r"vit_giant_patch16_lingbot",
    "Franca": r"franca_\w+",
    "PeCore": r"vit_pe_core_(?!gigantic)\w+",
    "PeCoreG": r"vit_pe_core_gigantic_\w+",
    "PeSpatial": r"vit_pe_spatial_(?!gigantic)\w+",
    "PeLang": r"vit_pe_lang_(?!gigantic)\w+",
    "PeG": r"vit_pe_(spatial|lang)_gigantic_\w+",
    "Eva02": r"eva02_(tiny|small)_patch14_\d+",
    "Eva02Norm": r"eva02_(base|large)_patch14_\d+",
    "Eva02Clip": r"eva02_(base|large)_patch\d+_clip_\d+",
    "Radio": r"vit_\w+_radio_v4",
    "RadioV3": r"vit_(base|large)_patch16_radio_v3",
    "RadioV3H": r"vit_(huge|giant)_patch16_radio_v3",
}
STATS = {0.0: "Unit", 0.5: "Half", 0.485: "ImageNet", 0.48145466: "Clip", 0.43: "Satellite"}
# https://github.com/valeoai/Franca, franca/hub/backbones.py: DINOv2's code with SwiGLU in all
# sizes, whose hidden layer has two thirds of 4 D rounded up to a multiple of 8.
FRANCA = {
    name: dict(embed_dim=dim, depth=depth, num_heads=dim // 64, img_size=size,
               mlp_ratio=2 * (-(4 * dim * 2 // 3) // 8 * -8) / dim)
    for name, dim, depth, size in [("franca_vitb14", 768, 12, 518), ("franca_vitl14", 1024, 24, 224),
                                   ("franca_vitg14", 1536, 40, 224)]
}  # fmt: skip
SEEN = ["crop_pct", "interpolation", "crop_mode"]
MLPS = {"GELU": "Gelu", "GELUTanh": "GeluTanh", "QuickGELU": "QuickGelu", "SiLU": "Swiglu"}


def create(name):
    if name in FRANCA:
        return timm.create_model("vit_giant_patch14_dinov2", **FRANCA[name])
    return timm.create_model(name)


def describe(family, name):
    with torch.device("meta"):
        model = create(name)
    config, block = model.pretrained_cfg, model.blocks[0]
    # A gate in a layer of its own counts as half of one.
    split = hasattr(block.mlp, "fc1_g")
    return {
        "family": family,
        "img_size": model.patch_embed.img_size[0],
        "patch_size": model.patch_embed.patch_size[0],
        "embed_dim": model.embed_dim,
        "depth": len(model.blocks),
        "num_heads": block.attn.num_heads,
        "hidden_dim": 2 * block.mlp.fc1_g.out_features if split else block.mlp.fc1.out_features,
        "num_classes": model.num_classes,
        "mlp": MLPS[type(block.mlp.act).__name__],
        "norm_eps": block.norm1.eps,
        "mean": list(config["mean"]),
        "std": list(config["std"]),
        "crop_pct": config["crop_pct"],
        "interpolation": config["interpolation"],
        "crop_mode": config["crop_mode"],
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "tensors": len(model.state_dict()),
    }


def rows():
    for family, pattern in FAMILIES.items():
        names = [name for name in [*timm.list_models(), *FRANCA] if re.fullmatch(pattern, name)]
        found = [(name, describe(family, name)) for name in names]
        # 384 pixels are no multiple of 14.
        found = [(n, d) for n, d in found if d["img_size"] % d["patch_size"] == 0]
        found.sort(key=lambda row: (row[1]["embed_dim"], -row[1]["patch_size"], row[1]["img_size"]))
        for name, base in found:
            yield name, base
            for tagged in timm.list_pretrained(name + ".*"):
                config = timm.get_pretrained_cfg(tagged)
                told = [config.num_classes, list(config.mean), *(getattr(config, key) for key in SEEN)]
                if told != [base["num_classes"], base["mean"], *(base[key] for key in SEEN)]:
                    yield tagged, describe(family, tagged)


def table(name, row):
    columns = ["img_size", "patch_size", "embed_dim", "depth", "num_heads", "hidden_dim"]
    numbers = " ".join(f"{row[key]:4}" for key in columns)
    return (
        f'    {row["family"]:10} {row["mlp"]:9} {json.dumps(name):58} {numbers} '
        f'{row["num_classes"]:6} {STATS[row["mean"][0]]:9} '
        f'{float(row["crop_pct"]):<5} {row["interpolation"].title():8} {row["crop_mode"].title()};'
    )


if __name__ == "__main__":
    if "--rows" in sys.argv:
        print("\n".join(table(name, row) for name, row in rows()))
    else:
        lines = [f"{json.dumps(name)}: {json.dumps(row)}" for name, row in rows()]
        Path(__file__).with_suffix(".json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
