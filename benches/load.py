"""Loading a checkpoint with timm and safetensors, to compare with
`singer bench --load FILE`. Needs torch, timm and safetensors.

    python load.py make vit_large_patch16_224 FILE      # random weights
    python load.py time vit_large_patch16_224 FILE      # from the file to a model
"""

import argparse
import json
import resource
import statistics
import time

import timm
import torch
from safetensors.torch import load_file, save_file


def plain(name, path):
    """As people write it: a new model, then its weights."""
    model = timm.create_model(name)
    model.load_state_dict(load_file(path), strict=True)
    return model


def lean(name, path):
    """Without making random weights first, and without copying."""
    with torch.device("meta"):
        model = timm.create_model(name)
    model.load_state_dict(load_file(path), strict=True, assign=True)
    # The file is mapped: what was not touched was not read.
    sum(parameter.sum() for parameter in model.parameters()).item()
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=["make", "time"])
    parser.add_argument("name")
    parser.add_argument("file")
    parser.add_argument("--way", choices=["plain", "lean"], default="plain")
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    if args.task == "make":
        torch.manual_seed(0)
        save_file(timm.create_model(args.name).state_dict(), args.file)
        return
    load = {"plain": plain, "lean": lean}[args.way]
    load(args.name, args.file)
    seconds = []
    for _ in range(args.runs):
        start = time.perf_counter()
        load(args.name, args.file)
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"way": args.way, "load_median_s": statistics.median(seconds), "peak_memory_mib": peak}))


if __name__ == "__main__":
    main()
