"""Compares exported models with reference outputs, in the runtimes they are for.

The manifest is a JSON list of cases:
  name       shown in messages
  io         safetensors with `image`, `final_norm` and `output` of the model
  classes    outputs of its head; 0 for none
  timm       folder of `singer export --to timm`
  hf         folder of `--to hf`; null where transformers has no class
  headless   whether that one was exported with --no-head
  onnx       file of `--to onnx`
  onnx_f16   file of `--to onnx --dtype f16`, with weights in a file of their own
"""

import argparse
import json
import os
import sys
import warnings
from pathlib import Path

# Nothing is to be fetched.
os.environ["HF_HUB_OFFLINE"] = "1"
warnings.filterwarnings("ignore")

import numpy as np
import onnx
import onnxruntime
import timm
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file

TOLERANCE = 1e-4
# Of the norm, as half precision's rounding grows with the values.
TOLERANCE_F16 = 2e-2
# Where a model with a head keeps the rest of itself, by model type.
TOWERS = {
    "vit": "vit",
    "dinov2": "dinov2",
    "dinov2_with_registers": "dinov2_with_registers",
    "clip_vision_model": "vision_model",
    "siglip": "vision_model",
}


class Checks:
    """The differences found in one case, by what was compared."""

    def __init__(self, case):
        self.case, self.found = case, {}

    def close(self, what, ours, wanted):
        ours, wanted = torch.as_tensor(ours), torch.as_tensor(wanted)
        assert ours.shape == wanted.shape, f"{what}: {ours.shape}, not {wanted.shape}"
        difference = (ours - wanted).abs().max().item()
        self.found[what] = difference
        assert difference <= TOLERANCE, f"{what} differs by {difference:.2e}"

    def near(self, what, ours, wanted):
        difference = (torch.as_tensor(ours) - wanted).norm() / wanted.norm()
        self.found[what] = difference.item()
        assert difference <= TOLERANCE_F16, f"{what} differs by {difference:.2e} of its norm"


def run_card(folder):
    """Runs the Python of a model card as its reader would."""
    card = (folder / "README.md").read_text()
    code = card.split("```python\n")[1].split("```")[0]
    Image.fromarray(np.full((90, 120, 3), 99, np.uint8)).save(folder / "image.jpg")
    before = os.getcwd()
    os.chdir(folder)
    try:
        exec(compile(code, f"{folder}/README.md", "exec"), {})
    finally:
        os.chdir(before)


def check_timm(checks, case, io):
    folder = Path(case["timm"])
    config = json.loads((folder / "config.json").read_text())
    plain = timm.create_model(
        config["architecture"], num_classes=config["num_classes"], **config.get("model_args", {})
    )
    plain.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
    model = timm.create_model(f"local-dir:{folder}", pretrained=True)
    for name, candidate in [("strict", plain), ("local-dir", model)]:
        candidate.eval()
        features = candidate.forward_features(io["image"])
        checks.close(f"timm {name} features", features, io["final_norm"])
        checks.close(f"timm {name} output", candidate(io["image"]), io["output"])
    size = model.pretrained_cfg["input_size"]
    assert tuple(size) == tuple(io["image"].shape[1:]), f"timm input_size {size}"
    run_card(folder)


def check_transformers(checks, case, io):
    if case["hf"] is None:
        return
    folder = Path(case["hf"])
    config = json.loads((folder / "config.json").read_text())
    name = config["architectures"][0]
    extra = {"add_pooling_layer": False} if name == "ViTModel" else {}
    model, loading = getattr(transformers, name).from_pretrained(
        folder, output_loading_info=True, **extra
    )
    for kind in ["missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"]:
        assert not loading[kind], f"{name}: {kind} {loading[kind]}"
    answer = model.eval()(pixel_values=io["image"])
    headed = name.endswith(("ForImageClassification", "WithProjection"))
    tower = getattr(model, TOWERS[config["model_type"]]) if headed else model
    tokens = tower(pixel_values=io["image"])
    final = io["final_norm"]
    if name.startswith("CLIP"):
        checks.close("transformers pooled", tokens.pooler_output, final[:, 0])
    else:
        checks.close("transformers last_hidden_state", tokens.last_hidden_state, final)
    if name == "SiglipVisionModel" and config["vision_use_head"]:
        checks.close("transformers pooler_output", answer.pooler_output, io["output"])
    if "image_embeds" in answer:
        checks.close("transformers image_embeds", answer.image_embeds, io["output"])
    if "logits" in answer:
        checks.close("transformers logits", answer.logits, io["output"])
    else:
        lost = case["classes"] and not case["headless"] and "image_embeds" not in answer
        assert not lost, f"{name} lost its head"

    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    height, width = io["image"].shape[2:]
    grey = Image.fromarray(np.full((9 * height, 9 * width, 3), 99, np.uint8))
    pixels = processor(images=grey, return_tensors="pt")["pixel_values"]
    assert pixels.shape[1:] == io["image"].shape[1:], f"processor gives {tuple(pixels.shape)}"
    timm_config = json.loads((Path(case["timm"]) / "config.json").read_text())["pretrained_cfg"]
    mean, std = (torch.tensor(timm_config[key]).view(3, 1, 1) for key in ["mean", "std"])
    wanted = ((99 / 255 - mean) / std).expand_as(pixels[0])
    checks.close("transformers processor", pixels[0], wanted)
    run_card(folder)


def run_onnx(path, image):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"image": image.numpy()})))


def check_onnx(checks, case, io):
    for path in [case["onnx"], case["onnx_f16"]]:
        onnx.checker.check_model(path, full_check=True)
    image, final, output = io["image"], io["final_norm"], io["output"]
    answer = "logits" if case["classes"] else "pooled"
    three = [0, 1, 0]
    for batch in [[0], three]:
        found = run_onnx(case["onnx"], image[batch])
        assert ("logits" in found) == bool(case["classes"]), f"ONNX gives {list(found)}"
        checks.close(f"ONNX features, batch {len(batch)}", found["features"], final[batch])
        checks.close(f"ONNX {answer}, batch {len(batch)}", found[answer], output[batch])
    half = run_onnx(case["onnx_f16"], image)
    assert half["features"].dtype == np.float32
    checks.near("ONNX f16 features", half["features"], final)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    failures = 0
    for case in json.loads(arguments.manifest.read_text()):
        io = load_file(case["io"])
        checks = Checks(case)
        for check in [check_timm, check_transformers, check_onnx]:
            try:
                with torch.no_grad():
                    check(checks, case, io)
            except Exception as error:
                failures += 1
                print(f"{case['name']}: {check.__name__}: {type(error).__name__}: {error}")
        worst = {}
        for what, difference in checks.found.items():
            form = "ONNX f16" if "f16" in what else what.split()[0]
            worst[form] = max(worst.get(form, 0.0), difference)
        print(case["name"], ", ".join(f"{form} {value:.1e}" for form, value in worst.items()))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
