"""The compiled module: models, whole runs, the program."""

import ast
import io
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import singer
import torch
from conftest import DEMO_TEACHER, batch, open_in_timm
from PIL import Image
from safetensors.torch import load_file
from singer.torch import Refine, attach

STUDENT = {"arch": "vit_tiny_patch16_224", "embed_dim": 48, "depth": 3, "num_heads": 3}


@pytest.fixture(scope="module")
def teacher():
    return singer.Model.open(DEMO_TEACHER, device="cpu")


@pytest.fixture(scope="module")
def closed(teacher):
    return singer.fit(teacher, "scenes:64", progress=False)


@pytest.fixture(scope="module")
def photos(pictures):
    return [Image.open(path).convert("RGB") for path in sorted(pictures.iterdir())[:5]]


def difference(ours, theirs):
    return np.abs(np.asarray(ours) - np.asarray(theirs)).max() / np.abs(np.asarray(theirs)).max()


def distill(teacher, out, steps=6, **more):
    settings = {"train.log_every": 1, "train.threads": 2, **more.pop("settings", {})}
    more = {"progress": False, **more}
    return singer.distill(
        teacher, STUDENT, "scenes:64", out, layers=[3], batch=16, steps=steps, device="cpu", settings=settings, **more
    )


def test_features_equal_those_of_timm(teacher, pictures):
    images = batch(pictures, teacher.mean, teacher.std)
    with torch.no_grad():
        wanted = open_in_timm(DEMO_TEACHER).forward_intermediates(
            images, indices=[2, 5], return_prefix_tokens=True, norm=False, output_fmt="NLC", intermediates_only=True
        )
    found = teacher.features(images, [2, 5])
    for ours, (patches, prefix) in zip(found, wanted):
        assert isinstance(ours, torch.Tensor) and ours.shape == (24, 65, 128)
        assert difference(ours, torch.cat([prefix, patches], 1)) < 1e-5


@pytest.mark.parametrize("kind", ["closed", "published", "trained"])
def test_refined_tokens_equal_those_of_singer_torch(kind, teacher, pictures, tmp_path):
    path = tmp_path / "fitted.safetensors"
    singer.fit(teacher, "scenes:64", kind, layers=[3], rank=8, steps=5, limit=64, progress=False).save(path)
    images = batch(pictures, teacher.mean, teacher.std)
    raw = teacher.features(images, [3, 5])
    ours = teacher.features(images, [3, 5], refine=path)
    changed = (ours[0] != raw[0]).any(-1).float().mean()
    assert (0 < changed < 0.5) if kind == "closed" else changed > 0.9
    assert difference(ours[0], Refine.from_file(path, layer=3)(raw[0]).detach()) < 1e-5
    if kind == "closed":
        model = open_in_timm(DEMO_TEACHER)
        with attach(model, path), torch.no_grad():
            patches, prefix = model.forward_intermediates(
                images, indices=[5], return_prefix_tokens=True, norm=False, output_fmt="NLC", intermediates_only=True
            )[0]
        # Two blocks later, what rounding left of a removed artifact has grown.
        assert difference(ours[1], torch.cat([prefix, patches], 1)) < 1e-4
    else:
        assert difference(ours[1], Refine.from_file(path, layer=5)(raw[1]).detach()) < 1e-5


def test_images_are_the_same_in_every_form(teacher, photos):
    wanted = teacher.features(photos)[0]
    arrays = np.stack([np.asarray(photo) for photo in photos])
    turned = torch.from_numpy(arrays).permute(0, 3, 1, 2)
    for images in (arrays, list(arrays), turned, list(turned), iter(photos)):
        assert np.array_equal(teacher.features(images)[0], wanted)
    assert np.array_equal(teacher.features(photos[0])[0], wanted[:1])
    assert np.array_equal(teacher.features(arrays[0])[0], wanted[:1])
    ready = turned.float() / 255
    assert np.array_equal(teacher.features(ready.numpy())[0], teacher.features(ready)[0].numpy())
    with pytest.raises(singer.SettingError, match="give uint8"):
        teacher.features(np.zeros((4, 4, 3), np.int64))
    with pytest.raises(singer.SettingError, match=r"prepared ones are \[B, 3, 32, 32\]"):
        teacher.features(np.zeros((1, 3, 4, 4), np.float32))
    with pytest.raises(singer.SettingError, match="at least one"):
        teacher.features([])


