import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file
from timm.models.vision_transformer import VisionTransformer

REPOSITORY = Path(__file__).resolve().parents[2]
GOLDEN = REPOSITORY / "tests" / "golden"
DEMO_TEACHER = REPOSITORY / "assets" / "demo-teacher.safetensors"


def golden(part):
    """A case's tensors and its JSON, where it has one."""
    path = GOLDEN / part
    notes = path.with_suffix(".json")
    return load_file(path.with_suffix(".safetensors")), json.loads(notes.read_text()) if notes.exists() else None


def open_in_timm(path):
    """A model that singer wrote, in timm."""
    with safe_open(path, "pt") as file:
        _, shape = json.loads(file.metadata()["singer.vit"])
    model = VisionTransformer(
        img_size=shape["img_size"],
        patch_size=shape["patch_size"],
        embed_dim=shape["embed_dim"],
        depth=shape["depth"],
        num_heads=shape["num_heads"],
        num_classes=shape["num_classes"],
        reg_tokens=shape.get("reg_tokens", 0),
    )
    model.load_state_dict(load_file(path), strict=True)
    return model


def relative(ours, wanted):
    """The difference in L2 norm, relative."""
    ours, wanted = torch.as_tensor(ours).double(), torch.as_tensor(wanted).double()
    assert ours.shape == wanted.shape
    return ((ours - wanted).norm() / wanted.norm().clamp_min(1e-30)).item()


@pytest.fixture(scope="session")
def program():
    """Runs the console script `singer` with arguments."""
    binary = Path(sys.executable).with_name("singer")
    assert binary.exists(), "install the wheel"

    def run(*arguments):
        done = subprocess.run([binary, *map(str, arguments)], capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    return run


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """A folder of 24 pictures of 32 x 32 pixels, detailed above and smooth below, where the demo teacher has artifacts."""
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(7)
    for at in range(24):
        coarse = random.integers(90, 170, (2, 2, 3), dtype=np.uint8)
        picture = np.asarray(Image.fromarray(coarse).resize((32, 32), Image.Resampling.BICUBIC)).astype(int)
        picture[: 20 + at // 4] += random.integers(-60, 61, picture[: 20 + at // 4].shape)
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(folder / f"{at:02}.png")
    return folder


def batch(folder, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)):
    """All pictures of a folder as a model sees them, `[B, 3, H, W]`."""
    pixels = np.stack([np.asarray(Image.open(path)) for path in sorted(folder.iterdir())])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    return (images - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)
