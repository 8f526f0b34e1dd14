#!/usr/bin/env python3
"""Compares the loss in bf16 on a device with fp32 on the CPU, step by step, and draws both.

    tests/benchmark/loss_curve.py MASFORMER STORE PICTURE.svg [--device cuda] [--steps 200]
                                  [--set SECTION.KEY=VALUE ...]

MASFORMER is the program, STORE a token store. Both runs use one rank and the same model, weights, data and
options. The exit status is 1 if the mean difference is above 0.5%, or if it grows by more than 0.5% between
the first and the last quarter of the steps.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

DEFAULTS = {
    "model.spans": "full,window:64,window:64,full", "model.hidden": "256", "model.heads": "4",
    "train.sequence": "256", "train.global_batch": "8", "train.micro_batch": "4", "train.lr": "1e-3",
    "train.warmup_steps": "20", "checkpoint.every": "0",
}
BOUND = 5e-3
WIDTH, HEIGHT, DIFFERENCE, MARGIN = 720, 300, 120, 60  # of the picture, its lower part and its frame


def losses(program, store, folder, options):
    words = [word for key, value in options.items() for word in (f"--{key}", value)]
    subprocess.run([program, "train", "--data.path", store, "--run.dir", folder, *words], check=True,
                   stdout=subprocess.DEVNULL)
    return [json.loads(line)["loss"] for line in (pathlib.Path(folder) / "metrics.jsonl").read_text().splitlines()]


def polyline(values, low, high, top, height, style):
    step = (WIDTH - 2 * MARGIN) / (len(values) - 1)
    points = " ".join(f"{MARGIN + i * step:.1f},{top + height * (high - v) / (high - low):.1f}"
                      for i, v in enumerate(values))
    return f'<polyline points="{points}" fill="none" {style}/>'


def axis(low, high, top, height, form):
    return "".join(
        f'<line x1="{MARGIN}" x2="{WIDTH - MARGIN}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
        f'<text x="{MARGIN - 6}" y="{y + 4:.1f}" text-anchor="end">{form(value)}</text>'
        for value, y in ((high - part * (high - low), top + part * height) for part in (0, 0.5, 1)))


def picture(exact, rounded, differences, title):
    top, lower = 40, 40 + HEIGHT + 50
    low, high = min(exact + rounded), max(exact + rounded)
    most = max(BOUND, max(abs(d) for d in differences))
    percent = lambda value: f"{100 * value:+.1f}%"
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{lower + DIFFERENCE + 40}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{MARGIN}" y="24" font-size="14">{title}</text>',
        axis(low, high, top, HEIGHT, lambda value: f"{value:.2f}"),
        polyline(exact, low, high, top, HEIGHT, 'stroke="#1f5fa8" stroke-width="3" stroke-opacity="0.5"'),
        polyline(rounded, low, high, top, HEIGHT, 'stroke="#c23b22" stroke-width="1"'),
        f'<text x="{WIDTH - MARGIN}" y="{top + 16}" text-anchor="end" fill="#1f5fa8">fp32, CPU</text>',
        f'<text x="{WIDTH - MARGIN}" y="{top + 32}" text-anchor="end" fill="#c23b22">bf16, device</text>',
        f'<text x="{MARGIN}" y="{lower - 10}">relative difference</text>',
        axis(-most, most, lower, DIFFERENCE, percent),
        polyline(differences, -most, most, lower, DIFFERENCE, 'stroke="#c23b22" stroke-width="1"'),
        f'<text x="{MARGIN}" y="{lower + DIFFERENCE + 24}">step 1</text>',
        f'<text x="{WIDTH - MARGIN}" y="{lower + DIFFERENCE + 24}" text-anchor="end">step {len(exact)}</text>',
        "</svg>", ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("store")
    parser.add_argument("picture", type=pathlib.Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--name", default="", help="of the device, for the picture's title")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
    arguments = parser.parse_args()
    options = DEFAULTS | {"train.steps": str(arguments.steps)} | dict(each.split("=", 1) for each in arguments.set)
    with tempfile.TemporaryDirectory() as folder:
        exact = losses(arguments.program, arguments.store, folder + "/fp32", options)
        rounded = losses(arguments.program, arguments.store, folder + "/bf16",
                         options | {"train.dtype": "bf16", "runtime.device": arguments.device})
    differences = [b / a - 1 for a, b in zip(exact, rounded, strict=True)]
    mean = sum(map(abs, differences)) / len(differences)
    quarter = len(differences) // 4
    drift = (sum(differences[-quarter:]) - sum(differences[:quarter])) / quarter
    model = f'spans {options["model.spans"]}, hidden {options["model.hidden"]}, sequence {options["train.sequence"]}'
    arguments.picture.write_text(picture(exact, rounded, differences, f"{arguments.name or arguments.device}: {model}"))
    print(f"{len(exact)} steps, loss {exact[0]:.3f} to {exact[-1]:.3f}: mean difference {100 * mean:.3f}%, "
          f"drift {100 * drift:+.3f}%")
    sys.exit(mean > BOUND or abs(drift) > BOUND)


if __name__ == "__main__":
    main()
