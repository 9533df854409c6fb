"""Trackers from Python: W&B offline and trackio, read back from what they keep."""

import json
import os

import pytest
import singer
from conftest import REPOSITORY, records


@pytest.fixture(autouse=True)
def local(tmp_path, monkeypatch):
    for name in ["WANDB_DIR", "TRACKIO_DIR"]:
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")


def distilled(out, tracker):
    settings = {"student": {"embed_dim": 32, "depth": 4, "num_heads": 2}, "train.log_every": 1}
    return singer.distill(
        f"{REPOSITORY}/assets/demo-teacher.safetensors",
        "vit_tiny_patch16_224",
        "scenes:32",
        out,
        layers=[3],
        steps=6,
        batch=8,
        device="cpu",
        settings=settings,
        progress=[tracker],
    )


def test_wandb_keeps_every_step_offline(tmp_path):
    from singer import track

    with track.wandb(project="singer", dir=str(tmp_path)) as tracker:
        distilled(tmp_path / "student", tracker)
        assert tracker.run.config["student"] == "vit_tiny_patch16_224"
        summary = dict(tracker.run.summary)
    losses = records(tmp_path / "student")
    assert summary["_step"] == 6 and summary["loss"] == pytest.approx(losses[-1]["loss"])
    [file] = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    assert file.stat().st_size > 1000


def test_trackio_keeps_every_step(tmp_path):
    # Its folder is read when it is imported.
    import trackio.sqlite_storage as storage
    from singer import track

    with track.trackio(project="singer", name="student") as tracker:
        distilled(tmp_path / "student", tracker)
    losses = [record["loss"] for record in records(tmp_path / "student")]
    logged = storage.SQLiteStorage.get_logs("singer", "student")
    assert [entry["step"] for entry in logged] == [1, 2, 3, 4, 5, 6]
    assert [entry["loss"] for entry in logged] == pytest.approx(losses)


def test_a_tracker_that_fails_is_a_warning_and_ends_no_training(tmp_path):
    from singer.track import Tracker

    class Broken:
        def init(self):
            return self

        def finish(self):
            pass

        def __getattr__(self, name):
            raise ConnectionError("away")

    with pytest.warns(UserWarning, match="training goes on: away") as warned:
        distilled(tmp_path / "student", Tracker(Broken(), {}))
    assert len(warned) == 1 and len(records(tmp_path / "student")) == 6


def test_nothing_is_kept_unless_asked(tmp_path):
    distilled(tmp_path / "student", lambda event: None)
    assert sorted(os.listdir(tmp_path)) == ["student"]
    assert json.loads((tmp_path / "student" / "run.json").read_text())["finished"]
