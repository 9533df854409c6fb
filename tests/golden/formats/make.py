"""Makes the files of weights in this folder: one tiny ViT of random values in
every format, and a pickle that calls a function. Needs torch, numpy and
safetensors."""

import argparse
import json
import os
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

here = Path(__file__).parent
torch.manual_seed(0)
dim, hidden, depth = 8, 16, 2
shapes = {
    "cls_token": (1, 1, dim),
    "pos_embed": (1, 5, dim),
    "patch_embed.proj.weight": (dim, 3, 4, 4),
    "patch_embed.proj.bias": (dim,),
    "norm.weight": (dim,),
    "norm.bias": (dim,),
}
for block in range(depth):
    for name, rows, columns in [
        ("attn.qkv", 3 * dim, dim),
        ("attn.proj", dim, dim),
        ("mlp.fc1", hidden, dim),
        ("mlp.fc2", dim, hidden),
    ]:
        shapes[f"blocks.{block}.{name}.weight"] = (rows, columns)
        shapes[f"blocks.{block}.{name}.bias"] = (rows,)
    for name in ["norm1", "norm2"]:
        shapes[f"blocks.{block}.{name}.weight"] = (dim,)
        shapes[f"blocks.{block}.{name}.bias"] = (dim,)
model = OrderedDict((name, torch.randn(shape)) for name, shape in shapes.items())


def cast(kind):
    return OrderedDict((name, tensor.to(kind)) for name, tensor in model.items())


save_file(model, here / "f32.safetensors")
for kind in ["float16", "bfloat16"]:
    save_file(cast(getattr(torch, kind)), here / f"{kind}.safetensors")
    torch.save(cast(getattr(torch, kind)), here / f"{kind}.pth")

sharded = here / "sharded"
sharded.mkdir(exist_ok=True)
names = list(model)
weight_map = {}
for number, part in enumerate([names[:9], names[9:]], start=1):
    shard = f"model-{number:05}-of-00002.safetensors"
    save_file({name: model[name] for name in part}, sharded / shard)
    weight_map |= dict.fromkeys(part, shard)
index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
(sharded / "model.safetensors.index.json").write_text(json.dumps(index, indent=1))

torch.save(model, here / "plain.pth")
torch.save(model, here / "legacy.pth", _use_new_zipfile_serialization=False)
torch.save(model, here / "protocol4.pt", pickle_protocol=4)
training = {
    "epoch": 3,
    "lr": 1e-3,
    "best": np.float64(0.5),
    "args": argparse.Namespace(arch="vit", layers=[1, 2]),
    "optimizer": {"state": {0: {"step": torch.tensor(3)}}, "param_groups": [{"betas": (0.9, 0.999)}]},
    "state_dict": {f"module.{name}": torch.nn.Parameter(t) for name, t in model.items()},
}
torch.save(training, here / "training.pth")
dino = {
    "student": {f"module.backbone.{name}": -tensor for name, tensor in model.items()},
    "teacher": {f"backbone.{name}": tensor for name, tensor in model.items()},
}
dino["teacher"]["head.mlp.0.weight"] = torch.zeros(2, dim)
torch.save(dino, here / "dino.pth")

# Checkpoints of trainings that keep several models.
other = {name: -tensor for name, tensor in model.items()}


class Settings:
    """A class that only the training knew."""

    def __init__(self):
        self.width, self.layers = dim, [0, 1]


def under(prefix, tensors):
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


torch.save(
    {
        "pytorch-lightning_version": "2.5.0",
        "hyper_parameters": {"settings": Settings(), "lr": 1e-3},
        "state_dict": under("teacher.backbone.", model)
        | under("student.vit._orig_mod.", other)
        | {"student.head.weight": torch.zeros(2, dim), "criterion.center": torch.zeros(1, 2)},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1e-3}]}],
        "callbacks": {},
    },
    here / "lightning.ckpt",
)
torch.save({"epoch": 1, "state_dict": other, "state_dict_ema": model}, here / "ema.pth")
torch.save({"step": 3, "ema": under("module.", model)}, here / "ema_alone.pt")
torch.save(
    {
        "model": under("module._orig_mod.", model),
        "optimizer": {"exp_avg": other, "step": torch.tensor(3.0)},
    },
    here / "compiled.pt",
)
torch.save({"left": model, "right": [other]}, here / "twins.pt")

# Transposed matrices, the rest views of one storage.
flat = torch.cat([tensor.flatten() for tensor in model.values()])
views, at = {}, 0
for name, tensor in model.items():
    if tensor.ndim == 2:
        views[name] = tensor.t().contiguous().t()
    else:
        views[name] = flat[at : at + tensor.numel()].view(tensor.shape)
    at += tensor.numel()
torch.save({"model": views}, here / "views.bin")


class Call:
    def __reduce__(self):
        return os.system, ("echo this must never run",)


torch.save({"state_dict": {"cls_token": Call()}}, here / "call.pth")
