"""Makes the golden tensors of probe heads in this folder with PyTorch: bilinear
upsampling, the segmentation loss with its gradient, the depth prediction, and
twenty training steps of heads. Needs torch and safetensors;
`python tests/golden/probe/make.py`."""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

HERE = Path(__file__).parent
VOID = 255


def upsampling(tensors):
    for index, (grid, size) in enumerate([((3, 4), (17, 29)), ((1, 5), (4, 20)), ((6, 6), (9, 50)), ((4, 3), (12, 7))]):
        generator = torch.Generator().manual_seed(index)
        x = torch.randn(1, 2, *grid, generator=generator)
        fine = F.interpolate(x, scale_factor=4, mode="bilinear", align_corners=False)
        tensors[f"upsampling.{index}.in"] = x[0].permute(1, 2, 0)
        tensors[f"upsampling.{index}.fine"] = fine[0].permute(1, 2, 0)
        full = F.interpolate(fine, size=size, mode="bilinear", align_corners=False)
        tensors[f"upsampling.{index}.full"] = full[0].permute(1, 2, 0)
        labels = torch.randint(9, (1, 1, *size), generator=generator).float()
        small = F.interpolate(labels, size=tuple(4 * side for side in grid), mode="nearest")
        tensors[f"upsampling.{index}.labels"] = labels[0, 0]
        tensors[f"upsampling.{index}.nearest"] = small[0, 0]


def pixel_loss(tensors):
    generator = torch.Generator().manual_seed(40)
    logits = (3 * torch.randn(1, 6, 3, 4, generator=generator)).requires_grad_()
    labels = torch.randint(6, (1, 25, 31), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < 0.3] = VOID
    labels[:, 5:8] = VOID
    tensors["pixels.logits"] = logits.detach()[0].permute(1, 2, 0)
    tensors["pixels.labels"] = labels[0].float()
    fine = F.interpolate(logits, scale_factor=4, mode="bilinear", align_corners=False)
    full = F.interpolate(fine, size=labels.shape[1:], mode="bilinear", align_corners=False)
    small = F.interpolate(labels[None].float(), size=fine.shape[2:], mode="nearest")[0].long()
    for name, outputs, targets in [("label", full, labels), ("grid", fine, small)]:
        loss = F.cross_entropy(outputs, targets, ignore_index=VOID)
        (gradient,) = torch.autograd.grad(loss, logits, retain_graph=True)
        tensors[f"pixels.{name}.loss"] = loss.detach()[None]
        tensors[f"pixels.{name}.gradient"] = gradient[0].permute(1, 2, 0)
    tensors["pixels.prediction"] = full.argmax(1)[0].float()


def depth(tensors):
    generator = torch.Generator().manual_seed(41)
    bins, temperature, largest, size = 256, 0.03, 10.0, (21, 18)
    patches, token = torch.randn(1, 8, 3, 4, generator=generator), torch.randn(1, 8, generator=generator)
    weight, bias = 0.05 * torch.randn(bins, 16, generator=generator), torch.randn(bins, generator=generator) * 0.05
    features = torch.cat([patches, token[:, :, None, None].expand(-1, -1, 3, 4)], 1)
    # In the order of the paper: upsampling first, then the 1x1 convolution.
    fine = F.interpolate(features, scale_factor=4, mode="bilinear", align_corners=False)
    logits = F.conv2d(fine, weight[:, :, None, None], bias)
    middles = (torch.arange(bins) + 0.5) * largest / bins
    coarse = (torch.softmax(logits / temperature, 1) * middles[None, :, None, None]).sum(1, keepdim=True)
    tensors["depth.patches"] = patches[0].permute(1, 2, 0).reshape(12, 8)
    tensors["depth.token"] = token[0]
    tensors["depth.weight"], tensors["depth.bias"] = weight, bias
    tensors["depth.fine"] = coarse[0, 0]
    tensors["depth.full"] = F.interpolate(coarse, size=size, mode="bilinear", align_corners=False)[0, 0]


def heads(tensors, meta):
    generator = torch.Generator().manual_seed(42)
    x, y = torch.randn(60, 7, generator=generator), torch.randint(5, (60,), generator=generator)
    tensors["head.rows"], tensors["head.labels"] = x, y.float()
    start = torch.nn.Linear(7, 5)
    with torch.no_grad():
        start.weight.copy_(0.01 * torch.randn(5, 7, generator=generator))
        start.bias.zero_()
    tensors["head.start.weight"], tensors["head.start.bias"] = start.weight.detach().clone(), start.bias.detach().clone()
    steps, batch = 20, 12
    meta["steps"], meta["batch"] = steps, batch
    for name, make in [
        ("sgd", lambda p: torch.optim.SGD(p, lr=0.5)),
        ("momentum", lambda p: torch.optim.SGD(p, lr=0.5, momentum=0.9, weight_decay=1e-3)),
        ("adamw", lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=1e-2)),
    ]:
        head = torch.nn.Linear(7, 5)
        head.load_state_dict(start.state_dict())
        optimizer = make(head.parameters())
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps, eta_min=1e-8)
        rates = []
        for step in range(steps):
            rows = [(step * batch + i) % len(x) for i in range(batch)]
            optimizer.zero_grad()
            F.cross_entropy(head(x[rows]), y[rows]).backward()
            rates.append(schedule.get_last_lr()[0])
            optimizer.step()
            schedule.step()
        tensors[f"head.{name}.weight"], tensors[f"head.{name}.bias"] = head.weight.detach(), head.bias.detach()
        meta[name] = rates


def main():
    tensors, meta = {}, {}
    upsampling(tensors)
    pixel_loss(tensors)
    depth(tensors)
    heads(tensors, meta)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, HERE / "tensors.safetensors")
    (HERE / "heads.json").write_text(json.dumps(meta, indent=1) + "\n")


main()
