"""Event files of `--track tensorboard`, read by TensorBoard."""

import io
import json
import os
import signal
import subprocess
import time

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer
from tensorboard.plugins.hparams import plugin_data_pb2

SINGER = os.environ.get("SINGER_BIN", "target/release/singer")
STEPS = 30
TRAINING = [
    *"distill --teacher assets/demo-teacher.safetensors --student vit_tiny_patch16_224 --data scenes:32".split(),
    *f"--layers 3 --steps {STEPS} --refine published --device cpu --rank 4 --set train.batch=8".split(),
    *"--set student.embed_dim=32 --set student.depth=4 --set student.num_heads=2".split(),
    *"--set train.log_every=1 --set train.checkpoint_every=5 --track tensorboard --out".split(),
]


def singer(*arguments):
    return subprocess.run([SINGER, *map(str, arguments)], check=True, capture_output=True, text=True)


def events_of(folder):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "histograms": 0})
    events.Reload()
    return events


def records(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "student"
    singer(*TRAINING, folder)
    return folder


def test_scalars_and_settings_are_the_runs(run):
    events = events_of(run)
    tags = events.Tags()["scalars"]
    for tag, key in [("loss", "loss"), ("learning rate", "lr"), ("terms/kd", "kd")]:
        scalars = events.Scalars(tag)
        assert [scalar.step for scalar in scalars] == [record["step"] for record in records(run)]
        assert [scalar.value for scalar in scalars] == pytest.approx(
            [record[key] for record in records(run)], rel=1e-6
        )
    result = json.loads((run / "run.json").read_text())["result"]
    student = events.Scalars("norm over median/student")
    assert student[0].value == pytest.approx(result["student_norms"]["max_over_median"], rel=1e-6)
    assert {"norm over median/refined teacher block 3", "images per second", "waiting for data"} <= set(tags)
    [settings] = events.Tensors("settings")
    assert '"method": "singer"' in settings.tensor_proto.string_val[0].decode()


def test_histograms_and_maps_are_those_of_the_example_images(run):
    events, examples = events_of(run), json.loads((run / "examples.json").read_text())
    assert len(events.Tags()["histograms"]) == len(examples["histograms"]) == 6
    for found in examples["histograms"]:
        name = {"refined": "refined teacher"}.get(found["subject"], found["subject"])
        [histogram] = events.Histograms(f"patch norms/{name} block {found['block']}")
        assert histogram.histogram_value.bucket == found["counts"]
        assert histogram.histogram_value.num == 64 * examples["measured"]
    images = events.Tags()["images"]
    assert len(images) == 2 * len(examples["images"])
    assert images[0] == "maps/image 1 block 3, teacher | refined teacher | student"
    [picture] = events.Images(images[0])
    picture = np.array(Image.open(io.BytesIO(picture.encoded_image_string)))
    assert picture.shape == (128, 3 * 128 + 2 * 8, 4)
    # The brightest patch of the map is where the largest norm is.
    norms = np.array(examples["images"][0]["maps"][0]["norms"]).reshape(8, 8)
    patches = picture[8:128:16, 8:128:16, :3].astype(int).sum(-1)
    assert patches.flatten()[norms.argmax()] == patches.max()


def test_hyperparameters_are_those_that_the_plugin_reads(run):
    multiplexer = EventMultiplexer().AddRun(str(run), "student")
    multiplexer.Reload()
    metadata = multiplexer.SummaryMetadata
    content = {
        tag: plugin_data_pb2.HParamsPluginData.FromString(metadata("student", tag).plugin_data.content)
        for tag in ["_hparams_/session_start_info", "_hparams_/session_end_info"]
    }
    start = content["_hparams_/session_start_info"].session_start_info
    assert start.hparams["train.batch"].number_value == 8
    assert start.hparams["student.arch"].string_value == "vit_tiny_patch16_224"
    assert start.group_name == "student" and start.start_time_secs > 1.7e9
    assert content["_hparams_/session_end_info"].session_end_info.status == 1


def test_a_resumed_run_leaves_no_step_twice(tmp_path):
    run = tmp_path / "student"
    training = subprocess.Popen([SINGER, *TRAINING, run], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    metrics = run / "metrics.jsonl"
    while not metrics.exists() or metrics.read_text().count("\n") < 13:
        assert training.poll() is None
        time.sleep(0.005)
    training.send_signal(signal.SIGKILL)
    training.wait()
    singer(*TRAINING, run, "--resume")
    assert len(list(run.glob("events.out.tfevents.*"))) == 1
    assert [scalar.step for scalar in events_of(run).Scalars("loss")] == list(range(1, STEPS + 1))


def test_a_run_is_tracked_afterwards_as_while_it_went(run):
    before = [(scalar.step, scalar.value) for scalar in events_of(run).Scalars("loss")]
    singer("report", run, "--track", "tensorboard")
    singer("report", run, "--track", "tensorboard")
    assert len(list(run.glob("events.out.tfevents.*"))) == 1
    assert [(scalar.step, scalar.value) for scalar in events_of(run).Scalars("loss")] == before