def test_results_are_views_that_numpy_and_torch_share(teacher, photos):
    tokens = teacher.features(photos)[0]
    assert tokens.dtype == np.float32 and not tokens.flags.owndata and tokens.flags.writeable
    shared = torch.from_dlpack(tokens)
    shared[0, 0, 0] = 42
    assert tokens[0, 0, 0] == 42
    kept = tokens[1:2]
    del tokens, shared
    assert np.isfinite(kept).all(), "a view keeps its values alive"


def test_maps_are_norms_and_similarities_of_the_patches(teacher, photos, closed):
    tokens = teacher.features(photos, [3])[0][:, 1:]
    norms = teacher.maps(photos, [3])[0]
    assert difference(norms, np.linalg.norm(tokens, axis=-1).reshape(-1, 8, 8)) < 1e-5
    similar = teacher.maps(photos, [3], mark=(2, 5))[0]
    unit = tokens / np.linalg.norm(tokens, axis=-1, keepdims=True)
    assert difference(similar, np.einsum("bpd,bd->bp", unit, unit[:, 2 * 8 + 5]).reshape(-1, 8, 8)) < 1e-5
    refined = teacher.maps(photos, [-1], refine=closed)[0]
    assert refined.layer == 5 and np.asarray(refined).shape == (5, 8, 8)
    picture = Image.open(io.BytesIO(norms.png(0, side=64)))
    assert picture.size == (64, 64)
    assert norms._repr_html_().count("<img") == 5 and "after block 3" in norms._repr_html_()
    with pytest.raises(singer.SettingError, match="8 rows"):
        teacher.maps(photos, mark=(8, 0))


def test_components_segments_and_attention_are_those_of_numpy_and_timm(teacher, photos, closed, pictures):
    tokens = teacher.features(photos, [3])[0][:, 1:].astype(np.float64)
    flat = tokens.reshape(-1, tokens.shape[-1])
    _, _, axes = np.linalg.svd(flat - flat.mean(0), full_matrices=False)
    axes = axes[:3] * np.sign(np.take_along_axis(axes[:3], np.abs(axes[:3]).argmax(1)[:, None], 1))
    scores = (flat - flat.mean(0)) @ axes.T
    low, high = np.quantile(scores, [0.01, 0.99], axis=0)
    wanted = np.clip((scores - low) / (high - low), 0, 1).reshape(-1, 8, 8, 3)
    pca = teacher.maps(photos, [3], kind="pca")[0]
    assert pca.values.shape == (5, 8, 8, 3) and np.abs(pca.values - wanted).max() < 1e-4
    front = teacher.maps(photos, kind="pca", foreground=0.0)[0].values
    assert 0 < np.isnan(front[..., 0]).mean() < 1

    found = teacher.maps(photos, [3, 5], kind="segments", segments=4, seed=3)
    assert [one.layer for one in found] == [3, 5] and found[0].values.dtype == np.int64
    counts = np.bincount(found[0].values.ravel())
    assert len(counts) == 4 and (np.diff(counts) <= 0).all()
    unit = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    labels = found[0].values.ravel()
    centres = np.stack([unit[labels == label].mean(0) for label in range(4)])
    assert (((unit[:, None] - centres) ** 2).sum(-1).argmin(1) == labels).all(), "each patch is nearest to its own centre"

    images = batch(pictures, teacher.mean, teacher.std)[:5]
    model = open_in_timm(DEMO_TEACHER)
    seen = {}
    for index in (0, 4):
        model.blocks[index].attn.fused_attn = False
        model.blocks[index].attn.attn_drop.register_forward_hook(lambda _, __, out, index=index: seen.update({index: out}))
    with torch.no_grad():
        model(images)
    for mark, query in [(None, 0), ((2, 5), 1 + 2 * 8 + 5)]:
        for attention in teacher.maps(images, [0, 4], kind="attention", mark=mark):
            wanted = seen[attention.layer][:, :, query, 1:].reshape(attention.values.shape)
            assert np.abs(attention.values - wanted.numpy()).max() < 1e-5
    refined = teacher.maps(images, [5], kind="attention", refine=closed)[0].values
    assert np.abs(refined - teacher.maps(images, [5], kind="attention")[0].values).max() > 1e-6
    for one in (pca, found[0], attention):
        assert Image.open(io.BytesIO(one.png(0, side=64))).size == (64, 64)
        assert one._repr_html_().count("<img") == 5 and one.kind in repr(one)
    for arguments, wanted in [
        (dict(kind="depth"), "use norm"),
        (dict(kind="similarity"), "needs a mark"),
        (dict(kind="segments", segments=321), "320 patches"),
        (dict(kind="pca", foreground=99.0), "0 of 320"),
        (dict(kind="attention", layers=[6]), "0 to 5"),
    ]:
        with pytest.raises(singer.SettingError, match=wanted):
            teacher.maps(photos, **arguments)


