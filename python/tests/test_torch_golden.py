"""singer.torch against the golden tensors that the Rust library is tested with."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import singer
import torch
from conftest import GOLDEN, golden, relative
from singer.torch import Refine, SingerLoss, hook, linearised, map_layers, nullspace_basis
from timm.models.vision_transformer import VisionTransformer

PACKAGE = Path(singer.__file__).resolve().parents[1]
CASES = [("singer/c1", "reference"), ("singer/c2", "reference"), ("singer/paper/c1", "paper"), ("singer/paper/c2", "paper")]


def models():
    shapes = golden("singer/c1")[1]
    made = []
    for role in ("teacher", "student"):
        model = VisionTransformer(**shapes[role])
        model.load_state_dict(golden(f"singer/{role}")[0])
        made.append(model)
    return made


def hooked(part, form):
    tensors, case = golden(part)
    teacher, student = models()
    adapters = {
        layer: Refine(tensors[f"adapter.{layer}.down"], tensors[f"adapter.{layer}.up"]) for layer in case["layers"]
    }
    loss = SingerLoss(**case["weights"], quantile=case["quantile"], form=form)
    method = hook(student, teacher, adapters, case["layers"], loss, mapping="reference")
    for layer in case["layers"]:
        projection = method.projections[str(layer)]
        projection.load_state_dict({part: tensors[f"proj.{layer}.{part}"] for part in ("weight", "bias")})
    return tensors, case, student, method


@pytest.mark.parametrize("part, form", CASES)
def test_losses_and_gradients_equal_the_golden_ones(part, form):
    tensors, case, student, method = hooked(part, form)
    assert method.student_layers == case["student_layers"]
    losses = method(golden("singer/image")[0]["image"])
    for name, value in (("kd", losses.kd), ("outlier", losses.outlier), ("info", losses.info)):
        assert relative(value.detach().reshape(1), tensors[f"loss.loss_{name}"]) < 1e-5, name
    assert relative(losses.total.detach().reshape(1), tensors["loss.total"]) < 1e-5
    losses.total.backward()
    ours = {f"student.{name}": parameter for name, parameter in student.named_parameters()}
    for layer in case["layers"]:
        for half in ("down", "up"):
            ours[f"adapter.{layer}.{half}"] = getattr(method.refinements[str(layer)], half)
        for half in ("weight", "bias"):
            ours[f"proj.{layer}.{half}"] = getattr(method.projections[str(layer)], half)
    names = [name for name in tensors if name.startswith("grad.")]
    assert names
    for name in names:
        assert relative(ours[name.removeprefix("grad.")].grad, tensors[name]) < 1e-4, name


@pytest.mark.parametrize("part, form", CASES)
def test_refined_tokens_equal_the_golden_ones(part, form):
    tensors, case, _, method = hooked(part, form)
    raw = method.teacher_tokens(golden("singer/image")[0]["image"])
    for layer in case["layers"]:
        refined = method.refinements[str(layer)](raw[layer]).detach()
        assert (refined - tensors[f"refined.{layer}"]).abs().max() < 1e-5


@pytest.mark.parametrize("part", ["singer/paper/c1", "singer/paper/c2"])
def test_the_nullspace_basis_equals_the_golden_one(part):
    tensors, case = golden(part)
    teacher, _ = models()
    for layer in case["layers"]:
        reader = teacher.blocks[min(layer + 1, len(teacher.blocks) - 1)]
        basis = nullspace_basis(linearised(reader), case["rank"])
        assert relative(basis @ basis.T, tensors[f"projector.{layer}"]) < 1e-4


def test_the_closed_form_equals_its_reference(monkeypatch):
    monkeypatch.syspath_prepend(GOLDEN / "closed")
    closed_form = importlib.import_module("closed_form")
    tensors, _ = golden("closed/closed")
    images, class_token = tensors["images"], tensors["class_token"]
    count, width = len(images), class_token.numel()
    patches = images.reshape(count, 3, 6, 4, 6, 4).permute(0, 2, 4, 1, 3, 5).reshape(count, 36, width)
    tokens = torch.cat([class_token.expand(count, 1, width), patches], 1)
    found = closed_form.estimate(tokens, 6)
    down, up, centre = closed_form.adapter(found)
    limit = found["z0"] * found["s"]
    refine = Refine(down, up, centre, limit, class_token=True)
    assert 0 < (refine.scores(tokens) > 1).float().mean() < 0.2
    assert (refine(tokens) - tensors["refined"]).abs().max() < 1e-5


def test_layers_map_as_in_the_reference():
    for case in json.loads((GOLDEN / "mapping.json").read_text()):
        depths = case["teacher_depth"], case["student_depth"]
        if case["unique"]:
            assert map_layers(case["layers"], *depths, mapping="reference") == case["student_layers"], case
    assert map_layers([3, 5], 6, 6) == [2, 5]
    assert map_layers([17, 23], 24, 12) == [8, 11]
    assert map_layers([0, 2], 12, 4) == [0, 1]
    assert map_layers([10, 11], 12, 2) == [0, 1]
    with pytest.raises(ValueError, match="too few"):
        map_layers([9, 10, 11], 12, 2)


def test_it_needs_no_compiled_module():
    code = "import sys; sys.modules['singer._singer'] = None; sys.path.insert(0, sys.argv[1]); import singer.torch; print(singer.torch.hook.__name__)"
    done = subprocess.run([sys.executable, "-c", code, str(PACKAGE)], capture_output=True, text=True)
    assert done.stdout.strip() == "hook", done.stderr
