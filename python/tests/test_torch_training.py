"""A PyTorch loop with singer.torch gives the losses that `singer distill` writes."""

import json

import pytest
import torch
from conftest import DEMO_TEACHER, batch, open_in_timm
from safetensors.torch import load_file
from singer.torch import SingerLoss, hook

STEPS = 10
STUDENT = ["embed_dim=48", "depth=3", "num_heads=3"]
# What metrics.jsonl calls the loss of each kind.
KINDS = {
    "closed": ({"features": "kd"}, {}),
    "published": ({"kd": "kd", "outlier": "outlier", "info": "info"}, {}),
    "reference": ({"kd": "kd", "outlier": "outlier", "info": "info"}, {"form": "reference"}),
    "trained": ({"kd": "kd", "outlier": "outlier", "info": "info", "identity": "identity"}, {}),
}


def distill(program, pictures, out, kind, steps, lr, *more):
    refine = {"reference": "published"}.get(kind, kind)
    if kind == "reference":
        more = [*more, "--losses", "reference"]
    program(
        *("distill", "--teacher", DEMO_TEACHER, "--student", "vit_tiny_patch16_224", "--data", pictures),
        *("--refine", refine, "--layers", "3", "--steps", steps, "--batch", 24, "--lr", lr, "--seed", 5),
        *("--device", "cpu", "--precision", "f32", "--out", out),
        *(part for text in STUDENT for part in ("--set", f"student.{text}")),
        *("--set", "data.scale=[1.0, 1.0]", "--set", "data.ratio=[1.0, 1.0]", "--set", "data.flip=0.0"),
        *("--set", "singer.rank=8", "--set", "train.log_every=1"),
        *more,
    )
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("kind", KINDS)
def test_ten_steps_in_pytorch_and_in_the_program_give_the_same_losses(kind, program, pictures, tmp_path):
    more = []
    if kind == "closed":
        closed = tmp_path / "closed.safetensors"
        program("fit", DEMO_TEACHER, "--data", "scenes:64", "--device", "cpu", "--out", closed)
        more = ["--adapters", closed]
    # At a learning rate of 0 a run writes what it starts from.
    start = tmp_path / "start"
    distill(program, pictures, start, kind, 1, 0.0, *more)
    wanted = distill(program, pictures, tmp_path / "run", kind, STEPS, 1e-3, *more)
    assert len(wanted) == STEPS

    names, settings = KINDS[kind]
    parts = start / "singer.safetensors"
    student, teacher = open_in_timm(start / "student.safetensors"), open_in_timm(DEMO_TEACHER)
    loss = SingerLoss.robust() if kind == "trained" else SingerLoss(**settings)
    singer = hook(student, teacher, parts, layers=[3], loss=loss)
    assert singer.frozen == (kind == "closed")
    tensors = load_file(parts)
    for layer, projection in singer.projections.items():
        projection.load_state_dict({part: tensors[f"proj.{layer}.{part}"] for part in ("weight", "bias")})
    mean, std = statistics(start)
    images = batch(pictures, mean, std)
    if kind == "closed":
        raw = teacher.forward_intermediates(images, indices=[3], output_fmt="NLC", intermediates_only=True, norm=False)
        refined = singer.teacher_tokens(images)[3][:, 1:]
        assert 0 < (raw[0] != refined).any(-1).float().mean() < 0.5, "some patches carry artifacts, and most do not"
    else:
        assert wanted[0]["outlier"] > 0
    trained = [*student.parameters(), *singer.parameters()]
    optimizer = torch.optim.AdamW(trained, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-4)
    for record in wanted:
        for group in optimizer.param_groups:
            group["lr"] = record["lr"]
        student(images)
        losses = singer(images)
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        # The first steps agree to rounding; it grows as the weights move.
        tolerance = 1e-5 if record["step"] <= 2 else 1e-4
        for theirs, ours in [("loss", "total"), *names.items()]:
            assert getattr(losses, ours).item() == pytest.approx(record[theirs], rel=tolerance, abs=1e-6), (record["step"], ours)
    assert wanted[-1]["loss"] < wanted[0]["loss"]


def statistics(run):
    prepared = json.loads((run / "run.json").read_text())["preprocess"]
    return prepared["mean"], prepared["std"]
