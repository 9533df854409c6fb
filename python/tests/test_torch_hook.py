"""How singer.torch behaves in a loop: taps, files, models of other families, mistakes."""

import pytest
import timm
import torch
from conftest import DEMO_TEACHER, batch, open_in_timm
from safetensors.torch import load_file
from singer.torch import Refine, attach, hook, load_refinements, save_refinements


def small(name, depth, **settings):
    return timm.create_model(name, depth=depth, img_size=32, num_classes=0, **settings)


def closed(width, prefix=1, class_token=True, rank=2):
    random = torch.Generator().manual_seed(1)
    up = torch.linalg.qr(torch.randn(width, rank, generator=random))[0].T.contiguous()
    centre, limit = torch.zeros(width), torch.full((rank,), 0.5)
    return Refine(-up.T.contiguous(), up, centre, limit, class_token, prefix)


def test_register_tokens_never_change_and_the_class_token_only_where_it_is_said():
    tokens = torch.randn(2, 5 + 9, 16, generator=torch.Generator().manual_seed(0)) * 3
    for class_token in (True, False):
        refined = closed(16, 5, class_token)(tokens)
        assert torch.equal(refined[:, 1:5], tokens[:, 1:5])
        assert torch.equal(refined[:, 0], tokens[:, 0]) != class_token
        assert not torch.equal(refined[:, 5:], tokens[:, 5:])
    adapter = Refine(torch.ones(16, 2), torch.ones(2, 16), prefix_tokens=5)
    assert torch.equal(adapter(tokens)[:, :5], tokens[:, :5])


def test_a_closed_gate_leaves_tokens_as_they_are():
    refine = closed(16)
    tokens = torch.randn(1, 10, 16) * 1e-3
    assert torch.equal(refine(tokens), tokens)
    assert not list(refine.parameters())