def test_a_model_is_exported_and_saved(teacher, tmp_path):
    written = teacher.export(tmp_path / "timm", "timm")
    names = {Path(path).name for path, _ in written}
    assert {"config.json", "model.safetensors", "README.md"} <= names and written.notes
    assert load_file(tmp_path / "timm" / "model.safetensors").keys() == load_file(DEMO_TEACHER).keys()
    teacher.export(tmp_path / "teacher.onnx", "onnx", head=False)
    with pytest.raises(singer.DataError, match="there already"):
        teacher.export(tmp_path / "teacher.onnx", "onnx")
    with pytest.raises(singer.SettingError, match="use timm, hf or onnx"):
        teacher.export(tmp_path / "x", "tflite")
    teacher.save(tmp_path / "kept.safetensors")
    kept, own = load_file(tmp_path / "kept.safetensors"), load_file(DEMO_TEACHER)
    assert all(torch.equal(kept[name], own[name]) for name in own)


def test_a_closed_form_says_what_it_found(teacher, closed, photos, pictures):
    assert closed.is_closed and closed.layers == [3]
    assert closed.found["images"] == 64 and closed.found["blocks"][0]["rank"] == 1
    assert "block 3: 1 direction" in repr(closed)
    in_memory = singer.fit(teacher, singer.read_images("scenes:64", 64, side=32), progress=False)
    assert in_memory.found == closed.found, "images in memory are those of their place"
    assert len(singer.read_images(pictures, 3)) == 3


def test_a_run_reports_and_measures(teacher, closed, tmp_path):
    heard = []
    run = distill(teacher, tmp_path / "run", adapters=closed, progress=heard.append)
    kinds = [event["event"] for event in heard]
    assert kinds[0] == "start" and kinds.count("step") == 6
    assert heard[0]["refine"] == "closed" and heard[0]["steps"] == 6
    assert [record["loss"] for record in run.metrics] == pytest.approx([event["loss"] for event in heard[1:]], rel=1e-6)
    assert run.measurements["last"]["step"] == 6 and run.adapters.layers == [3]
    assert run.student.features(np.zeros((1, 3, 32, 32), np.float32))[0].shape == (1, 65, 48)
    named = distill(DEMO_TEACHER, tmp_path / "named", adapters=closed)
    assert load_file(run.folder / "student.safetensors").keys() == load_file(named.folder / "student.safetensors").keys()
    assert named.metrics == run.metrics, "a teacher that is open and one that is named teach alike"
    found = singer.inspect(named, "scenes:2", device="cpu")
    assert {"teacher", "student"} <= set(found.norms()) and "<iframe" in found._repr_html_()
    found.save(tmp_path / "report")
    assert (tmp_path / "report" / "report.html").read_text() == found.page
    with pytest.raises(singer.DataError, match="already holds a run"):
        distill(teacher, tmp_path / "run")


def test_a_run_stopped_by_its_callback_goes_on_to_the_same_bits(teacher, closed, tmp_path):
    class Enough(Exception):
        pass

    def stop(event):
        if event["event"] == "step" and event["step"] == 2:
            raise Enough

    whole = distill(teacher, tmp_path / "whole", steps=40, adapters=closed)
    with pytest.raises(Enough):
        distill(teacher, tmp_path / "stopped", steps=40, adapters=closed, progress=stop)
    assert not (tmp_path / "stopped" / "student.safetensors").exists()
    resumed = distill(teacher, tmp_path / "stopped", steps=40, adapters=closed, resume=True)
    one, other = (load_file(run.folder / "student.safetensors") for run in (whole, resumed))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_ctrl_c_stops_and_saves(tmp_path):
    code = (
        # A shell starts what runs in the background with this signal ignored.
        "import signal, singer, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def told(event):\n"
        "    if event['event'] == 'step': print(event['step'], flush=True)\n"
        f"singer.distill({str(DEMO_TEACHER)!r}, {STUDENT!r}, 'scenes:64', sys.argv[1], batch=16, steps=100000, device='cpu',\n"
        "    settings={'train.log_every': 1}, progress=told)\n"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "run"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.stdout.readline().strip() == "1"
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=120)
    assert "KeyboardInterrupt: stopped after step" in said, said
    assert (tmp_path / "run" / "checkpoint.safetensors").exists()


