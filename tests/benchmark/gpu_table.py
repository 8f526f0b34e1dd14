#!/usr/bin/env python3
"""masformer-1.3b-8k.ini on one GPU, beside the same model in PyTorch on the same GPU, in one run.

    tests/benchmark/gpu_table.py MASFORMER STORE [--steps 10] [--folder FOLDER] [--set SECTION.KEY=VALUE ...]

MASFORMER is the program, STORE a token store. PyTorch's side: bf16 autocast over fp32 weights, fused AdamW,
torch.compile, causal scaled_dot_product_attention for full layers and flex_attention with a block mask
for windowed ones; of the library's kernels cuDNN's first, then FlashAttention's. Autocast keeps the residual
stream in fp32, which masformer has in bf16. Steps are of one sequence; the median of all but the first three is
taken. --set changes both sides (model.*, train.sequence), so that the script can be tried where no GPU is
(--device cpu). The program's last checkpoint, 15 GiB, goes to FOLDER and away with it.
"""

import argparse
import configparser
import json
import pathlib
import statistics
import subprocess
import tempfile
import time

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

CONFIG = pathlib.Path(__file__).parents[2] / "launch/configs/masformer-1.3b-8k.ini"
WARM_UP = 3  # steps that are not counted: compilation, cold caches
BACKENDS = [SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


def read_model(changes):
    """The config's [model] and [train], with what --set changes."""
    config = configparser.ConfigParser()
    config.read(CONFIG)
    values = {f"{section}.{key}": value for section in ("model", "train") for key, value in config[section].items()}
    values.update(changes)
    shape = {name: int(values[f"model.{name}"]) for name in ("hidden", "heads", "ffn", "vocab", "positions")}
    windows = []
    for term in values["model.spans"].split(","):
        span, _, count = term.partition("*")
        windows += [int(span.partition(":")[2] or 0)] * int(count or 1)  # 0: full
    return shape, windows, int(values["train.sequence"])


class Block(nn.Module):
    def __init__(self, shape, mask):
        super().__init__()
        hidden, ffn = shape["hidden"], shape["ffn"]
        self.heads, self.mask = shape["heads"], mask
        self.ln_1, self.ln_2 = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.qkv, self.out = nn.Linear(hidden, 3 * hidden, bias=False), nn.Linear(hidden, hidden)
        self.fc, self.proj = nn.Linear(hidden, ffn), nn.Linear(ffn, hidden)

    def forward(self, x):
        tokens, hidden = x.shape[1:]
        q, k, v = self.qkv(self.ln_1(x)).view(1, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if self.mask is None:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=1.0)
        elif isinstance(self.mask, torch.Tensor):  # flex_attention has no backward on CPUs
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=self.mask, scale=1.0)
        else:
            y = flex_attention(q, k, v, block_mask=self.mask, scale=1.0)
        x = x + self.out(y.transpose(1, 2).reshape(1, tokens, hidden))
        return x + self.proj(F.gelu(self.fc(self.ln_2(x)), approximate="tanh"))


class Model(nn.Module):
    def __init__(self, shape, windows, sequence, device):
        super().__init__()
        self.wte = nn.Embedding(shape["vocab"], shape["hidden"])
        self.wpe = nn.Embedding(shape["positions"], shape["hidden"])
        masks = {0: None}
        for window in set(windows) - {0}:
            def visible(_b, _h, query, key, window=window):
                return (query >= key) & (query - key < window)
            at = torch.arange(sequence)
            masks[window] = (visible(0, 0, at[:, None], at[None, :]) if device == "cpu" else
                             create_block_mask(visible, None, None, sequence, sequence, device=device))
        self.blocks = nn.ModuleList(Block(shape, masks[window]) for window in windows)
        self.ln_f = nn.LayerNorm(shape["hidden"])
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, tokens, labels):
        x = self.wte(tokens) + self.wpe.weight[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        logits = F.linear(self.ln_f(x), self.wte.weight)
        return F.cross_entropy(logits.view(-1, logits.shape[-1]).float(), labels.view(-1))


def torch_seconds(shape, windows, sequence, device, steps):
    """Median seconds of a step, and the largest memory taken in bytes."""
    torch.manual_seed(1)
    with torch.device(device):
        model = Model(shape, windows, sequence, device)
        words = torch.randint(shape["vocab"], (1, sequence + 1))
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    forward = torch.compile(model)
    on_gpu = device == "cuda"

    def step():
        begin = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16), sdpa_kernel(BACKENDS, set_priority=True):
            loss = forward(words[:, :-1], words[:, 1:])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if on_gpu:
            torch.cuda.synchronize()
        return time.perf_counter() - begin

    seconds = [step() for _ in range(steps + WARM_UP)][WARM_UP:]
    return statistics.median(seconds), torch.cuda.max_memory_allocated() if on_gpu else 0


def own_metrics(program, store, parent, changes, device, steps):
    """The metrics' lines of the counted steps."""
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        options = {"runtime.device": device, "train.dtype": "bf16", "train.global_batch": 1,
                   "train.steps": steps + WARM_UP, "run.dir": folder, "data.path": store, "eval.every": 0,
                   "checkpoint.every": 0, **changes}
        words = [program, "train", "--config", str(CONFIG)]
        for name, value in options.items():
            words += [f"--{name}", str(value)]
        subprocess.run(words, check=True)
        lines = pathlib.Path(folder, "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines][WARM_UP:]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("store")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--folder", help="where the program's run may be for a while")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
    arguments = parser.parse_args()
    changes = dict(change.split("=", 1) for change in arguments.set)
    shape, windows, sequence = read_model(changes)

    own = own_metrics(arguments.program, arguments.store, arguments.folder, changes, arguments.device,
                      arguments.steps)
    seconds = statistics.median(line["step_seconds"] for line in own)
    by_flops = {name: statistics.median(line[name] for line in own) for name in ("mfu", "mfu_dense")}
    twin, twin_memory = torch_seconds(shape, windows, sequence, arguments.device, arguments.steps)

    name = torch.cuda.get_device_name() if arguments.device == "cuda" else "CPU"
    print(f"\n{name}, torch {torch.__version__}; {sequence} tokens a step, bf16")
    print(f"{'':<12}{'s a step':>10}{'tokens/s':>10}{'MFU causal':>12}{'MFU dense':>11}{'peak GiB':>10}")
    for title, time_, memory in (("masformer", seconds, own[-1]["peak_memory_bytes"]), ("torch", twin, twin_memory)):
        share = seconds / time_  # the same operations
        print(f"{title:<12}{time_:>10.4f}{sequence / time_:>10.0f}{100 * by_flops['mfu'] * share:>11.1f}%"
              f"{100 * by_flops['mfu_dense'] * share:>10.1f}%{memory / 2**30:>10.2f}")
    print(f"masformer is {twin / seconds:.2f} times as fast")


if __name__ == "__main__":
    main()
