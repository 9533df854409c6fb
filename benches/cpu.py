"""Times `singer bench` and `torch_step.py` on a CPU in turns, so that both see the same
machine, and prints a Markdown table of each one's best turn. Needs torch and timm.

    python cpu.py --program target/release/singer [--program OLD] [--turns 3] [--out FILE]

Each turn is a process of its own. --out keeps every turn's JSON, one a line.
"""

import argparse
import json
import pathlib
import subprocess
import sys

TORCH = pathlib.Path(__file__).with_name("torch_step.py")
# Teacher, student, batches; step and memory are measured for each.
CASES = {
    "small": ("vit_small_patch16_224", "vit_tiny_patch16_224", [8, 4, 16]),
    "base": ("vit_base_patch16_224", "vit_small_patch16_224", [4]),
    "518": ("vit_small_patch14_dinov2", "vit_tiny_patch16_224", [2]),
}


def turn(command):
    """What one process measured; None where it failed."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        print(f"cpu: {' '.join(command)}: exit code {done.returncode} {done.stderr.strip()}", file=sys.stderr)
        return None
    return json.loads(done.stdout)


def best(reports, part):
    return min((report[part]["min_s"] for report in reports), default=None)


def row(case, batch, name, reports):
    if not reports:
        return f"| {case} | {batch} | {name} | - | - | - | - | - |"
    step, forward = best(reports, "step"), best(reports, "teacher_forward")
    memory = min(report["peak_memory_mib"] for report in reports)
    product = max(report["matmul_gflops"] for report in reports)
    rates = f"{batch / step:.2f} | {batch / forward:.2f}"
    return f"| {case} | {batch} | {name} | {step:.3f} | {rates} | {memory:,} | {product:.0f} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", action="append", required=True, help="a `singer`; may be given again")
    parser.add_argument("--case", action="append", choices=list(CASES), help="by default all")
    parser.add_argument("--batch", type=int, action="append", help="only these batches")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32", help="PyTorch's")
    parser.add_argument("--out", type=pathlib.Path)
    args = parser.parse_args()
    print("| | batch | | step, s | images/s | teacher, images/s | peak MiB | 1024³ product, GFLOP/s |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for case in args.case or CASES:
        teacher, student, batches = CASES[case]
        for batch in [batch for batch in batches if not args.batch or batch in args.batch]:
            shape = ["--teacher", teacher, "--student", student, "--batch", str(batch), "--runs", str(args.runs)]
            commands = {program: [program, "bench", "--device", "cpu"] for program in args.program}
            commands[f"PyTorch {args.precision}"] = [sys.executable, str(TORCH), "--precision", args.precision]
            found = {name: [] for name in commands}
            for number in range(args.turns):
                for name, command in commands.items():
                    report = turn(command + shape)
                    if report is None:
                        continue
                    found[name].append(report)
                    if args.out:
                        with args.out.open("a") as file:
                            file.write(json.dumps({"case": case, "program": name, "turn": number, **report}) + "\n")
            for name, reports in found.items():
                print(row(case, batch, name, reports), flush=True)


if __name__ == "__main__":
    main()