def test_other_threads_of_python_go_on_meanwhile(teacher, closed, tmp_path):
    counted, done = [], threading.Event()

    def count():
        while not done.is_set():
            counted.append(time.monotonic())
            time.sleep(0.01)

    thread = threading.Thread(target=count)
    thread.start()
    distill(teacher, tmp_path / "run", steps=10, adapters=closed)
    done.set()
    thread.join()
    assert len(counted) > 10 and max(np.diff(counted)) < 5


def test_a_bar_is_drawn_where_it_is_asked_for(teacher, closed, tmp_path, capfd):
    distill(teacher, tmp_path / "loud", adapters=closed, progress=True)
    assert "6/6" in capfd.readouterr().err
    distill(teacher, tmp_path / "quiet", adapters=closed, progress=False)
    assert "6/6" not in capfd.readouterr().err


def test_an_inspection_of_a_teacher_shows_its_refinement(teacher, closed, photos):
    found = singer.inspect(teacher, photos, layers=[3], adapters=closed, maps=["pca", "segments"])
    assert found.findings["layers"] == [3] and len(found.findings["images"]) == 5
    assert "refined teacher" in found.norms() and "<html" in found.page
    drawn = [(one["kind"], one["subject"]) for one in found.findings["images"][4]["visuals"]]
    assert drawn == [(kind, whose) for kind in ("pca", "segments") for whose in ("teacher", "refined teacher")]
    with pytest.raises(singer.SettingError, match="use pca, attention, segments or nearest"):
        singer.inspect(teacher, photos, maps=["depth"])


def test_errors_are_of_a_few_classes(teacher, tmp_path):
    with pytest.raises(singer.DataError, match="No such file"):
        singer.Model.open(tmp_path / "nothing.safetensors", device="cpu")
    (tmp_path / "damaged.safetensors").write_bytes(b"damaged")
    with pytest.raises(singer.ModelError):
        singer.Model.open(tmp_path / "damaged.safetensors", device="cpu")
    with pytest.raises(singer.DeviceError):
        singer.Model.open(DEMO_TEACHER, device="gpu:99")
    with pytest.raises(singer.ModelError, match="did you mean"):
        singer.distill(teacher, "vit_tinny_patch16_224", "scenes:64", tmp_path / "run", progress=False)
    with pytest.raises(singer.SettingError, match="unknown field `gatee`"):
        singer.fit(teacher, "scenes:64", settings={"gatee": 3}, progress=False)
    with pytest.raises(singer.SettingError, match="the blocks are 0 to 5"):
        teacher.features(np.zeros((8, 8, 3), np.uint8), [6])
    with pytest.raises(singer.DataError, match="not the folder of a finished run"):
        singer.Run(tmp_path)
    for each in (singer.DataError, singer.DeviceError, singer.ModelError, singer.NotFiniteError, singer.SettingError):
        assert issubclass(each, singer.SingerError)


def test_the_console_script_is_the_program(program):
    assert program("--version").split()[0] == "singer"
    binary = Path(sys.executable).with_name("singer")
    run = lambda *arguments: subprocess.run([binary, *arguments], capture_output=True, text=True)  # noqa: E731
    failed = run("fit", "no-such-file", "--data", "scenes:8", "--out", "x")
    assert failed.returncode == 1 and failed.stderr.startswith("singer: no-such-file")
    assert run("no-such-command").returncode == 2


def test_the_stubs_name_what_the_module_has():
    stub = ast.parse((Path(singer.__file__).parent / "_singer.pyi").read_text())
    from singer import _singer

    said = {node.name: node for node in stub.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
    has = {name for name in dir(_singer) if not name.startswith("_")}
    assert set(said) == has
    for name, node in said.items():
        if isinstance(node, ast.ClassDef):
            members = {part.name for part in node.body if isinstance(part, ast.FunctionDef)} - {"__init__"}
            assert members == {one for one in vars(getattr(_singer, name)) if one in members or one[0] != "_"}, name
        else:
            given = [argument.arg for argument in node.args.args]
            assert _singer.__dict__[name].__text_signature__ == f"({', '.join(given)})", name
    assert (Path(singer.__file__).parent / "py.typed").exists()
