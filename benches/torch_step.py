"""A lean SiNGER training step in PyTorch and timm, the peer of `singer bench`. Prints JSON
with the same keys. Needs torch and timm.

    python torch_step.py --teacher vit_small_patch16_224 --student vit_tiny_patch16_224 --batch 8
    python torch_step.py --teacher vit_large_patch16_224 --batch 64 --device cuda --precision bf16 --compile

Equal to `singer bench`: models with new weights, images of noise on the device, the paper's
losses on one intermediate and the last layer, AdamW on student, adapters and projections,
no clipping, the teacher's next block computed once. Different: adapters start from random
orthonormal columns, which costs the same in a step; on CUDA, AdamW is the fused kernel.
"""

import argparse
import contextlib
import json
import platform
import resource
import statistics
import sys
import time

PRECISIONS = {"f32": None, "tf32": None, "bf16": "bfloat16", "f16": "float16"}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--teacher", default="vit_small_patch16_224")
    parser.add_argument("--student", default="vit_tiny_patch16_224")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--layer", type=int, help="by default the one at 17/24 of the depth")
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument("--threads", type=int, help="CPU threads; by default one for each core")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", choices=list(PRECISIONS), default="f32")
    parser.add_argument("--compile", action="store_true", help="compile the forward pass and the losses")
    return parser.parse_args()


