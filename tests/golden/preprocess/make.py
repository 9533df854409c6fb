"""Makes the JPEGs of procedural images in this folder and, with Pillow, the
crops that preprocessing must equal. Needs Pillow, numpy and safetensors."""

import json
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import save_file

HERE = Path(__file__).parent
SHORT, CROP = 256, 224
# Name, width, height, JPEG quality, chroma subsampling (0: 4:4:4, 1: 4:2:2, 2: 4:2:0), grey.
IMAGES = [
    ("wide", 500, 313, 90, 2, False),
    ("tall", 300, 451, 75, 2, False),
    ("odd", 401, 367, 95, 1, False),
    ("sharp", 640, 480, 92, 0, False),
    ("small", 97, 61, 90, 2, False),
    ("grey", 333, 500, 90, 0, True),
]


def picture(width, height, seed):
    """Smooth waves, hard-edged shapes and noise, so that every filter tap counts."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(width, height)
    channels = []
    for _ in range(3):
        fx, fy, phase = rng.uniform(3, 30, 3)
        channels.append(128 + 90 * np.sin(fx * x + phase) * np.cos(fy * y))
    image = np.stack(channels, -1)
    for _ in range(12):
        cx, cy, r = rng.uniform(0, 1), rng.uniform(0, height / max(width, height)), rng.uniform(0.03, 0.15)
        image[(x - cx) ** 2 + (y - cy) ** 2 < r * r] = rng.uniform(0, 255, 3)
    image += rng.normal(0, 6, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def main():
    entries, tensors = [], {}
    for seed, (name, width, height, quality, subsampling, grey) in enumerate(IMAGES):
        file = f"{name}.jpg"
        source = Image.fromarray(picture(width, height, seed))
        source = source.convert("L") if grey else source
        source.save(HERE / file, quality=quality, subsampling=subsampling)
        image = Image.open(HERE / file).convert("RGB")
        w, h = (SHORT, int(SHORT * height / width)) if width <= height else (int(SHORT * width / height), SHORT)
        resized = image.resize((w, h), Image.BICUBIC)
        left, top = round((w - CROP) / 2), round((h - CROP) / 2)
        tensors[file] = np.array(resized.crop((left, top, left + CROP, top + CROP)))
        entries.append({"file": file, "size": [width, height], "resized": [w, h], "crop": [left, top, CROP, CROP]})
    save_file(tensors, HERE / "expected.safetensors")
    meta = {
        "rule": "shorter side to 256 (other side truncated to int), Pillow bicubic on 8-bit RGB, "
        "centre crop 224 with offset round((n-224)/2); values are uint8 HWC",
        "images": entries,
    }
    (HERE / "meta.json").write_text(json.dumps(meta, indent=1) + "\n")


main()