@pytest.mark.parametrize("name", ["vit_small_patch14_reg4_dinov2", "vit_small_patch16_dinov3", "vit_base_patch14_dinov2"])
@pytest.mark.parametrize("kind", ["published", "trained", "closed"])
def test_families_with_registers_and_rotary_positions_are_distilled(name, kind):
    patch = {} if "dinov3" in name else {"patch_size": 16}
    teacher, student = small(name, 3, **patch), small(name, 2, **patch)
    refine = {0: closed(teacher.embed_dim, teacher.num_prefix_tokens)} if kind == "closed" else kind
    singer = hook(student, teacher, refine, layers=[0], rank=4)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    student(images)
    losses = singer(images)
    assert losses.total.isfinite() and losses.kd > 0
    losses.total.backward()
    assert all(parameter.grad is not None for parameter in singer.parameters())
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_validation_between_steps_does_not_reach_the_loss():
    teacher, student = small("vit_small_patch16_224", 3), small("vit_tiny_patch16_224", 2)
    singer = hook(student, teacher, "published", layers=[1], rank=4)
    images, others = torch.randn(2, 2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    student(images)
    with torch.no_grad():
        student(others)
    expected = singer(images).total
    assert torch.equal(singer(images).total, expected), "where the loop has not run the student, it is run"
    student(others[:1])
    with pytest.raises(ValueError, match="run the student on this batch"):
        singer(images)
    singer.remove()
    assert not any(block._forward_hooks for block in [*student.blocks, *teacher.blocks])


def test_a_closed_form_attached_to_a_model_changes_what_it_gives_until_it_is_removed():
    model = small("vit_small_patch16_224", 3).eval()
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = model.forward_features(images)
        with attach(model, {1: closed(model.embed_dim)}):
            assert not torch.equal(model.forward_features(images), before)
        assert torch.equal(model.forward_features(images), before)
    with pytest.raises(ValueError, match="only a closed form"):
        attach(model, {1: Refine(torch.ones(384, 1), torch.ones(1, 384))})


def test_files_come_back_as_they_were(tmp_path):
    made = {3: closed(16), 5: closed(16, rank=3)}
    save_refinements(made, tmp_path / "closed.safetensors")
    found = load_refinements(tmp_path / "closed.safetensors")
    assert list(found) == [3, 5] and all(one.is_closed and one.class_token for one in found.values())
    tokens = torch.randn(1, 10, 16)
    assert torch.equal(found[5](tokens), made[5](tokens))
    assert torch.equal(Refine.from_file(tmp_path / "closed.safetensors", layer=3)(tokens), made[3](tokens))
    with pytest.raises(ValueError, match="give one as layer="):
        Refine.from_file(tmp_path / "closed.safetensors")
    with pytest.raises(ValueError, match="and not block 4"):
        Refine.from_file(tmp_path / "closed.safetensors", layer=4)
    with pytest.raises(ValueError, match="lists no layers"):
        load_refinements(DEMO_TEACHER)
    save_refinements({}, tmp_path / "none.safetensors", closed=True)
    assert load_refinements(tmp_path / "none.safetensors") == {}
    (tmp_path / "damaged.safetensors").write_bytes(b"no such thing")
    with pytest.raises(ValueError, match="damaged"):
        load_refinements(tmp_path / "damaged.safetensors")


@pytest.mark.parametrize("kind", ["published", "closed"])
def test_what_a_loop_trained_is_used_by_the_program(kind, program, pictures, tmp_path):
    teacher = open_in_timm(DEMO_TEACHER)
    student = small("vit_tiny_patch16_224", 3, patch_size=4, embed_dim=48, num_heads=3)
    refine = kind
    if kind == "closed":
        refine = tmp_path / "closed.safetensors"
        program("fit", DEMO_TEACHER, "--data", "scenes:64", "--device", "cpu", "--out", refine)
    singer = hook(student, teacher, refine, layers=[3], rank=8)
    singer(batch(pictures)).total.backward()
    singer.save(tmp_path / "singer.safetensors")
    kept = load_file(tmp_path / "singer.safetensors")
    assert torch.equal(kept["proj.3.weight"], singer.projections["3"].weight)
    said = program(
        *("distill", "--teacher", DEMO_TEACHER, "--student", "vit_tiny_patch16_224", "--data", pictures),
        *("--adapters", tmp_path / "singer.safetensors", "--layers", "3", "--steps", 1, "--batch", 8),
        *("--device", "cpu", "--out", tmp_path / "run"),
        *(part for text in ("embed_dim=48", "depth=3", "num_heads=3") for part in ("--set", f"student.{text}")),
    )
    assert "student.safetensors" in said
    used = load_file(tmp_path / "run" / "singer.safetensors")
    assert used["adapter.3.down"].shape == kept["adapter.3.down"].shape
    if kind == "closed":
        assert torch.equal(used["adapter.3.down"], kept["adapter.3.down"])


def test_what_cannot_work_is_refused():
    teacher, student = small("vit_small_patch16_224", 3), small("vit_tiny_patch16_224", 2)
    with pytest.raises(ValueError, match="blocks are 0 to 2"):
        hook(student, teacher, layers=[3])
    with pytest.raises(ValueError, match="too few"):
        hook(student, teacher, layers=[0, 1])
    with pytest.raises(ValueError, match="of a teacher of width 16"):
        hook(student, teacher, {0: closed(16)})
    with pytest.raises(ValueError, match="none for block 2"):
        hook(student, teacher, {0: Refine(torch.ones(384, 1), torch.ones(1, 384))})
    with pytest.raises(ValueError, match="rank is 999"):
        hook(student, teacher, "published", rank=999)
    with pytest.raises(ValueError, match="class and register tokens"):
        hook(small("vit_small_patch16_dinov3", 2), teacher)
    with pytest.raises(TypeError, match="Vision Transformer of timm"):
        hook(torch.nn.Linear(1, 1), teacher)
