"""Makes the checkpoints of this folder: tiny ViTs with random weights under every
published naming, each with what its own implementation computes. Needs torch,
timm, transformers and safetensors.

`<case>/` holds the files as they are published and `io.safetensors`: `image`
[1, 3, H, W], `embed` (tokens entering block 0), `block.{i}`, `final_norm` [1, T, D]
and, where the class has one, `output` (logits or the pooled output) [1, C].
`cases.json` holds what must be recognised.

Cases `hf_*` are written by transformers' save_pretrained and computed by it. Cases
`orig_*` are timm models whose state dicts were renamed to what the original
repositories publish; that timm's own converter turns them back into the same
state dict is asserted here.
"""

import copy
import json
import shutil
from collections import OrderedDict
from pathlib import Path

import timm
import torch
import transformers as hf
from safetensors.torch import save_file
from timm.models import eva, vision_transformer

here = Path(__file__).parent
hf.logging.set_verbosity_error()
hf.utils.logging.disable_progress_bar()
torch.manual_seed(0)
DIM, DEPTH, HEADS, HIDDEN, SIDE, PATCH = 16, 2, 2, 32, 12, 4
image = torch.randn(1, 3, SIDE, SIDE)
cases = {}


@torch.no_grad()
def randomise(model):
    """Every parameter non-zero, large enough that epsilon and the form of GELU
    show, and exact in half precision, in which the files are."""
    for name, p in model.named_parameters():
        if p.ndim >= 2 and "token" not in name and "pos" not in name and "probe" not in name:
            p.copy_(torch.randn_like(p) * 1.2 / p[0].numel() ** 0.5)
        elif "norm" in name and name.endswith("weight") or "gamma" in name or "lambda" in name:
            p.copy_(torch.rand_like(p) + 0.5)
        else:
            p.copy_(torch.randn_like(p) * 0.5)
        p.copy_(p.half().float())
    return model.eval()


@torch.no_grad()
def record(case, expected, blocks, run, final_norm, output=None):
    """Runs a model and keeps the tokens at every block."""
    seen = {}

    def entering(_, args, kwargs):
        seen.setdefault("embed", (args[0] if args else kwargs["hidden_states"]).clone())

    def leaving(name):
        def hook(_, __, result):
            seen[name] = (result[0] if isinstance(result, tuple) else result).clone()

        return hook

    handles = [blocks[0].register_forward_pre_hook(entering, with_kwargs=True)]
    handles += [b.register_forward_hook(leaving(f"block.{i}")) for i, b in enumerate(blocks)]
    result = run()
    for handle in handles:
        handle.remove()
    last = seen[f"block.{len(blocks) - 1}"]
    tensors = {"image": image, **seen, "final_norm": final_norm(last).clone()}
    if output:
        tensors["output"] = output(result)
    folder = here / case
    folder.mkdir(exist_ok=True)
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "io.safetensors")
    cases[case] = {
        "img_size": [SIDE, SIDE],
        "patch_size": PATCH,
        "embed_dim": DIM,
        "depth": DEPTH,
        "num_heads": HEADS,
        "num_classes": 0,
        "reg_tokens": 0,
        "norm_eps": 1e-6,
        "mlp": "gelu",
        **expected,
    }


def published(case, model, **options):
    """As transformers publishes it, in half precision."""
    folder = here / case
    shutil.rmtree(folder, ignore_errors=True)
    # A copy: halving would round the table of rotary positions.
    copy.deepcopy(model).half().save_pretrained(folder, **options)


def in_memory(case, model):
    """As torch.save writes it, under the names that version 5 has in memory."""
    state = OrderedDict((k, v.half()) for k, v in model.state_dict().items())
    torch.save(state, here / case / "in_memory.pth")


# --- transformers -------------------------------------------------------------------

shape = dict(
    hidden_size=DIM,
    num_hidden_layers=DEPTH,
    num_attention_heads=HEADS,
    intermediate_size=HIDDEN,
    image_size=SIDE,
    patch_size=PATCH,
)
labels = dict(num_labels=5)
text = dict(
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=8,
    vocab_size=8,
    max_position_embeddings=4,
    bos_token_id=1,
    eos_token_id=2,
)

