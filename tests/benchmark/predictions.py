#!/usr/bin/env python3
"""Compares the step time that a run predicts for itself with the one that it measures.

    tests/benchmark/predictions.py MASFORMER STORE [--cases N] [--like "LAYOUT, SPANS"] [--runs 4] [--steps 4]

MASFORMER is the program, STORE a token store. Each run of a case has two ranks with one thread each. It times its kinds
of layers (plan.profile), writes its prediction (plan.json) and then trains; so profiles and measurements take turns.
Predicted is the median of the runs' predictions, measured the median of all steps but each run's first. The noise is how
far the measured medians of every other run and of the rest are apart. Nothing is calibrated on these cases.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile

MODEL = {
    "model.hidden": "192", "model.heads": "6", "model.attention_scale": "1/sqrt(d)", "train.sequence": "512",
    "train.global_batch": "8", "train.micro_batch": "1", "train.warmup_steps": "1", "eval.every": "0",
    "checkpoint.every": "-1", "runtime.threads": "1",
}
MIXES = {
    "windows": "window:64*8",
    "full first": "full*3,window:64*5",
    "full last": "window:128*5,full*3",
    "alternating": "full,window:256,full,window:256,full,window:256,full,window:256",
    "blocks": "block:128*6,full*2",
}
# Costly layers in the first stage: what balancing the stages saves is predicted and measured here.
BUNCHED = {"model.spans": "full*4,window:128*12", "model.hidden": "128", "model.heads": "2", "train.sequence": "4096"}
PIPE = {"parallel.pipeline": "2"}
LAYOUTS = [
    ("1f1b", {**PIPE, "parallel.schedule": "1f1b"}),
    ("1f1b, even", {**PIPE, "parallel.schedule": "1f1b", "parallel.partition": "even"}),
    ("1f1b, 2 and 6", {**PIPE, "parallel.schedule": "1f1b", "parallel.partition": "2,6"}),
    ("gpipe, 4 micro-batches", {**PIPE, "parallel.schedule": "gpipe", "train.micro_batch": "2"}),
    ("interleaved", {**PIPE, "parallel.schedule": "interleaved"}),
    ("zero-bubble", {**PIPE, "parallel.schedule": "zero-bubble"}),
    ("zero-bubble-v", {**PIPE, "parallel.schedule": "zero-bubble-v"}),
    ("1f1b, recompute block", {**PIPE, "parallel.schedule": "1f1b", "train.recompute": "block"}),
    ("1f1b, 1,024 tokens", {**PIPE, "parallel.schedule": "1f1b", "train.sequence": "1024", "train.global_batch": "4"}),
    ("context", {"parallel.context": "2", "train.global_batch": "4"}),
    ("data", {"parallel.data": "2"}),
    ("tensor", {"parallel.tensor": "2", "train.global_batch": "4"}),
]


def cases():
    """Every layout with some of the mixes, so that each mix meets each kind of layout; then BUNCHED, balanced and even."""
    mixes = list(MIXES)
    for turn in range(3):
        for index, (name, options) in enumerate(LAYOUTS):
            mix = mixes[(index + 2 * turn) % len(mixes)]
            yield name, mix, {"model.spans": MIXES[mix], **options}
    for name, options in LAYOUTS[:2]:
        yield name, "bunched", {**options, **BUNCHED}


def run(program, store, steps, options):
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch) / "run"
        chosen = {**MODEL, **options, "train.steps": str(steps), "plan.profile": "true", "data.path": store,
                  "run.dir": str(folder)}
        words = [word for key, value in chosen.items() for word in (f"--{key}", value)]
        done = subprocess.run([program, "run", "-n", "2", "--", "train", *words], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, env={**os.environ, "XDG_CACHE_HOME": scratch})
        if done.returncode != 0:
            raise SystemExit(done.stdout)
        predicted = json.loads((folder / "plan.json").read_text())["step_seconds"]
        lines = (folder / "metrics.jsonl").read_text().splitlines()
        return predicted, [json.loads(line)["step_seconds"] for line in lines][1:]


def median_of(runs):
    """Of all steps of these runs."""
    return statistics.median(seconds for _, steps in runs for seconds in steps)


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1].strip(), description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("store")
    parser.add_argument("--cases", type=int, default=38)
    parser.add_argument("--like", default="", help="only cases whose layout and spans, as printed, contain this")
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--steps", type=int, default=4)
    arguments = parser.parse_args()
    errors = []
    print("| layout | spans | predicted, ms | measured, ms | error | noise |\n| --- | --- | --- | --- | --- | --- |")
    chosen = [case for case in cases() if arguments.like in f"{case[0]}, {case[1]}"][:arguments.cases]
    if not chosen:
        parser.error(f"no case is like '{arguments.like}'")
    for name, mix, options in chosen:
        runs = [run(arguments.program, arguments.store, arguments.steps, options) for _ in range(arguments.runs)]
        predicted = statistics.median(each for each, _ in runs)
        measured = median_of(runs)
        error = predicted / measured - 1
        noise = abs(median_of(runs[::2]) / median_of(runs[1::2]) - 1)
        errors.append((abs(error), noise))
        print(f"| {name} | {mix} | {1e3 * predicted:.0f} | {1e3 * measured:.0f} | {100 * error:+.1f}% | "
              f"{100 * noise:.1f}% |", flush=True)
    mean = statistics.mean(error for error, _ in errors)
    print(f"\n{len(errors)} cases: error {100 * mean:.1f}% on average, {100 * max(errors)[0]:.1f}% at most; "
          f"noise {100 * statistics.mean(noise for _, noise in errors):.1f}% on average")


if __name__ == "__main__":
    main()
