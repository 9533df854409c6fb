"""Makes the golden numbers of other people's treatments of artifacts, by the programs of their
authors, on tiny models of ../vit. Needs torch, timm, transformers and safetensors, and checkouts of
haoqiwang/sinder, nickjiang2378/test-time-registers and 0raiser0/PH-Reg:

    python tests/golden/treatments/make.py SINDER TEST_TIME_REGISTERS PH_REG
"""

import importlib.util
import json
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from timm.layers import SwiGLUPacked
from timm.layers.activations import QuickGELU
from timm.models.vision_transformer import LayerScale, VisionTransformer

here = Path(__file__).parent
sinder, registers, ph_reg = map(Path, sys.argv[1:])


def module(root, path, package=None):
    name = package or Path(path).stem
    spec = importlib.util.spec_from_file_location(name, root / path)
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


def model(name, **arguments):
    """A model of ../vit, and its images."""
    state = load_file(here / f"../vit/{name}.safetensors")
    shape = dict(embed_dim=48, depth=2, num_heads=4, img_size=32, patch_size=8, num_classes=0)
    vit = VisionTransformer(**{**shape, **arguments})
    missing, unexpected = vit.load_state_dict(state, strict=False)
    assert not missing and all(key.startswith("head.") for key in unexpected), (missing, unexpected)
    return vit.eval(), load_file(here / f"../vit/{name}.io.safetensors")["image"]


MODELS = {
    "vit_augreg_strong": dict(),
    "clip_openai_strong": dict(
        pre_norm=True, act_layer=QuickGELU, norm_layer=partial(torch.nn.LayerNorm, eps=1e-5)
    ),
    "tipsv2_g": dict(
        embed_dim=32, num_heads=2, img_size=24, init_values=1.0, reg_tokens=1, no_embed_class=True,
        mlp_ratio=5.5, mlp_layer=SwiGLUPacked, act_layer=torch.nn.SiLU,
    ),
}  # fmt: skip


@torch.no_grad()
def sinder_numbers():
    """`direction.MODEL` [depth, D]; `tokens` [1, 42, 16] on a grid of 6 x 7, `d` [16], their
    `mean` [4, 5, 16] at the inner patches and `mask` [6, 7]."""
    defect = module(sinder, "sinder/singular_defect.py")
    neighbours = module(sinder, "sinder/neighbor_loss.py")

    def hidden(block, x):
        return block.mlp.act(block.mlp.fc1(x))

    def gated(block, x):
        gate, value = block.mlp.fc1(x).chunk(2, dim=-1)
        return F.silu(gate) * value

    tensors = {}
    for name, arguments in MODELS.items():
        vit, _ = model(name, **arguments)
        # The program knows the gated MLP of DINOv2 alone; this is how the paper treats others.
        defect.w12 = gated if name == "tipsv2_g" else hidden
        for block in vit.blocks:
            block.mlp.w3 = block.mlp.fc2
            for scale in ["ls1", "ls2"]:
                if isinstance(getattr(block, scale), torch.nn.Identity):
                    setattr(block, scale, LayerScale(vit.embed_dim, init_values=1.0))
        torch.manual_seed(0)
        # Four times as many random inputs for the fit as the program draws.
        randn = torch.randn
        torch.randn = lambda n, d, device: randn(4 * n, d, device=device)
        tensors[f"direction.{name}"] = torch.stack(defect.singular_defect_directions(vit))
        torch.randn = randn

    torch.manual_seed(1)
    tokens = torch.randn(1, 43, 16)
    d = F.normalize(torch.randn(16), dim=0)
    for patch in [9, 17, 18, 40]:
        tokens[0, 1 + patch] += 12 * d
    result = neighbours.check_anomaly_theoretical(tokens, 6, 7, d, mask_thr=1.5, kernel=3)
    _, rows, columns, mean, _, mask, _ = result
    tensors |= {"tokens": tokens, "d": d, "mean": mean, "mask": mask.float()}
    print("sinder: outliers at", rows.tolist(), columns.tolist())
    save_file({k: v.contiguous() for k, v in tensors.items()}, here / "sinder.safetensors")


FACTOR = 1.12


