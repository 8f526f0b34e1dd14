#!/usr/bin/env python3
"""Compares the steps of a run that logs all it can with those of one that logs as little as it can, in turns.

    tests/benchmark/logging_cost.py MASFORMER STORE [--pairs 4] [--steps 100] [--set SECTION.KEY=VALUE ...]

MASFORMER is the program, STORE a token store. Each run trains the same small model on the two ranks of a pipeline. On are
the live line, events.jsonl and the files for TensorBoard. Off are all of these; events by a folder in the place of their
file. metrics.jsonl and the recorder have no switch and are in both: masformer_recorder_cost measures a record. A step
lasts from its first record on rank 0 to that of the next step, so it has the logging between them. Measured are the steps
that are in the recordings as a whole, but for the first. The noise is how far the medians of every other run that logs
and of the rest are apart.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile

MODEL = {
    "model.spans": "full,window:64*3", "model.hidden": "64", "model.heads": "2", "train.sequence": "128",
    "train.global_batch": "8", "train.micro_batch": "2", "parallel.pipeline": "2", "eval.every": "0",
    "checkpoint.every": "-1", "runtime.threads": "1",
}
ON = {"log.live": "on", "log.tensorboard": "true"}
OFF = {"log.live": "off", "log.every": "1000000", "log.tensorboard": "false"}


def call(*words):
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise SystemExit(done.stdout)


def record_times(program, folder):
    """When rank 0's records began, in seconds, by step."""
    call(program, "report", folder)
    begins = {}
    for event in json.loads((folder / "trace.json").read_text())["traceEvents"]:
        if event["ph"] != "M" and event["pid"] == 0 and event["args"]["step"] > 0:
            begins.setdefault(event["args"]["step"], []).append(1e-6 * event["ts"])
    return begins


def run(program, store, options, with_events):
    """The seconds of the steps, and the records in a step."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch) / "run"
        if not with_events:
            (folder / "events.jsonl").mkdir(parents=True)
        chosen = {**options, "data.path": store, "run.dir": str(folder)}
        words = [word for key, value in chosen.items() for word in (f"--{key}", value)]
        call(program, "run", "-n", "2", "--", "train", *words)
        begins = record_times(program, folder)
        whole = sorted(begins)[1:]  # the recording may lack a part of its first step
        firsts = [min(begins[step]) for step in whole]
        return [after - before for before, after in zip(firsts, firsts[1:])], len(begins[whole[0]])


def median_of(runs):
    """Of all steps of these runs."""
    return statistics.median(seconds for steps, _ in runs for seconds in steps)


def milliseconds(runs):
    return f"{1e3 * median_of(runs):.3f} ms"


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1].strip(), description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("store")
    parser.add_argument("--pairs", type=int, default=4, help="of runs, at least 2")
    parser.add_argument("--steps", type=int, default=100, help="of a run, at least 3")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
    arguments = parser.parse_args()
    if arguments.pairs < 2 or arguments.steps < 3:
        parser.error("at least 2 pairs of 3 steps are needed")
    options = {**MODEL, "train.steps": str(arguments.steps), **dict(each.split("=", 1) for each in arguments.set)}
    on, off = [], []
    for pair in range(arguments.pairs):
        on.append(run(arguments.program, arguments.store, {**options, **ON}, with_events=True))
        off.append(run(arguments.program, arguments.store, {**options, **OFF}, with_events=False))
        print(f"pair {pair + 1}: {milliseconds(on[-1:])} on, {milliseconds(off[-1:])} off", flush=True)
    noise = abs(median_of(on[::2]) / median_of(on[1::2]) - 1)
    print(f"medians: {milliseconds(on)} on, {milliseconds(off)} off, on over off {median_of(on) / median_of(off):.4f}; "
          f"the same twice differs by {100 * noise:.2f}%; {on[0][1]} records per rank and step")


if __name__ == "__main__":
    main()
