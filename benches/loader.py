"""Times the loader of `singer bench --data` beside torchvision's ImageFolder with a DataLoader
and beside webdataset, on the same JPEGs in turns, and prints a Markdown table of each one's
best turn. Needs torch and torchvision; webdataset and pyarrow for their rows.

    python loader.py make FOLDER [--images 5000] [--from PHOTOS.zip]   # folders, zip, tar, Parquet
    python loader.py time FOLDER --program target/release/singer [--turns 3] [--out FILE]

Every turn is a process of its own with two workers: a random resized crop to 224 pixels
(bicubic), a flip, normalisation, batches of 64. The first batch does not count.
"""

import argparse
import io
import json
import pathlib
import random
import subprocess
import sys
import tarfile
import time
import zipfile

SIZE, BATCH, WORKERS, SHARDS, CLASSES = 224, 64, 2, 10, 10
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def photograph(index, photos):
    """An image of about ImageNet's size: cut from photos, or noise smoothed at several scales,
    whose JPEG is about as long as a photograph's."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(index)
    width, height = int(rng.integers(400, 501)), int(rng.integers(300, 376))
    if photos:
        image = Image.open(io.BytesIO(photos[index % len(photos)])).convert("RGB")
        scale = max(width / image.width, height / image.height)
        image = image.resize((round(image.width * scale) + 1, round(image.height * scale) + 1))
        return image.crop((0, 0, width, height))
    total = np.zeros((height, width, 3), np.float32)
    for cells, weight in [(3, 60), (12, 40), (48, 24), (160, 10)]:
        noise = (rng.random((cells, cells, 3)) * 255).astype(np.uint8)
        layer = Image.fromarray(noise).resize((width, height), Image.BICUBIC)
        total += (np.asarray(layer, np.float32) - 127) * (weight / 60)
    return Image.fromarray(np.clip(total + 127, 0, 255).astype(np.uint8))


def make(folder, count, source):
    photos = []
    if source:
        with zipfile.ZipFile(source) as archive:
            names = [name for name in archive.namelist() if name.lower().endswith((".jpg", ".jpeg"))]
            photos = [archive.read(name) for name in sorted(names)[:count]]
    files = []
    for index in range(count):
        out = io.BytesIO()
        photograph(index, photos).save(out, "JPEG", quality=90)
        files.append((index % CLASSES, f"{index:06}", out.getvalue()))
    folders = folder / "folders"
    for label, name, data in files:
        path = folders / f"class{label}" / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for label, name, data in files:
            archive.writestr(f"class{label}/{name}.jpg", data)
    random.Random(0).shuffle(files)
    (folder / "tar").mkdir(exist_ok=True)
    per = -(-count // SHARDS)
    for shard in range(SHARDS):
        with tarfile.open(folder / "tar" / f"{shard:06}.tar", "w") as archive:
            for label, name, data in files[shard * per : (shard + 1) * per]:
                for end, content in [("jpg", data), ("cls", str(label).encode())]:
                    member = tarfile.TarInfo(f"{name}.{end}")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        print("loader: pyarrow is missing, so there is no Parquet", file=sys.stderr)
        return
    (folder / "parquet").mkdir(exist_ok=True)
    for shard in range(SHARDS):
        rows = files[shard * per : (shard + 1) * per]
        table = pyarrow.table({
            "image": [{"bytes": data, "path": f"{name}.jpg"} for _, name, data in rows],
            "label": [label for label, _, _ in rows],
        })
        name = f"train-{shard:05}-of-{SHARDS:05}.parquet"
        pyarrow.parquet.write_table(table, folder / "parquet" / name, row_group_size=100)
    print(f"{count} JPEGs of {sum(len(data) for *_, data in files) / count / 1000:.0f} kB on average")


def torch_turn(folder, kind, wanted):
    """One turn of torch; prints its JSON."""
    import resource

    import torch
    from torchvision import transforms
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import InterpolationMode

    torch.set_num_threads(1)
    transform = transforms.Compose([
        transforms.RandomResizedCrop(SIZE, interpolation=InterpolationMode.BICUBIC),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ])
    if kind == "torchvision":
        data = ImageFolder(folder / "folders", transform)
        loader = torch.utils.data.DataLoader(
            data, BATCH, shuffle=True, num_workers=WORKERS, drop_last=True
        )
    else:
        import webdataset

        shards = [str(path) for path in sorted((folder / "tar").glob("*.tar"))]
        data = webdataset.WebDataset(shards, shardshuffle=len(shards), seed=0).shuffle(1000)
        data = data.decode("pil").to_tuple("jpg", "cls").map_tuple(transform, int)
        loader = webdataset.WebLoader(data.batched(BATCH), batch_size=None, num_workers=WORKERS)
    batches = iter(loader)
    next(batches)
    begun, count = time.perf_counter(), 0
    for images, *_ in batches:
        count += len(images)
        if count >= wanted:
            break
    seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak += WORKERS * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(json.dumps({"images_per_second": count / seconds, "peak_memory_mib": peak // 1024}))


def timed(command):
    """What one process measured; None where it failed."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        print(f"loader: {' '.join(command)}: {done.stderr.strip()[-300:]}", file=sys.stderr)
        return None
    return json.loads(done.stdout)


def compare(folder, program, turns, wanted, out):
    def ours(place):
        return [program, "bench", "--data", str(folder / place), "--size", str(SIZE)] + [
            "--batch", str(BATCH), "--workers", str(WORKERS), "--images", str(wanted)]

    def torch(kind):
        return [sys.executable, __file__, "turn", str(folder), "--kind", kind, "--images", str(wanted)]

    rows = {
        "singer, folders": ours("folders"),
        "torchvision ImageFolder": torch("torchvision"),
        "singer, zip": ours("images.zip"),
        "singer, tar": ours("tar"),
        "webdataset": torch("webdataset"),
        "singer, Parquet": ours("parquet"),
    }
    found = {name: [] for name in rows}
    for turn in range(turns):
        for name, command in rows.items():
            if report := timed(command):
                found[name].append(report)
                if out:
                    with open(out, "a") as file:
                        print(json.dumps({"name": name, "turn": turn, **report}), file=file)
    print("| loader | images/s, best of the turns | all turns | peak memory, MiB |\n|---|---|---|---|")
    for name, reports in found.items():
        if reports:
            speeds = [report["images_per_second"] for report in reports]
            memory = max(report["peak_memory_mib"] for report in reports)
            each = ", ".join(f"{speed:.0f}" for speed in speeds)
            print(f"| {name} | {max(speeds):.0f} | {each} | {memory:,} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["make", "time", "turn"])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--images", type=int, default=5000, help="to make, or to time in a turn")
    parser.add_argument("--from", dest="source", help="a zip of photographs; without it, noise")
    parser.add_argument("--program")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--kind", choices=["torchvision", "webdataset"])
    parser.add_argument("--out", help="keep every turn's JSON, one a line")
    args = parser.parse_args()
    if args.what == "make":
        args.folder.mkdir(parents=True, exist_ok=True)
        make(args.folder, args.images, args.source)
    elif args.what == "turn":
        torch_turn(args.folder, args.kind, args.images)
    elif not args.program:
        parser.error("time needs --program")
    else:
        compare(args.folder, args.program, args.turns, args.images, args.out)


if __name__ == "__main__":
    main()
