"""Writes cases.json, configurations as timm 1.0.31 and transformers 5.23 write them, and
expected.safetensors, what those make of the JPEGs in the folder above."""

import json
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import save_file
from timm.data.transforms_factory import transforms_imagenet_eval
from transformers import (
    BitImageProcessor,
    CLIPImageProcessor,
    DeiTImageProcessor,
    DINOv3ViTImageProcessor,
    SiglipImageProcessor,
    ViTImageProcessor,
)

HERE = Path(__file__).parent
FILES = ["tall.jpg", "small.jpg"]
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
# Height and width, crop_pct, crop_mode, interpolation.
TIMM = [
    ([32, 32], 0.9, "center", "bicubic"),
    ([32, 32], 1.0, "center", "bilinear"),
    ([32, 32], 0.875, "center", "lanczos"),
    ([24, 40], 0.9, "center", "bicubic"),
    ([41, 23], 0.95, "center", "bilinear"),
    ([32, 32], 1.0, "squash", "bicubic"),
    ([24, 40], 0.8, "squash", "bilinear"),
    ([32, 32], 1.0, "border", "bicubic"),
    ([25, 40], 0.9, "border", "bicubic"),
]
HALF = {"height": 32, "width": 32}
PROCESSORS = [
    ViTImageProcessor(size=HALF),
    ViTImageProcessor(size={"height": 40, "width": 24}, resample=3, do_normalize=False),
    ViTImageProcessor(size=HALF, do_rescale=False),
    ViTImageProcessor(size=HALF, rescale_factor=1 / 127.5, image_mean=[1.0] * 3, image_std=[1.0] * 3),
    DeiTImageProcessor(size={"height": 37, "width": 37}, crop_size=HALF),
    BitImageProcessor(size={"shortest_edge": 37}, crop_size=HALF, image_mean=MEAN, image_std=STD),
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=HALF),
    CLIPImageProcessor(do_resize=False, crop_size={"height": 70, "width": 120}),
    SiglipImageProcessor(size=HALF),
    DINOv3ViTImageProcessor(size=HALF),
]


def main():
    cases, expected = [], {}

    def add(file, config, arch, pixels):
        name = f"case{len(cases)}"
        cases.append({"name": name, "file": file, "arch": arch, "config": config, "size": list(pixels.shape[1:])})
        expected[name] = pixels.contiguous()

    for file in FILES:
        image = Image.open(HERE.parent / file).convert("RGB")
        for size, pct, mode, interpolation in TIMM:
            config = {"input_size": [3, *size], "crop_pct": pct, "crop_mode": mode, "interpolation": interpolation}
            config |= {"mean": MEAN, "std": STD}
            transform = transforms_imagenet_eval(tuple(size), pct, mode, None, interpolation, MEAN, STD)
            arch = "vit_tiny_patch16_224"
            add(file, {"architecture": arch, "pretrained_cfg": config}, arch, transform(image))
        for processor in PROCESSORS:
            pixels = processor(image, return_tensors="pt")["pixel_values"][0]
            config = json.loads(processor.to_json_string())
            add(file, config, None, pixels.to(torch.float32))
    lines = ",\n".join(json.dumps(case) for case in cases)
    (HERE / "cases.json").write_text(f"[\n{lines}\n]\n")
    save_file(expected, HERE / "expected.safetensors")


main()
