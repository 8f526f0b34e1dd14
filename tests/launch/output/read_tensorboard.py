"""Compares what TensorBoard's own reader and tbparse find in RUN_DIR/tensorboard with metrics.jsonl.

usage: read_tensorboard.py RUN_DIR     exit status 77: this Python lacks one of the readers
"""

import json
import math
import os
import sys

try:
    from tbparse import SummaryReader
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
except ImportError as error:
    print(f"{error}: pip install tensorboard tbparse")
    sys.exit(77)


def numbers(value, tag=""):
    """The numbers of a line of metrics.jsonl, as {tag: number}."""
    if isinstance(value, dict):
        return {k: v for key, inner in value.items() for k, v in numbers(inner, f"{tag}/{key}" if tag else key).items()}
    return {tag: value}


def expected(path):
    """{tag: [(step, number), ...]} of metrics.jsonl."""
    series = {}
    with open(path, encoding="utf-8") as file:
        for text in file:
            line = json.loads(text)
            step = line.pop("step")
            for tag, number in numbers(line).items():
                series.setdefault(tag, []).append((step, number))
    return series


def compare(reader, found, wanted):
    """Numbers of event files are fp32."""
    assert sorted(found) == sorted(wanted), (reader, sorted(found), sorted(wanted))
    for tag, points in wanted.items():
        assert [s for s, _ in found[tag]] == [s for s, _ in points], (reader, tag, found[tag])
        for (step, a), (_, b) in zip(found[tag], points):
            assert math.isclose(a, b, rel_tol=1e-7), (reader, tag, step, a, b)
    print(f"{reader}: {len(wanted)} tags, {sum(map(len, wanted.values()))} numbers, as in metrics.jsonl")


def main(run_dir):
    folder = os.path.join(run_dir, "tensorboard")
    wanted = expected(os.path.join(run_dir, "metrics.jsonl"))

    accumulator = EventAccumulator(folder, {"scalars": 0, "tensors": 0})
    accumulator.Reload()
    compare("TensorBoard", {tag: [(e.step, e.value) for e in accumulator.Scalars(tag)]
                            for tag in accumulator.Tags()["scalars"]}, wanted)
    text = accumulator.Tensors("config")[-1].tensor_proto.string_val[0].decode()
    assert "    [model]\n" in text, text
    print(f"TensorBoard: the config has {len(text.splitlines())} lines")

    scalars = SummaryReader(folder).scalars
    found = {tag: list(zip(rows["step"], rows["value"])) for tag, rows in scalars.groupby("tag")}
    compare("tbparse", found, wanted)
    texts = SummaryReader(folder).text
    assert "config" in set(texts["tag"]), texts


main(sys.argv[1])
