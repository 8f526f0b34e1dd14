#!/usr/bin/env python3
"""masformer-1.3b-8k.ini on one GPU, beside the same model in PyTorch on the same GPU.

    tests/benchmark/gpu_table.py MASFORMER STORE [--steps 10] [--set SECTION.KEY=VALUE ...]

MASFORMER is the program, STORE a token store. PyTorch's side: bf16 autocast over fp32 weights, fused AdamW,
torch.compile, causal scaled_dot_product_attention for full layers and flex_attention with a block mask for
windowed ones; of the library's kernels cuDNN's first, then FlashAttention's. Autocast keeps the residual
stream in fp32, where masformer has bf16. A step is of train.global_batch sequences, one at a time (default: 1).
The table shows the median of all steps but the first three.

PyTorch runs in a process of its own. If that fails or exceeds --limit, the next simpler use of torch.compile
is tried: of the whole model, of each block, of attention alone. --set changes both sides (model.*,
train.sequence), so that the script can be tried without a GPU (--device cpu).
"""

import argparse
import configparser
import contextlib
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time

CONFIG = pathlib.Path(__file__).resolve().parents[2] / "launch/configs/masformer-1.3b-8k.ini"
WARM_UP = 3  # steps that are not counted: compilation, cold caches
COMPILED = ["model", "blocks", "attention"]  # what torch.compile is given, in the order of trying


def read_model(config_file, changes):
    """The config's [model] and [train] with the changes: shape, window of each layer (0: full), tokens."""
    config = configparser.ConfigParser()
    with open(config_file) as file:
        config.read_file(file)
    values = {f"{section}.{key}": value for section in ("model", "train") for key, value in config[section].items()}
    values.update(changes)
    shape = {name: int(values[f"model.{name}"]) for name in ("hidden", "heads", "ffn", "vocab", "positions")}
    windows = []
    for term in values["model.spans"].split(","):
        span, _, count = term.partition("*")
        windows += [int(span.partition(":")[2] or 0)] * int(count or 1)
    return shape, windows, int(values["train.sequence"])


def make_model(torch, shape, windows, sequence, device, compiled):
    """The model, and attention as its layers call it."""
    from torch import nn
    from torch.nn import functional as F
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    flex = torch.compile(flex_attention)
    hidden, heads, ffn = shape["hidden"], shape["heads"], shape["ffn"]

    class Block(nn.Module):
        def __init__(self, mask):
            super().__init__()
            self.mask = mask
            self.ln_1, self.ln_2 = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
            self.qkv, self.out = nn.Linear(hidden, 3 * hidden, bias=False), nn.Linear(hidden, hidden)
            self.fc, self.proj = nn.Linear(hidden, ffn), nn.Linear(ffn, hidden)

        def forward(self, x):
            q, k, v = self.qkv(self.ln_1(x)).view(1, sequence, 3, heads, -1).permute(2, 0, 3, 1, 4)
            if self.mask is None:
                y = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=1.0)
            elif isinstance(self.mask, torch.Tensor):  # flex_attention has no backward on CPUs
                y = F.scaled_dot_product_attention(q, k, v, attn_mask=self.mask, scale=1.0)
            else:
                y = flex(q, k, v, block_mask=self.mask, scale=1.0)
            x = x + self.out(y.transpose(1, 2).reshape(1, sequence, hidden))
            return x + self.proj(F.gelu(self.fc(self.ln_2(x)), approximate="tanh"))

    def make_mask(window):
        if window == 0:
            return None
        if device == "cpu":
            distance = torch.arange(sequence)[:, None] - torch.arange(sequence)[None, :]
            return (distance >= 0) & (distance < window)
        visible = lambda b, h, query, key: (query >= key) & (query - key < window)
        return create_block_mask(visible, None, None, sequence, sequence, device=device)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.wte = nn.Embedding(shape["vocab"], hidden)
            self.wpe = nn.Embedding(shape["positions"], hidden)
            masks = {window: make_mask(window) for window in set(windows)}
            self.blocks = nn.ModuleList(Block(masks[window]) for window in windows)
            self.ln_f = nn.LayerNorm(hidden)
            for parameter in self.parameters():
                if parameter.dim() > 1:
                    nn.init.normal_(parameter, std=0.02)

        def loss(self, x, labels):
            logits = F.linear(self.ln_f(x), self.wte.weight)
            return F.cross_entropy(logits.view(-1, logits.shape[-1]).float(), labels.view(-1))

        def forward(self, tokens, labels):
            x = self.wte(tokens) + self.wpe.weight[:sequence]
            for block in self.blocks:
                x = block(x)
            return self.loss(x, labels)

    with torch.device(device):
        model = Model()
    if compiled == "blocks":
        for block in model.blocks:
            block.compile()
        model.loss = torch.compile(model.loss)
    return model


