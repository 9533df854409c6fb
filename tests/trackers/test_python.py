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


def wandb_records(file):
    """What W&B would send: messages of its own protocol, in blocks as LevelDB's logs have them."""
    from wandb.proto.wandb_internal_pb2 import Record

    block, bytes_, at, whole = 32768, file.read_bytes(), 7, b""
    while at + 7 <= len(bytes_):
        if block - at % block < 7:
            at += block - at % block
            continue
        length, kind = int.from_bytes(bytes_[at + 4 : at + 6], "little"), bytes_[at + 6]
        whole += bytes_[at + 7 : at + 7 + length]
        at += 7 + length
        # A whole record, or the last piece of one.
        if kind in (1, 4):
            yield Record.FromString(whole)
            whole = b""


def test_wandb_keeps_every_step_offline(tmp_path):
    from singer import track

    with track.wandb(project="singer", dir=str(tmp_path)) as tracker:
        distilled(tmp_path / "student", tracker)
        assert tracker.run.config["student"] == "vit_tiny_patch16_224"
    [file] = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    logged = [
        {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
        for record in wandb_records(file)
        if record.WhichOneof("record_type") == "history"
    ]
    losses = [record["loss"] for record in records(tmp_path / "student")]
    assert [entry["_step"] for entry in logged] == [1, 2, 3, 4, 5, 6]
    assert [entry["loss"] for entry in logged] == pytest.approx(losses)


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
