"""Makes the golden tensors of the families that are named here: tiny random models by timm, none
of whose parameters is zero, with what they compute. Needs torch, timm and safetensors; made with
timm 1.0.31.

`<family>.safetensors` is the state dict under the names that timm gives to a fused layer,
`<family>.io.safetensors` holds `image` [2, 3, H, W], `embed` (tokens entering block 0),
`block.{i}`, `final_norm` [2, T, D] (the tokens after the last norm before pooling) and `output`
[2, C]; `<family>.json` what the tensors do not show, `config` in VitConfig's terms.
"""

import json
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file
from timm.layers import SwiGLUPacked
from timm.models import eva, vision_transformer

here = Path(__file__).parent
DIM, DEPTH, HEADS = 32, 2, 2
SHAPE = dict(embed_dim=DIM, depth=DEPTH, num_heads=HEADS, num_classes=0)


@torch.no_grad()
def randomise(model):
    """Every parameter away from its start, large enough that epsilons, activations and the
    order of operations show."""
    for name, p in model.named_parameters():
        if p.ndim >= 2 and not any(part in name for part in ["token", "pos_embed", "latent"]):
            p.copy_(torch.randn_like(p) * 1.2 / p[0].numel() ** 0.5)
        elif "norm" in name and name.endswith("weight") or "gamma" in name:
            p.copy_(torch.rand_like(p) + 0.5)
        else:
            p.copy_(torch.randn_like(p) * 0.5)
    return model.eval()


def fused(state):
    """Queries, keys and values in one matrix, and a gate above what it gates."""
    out = {}
    for name, value in state.items():
        for parts, whole in [(["q_proj", "k_proj", "v_proj"], "qkv"), (["fc1_g", "fc1_x"], "fc1")]:
            if f".{parts[0]}." in name and f"{name.replace(parts[0], parts[-1])}" in state:
                if whole == "qkv" and name.endswith("bias"):
                    for part in "qv":
                        bias = state[name.replace("q_proj", f"{part}_proj")]
                        out[name.replace("q_proj.bias", f"{part}_bias")] = bias
                else:
                    rows = [state[name.replace(parts[0], part)] for part in parts]
                    out[name.replace(parts[0], whole)] = torch.cat(rows)
                break
            if any(f".{part}." in name for part in parts):
                break
        else:
            out[name] = value
    return {name: value.contiguous() for name, value in out.items()}


@torch.no_grad()
def make(family, model, size, config=None, **facts):
    torch.manual_seed(sum(family.encode()))
    model = randomise(model)
    image = torch.randn(2, 3, *size)
    seen = {"image": image}

    def entering(_, args):
        seen.setdefault("embed", args[0].clone())

    def leaving(name):
        return lambda _, __, result: seen.__setitem__(name, result.clone())

    model.blocks[0].register_forward_pre_hook(entering)
    for i, block in enumerate(model.blocks):
        block.register_forward_hook(leaving(f"block.{i}"))
    seen["final_norm"] = model.forward_features(image)
    seen["output"] = model(image)
    save_file(fused(model.state_dict()), here / f"{family}.safetensors")
    tensors = {name: value.contiguous() for name, value in seen.items()}
    save_file(tensors, here / f"{family}.io.safetensors")
    norm = model.blocks[0].norm1
    told = dict(family=family, img_size=size, num_heads=HEADS, norm_eps=norm.eps, **facts)
    told["config"] = config or {}
    (here / f"{family}.json").write_text(json.dumps(told, indent=1) + "\n")


def vit(size=(16, 24), **extra):
    return vision_transformer.VisionTransformer(img_size=size, patch_size=8, **{**SHAPE, **extra})


def rotary(size=(16, 24), **extra):
    norm = partial(torch.nn.LayerNorm, eps=1e-5)
    config = dict(img_size=size, patch_size=8, norm_layer=norm, use_rot_pos_emb=True)
    return eva.Eva(**{**SHAPE, **config, **extra})


SIZE, SQUARE = (16, 24), (24, 24)
swiglu = dict(mlp="swiglu")
tips = dict(init_values=1.0, reg_tokens=1, no_embed_class=True, size=SQUARE)
make("tipsv2", vit(**tips), SQUARE)
make("tipsv2_g", vit(**tips, mlp_ratio=5.5, mlp_layer=SwiGLUPacked, act_layer=torch.nn.SiLU),
     SQUARE, swiglu)  # fmt: skip

dinov3 = dict(rope_type="dinov3", rope_temperature=100, rope_rotate_half=True, init_values=0.1,
              use_abs_pos_emb=False, num_reg_tokens=4, use_fc_norm=False,
              dynamic_img_size=True)  # fmt: skip
gated = dict(swiglu_mlp=True, swiglu_align_to=8, mlp_ratio=2)
make("dinov3_plus", rotary(**dinov3, **gated, qkv_bias=True), SIZE,
     dict(swiglu, pooling="mean"), rope_temperature=100)  # fmt: skip
make("lingbot_g", rotary(**dinov3, **gated, qkv_bias=False, global_pool="token"), SIZE,
     dict(swiglu, pooling="token"), rope_temperature=100)  # fmt: skip


def counted(side, first, columns_first):
    """Positions in VitConfig's terms, and timm's arguments for them."""
    told = dict(side=side, first=first, columns_first=columns_first)
    arguments = dict(ref_feat_shape=(side, side), rope_grid_offset=float(first),
                     rope_grid_indexing="xy" if columns_first else "ij")  # fmt: skip
    return {"learned_and_rotary": told}, arguments


radio = dict(reg_tokens=9, no_embed_class=True, final_norm=False)
make("radio", vit(**radio), SIZE, dict(final_norm="none"))

positions, counting = counted(4, 1, True)
pe = dict(attn_type="rope", use_pre_transformer_norm=True)
pool = dict(attn_pool_num_heads=8, attn_pool_mlp_ratio=2.0)
model = rotary(**pe, **pool, **counting, global_pool="map", mlp_ratio=3, num_classes=7)
make("pe_core", model, SIZE, dict(pool, positions=positions, pooling="attention"))
unnormed = dict(use_post_transformer_norm=False, use_fc_norm=False)
told = dict(positions=positions, pooling="mean", final_norm="none")
make("pe_spatial", rotary(**pe, **unnormed, **counting), SIZE, told)
make("pe_lang", rotary(**pe, **unnormed, **counting, init_values=0.1), SIZE, told)
positions, counting = counted(5, 0, True)
model = rotary(**pe, **unnormed, **counting, init_values=0.1, class_token=False)
make("pe_g", model, SIZE, dict(told, positions=positions))

positions, counting = counted(4, 0, False)
told = dict(swiglu, positions=positions, pooling="mean", final_norm="pooled")
eps = dict(norm_layer=partial(torch.nn.LayerNorm, eps=1e-6))
gated = dict(counting, **eps, swiglu_mlp=True, mlp_ratio=2)
make("eva02", rotary(**gated, num_classes=5), SIZE, told)
gated = dict(gated, qkv_fused=False, scale_mlp=True)
make("eva02_norm", rotary(**gated), SIZE, dict(told, scale_mlp=True))
told = dict(swiglu, positions=positions, scale_mlp=True, scale_attn_inner=True)
make("eva02_clip", rotary(**gated, scale_attn_inner=True, global_pool="token", num_classes=6), SIZE,
     told)  # fmt: skip