model = randomise(hf.ViTForImageClassification(hf.ViTConfig(**shape, **labels)))
published("hf_vit", model)
in_memory("hf_vit", model)
vit = model.vit
record("hf_vit", dict(norm_eps=1e-12, num_classes=5, family="vit"), vit.layers,
       lambda: model(image), vit.layernorm, lambda r: r.logits)  # fmt: skip

model = randomise(hf.ViTModel(hf.ViTConfig(**shape)))
published("hf_vit_sharded", model, max_shard_size="8KB")
record("hf_vit_sharded", dict(norm_eps=1e-12, family="vit"), model.layers,
       lambda: model(image), model.layernorm,
       lambda r: r.last_hidden_state[:, 0])  # fmt: skip

decoder = dict(decoder_hidden_size=8, decoder_num_hidden_layers=1,
               decoder_num_attention_heads=2, decoder_intermediate_size=8)  # fmt: skip
config = hf.ViTMAEConfig(**shape, **decoder, mask_ratio=0.0)
in_order = torch.arange((SIDE // PATCH) ** 2).float()[None]
for case, model in [
    ("hf_mae", hf.ViTMAEModel(config)),
    ("hf_mae_pretraining", hf.ViTMAEForPreTraining(config)),
]:
    model = randomise(model)
    vit = getattr(model, "vit", model)
    published(case, model)
    record(case, dict(norm_eps=1e-12, family="vit"), vit.layers,
           lambda: vit(image, noise=in_order), vit.layernorm,
           lambda r: r.last_hidden_state[:, 0])  # fmt: skip

for case, kind, classes in [
    ("hf_deit", hf.DeiTForImageClassification, 5),
    ("hf_deit_teacher", hf.DeiTForImageClassificationWithTeacher, 0),
]:
    model = randomise(kind(hf.DeiTConfig(**shape, **labels)))
    published(case, model)
    vit = model.deit
    record(case, dict(norm_eps=1e-12, num_classes=classes, reg_tokens=1, family="vit"), vit.layers,
           lambda: model(image), vit.layernorm,
           (lambda r: r.logits) if classes else None)  # fmt: skip

model = randomise(hf.Dinov2Model(hf.Dinov2Config(**shape, mlp_ratio=2)))
published("hf_dinov2", model)
record("hf_dinov2", dict(family="dinov2"), model.encoder.layer,
       lambda: model(image), model.layernorm, lambda r: r.pooler_output)  # fmt: skip

config = hf.Dinov2Config(**shape, mlp_ratio=2, use_swiglu_ffn=True, **labels)
model = randomise(hf.Dinov2ForImageClassification(config))
published("hf_dinov2_swiglu", model)
in_memory("hf_dinov2_swiglu", model)
vit = model.dinov2
record("hf_dinov2_swiglu", dict(family="dinov2", mlp="swiglu"), vit.encoder.layer,
       lambda: vit(image), vit.layernorm, lambda r: r.pooler_output)  # fmt: skip

config = hf.Dinov2WithRegistersConfig(**shape, mlp_ratio=2, num_register_tokens=4)
model = randomise(hf.Dinov2WithRegistersModel(config))
published("hf_dinov2_reg", model)
record("hf_dinov2_reg", dict(family="dinov2_reg", reg_tokens=4), model.encoder.layer,
       lambda: model(image), model.layernorm, lambda r: r.pooler_output)  # fmt: skip

for case, extra, mlp, family in [
    ("hf_dinov3", {}, "gelu", "dinov3_qkvb"),
    ("hf_dinov3_gated", dict(use_gated_mlp=True, hidden_act="silu", query_bias=False,
                             value_bias=False), "swiglu", "dinov3"),
]:  # fmt: skip
    model = randomise(hf.DINOv3ViTModel(hf.DINOv3ViTConfig(**shape, num_register_tokens=4, **extra)))
    published(case, model)
    in_memory(case, model)
    # Its pooled output is the class token; timm's is the mean of the patches.
    record(case, dict(norm_eps=1e-5, reg_tokens=4, mlp=mlp, family=family), model.model.layer,
           lambda: model(image), model.norm,
           lambda r: r.last_hidden_state[:, 5:].mean(1))  # fmt: skip

vision = dict(**shape, projection_dim=6)
config = hf.CLIPConfig(text_config=dict(text, projection_dim=6), vision_config=vision, projection_dim=6)
clip = randomise(hf.CLIPModel(config))
published("hf_clip", clip)
vit = clip.vision_model
expected = dict(norm_eps=1e-5, mlp="quick_gelu", family="clip")
record("hf_clip", dict(expected, num_classes=6), vit.encoder.layers, lambda: vit(image),
       vit.post_layernorm, lambda r: clip.visual_projection(r.pooler_output))  # fmt: skip

model = randomise(hf.CLIPVisionModelWithProjection(hf.CLIPVisionConfig(**vision, hidden_act="gelu")))
published("hf_clip_projection", model)
vit = model.vision_model
record("hf_clip_projection", dict(expected, mlp="gelu", num_classes=6), vit.encoder.layers,
       lambda: model(image), vit.post_layernorm, lambda r: r.image_embeds)  # fmt: skip

model = randomise(hf.CLIPVisionModel(config.vision_config))
published("hf_clip_vision", model)
vit = getattr(model, "vision_model", model)
record("hf_clip_vision", expected, vit.encoder.layers, lambda: model(image),
       vit.post_layernorm, lambda r: r.pooler_output)  # fmt: skip

config = hf.SiglipConfig(text_config=dict(text, projection_size=DIM), vision_config=shape)
siglip = randomise(hf.SiglipModel(config))
published("hf_siglip", siglip)
expected = dict(mlp="gelu_tanh", family="siglip")
vit = siglip.vision_model
record("hf_siglip", expected, vit.encoder.layers, lambda: vit(image),
       vit.post_layernorm, lambda r: r.pooler_output)  # fmt: skip

model = randomise(hf.SiglipVisionModel(config.vision_config))
published("hf_siglip_vision", model)
vit = getattr(model, "vision_model", model)
record("hf_siglip_vision", expected, vit.encoder.layers, lambda: model(image),
       vit.post_layernorm, lambda r: r.pooler_output)  # fmt: skip


# --- the original repositories ------------------------------------------------------


def renamed(state, table):
    out = OrderedDict()
    for name, value in state.items():
        for old, new in table:
            name = name.replace(old, new)
        out[name] = value
    return out


def original(case, model, checkpoint, expected, tower=None, file="weights.pth", beside=None,
             filtered=True):  # fmt: skip
    """Saves a checkpoint and asserts that timm reads this model from it. `tower` is
    what timm's converter is given of it."""
    folder = here / case
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    own = model.state_dict()
    if filtered:
        convert = eva if isinstance(model, eva.Eva) else vision_transformer
        again = convert.checkpoint_filter_fn(OrderedDict(tower), model)
        for name, value in own.items():
            assert name in again, f"{case}: timm finds no {name}"
            assert torch.allclose(again[name].float(), value, atol=1e-6), f"{case}: {name}"
        assert set(again) == set(own), f"{case}: {set(again) ^ set(own)}"
    halved = lambda x: {k: halved(v) for k, v in x.items()} if isinstance(x, dict) else (
        x.half() if torch.is_tensor(x) and x.is_floating_point() else x)  # fmt: skip
    if file.endswith(".safetensors"):
        save_file({k: v.contiguous() for k, v in halved(checkpoint).items()}, folder / file)
    else:
        torch.save(halved(checkpoint), folder / file)
    for name, content in (beside or {}).items():
        (folder / name).write_text(json.dumps(content, indent=1))
    record(case, expected, model.blocks, lambda: model(image), model.norm, lambda r: r)


def plain(**extra):
    config = dict(img_size=SIDE, patch_size=PATCH, embed_dim=DIM, depth=DEPTH, num_heads=HEADS,
                  mlp_ratio=2, num_classes=0)  # fmt: skip
    return randomise(vision_transformer.VisionTransformer(**{**config, **extra}))


# What tells the heads, as nothing in these repositories' files does.
heads = {"config.json": {"architecture": "vit_tiny_patch16_224", "model_args": {"num_heads": HEADS}}}

model = plain()
state = model.state_dict()
teacher = OrderedDict((f"backbone.{k}", v) for k, v in state.items())
teacher["head.mlp.0.weight"] = torch.randn(4, DIM)
student = OrderedDict((f"module.{k}", v + 1) for k, v in teacher.items())
original("orig_dino", model, {"student": student, "teacher": teacher, "epoch": 3},
         dict(family="vit"), tower=state, beside=heads)  # fmt: skip

model = plain(num_classes=5)
original("orig_deit", model, {"model": model.state_dict()}, dict(num_classes=5, family="vit"),
         tower=model.state_dict(), beside=heads)  # fmt: skip

model = plain(num_classes=5, init_values=0.1, no_embed_class=True)
state = renamed(model.state_dict(), [("ls1.gamma", "gamma_1"), ("ls2.gamma", "gamma_2")])
again = vision_transformer.checkpoint_filter_fn(OrderedDict(state), model, adapt_layer_scale=True)
assert all(torch.equal(again[k], v) for k, v in model.state_dict().items())
original("orig_deit3", model, {"model": state}, dict(num_classes=5, family="deit3"),
         beside=heads, filtered=False)  # fmt: skip

model = plain()
state = OrderedDict(model.state_dict(), mask_token=torch.randn(1, 1, 8))
for name in ["decoder_pos_embed", "decoder_embed.weight", "decoder_blocks.0.attn.qkv.weight",
             "decoder_norm.bias", "decoder_pred.weight"]:  # fmt: skip
    state[name] = torch.randn(1, 3, 8) if name.endswith("embed") else torch.randn(8, 8)
encoder = OrderedDict((k, v) for k, v in state.items() if "decoder" not in k and k != "mask_token")
original("orig_mae", model, {"model": state}, dict(family="vit"), tower=encoder, beside=heads)

model = plain(init_values=0.1)
state = OrderedDict(model.state_dict(), mask_token=torch.randn(1, DIM))
original("orig_dinov2", model, state, dict(family="dinov2"), tower=state, beside=heads)

model = plain(init_values=0.1, mlp_layer=timm.layers.SwiGLUPacked, act_layer=torch.nn.SiLU,
              mlp_ratio=3)  # fmt: skip
state = renamed(model.state_dict(), [("mlp.fc1", "mlp.w12"), ("mlp.fc2", "mlp.w3")])
state["mask_token"] = torch.randn(1, DIM)
chunked = OrderedDict()
for name, value in state.items():
    block = name.split(".")[1] if name.startswith("blocks.") else None
    name = name.replace(f"blocks.{block}.", f"blocks.{int(block) // 1}.{block}.") if block else name
    chunked[name] = value
original("orig_dinov2_chunked", model, {"model": chunked}, dict(family="dinov2", mlp="swiglu"),
         tower=state, beside=heads)  # fmt: skip

# The class token's position goes into the token, so what is published differs from timm's.
model = plain(init_values=0.1, reg_tokens=4, no_embed_class=True)
state = OrderedDict(model.state_dict())
of_class = torch.randn(1, 1, DIM).half().float()
# Exact in half precision as well.
state["cls_token"] = (state["cls_token"] - of_class).half().float()
model.cls_token.data.copy_(state["cls_token"] + of_class)
state["pos_embed"] = torch.cat([of_class, state["pos_embed"]], 1)
state["register_tokens"] = state.pop("reg_token")
state["mask_token"] = torch.randn(1, DIM)
original("orig_dinov2_reg", model, state, dict(family="dinov2_reg", reg_tokens=4), tower=state,
         beside=heads)  # fmt: skip

# UNIC: DINOv2's encoder without LayerScale, in one chunk, beside the ladder to its teachers.
model = plain()
state = OrderedDict()
for name, value in OrderedDict(model.state_dict(), mask_token=torch.randn(1, DIM)).items():
    state["module.encoder." + name.replace("blocks.", "blocks.0.")] = value
state["module.lp.heads.dino.cls.1.layers.0.weight"] = torch.randn(4, DIM)
original("orig_unic", model, {"model": state, "epoch": 100}, dict(family="vit"), filtered=False,
         beside=heads)  # fmt: skip

rope = dict(img_size=SIDE, patch_size=PATCH, embed_dim=DIM, depth=DEPTH, num_heads=HEADS,
            mlp_ratio=2, num_classes=0, dynamic_img_size=True, use_abs_pos_emb=False,
            use_rot_pos_emb=True, rope_type="dinov3", rope_temperature=100, rope_rotate_half=True,
            init_values=0.1, num_reg_tokens=4, use_fc_norm=False, qkv_bias=True,
            norm_layer=lambda dim, **_: torch.nn.LayerNorm(dim, eps=1e-5))  # fmt: skip
model = randomise(eva.Eva(**rope))
state = OrderedDict()
for name, value in model.state_dict().items():
    if name.endswith("q_bias"):
        v = model.state_dict()[name.replace("q_bias", "v_bias")]
        # What the mask takes out must not matter.
        state[name.replace("q_bias", "qkv.bias")] = torch.cat([value, torch.randn(DIM), v])
        mask = torch.cat([torch.ones(DIM), torch.zeros(DIM), torch.ones(DIM)])
        state[name.replace("q_bias", "qkv.bias_mask")] = mask
    elif not name.endswith("v_bias"):
        name = name.replace("gamma_1", "ls1.gamma").replace("gamma_2", "ls2.gamma")
        state[name.replace("reg_token", "storage_tokens")] = value
state["mask_token"] = torch.randn(1, DIM)
state["rope_embed.periods"] = 100 ** (torch.arange(DIM // HEADS // 4) / (DIM // HEADS // 4))
state["local_cls_norm.weight"] = torch.randn(DIM)
# The periods tell the heads; the image size is told by nothing.
original("orig_dinov3", model, state,
         dict(family="dinov3_qkvb", reg_tokens=4, norm_eps=1e-5, img_size=None),
         tower=state)  # fmt: skip


def clip_names(model):
    """timm's tower under OpenAI's names."""
    table = [("patch_embed.proj", "conv1"), ("norm_pre", "ln_pre"), ("norm1", "ln_1"),
             ("norm2", "ln_2"), ("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj"),
             ("attn.qkv.", "attn.in_proj_"), ("attn.proj", "attn.out_proj"),
             ("blocks.", "transformer.resblocks.")]  # fmt: skip
    state = renamed(model.state_dict(), table)
    out = OrderedDict()
    for name, value in state.items():
        if name == "cls_token":
            out["class_embedding"] = value.flatten()
        elif name == "pos_embed":
            out["positional_embedding"] = value[0]
        elif name == "head.weight":
            out["proj"] = value.T
        elif name != "head.bias":
            out[name.replace("norm.", "ln_post.")] = value
    return OrderedDict((f"visual.{k}", v) for k, v in out.items())


def tower(**extra):
    model = plain(pre_norm=True, num_classes=6, norm_layer=lambda dim, **_: torch.nn.LayerNorm(dim, eps=1e-5),
                  **extra)  # fmt: skip
    torch.nn.init.zeros_(model.head.bias)
    return model


text_tower = {
    "positional_embedding": torch.randn(4, 8),
    "text_projection": torch.randn(8, 6),
    "logit_scale": torch.tensor(2.0),
    "transformer.resblocks.0.ln_1.weight": torch.randn(8),
    "token_embedding.weight": torch.randn(8, 8),
    "ln_final.weight": torch.randn(8),
}
model = tower(act_layer=timm.layers.QuickGELU)
visual = clip_names(model)
counters = {k: torch.tensor(v) for k, v in
            [("input_resolution", SIDE), ("context_length", 4), ("vocab_size", 8)]}  # fmt: skip
expected = dict(norm_eps=1e-5, num_classes=6, family="clip")
original("orig_clip", model, OrderedDict(**visual, **text_tower, **counters),
         dict(expected, mlp="quick_gelu"), tower=visual, beside=heads)  # fmt: skip

model = tower()
visual = clip_names(model)
open_clip = {"model_cfg": {"embed_dim": 6, "vision_cfg": {
    "image_size": SIDE, "layers": DEPTH, "width": DIM, "head_width": DIM // HEADS,
    "patch_size": PATCH}}, "preprocess_cfg": {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}}  # fmt: skip
original("orig_open_clip", model, OrderedDict(**visual, **text_tower), expected, tower=visual,
         file="open_clip_model.safetensors", beside={"open_clip_config.json": open_clip})  # fmt: skip

model = plain(class_token=False, global_pool="map", fc_norm=False)
trunk = OrderedDict((f"visual.trunk.{k}", v) for k, v in model.state_dict().items())
siglip_text = {"text.ln_final.weight": torch.randn(8), "logit_scale": torch.tensor(2.0),
               "logit_bias": torch.tensor(-9.0)}  # fmt: skip
original("orig_open_clip_trunk", model, OrderedDict(**trunk, **siglip_text), dict(family="siglip"),
         tower=trunk, file="open_clip_model.safetensors", beside=heads)  # fmt: skip

# --- later families -----------------------------------------------------------------

torch.manual_seed(1)

config = hf.Tipsv2Config(
    text_config=dict(hidden_size=DIM, num_hidden_layers=1, num_attention_heads=2, vocab_size=8,
                     intermediate_size=8, max_position_embeddings=4),
    vision_config=dict(hidden_size=DIM, num_hidden_layers=DEPTH, num_attention_heads=HEADS,
                       mlp_ratio=2, image_size=SIDE, patch_size=PATCH),
)  # fmt: skip
model = randomise(hf.Tipsv2Model(config))
published("hf_tipsv2", model)
vit = model.vision_model
record("hf_tipsv2", dict(family="tipsv2", reg_tokens=1), vit.encoder.layer, lambda: vit(image),
       vit.layernorm, lambda r: r.last_hidden_state[:, 0])  # fmt: skip


def dinov3_names(model):
    """timm's names as DINOv3's repository has them, and what else is in its files."""
    own, state = model.state_dict(), OrderedDict()
    table = [("gamma_1", "ls1.gamma"), ("gamma_2", "ls2.gamma"), ("reg_token", "storage_tokens"),
             ("mlp.fc1_g", "mlp.w1"), ("mlp.fc1_x", "mlp.w2")]  # fmt: skip
    if "blocks.0.mlp.fc1_g.weight" in own:
        table.append(("mlp.fc2", "mlp.w3"))
    for name, value in renamed(own, table).items():
        if name.endswith("q_bias"):
            # What the mask takes out must not matter.
            whole = torch.cat([value, torch.randn(DIM), own[name.replace("q_bias", "v_bias")]])
            state[name.replace("q_bias", "qkv.bias")] = whole
            mask = torch.cat([torch.ones(DIM), torch.zeros(DIM), torch.ones(DIM)])
            state[name.replace("q_bias", "qkv.bias_mask")] = mask
        elif not name.endswith("v_bias"):
            state[name] = value
    state["mask_token"] = torch.randn(1, DIM)
    state["rope_embed.periods"] = 100 ** (torch.arange(DIM // HEADS // 4) / (DIM // HEADS // 4))
    return state


expected = dict(reg_tokens=4, norm_eps=1e-5, img_size=None)
model = randomise(eva.Eva(**rope))
state = dinov3_names(model)
state["projectors.dinov3.0.weight"] = torch.randn(4, DIM)
original("orig_eupe", model, state, dict(expected, family="dinov3_qkvb"), tower=state)

gated = dict(swiglu_mlp=True, swiglu_align_to=8)
model = randomise(eva.Eva(**{**rope, **gated, "qkv_bias": False, "global_pool": "avg"}))
state = dinov3_names(model)
original("orig_lingbot_g", model, state, dict(expected, family="dinov3", mlp="swiglu"), tower=state)

model = randomise(eva.Eva(**{**rope, **gated}))
original("timm_dinov3_plus", model, model.state_dict(),
         dict(expected, family="dinov3_qkvb", mlp="swiglu"), tower=model.state_dict(),
         beside=heads)  # fmt: skip

model = plain(init_values=0.1, mlp_layer=timm.layers.SwiGLUPacked, act_layer=torch.nn.SiLU,
              mlp_ratio=3)  # fmt: skip
state = renamed(model.state_dict(), [("mlp.fc1", "mlp.w12"), ("mlp.fc2", "mlp.w3")])
state["mask_token"] = torch.randn(1, DIM)
teacher = OrderedDict((f"backbone.{k.replace('blocks.', 'blocks.0.')}", v) for k, v in state.items())
teacher["dino_head.mlps.0.0.weight"] = torch.randn(4, DIM)
teacher["ibot_head.mlps.0.0.weight"] = torch.randn(4, DIM)
original("orig_franca", model, {"teacher": teacher}, dict(family="dinov2", mlp="swiglu"),
         tower=state, beside=heads)  # fmt: skip



def counted(**extra):
    """A model of timm's Eva with learned positions and rotary ones that count patches."""
    norm = lambda dim, **_: torch.nn.LayerNorm(dim, eps=1e-6)
    config = dict(img_size=SIDE, patch_size=PATCH, embed_dim=DIM, depth=DEPTH, num_heads=HEADS,
                  mlp_ratio=2, num_classes=0, use_rot_pos_emb=True, norm_layer=norm,
                  ref_feat_shape=(SIDE // PATCH,) * 2)  # fmt: skip
    return randomise(eva.Eva(**{**config, **extra}))


def perception(**extra):
    norm = lambda dim, **_: torch.nn.LayerNorm(dim, eps=1e-5)
    return counted(**{**dict(attn_type="rope", use_pre_transformer_norm=True, norm_layer=norm,
                             rope_grid_offset=1.0, rope_grid_indexing="xy"), **extra})  # fmt: skip


def perception_names(model, prefix):
    state = clip_names(model)
    table = [("gamma_1", "ls_1.gamma"), ("gamma_2", "ls_2.gamma"), ("attn_pool.latent", "attn_pool.probe"),
             ("attn_pool.norm", "attn_pool.layernorm"), ("attn_pool.proj", "attn_pool.attn.out_proj"),
             ("attn_pool.ln_post", "attn_pool.layernorm")]  # fmt: skip
    state = renamed(state, table)
    for end in ["weight", "bias"]:
        if f"visual.attn_pool.q.{end}" in state:
            parts = [state.pop(f"visual.attn_pool.{part}.{end}") for part in ["q", "kv"]]
            state[f"visual.attn_pool.attn.in_proj_{end}"] = torch.cat(parts)
    return OrderedDict((k.replace("visual.", prefix), v) for k, v in state.items())


pool = dict(global_pool="map", num_classes=6, attn_pool_num_heads=8, attn_pool_mlp_ratio=2.0)
model = perception(**pool)
torch.nn.init.zeros_(model.head.bias)
visual = perception_names(model, "visual.")
expected = dict(norm_eps=1e-5, family="pe_core", num_classes=6)
original("orig_pe_core", model, OrderedDict(**visual, **text_tower), expected, tower=visual,
         beside=heads)  # fmt: skip
unnormed = dict(use_post_transformer_norm=False, use_fc_norm=False)
model = perception(**unnormed)
state = perception_names(model, "")
original("orig_pe_spatial", model, state, dict(norm_eps=1e-5, family="pe_spatial"), tower=state,
         beside=heads)  # fmt: skip
model = perception(**unnormed, init_values=0.1, class_token=False, rope_grid_offset=0.0)
state = perception_names(model, "")
original("orig_pe_g", model, state, dict(norm_eps=1e-5, family="pe_g"), tower=state, beside=heads)
original("timm_pe_g", model, model.state_dict(), dict(norm_eps=1e-5, family="pe_g"),
         tower=model.state_dict(), beside=heads)  # fmt: skip


def eva02_names(model):
    table = [("q_proj.bias", "q_bias"), ("v_proj.bias", "v_bias"), ("mlp.fc1_g", "mlp.w1"),
             ("mlp.fc1_x", "mlp.w2"), ("mlp.norm", "mlp.ffn_ln"), ("mlp.fc2", "mlp.w3"),
             ("attn.norm", "attn.inner_attn_ln"), ("mlp.fc1.", "mlp.w12.")]  # fmt: skip
    state = renamed(model.state_dict(), table)
    for owner in ["", "blocks.0.attn.", "blocks.1.attn."]:
        for end in ["cos", "sin"]:
            state[f"{owner}rope.freqs_{end}"] = torch.randn((SIDE // PATCH) ** 2, DIM // HEADS)
    return state


expected = dict(mlp="swiglu")
gate = dict(swiglu_mlp=True, ref_feat_shape=(16, 16), num_classes=5)
model = counted(**gate)
original("orig_eva02", model, {"model": eva02_names(model)}, dict(expected, family="eva02", num_classes=5),
         tower=eva02_names(model), beside=heads)  # fmt: skip
split = dict(gate, qkv_fused=False, scale_mlp=True)
model = counted(**split)
state = eva02_names(model)
original("orig_eva02_norm", model, {"module": state},
         dict(expected, family="eva02_norm", num_classes=5), tower=state, beside=heads)  # fmt: skip
model = counted(**split, scale_attn_inner=True, global_pool="token")
visual = OrderedDict((f"visual.{k}", v) for k, v in eva02_names(model).items())
original("orig_eva02_clip", model, OrderedDict(**visual, **{"logit_scale": torch.tensor(2.0)}),
         dict(expected, family="eva02_clip", num_classes=5), tower=eva02_names(model),
         beside=heads)  # fmt: skip
trunk = OrderedDict((f"visual.trunk.{k}", v) for k, v in model.state_dict().items())
original("orig_open_clip_eva02", model, OrderedDict(**trunk, **siglip_text),
         dict(expected, family="eva02_clip", num_classes=5), tower=trunk,
         file="open_clip_model.safetensors", beside=heads)  # fmt: skip

config = hf.RadioConfig(**{k: v for k, v in shape.items() if k != "intermediate_size"}, mlp_ratio=2.0,
                        max_img_size=4 * SIDE, num_cls_tokens=3, num_registers=7,
                        norm_mean=[0.0] * 3, norm_std=[1.0] * 3)  # fmt: skip
model = randomise(hf.RadioModel(config))
published("hf_radio", model)
record("hf_radio", dict(family="radio_v3", reg_tokens=9), model.encoder.layer, lambda: model(image),
       lambda tokens: tokens, lambda r: r.last_hidden_state[:, 0])  # fmt: skip

model = plain(reg_tokens=9, no_embed_class=True, final_norm=False)
grid = 4 * SIDE // PATCH
wide = torch.randn(1, grid * grid, DIM).half().float()
state = OrderedDict()
for name, value in model.state_dict().items():
    if name == "patch_embed.proj.weight":
        state["patch_generator.embedder.weight"] = value.reshape(DIM, -1)
    elif name.startswith("blocks."):
        state[name] = value
state["patch_generator.pos_embed"] = wide
tokens = torch.cat([model.cls_token, model.reg_token], 1)[0]
state["patch_generator.cls_token.token"] = tokens.detach()
state = OrderedDict((f"radio_model.model.{k}", v) for k, v in state.items())
state["radio_model.input_conditioner.norm_mean"] = torch.zeros(3, 1, 1)
state["radio_model.summary_idxs"] = torch.tensor([0, 1])
torch.nn.init.zeros_(model.patch_embed.proj.bias)
read = vision_transformer._convert_radio(state, model, align_corners=False)
model.load_state_dict(read, strict=True)
original("orig_radio", model, state, dict(family="radio", reg_tokens=9), filtered=False,
         file="model.safetensors", beside=heads)  # fmt: skip

(here / "cases.json").write_text(json.dumps(cases, indent=1) + "\n")
