"""Makes the golden tensors of the methods whose sums PyTorch states in a line or two: cosine,
normalised features, relations (LightlyTrain's distillationv3) and Proteus, on the teacher, the
student and the images of `tests/golden/singer`: the loss, and the gradients of the smaller
parameters. Needs torch, timm and safetensors; `python tests/golden/baselines/make.py`."""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from timm.models.vision_transformer import VisionTransformer

HERE = Path(__file__).parent
SINGER = HERE.parent / "singer"
SHAPES = json.loads((SINGER / "c1.json").read_text())
LAYERS, STUDENT_LAYERS = [1, 3], [0, 2]
TEMPERATURE = 0.07
IMAGES = load_file(SINGER / "image.safetensors")["image"]


def model(name):
    model = VisionTransformer(**SHAPES[name])
    model.load_state_dict(load_file(SINGER / f"{name}.safetensors"), strict=True)
    return model.eval()


def tokens(model, layers, masked=None):
    """The tokens that leave the blocks; `masked` are patches and what replaces them."""
    found = {}
    x = model.patch_embed(IMAGES if masked is None else IMAGES[masked["images"]])
    if masked is not None:
        x = torch.where(masked["mask"].bool(), masked["token"], x)
    x = model.norm_pre(model.patch_drop(model._pos_embed(x)))
    for index, block in enumerate(model.blocks):
        x = block(x)
        found[index] = x
    return [found[layer] for layer in layers]


def linear(generator):
    weight = 0.2 * torch.randn(64, 48, generator=generator)
    return [p.requires_grad_() for p in (weight, 0.1 * torch.randn(64, generator=generator))]


def write(name, loss, student, parts, given, facts):
    loss.backward()
    tensors = {"loss": loss.detach().reshape(1)}
    for key, value in given.items():
        tensors[key] = value.detach().clone().contiguous()
    for key, value in parts.items():
        tensors[key] = value.detach().clone()
        tensors[f"grad.{key}"] = value.grad
    for key, value in student.named_parameters():
        if value.grad is not None and value.numel() <= 2304:
            tensors[f"grad.student.{key}"] = value.grad
    save_file(tensors, HERE / f"{name}.safetensors")
    (HERE / f"{name}.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(name, loss.item())


def features(name, seed, distance):
    generator = torch.Generator().manual_seed(seed)
    teacher, student = model("teacher"), model("student")
    with torch.no_grad():
        wanted = tokens(teacher, LAYERS)
    loss, parts = 0, {}
    for layer, ours, theirs in zip(LAYERS, tokens(student, STUDENT_LAYERS), wanted):
        weight, bias = linear(generator)
        parts |= {f"proj.{layer}.weight": weight, f"proj.{layer}.bias": bias}
        loss = loss + distance(F.linear(ours, weight, bias), theirs)
    write(name, loss, student, parts, {}, {"layers": LAYERS, "student_layers": STUDENT_LAYERS})


def relational():
    generator = torch.Generator().manual_seed(3)
    teacher, student = model("teacher"), model("student")
    with torch.no_grad():
        wanted = F.normalize(teacher.norm(tokens(teacher, [3])[0]), dim=-1)
    ours = tokens(student, [2])[0]
    (w_global, b_global), (w_local, b_local) = linear(generator), linear(generator)
    queue = F.normalize(torch.randn(10, 64, generator=generator), dim=-1)
    class_token = F.normalize(F.linear(ours[:, 0], w_global, b_global), dim=-1)
    patches = F.normalize(F.linear(ours[:, 1:], w_local, b_local), dim=-1)

    def divergence(made, target, keys):
        made, target = made @ keys.T / TEMPERATURE, target @ keys.T / TEMPERATURE
        return F.kl_div(F.log_softmax(made, -1), F.softmax(target, -1), reduction="batchmean")

    images, local = 0, 0
    for index in range(len(IMAGES)):
        keys = torch.cat([wanted[index, :1], queue])
        images = images + divergence(class_token[index, None], wanted[index, :1], keys)
        gram = [x @ x.T / TEMPERATURE for x in (patches[index], wanted[index, 1:])]
        local = local + F.kl_div(F.log_softmax(gram[0], -1), F.softmax(gram[1], -1), reduction="batchmean")
    images, local = images / len(IMAGES), local / len(IMAGES)
    parts = {"global.weight": w_global, "global.bias": b_global, "local.weight": w_local, "local.bias": b_local}
    given = {"queue": queue, "remembered": wanted[:, 0], "images": images.reshape(1), "patches": local.reshape(1)}
    write("relational", images + local, student, parts, given, {"student_layers": [2]})


def proteus():
    generator = torch.Generator().manual_seed(4)
    teacher, student = model("teacher"), model("student")
    with torch.no_grad():
        wanted = teacher.norm(tokens(teacher, [3])[0])
    parts = {}
    for head in ("token", "feature", "patch"):
        weight, bias = linear(generator)
        parts |= {f"{head}.linear.weight": weight, f"{head}.linear.bias": bias}
        scale = (1 + 0.1 * torch.randn(48, generator=generator)).requires_grad_()
        shift = (0.1 * torch.randn(48, generator=generator)).requires_grad_()
        parts |= {f"{head}.norm.weight": scale, f"{head}.norm.bias": shift}
    parts["mask_token"] = (0.1 * torch.randn(1, 1, 48, generator=generator)).requires_grad_()

    def head(name, x):
        x = F.layer_norm(x, (48,), parts[f"{name}.norm.weight"], parts[f"{name}.norm.bias"])
        return F.linear(x, parts[f"{name}.linear.weight"], parts[f"{name}.linear.bias"])

    chosen = [1, 3]
    mask = torch.zeros(2, 16, 1)
    for image in range(2):
        mask[image, torch.randperm(16, generator=generator)[:8]] = 1
    ours = tokens(student, [2])[0]
    hidden = tokens(student, [2], {"images": chosen, "mask": mask, "token": parts["mask_token"]})[0]
    token = head("token", ours[:, :1])
    whole = torch.cat([token, head("feature", ours[:, 1:])], dim=1)
    seen = mask[..., 0].bool()
    loss = F.mse_loss(token, wanted[:, :1]) + F.mse_loss(whole, wanted)
    loss = loss + F.mse_loss(head("patch", hidden[:, 1:][seen]), wanted[chosen][:, 1:][seen])
    write("proteus", loss, student, parts, {"mask": mask}, {"student_layers": [2], "masked": chosen})


features("cosine", 1, lambda made, wanted: (1 - F.cosine_similarity(made, wanted, dim=-1)).mean())
features("normalised", 2, lambda made, wanted: F.mse_loss(made, F.layer_norm(wanted, (64,))))
relational()
proteus()
