#!/usr/bin/env python3
"""Measures the model of masformer_step_benchmark in PyTorch, in turns with it.

    tests/benchmark/pytorch_twin.py BUILD_FOLDER [--threads 2] [--rounds 2] [--steps 3]

Needs torch (a CPU build is enough) and a build's masformer_step_benchmark. Parameters, batch, optimizer and
clipping are the same. Attention is PyTorch's scaled_dot_product_attention, with a mask for windowed layers;
bf16 is its autocast. Prints the fastest step of each and how many times as fast masformer is.
"""

import argparse
import subprocess
import time

SEQUENCE, HIDDEN, HEADS, FFN, VOCAB, LAYERS = 1024, 768, 12, 3072, 50257, 12
SPANS = {"full*12": [0] * 12, "full*4,window:256*8": [0] * 4 + [256] * 8}  # 0: full


def make_model(windows):
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Block(nn.Module):
        def __init__(self, window):
            super().__init__()
            self.ln_1, self.ln_2 = nn.LayerNorm(HIDDEN), nn.LayerNorm(HIDDEN)
            self.qkv = nn.Linear(HIDDEN, 3 * HIDDEN, bias=False)
            self.out = nn.Linear(HIDDEN, HIDDEN)
            self.fc, self.proj = nn.Linear(HIDDEN, FFN), nn.Linear(FFN, HIDDEN)
            mask = None
            if window:
                distance = torch.arange(SEQUENCE)[:, None] - torch.arange(SEQUENCE)[None, :]
                mask = (distance >= 0) & (distance < window)
            self.register_buffer("mask", mask)

        def forward(self, x):
            q, k, v = self.qkv(self.ln_1(x)).view(1, SEQUENCE, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=self.mask, is_causal=self.mask is None)
            x = x + self.out(y.transpose(1, 2).reshape(1, SEQUENCE, HIDDEN))
            return x + self.proj(F.gelu(self.fc(self.ln_2(x)), approximate="tanh"))

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.wte, self.wpe = nn.Embedding(VOCAB, HIDDEN), nn.Embedding(SEQUENCE, HIDDEN)
            self.blocks = nn.ModuleList(Block(window) for window in windows)
            self.ln_f = nn.LayerNorm(HIDDEN)
            for parameter in self.parameters():
                if parameter.dim() > 1:
                    nn.init.normal_(parameter, std=0.02)

        def forward(self, tokens, labels):
            x = self.wte(tokens) + self.wpe.weight
            for block in self.blocks:
                x = block(x)
            logits = F.linear(self.ln_f(x), self.wte.weight)
            return F.cross_entropy(logits.view(-1, VOCAB).float(), labels.view(-1))

    return Model()


def fastest_step(spans, dtype, compiled, steps):
    """Seconds of the fastest of `steps` steps, after one that is not counted."""
    import torch

    torch.manual_seed(1)
    model = make_model(SPANS[spans])
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    words = torch.randint(VOCAB, (1, SEQUENCE + 1))
    forward = torch.compile(model) if compiled else model

    def step():
        begin = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bf16"):
            loss = forward(words[:, :-1], words[:, 1:])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return time.perf_counter() - begin

    step()
    return min(step() for _ in range(steps))


def own_steps(build, threads, steps):
    """(spans, dtype) -> seconds, as masformer_step_benchmark prints them."""
    program = f"{build}/tests/benchmark/masformer_step_benchmark"
    lines = subprocess.run([program, str(threads), str(steps)], check=True, text=True,
                           capture_output=True).stdout.splitlines()
    rows = [line.split() for line in lines[2:]]
    return {(row[0], row[1]): float(row[2]) for row in rows}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3)
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(arguments.threads)

    best = {}

    def note(key, seconds):
        best[key] = min(best.get(key, seconds), seconds)

    for _ in range(arguments.rounds):
        for case, seconds in own_steps(arguments.build, arguments.threads, arguments.steps).items():
            note((*case, "masformer"), seconds)
        for spans in SPANS:
            for dtype in ("fp32", "bf16"):
                for name in ("eager", "compiled"):
                    note((spans, dtype, name),
                         fastest_step(spans, dtype, name == "compiled", arguments.steps))

    print(f"torch {torch.__version__}, {arguments.threads} threads; seconds per step of {SEQUENCE} tokens")
    print(f"{'spans':<22}{'dtype':<6}{'masformer':>10}{'eager':>9}{'compiled':>10}{'times as fast':>16}")
    for spans in SPANS:
        for dtype in ("fp32", "bf16"):
            own, eager, compiled = (best[spans, dtype, name] for name in ("masformer", "eager", "compiled"))
            print(f"{spans:<22}{dtype:<6}{own:>10.3f}{eager:>9.3f}{compiled:>10.3f}"
                  f"{eager / own:>8.2f}{compiled / own:>8.2f}")


if __name__ == "__main__":
    main()
