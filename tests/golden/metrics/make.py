"""Makes the golden numbers of metrics in this folder with torchmetrics, and with
numpy where the field's definition is another than torchmetrics'. Needs torch,
torchmetrics and safetensors; `python tests/golden/metrics/make.py`."""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex
from torchmetrics.regression import MeanAbsoluteError, MeanAbsolutePercentageError, MeanSquaredError

HERE = Path(__file__).parent
VOID = 65535
MAX_DEPTH = 10.0


def accuracy(tensors, meta):
    for name, classes, levels in [("many", 40, None), ("ties", 12, 4), ("few", 3, 3)]:
        generator = torch.Generator().manual_seed(len(name))
        scores = torch.randn(200, classes, generator=generator)
        if levels:
            scores = (scores * levels / 4).round()  # many equal scores
        labels = torch.randint(classes, (200,), generator=generator)
        tensors[f"accuracy.{name}.scores"] = scores
        tensors[f"accuracy.{name}.labels"] = labels.float()
        case = {"classes": classes}
        # torch.topk leaves open which of equal scores it takes; a stable order decides by index.
        order = np.argsort(-scores.numpy(), axis=1, kind="stable")
        for k in (1, 5):
            right = (order[:, :k] == labels.numpy()[:, None]).any(1).mean()
            case[f"top{k}"] = float(right)
            if k <= classes and (levels is None or k == 1):
                theirs = MulticlassAccuracy(classes, top_k=k, average="micro")(scores, labels)
                assert abs(float(theirs) - right) < 1e-6, (name, k)
        meta["accuracy"][name] = case


def segmentation(tensors, meta):
    for name, classes, present, ignored in [("plain", 5, 5, 0.0), ("absent", 9, 6, 0.2), ("void", 4, 2, 0.9)]:
        rng = np.random.default_rng(classes)
        truth = rng.integers(0, present, (3, 17, 23))
        # Class `present` is predicted and never true; the classes above are neither.
        prediction = np.where(rng.random(truth.shape) < 0.6, truth, rng.integers(0, min(present + 1, classes), truth.shape))
        truth[rng.random(truth.shape) < ignored] = VOID
        t, p = torch.from_numpy(truth), torch.from_numpy(prediction)
        arguments = dict(num_classes=classes, ignore_index=VOID)
        iou = MulticlassJaccardIndex(average=None, **arguments)(p, t)
        recall = MulticlassAccuracy(average=None, **arguments)(p, t)
        in_truth = [bool((t == c).any()) for c in range(classes)]
        in_either = [bool(((t == c) | ((p == c) & (t != VOID))).any()) for c in range(classes)]
        meta["segmentation"][name] = {
            "classes": classes,
            "miou": float(MulticlassJaccardIndex(average="macro", **arguments)(p, t)),
            "pixel_accuracy": float(MulticlassAccuracy(average="micro", **arguments)(p, t)),
            # As mmsegmentation: over the classes in the truth (torchmetrics counts those
            # that are only predicted as 0).
            "mean_accuracy": float(np.mean([float(r) for r, here in zip(recall, in_truth) if here])),
            "class_iou": [float(v) if here else None for v, here in zip(iou, in_either)],
            "class_accuracy": [float(v) if here else None for v, here in zip(recall, in_truth)],
        }
        tensors[f"segmentation.{name}.truth"] = t.float()
        tensors[f"segmentation.{name}.prediction"] = p.float()


def depth(tensors, meta):
    generator = torch.Generator().manual_seed(7)
    truth = torch.rand(4, 19, 13, generator=generator) * 12 - 0.5  # some below 0, some beyond range
    truth[torch.rand(truth.shape, generator=generator) < 0.2] = 0.0
    prediction = truth.clamp(0.2, 10) * torch.exp(0.35 * torch.randn(truth.shape, generator=generator))
    prediction[0, :2] = truth[0, :2].clamp(min=0.1) * 1.25  # at the edge of the first ratio
    valid = (truth > 0) & (truth < MAX_DEPTH)

    def scores(p, t):
        ratio = torch.maximum(p.double() / t.double(), t.double() / p.double())
        return {
            "rmse": float(MeanSquaredError(squared=False)(p, t)),
            "mae": float(MeanAbsoluteError()(p, t)),
            "rel": float(MeanAbsolutePercentageError()(p, t)),
            "delta": [float((ratio < 1.25**k).double().mean()) for k in (1, 2, 3)],
        }

    meta["depth"] = {
        "max_depth": MAX_DEPTH,
        "pixels": int(valid.sum()),
        "all": scores(prediction[valid], truth[valid]),
        "images": [scores(p[v], t[v]) for p, t, v in zip(prediction, truth, valid)],
    }
    tensors["depth.truth"], tensors["depth.prediction"] = truth, prediction


def main():
    tensors, meta = {}, {"accuracy": {}, "segmentation": {}, "depth": {}}
    accuracy(tensors, meta)
    segmentation(tensors, meta)
    depth(tensors, meta)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, HERE / "arrays.safetensors")
    (HERE / "scores.json").write_text(json.dumps(meta, indent=1) + "\n")


main()