class Step:
    """One training step; `teacher_forward` is its teacher's part alone."""

    def __init__(self, args):
        self.device = torch.device(args.device)
        teacher = timm.create_model(args.teacher, num_classes=0).eval().requires_grad_(False)
        height, width = teacher.patch_embed.img_size
        patch = teacher.patch_embed.patch_size[0]
        student = timm.create_model(args.student, num_classes=0, img_size=(height, width), patch_size=patch)
        self.teacher, self.student = teacher.to(self.device), student.train().to(self.device)
        self.prefix = teacher.num_prefix_tokens
        depth, width_of_teacher = len(teacher.blocks), teacher.embed_dim
        last = depth - 1
        layer = depth * 17 // 24 if args.layer is None else args.layer
        self.layers = [min(layer, max(last - 1, 0)), last]
        # The teacher's last block teaches the student's last, the other one the nearest.
        top = len(student.blocks) - 1
        nearest = min(range(top), key=lambda block: abs(self.layers[0] * top - block * depth))
        self.student_layers = [nearest, top]

        columns = [torch.linalg.qr(torch.randn(width_of_teacher, args.rank))[0] for _ in self.layers]
        self.down = torch.nn.ParameterList(columns).to(self.device)
        self.up = torch.nn.ParameterList([column.T.clone() for column in columns]).to(self.device)
        projections = [torch.nn.Linear(student.embed_dim, width_of_teacher) for _ in self.layers]
        self.projections = torch.nn.ModuleList(projections).to(self.device)
        trained = [self.student, self.down, self.up, self.projections]
        self.parameters = [parameter for part in trained for parameter in part.parameters()]
        fused = self.device.type == "cuda"
        self.optimizer = torch.optim.AdamW(self.parameters, lr=1e-3, weight_decay=1e-4, fused=fused)
        self.images = torch.randn(args.batch, 3, height, width, device=self.device)

        half = PRECISIONS[args.precision]
        self.half = half and getattr(torch, half)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=args.precision == "f16")
        self.loss = torch.compile(self.losses) if args.compile else self.losses
        self.forward = torch.compile(self.features) if args.compile else self.features

    def autocast(self):
        if self.half is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.half)

    def tokens(self, model, layers):
        x = model.norm_pre(model.patch_drop(model._pos_embed(model.patch_embed(self.images))))
        found = {}
        for index, block in enumerate(model.blocks[: max(layers) + 1]):
            x = block(x)
            if index in layers:
                found[index] = x
        return found

    def features(self):
        with torch.no_grad():
            return self.tokens(self.teacher, {self.layers[0], self.layers[0] + 1, self.layers[1]})

    def gram(self, tokens):
        unit = functional.normalize(tokens[:, self.prefix :], dim=-1)
        return (unit @ unit.transpose(1, 2)).float()

    def losses(self):
        teacher = self.features()
        student = self.tokens(self.student, set(self.student_layers))
        total = 0.0
        for place, layer in enumerate(self.layers):
            clean = teacher[layer]
            patches = clean[:, self.prefix :]
            moved = patches + patches @ self.down[place] @ self.up[place]
            refined = torch.cat([clean[:, : self.prefix], moved], 1)
            projected = self.projections[place](student[self.student_layers[place]])
            distillation = functional.mse_loss(projected.float(), refined.float())
            norms = moved.float().norm(dim=-1)
            threshold = torch.quantile(norms.detach(), 0.97, dim=1, keepdim=True)
            above = (norms > threshold).float()
            # A sum over a count instead of an index, which would wait for the device.
            outlier = ((norms - threshold) * above).square().sum() / above.sum().clamp(min=1)
            reads = layer + 1 < len(self.teacher.blocks)
            read = self.teacher.blocks[layer + 1](refined) if reads else refined
            wanted = teacher[layer + 1] if reads else clean
            information = functional.mse_loss(self.gram(read), self.gram(wanted))
            total = total + (distillation + 0.01 * outlier + information) / len(self.layers)
        return total

    def step(self):
        with self.autocast():
            loss = self.loss()
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def teacher_forward(self):
        with self.autocast():
            self.forward()

    def timed(self, runs, work):
        """Seconds of each run, after one that is not counted (two where it compiles)."""
        seconds = []
        for _ in range(runs + 2):
            self.synchronise()
            start = time.perf_counter()
            work()
            self.synchronise()
            seconds.append(time.perf_counter() - start)
        return seconds[2:]

    def synchronise(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def speed(seconds, batch):
    median = statistics.median(seconds)
    return {
        "median_s": median,
        "min_s": min(seconds),
        "max_s": max(seconds),
        "images_per_second": batch / median,
    }


def measure(args):
    torch.manual_seed(0)
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.backends.cuda.matmul.allow_tf32 = args.precision == "tf32"
    torch.backends.cudnn.allow_tf32 = args.precision == "tf32"
    work = Step(args)
    # In the order of `singer bench`.
    forward = work.timed(args.runs, work.teacher_forward)
    step = work.timed(args.runs, work.step)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    cuda = work.device.type == "cuda"
    allocated = torch.cuda.max_memory_allocated() >> 20 if cuda else None
    reserved = torch.cuda.max_memory_reserved() >> 20 if cuda else None
    square = torch.randn(1024, 1024, device=work.device)
    with work.autocast():
        product = statistics.median(work.timed(args.runs, lambda: square @ square))
    return {
        "device": torch.cuda.get_device_name() if cuda else platform.processor() or platform.machine(),
        "teacher": args.teacher,
        "student": args.student,
        "batch": args.batch,
        "image": list(work.images.shape[2:]),
        "layers": work.layers,
        "student_layers": work.student_layers,
        "rank": args.rank,
        "runs": args.runs,
        "threads": torch.get_num_threads(),
        "precision": args.precision,
        "compiled": args.compile,
        "step": speed(step, args.batch),
        "teacher_forward": speed(forward, args.batch),
        "matmul_gflops": 2 * 1024**3 / product / 1e9,
        "peak_memory_mib": peak,
        "peak_device_memory_mib": allocated,
        "reserved_device_memory_mib": reserved,
        "torch": torch.__version__,
        "timm": timm.__version__,
    }


def main():
    args = arguments()
    if min(args.batch, args.rank, args.runs) < 1:
        sys.exit("torch_step: --batch, --rank and --runs must be at least 1")
    if args.device == "cuda" and not torch.cuda.is_available():
        sys.exit("torch_step: this PyTorch finds no CUDA device; use --device cpu")
    try:
        print(json.dumps(measure(args), indent=2))
    except torch.OutOfMemoryError:
        sys.exit(f"torch_step: the device's memory does not hold a batch of {args.batch}; use a smaller --batch")
    except (RuntimeError, ValueError) as error:
        sys.exit(f"torch_step: {str(error).splitlines()[0]}")


try:
    import timm
    import torch
    from torch.nn import functional
except ImportError as error:
    sys.exit(f"torch_step: {error}; install torch and timm")

if __name__ == "__main__":
    main()