@torch.no_grad()
def register_numbers():
    """`tokens.MODEL.RULE` [depth, 2, T, D], the patches and class token of a pass with one
    register, and in JSON the neurons with their scores."""
    package = SimpleNamespace()
    sys.modules["shared"] = package
    # Its plots are not wanted.
    for name in ["matplotlib", "matplotlib.pyplot", "mpl_toolkits", "mpl_toolkits.axes_grid1"]:
        sys.modules[name] = MagicMock()
    for name in ["utils", "hook_fn", "hook_manager", "algorithms"]:
        setattr(package, name, module(registers, f"shared/{name}.py", f"shared.{name}"))
    shared = package.algorithms
    hook = package.hook_fn.activate_on_registers
    tensors, told = {}, {}
    for name, arguments in MODELS.items():
        vit, images = model(name, **arguments)
        prefix = vit.num_prefix_tokens

        def run(image, extra, hooks=()):
            """Tokens after each block, and the inputs of fc2."""
            held, seen = [], []
            for layer, block in enumerate(vit.blocks):
                held += [block.mlp.fc2.register_forward_pre_hook(lambda _, x: seen.append(x[0].clone()))]
                for at, action in hooks:
                    if at == layer:
                        held += [block.mlp.fc2.register_forward_pre_hook(lambda _, x, f=action: f(None, None, x[0]))]
            x = vit._pos_embed(vit.patch_embed(image))
            x = torch.cat([x, torch.zeros(1, extra, x.shape[-1])], 1) if extra else x
            x = vit.norm_pre(x)
            leaving = []
            for block in vit.blocks:
                x = block(x)
                leaving.append(x)
            for handle in held:
                handle.remove()
            return leaving, seen

        # Which neurons, one image at a time: its threshold is a norm.
        depth, width = len(vit.blocks), vit.blocks[0].mlp.fc2.in_features
        detect, scores, plain = depth - 1, [], {}
        for sparse in [True, False]:
            sums, count = torch.zeros(depth, width), 0
            for image in images:
                leaving, seen = run(image[None], 0)
                outputs = torch.cat(leaving).numpy().copy()
                norms = np.linalg.norm(outputs[detect, prefix:], axis=1)
                threshold = FACTOR * float(np.median(norms))
                outputs[:, :prefix] = 0  # only patches are outliers here
                if not (norms > threshold).any():
                    continue
                manager = SimpleNamespace(
                    reinit=lambda **_: None, finalize=lambda: None,
                    get_neuron_activations=lambda seen=seen: torch.cat(seen).numpy(),
                    get_layer_outputs=lambda outputs=outputs: outputs,
                )  # fmt: skip
                state = dict(
                    model=None, preprocess=lambda image: image, run_model=lambda *_: None,
                    hook_manager=manager, num_layers=depth, num_neurons_per_layer=width,
                )  # fmt: skip
                shared.load_images = lambda *_, **__: [image]
                found = shared.find_register_neurons(
                    state, None, threshold, detect, "cpu", 1, apply_sparsity_filter=sparse
                )
                for layer, neuron, score in found:
                    sums[layer, neuron] += score
                count += 1
            mean = sums / count
            order = mean.flatten().argsort(descending=True, stable=True)[:8]
            key = "sparse" if sparse else "all"
            told.setdefault(name, {})[key] = [
                dict(block=int(at) // width, neuron=int(at) % width, score=float(mean.flatten()[at]))
                for at in order
            ]
        chosen = {}
        for entry in told[name]["sparse"]:
            chosen.setdefault(entry["block"], []).append(entry["neuron"])
        # The paper moves each neuron's own largest activation: a hook for each neuron.
        rules = {
            "largest": [(layer, partial(hook, num_registers=1, neuron_indices=n)) for layer, n in chosen.items()],
            "each": [(layer, partial(hook, num_registers=1, neuron_indices=[n])) for layer, ns in chosen.items() for n in ns],
        }
        for rule, hooks in rules.items():
            passes = []
            for image in images:
                # The hook clears all tokens but the first; a trained register keeps its activation.
                def kept(action, module, inputs, x):
                    before = x[:, 1:prefix].clone()
                    action(module, inputs, x)
                    x[:, 1:prefix][..., action.keywords["neuron_indices"]] = before[..., action.keywords["neuron_indices"]]

                wrapped = [(layer, partial(kept, action)) for layer, action in hooks]
                leaving, _ = run(image[None], 1, wrapped)
                passes.append(torch.stack([x[0, :-1] for x in leaving]))
            tensors[f"tokens.{name}.{rule}"] = torch.stack(passes, 1)
    told["factor"] = FACTOR
    (here / "registers.json").write_text(json.dumps(told, indent=1) + "\n")
    save_file({k: v.contiguous() for k, v in tensors.items()}, here / "registers.safetensors")


@torch.no_grad()
def averaged_numbers():
    """`block.0`, `block.1` [2, P, D], the patches averaged over the views of the JSON."""
    denoising = module(ph_reg, "DINOv2_full/utils/denoising.py")
    teacher = module(ph_reg, "DINOv2_full/models/teacherDINOv2.py")
    vit, images = model("vit_augreg_strong")
    side, grid = 8, 4
    views = [(0, 0, 0), (1, -1, 0), (-1, 1, 1), (2, 0, 1), (0, -2, 0), (-1, -1, 1)]
    white = torch.tensor([2.2489083, 2.42857143, 2.64])[:, None, None]
    indices = denoising.prepare_patch_idxs(grid)
    sums, counts = {}, {}
    for image in images:
        shown, places = [], []
        for rows, columns, flip in views:
            moved = denoising.shuffle_shift(image, rows * side, columns * side, -100)
            place = denoising.shuffle_shift(indices, rows, columns, -1)
            if flip:
                moved, place = moved.flip(2), place.flip(2)
            shown.append(torch.where(moved < -50, white, moved))
            places.append(place)
        x = vit.norm_pre(vit._pos_embed(vit.patch_embed(torch.stack(shown))))
        for at, block in enumerate(vit.blocks):
            x = block(x)
            patches = x[:, 1:].reshape(len(views), grid, grid, -1)
            recovered = teacher.AugDINOv2Base.recover_images(None, torch.stack(places), patches)
            total, seen = (part.sum(0) for part in recovered)
            mean = (total / seen[..., None]).reshape(grid * grid, -1)
            sums.setdefault(f"block.{at}", []).append(mean)
    save_file({k: torch.stack(v) for k, v in sums.items()}, here / "averaged.safetensors")
    told = [dict(shift=[rows, columns], flip=bool(flip)) for rows, columns, flip in views]
    (here / "averaged.json").write_text(json.dumps(dict(views=told), indent=1) + "\n")


sinder_numbers()
register_numbers()
averaged_numbers()
