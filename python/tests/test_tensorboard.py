"""Event files of `singer report --tensorboard`, read by TensorBoard."""

import json
import os
import subprocess

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

SINGER = os.environ.get("SINGER_BIN", "target/release/singer")


def singer(*arguments):
    return subprocess.run([SINGER, *map(str, arguments)], check=True, capture_output=True, text=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "student"
    singer(
        *"distill --teacher assets/demo-teacher.safetensors --student vit_tiny_patch16_224 --data scenes:32".split(),
        *"--layers 3 --steps 6 --refine published --device cpu --rank 4 --set train.batch=8".split(),
        *"--set student.embed_dim=32 --set student.depth=4 --set student.num_heads=2 --out".split(),
        folder,
    )
    return folder


def test_scalars_and_settings_are_the_runs(run, tmp_path):
    singer("report", run, "--tensorboard", tmp_path)
    # A second report replaces the first.
    singer("report", run, "--tensorboard", tmp_path)
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    tags = events.Tags()["scalars"]
    for tag, key in [("loss", "loss"), ("learning rate", "lr"), ("terms/kd", "kd")]:
        scalars = events.Scalars(tag)
        assert [scalar.step for scalar in scalars] == [record["step"] for record in records]
        assert [scalar.value for scalar in scalars] == pytest.approx([record[key] for record in records], rel=1e-6)
    result = json.loads((run / "run.json").read_text())["result"]
    student = events.Scalars("largest over median patch norm/student")
    assert student[0].value == pytest.approx(result["student_norms"]["max_over_median"], rel=1e-6)
    assert "largest over median patch norm/refined teacher, block 3" in tags
    [settings] = events.Tensors("settings")
    assert '"method": "singer"' in settings.tensor_proto.string_val[0].decode()