def torch_steps(arguments, changes):
    """Trains in PyTorch; prints a line of JSON after each step: seconds, bytes at the peak."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    backends = [SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION,
                SDPBackend.MATH]
    device, on_gpu = arguments.device, arguments.device == "cuda"
    shape, windows, sequence = read_model(arguments.config, changes)
    sequences = int(changes["train.global_batch"])
    torch.manual_seed(1)
    model = make_model(torch, shape, windows, sequence, device, arguments.compile)
    words = torch.randint(shape["vocab"], (sequences, 1, sequence + 1), device=device)
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    forward = torch.compile(model) if arguments.compile == "model" else model
    for _ in range(arguments.steps + WARM_UP):
        begin = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        for sample in words:
            with torch.autocast(device, torch.bfloat16), sdpa_kernel(backends, set_priority=True):
                loss = forward(sample[:, :-1], sample[:, 1:]) / sequences
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if on_gpu:
            torch.cuda.synchronize()
        print(json.dumps({"seconds": time.perf_counter() - begin, "torch": torch.__version__,
                          "device": torch.cuda.get_device_name() if on_gpu else "CPU",
                          "bytes": torch.cuda.max_memory_allocated() if on_gpu else 0}), flush=True)


def run_torch(compiled, seconds):
    """The lines of torch_steps in a process of its own, as many as it prints in that time."""
    with tempfile.TemporaryFile("w+") as lines:
        # torch.compile has processes of its own, which end with the session.
        process = subprocess.Popen([sys.executable, *sys.argv, "--child", "--compile", compiled], stdout=lines,
                                   start_new_session=True)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            print(f"torch.compile of the {compiled}: stopped after {seconds:.0f} s", file=sys.stderr)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        lines.seek(0)
        output = lines.read()
    return [json.loads(line) for line in output.splitlines() if line.startswith("{") and line.endswith("}")]


def measure_torch(arguments):
    """What was compiled, and the lines of the counted steps; the last way has what time is left."""
    end = time.monotonic() + arguments.limit
    ways = COMPILED[COMPILED.index(arguments.compile):]
    for way in ways:
        left = end - time.monotonic()
        lines = run_torch(way, left if way == ways[-1] else 0.75 * left)[WARM_UP:]
        if lines:
            return way, lines
    sys.exit("PyTorch finished no step that counts")


def own_metrics(arguments, changes):
    """The lines of metrics of the counted steps."""
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        options = {"runtime.device": arguments.device, "train.dtype": "bf16",
                   "train.steps": arguments.steps + WARM_UP, "run.dir": folder, "data.path": arguments.store,
                   "eval.every": 0, "checkpoint.every": -1, **changes}
        words = [arguments.program, "train", "--config", str(arguments.config)]
        for name, value in options.items():
            words += [f"--{name}", str(value)]
        subprocess.run(words, check=True, stdout=sys.stderr)
        lines = pathlib.Path(folder, "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines][WARM_UP:]


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("store")
    parser.add_argument("--steps", type=int, default=10, help="counted steps (default: 10)")
    parser.add_argument("--config", default=CONFIG, help="the model (default: masformer-1.3b-8k.ini)")
    parser.add_argument("--folder", help="where the program's run may be for a while")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
    parser.add_argument("--torch-only", action="store_true", help="leaves masformer out")
    parser.add_argument("--compile", default="model", choices=COMPILED, help="what torch.compile is given first")
    parser.add_argument("--limit", type=float, default=600, help="seconds for PyTorch (default: 600)")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    arguments = parse()
    changes = {"train.global_batch": 1, **dict(change.split("=", 1) for change in arguments.set)}
    if arguments.child:
        torch_steps(arguments, changes)
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # ends the child, too
    rows = []
    own = [] if arguments.torch_only else own_metrics(arguments, changes)
    if own:
        rows.append(("masformer", statistics.median(line["step_seconds"] for line in own),
                     own[-1]["peak_memory_bytes"]))
    way, lines = measure_torch(arguments)
    rows.append(("torch", statistics.median(line["seconds"] for line in lines), lines[-1]["bytes"]))

    tokens = read_model(arguments.config, changes)[2] * int(changes["train.global_batch"])
    print(f"{lines[-1]['device']}, torch {lines[-1]['torch']}, torch.compile of the {way}; {tokens} tokens per step, bf16")
    print(f"{'':<12}{'s per step':>11}{'tokens/s':>10}{'MFU causal':>12}{'MFU dense':>11}{'peak GiB':>10}")
    for name, seconds, memory in rows:
        share = rows[0][1] / seconds  # the same operations
        mfu, dense = (f"{100 * share * statistics.median(line[key] for line in own):.1f}%" if own else "-"
                      for key in ("mfu", "mfu_dense"))
        print(f"{name:<12}{seconds:>11.4f}{tokens / seconds:>10.0f}{mfu:>12}{dense:>11}{memory / 2**30:>10.2f}")
    if own:
        print(f"masformer is {rows[1][1] / rows[0][1]:.2f} times as fast")


if __name__ == "__main__":
    main()
