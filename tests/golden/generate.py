"""Writes the fixtures *.h5 of this folder: small models, one batch, and what must come out of it.

The numbers come from a plain float64 model below, which shares no code with the program: dense
masks made pair by pair, and gradients by autograd. Each case is asserted to agree with Hugging
Face's GPTNeoForCausalLM in fp32 (eager attention: the flash path drops the window), and to be
sensitive: a window or block that is off by one in one layer must move the loss. GPT-Neo has no
rotary positions: Hugging Face's model then gets Llama's, by Hugging Face's own functions.
"""

import dataclasses
import math
import pathlib

import h5py
import numpy as np
import torch
import transformers
from transformers.models.llama import modeling_llama

FOLDER = pathlib.Path(__file__).parent
EPSILON = 1e-5
AGREEMENT = 1e-5  # largest deviation of Hugging Face's fp32 results from the float64 model
SENSITIVITY = 1e-4  # least relative change of the loss for a span that is off by one
POSITIONS = "transformer.wpe.weight"
SCORE_STD = 1.5  # of the attention scores: neither uniform nor one-hot


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    seed: int
    spans: str
    hidden: int
    heads: int
    ffn: int
    vocab: int
    positions: int
    sequence: int
    batch: int = 2
    tied: bool = True
    attention_scale: float = 1.0
    thetas: tuple = ()  # rotary positions: of full layers, of all others; empty: learned ones

    def theta_list(self):
        """The theta of each layer; None without rotary positions."""
        full, other = self.thetas or (None, None)
        return [full if span == "full" else other for span in self.span_list()]

    def span_list(self):
        return self.spans.split(",")

    def window(self):
        """GPT-Neo's one window size; 0 where no layer has a window."""
        return max([size for kind, size in map(parse, self.span_list()) if kind == "window"] + [0])


CASES = [
    Case("alternating", 25, "full,window:8,full,window:8", 48, 4, 56, 97, 64, 40),
    Case("all_windows", 20, "window:5,window:5,window:5", 40, 5, 96, 257, 40, 37),
    Case("odd_head_size", 3, "full,full", 36, 4, 144, 67, 64, 64),
    Case("wide_heads", 40, "full,window:16,window:16", 64, 2, 16, 131, 64, 64, batch=1),
    Case("blocks_untied", 35, "block:8,full,block:5,window:7", 32, 4, 96, 61, 48, 37,
         tied=False, attention_scale=1 / math.sqrt(8)),
    Case("rotary", 18, "full,window:7,block:10", 24, 4, 32, 61, 48, 48, batch=1,
         attention_scale=1 / math.sqrt(6), thetas=(10000.0, 50.0)),
]


def parse(span):
    kind, _, size = span.partition(":")
    return kind, int(size or 0)


def sees(span, query, key):
    kind, size = parse(span)
    if kind == "window":
        return query - size < key <= query
    if kind == "block":
        return size * (query // size - 1) <= key <= query
    return key <= query


def mask(span, sequence):
    rows = [[sees(span, query, key) for key in range(sequence)] for query in range(sequence)]
    return torch.tensor(rows)


def make_weights(case):
    """Random fp32 weights under Hugging Face's names, each exact in bfloat16."""
    random = np.random.default_rng(case.seed)

    def normal(shape, std, mean=0.0):
        step = 2.0 ** round(math.log2(std / 8))  # few digits: exact in bf16, and files compress
        units = np.round((mean + std * random.standard_normal(shape)) / step)
        largest = 2.0 ** math.ceil(math.log2((mean + 5 * std) / step))
        assert largest <= 256, "more digits than bfloat16 has"
        return np.clip(units, -largest, largest).astype(np.float32) * np.float32(step)

    def norm(prefix):
        return {prefix + ".weight": normal(case.hidden, 0.2, mean=1.0),
                prefix + ".bias": normal(case.hidden, 0.2)}

    head_size = case.hidden // case.heads
    query_std = math.sqrt(SCORE_STD / math.sqrt(head_size) / case.attention_scale / case.hidden)
    square, wide = (case.hidden, case.hidden), (case.ffn, case.hidden)
    unit, narrow = 1 / math.sqrt(case.hidden), 1 / math.sqrt(case.ffn)
    weights = {"transformer.wte.weight": normal((case.vocab, case.hidden), 0.3)}
    if not case.thetas:
        weights[POSITIONS] = normal((case.positions, case.hidden), 0.3)
    for layer in range(len(case.span_list())):
        block = f"transformer.h.{layer}."
        weights |= norm(block + "ln_1") | norm(block + "ln_2")
        for name, std in ("q_proj", query_std), ("k_proj", query_std), ("v_proj", unit):
            weights[block + f"attn.attention.{name}.weight"] = normal(square, std)
        weights[block + "attn.attention.out_proj.weight"] = normal(square, unit)
        weights[block + "attn.attention.out_proj.bias"] = normal(case.hidden, 0.2)
        weights[block + "mlp.c_fc.weight"] = normal(wide, unit)
        weights[block + "mlp.c_fc.bias"] = normal(case.ffn, 0.2)
        weights[block + "mlp.c_proj.weight"] = normal(wide[::-1], narrow)
        weights[block + "mlp.c_proj.bias"] = normal(case.hidden, 0.2)
    weights |= norm("transformer.ln_f")
    if not case.tied:
        weights["lm_head.weight"] = normal((case.vocab, case.hidden), 0.3)
    return weights


def make_batch(case):
    """tokens and labels [batch, sequence]; both ends of the vocabulary occur in each."""
    stream = np.random.default_rng(case.seed + 1000).integers(
        case.vocab, size=(case.batch, case.sequence + 1), dtype=np.int32)
    stream[0, 1:3] = 0, case.vocab - 1
    return stream[:, :-1], stream[:, 1:]


def layer_norm(x, w, prefix):
    centred = x - x.mean(-1, keepdim=True)
    variance = (centred * centred).mean(-1, keepdim=True)
    return centred / torch.sqrt(variance + EPSILON) * w[prefix + ".weight"] + w[prefix + ".bias"]


def rotated(x, theta):
    """x [batch, heads, sequence, head size]: elements i and i + size/2 as a complex number, turned
    by the angle position theta^(-2 i / size)."""
    a, b = x.chunk(2, dim=-1)
    size, sequence = x.shape[-1], x.shape[-2]
    frequency = theta ** (-2 * torch.arange(size // 2, dtype=torch.float64) / size)
    angle = torch.arange(sequence, dtype=torch.float64)[:, None] * frequency
    turned = torch.complex(a, b) * torch.polar(torch.ones_like(angle), angle)
    return torch.cat([turned.real, turned.imag], dim=-1)


def attention(x, w, prefix, visible, theta, case):
    batch, sequence, _ = x.shape

    def heads(name):  # [batch, heads, sequence, head size]
        projected = x @ w[f"{prefix}.{name}.weight"].T
        return projected.view(batch, sequence, case.heads, -1).transpose(1, 2)

    query, key = heads("q_proj"), heads("k_proj")
    if theta:
        query, key = rotated(query, theta), rotated(key, theta)
    scores = case.attention_scale * query @ key.transpose(2, 3)
    weight = torch.exp(scores - scores.amax(-1, keepdim=True)) * visible
    mixed = weight / weight.sum(-1, keepdim=True) @ heads("v_proj")
    joined = mixed.transpose(1, 2).reshape(batch, sequence, case.hidden)
    return joined @ w[prefix + ".out_proj.weight"].T + w[prefix + ".out_proj.bias"]


def mlp(x, w, prefix):
    y = x @ w[prefix + ".c_fc.weight"].T + w[prefix + ".c_fc.bias"]
    y = 0.5 * y * (1 + torch.tanh(math.sqrt(2 / math.pi) * (y + 0.044715 * y**3)))
    return y @ w[prefix + ".c_proj.weight"].T + w[prefix + ".c_proj.bias"]


def forward(case, w, tokens, labels, spans, thetas):
    """logits [batch, sequence, vocab] and the mean loss, in the weights' own precision."""
    h = w["transformer.wte.weight"][tokens]
    if POSITIONS in w:
        h = h + w[POSITIONS][: case.sequence]
    for layer, (span, theta) in enumerate(zip(spans, thetas)):
        block = f"transformer.h.{layer}."
        visible = mask(span, case.sequence)
        h = h + attention(layer_norm(h, w, block + "ln_1"), w, block + "attn.attention", visible,
                          theta, case)
        h = h + mlp(layer_norm(h, w, block + "ln_2"), w, block + "mlp")
    head = w["transformer.wte.weight" if case.tied else "lm_head.weight"]
    logits = layer_norm(h, w, "transformer.ln_f") @ head.T
    predicted = logits.gather(-1, labels[..., None]).squeeze(-1)
    return logits, (torch.logsumexp(logits, -1) - predicted).mean()


def run_reference(case, weights, tokens, labels):
    w = {name: torch.tensor(value, dtype=torch.float64, requires_grad=True)
         for name, value in weights.items()}
    logits, loss = forward(case, w, tokens, labels, case.span_list(), case.theta_list())
    loss.backward()
    return logits.detach(), loss.item(), {name: value.grad for name, value in w.items()}


def query_scale(case, name):
    """What a weight is multiplied by, to bring in an attention scale that GPT-Neo lacks."""
    return case.attention_scale if "q_proj" in name else 1.0


def add_rotary(attention, theta, case):
    """Makes a GPT-Neo attention rotate its queries and keys as Hugging Face's Llama does."""
    config = transformers.LlamaConfig(
        hidden_size=case.hidden, num_attention_heads=case.heads,
        max_position_embeddings=case.positions,
        rope_parameters={"rope_type": "default", "rope_theta": theta})
    embedding = modeling_llama.LlamaRotaryEmbedding(config)
    attend = attention._attn

    def rotate_and_attend(query, key, value, mask=None):
        cosine, sine = embedding(query, torch.arange(query.shape[-2])[None])
        query, key = modeling_llama.apply_rotary_pos_emb(query, key, cosine, sine)
        return attend(query, key, value, mask)

    attention._attn = rotate_and_attend


def make_hugging_face(case, weights):
    """Its model in fp32. Blocks, for which GPT-Neo has no word, overwrite the mask buffer; with
    rotary positions, the learned ones are zeros."""
    spans = case.span_list()
    config = transformers.GPTNeoConfig(
        vocab_size=case.vocab, max_position_embeddings=case.positions, hidden_size=case.hidden,
        num_layers=len(spans), num_heads=case.heads, intermediate_size=case.ffn,
        attention_types=[[["local" if "window" in span else "global"], 1] for span in spans],
        window_size=case.window() or 256, layer_norm_epsilon=EPSILON, bos_token_id=0,
        eos_token_id=0, tie_word_embeddings=case.tied, attn_implementation="eager")
    model = transformers.GPTNeoForCausalLM(config).eval()
    assert model.config._attn_implementation == "eager"
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        if case.thetas:
            parameters.pop(POSITIONS).zero_()
        assert set(parameters) == set(weights)
        for name, parameter in parameters.items():
            parameter.copy_(torch.from_numpy(weights[name]) * query_scale(case, name))
        for span, theta, block in zip(spans, case.theta_list(), model.transformer.h):
            if theta:
                add_rotary(block.attn.attention, theta, case)
            visible = mask(span, case.positions)
            if "block" in span:
                block.attn.attention.bias.copy_(visible)
            assert torch.equal(block.attn.attention.bias[0, 0], visible)
    return model, parameters


def run_hugging_face(case, weights, tokens, labels):
    model, parameters = make_hugging_face(case, weights)
    output = model(tokens, labels=labels, shift_labels=labels, use_cache=False)
    output.loss.backward()
    gradients = {name: parameter.grad * query_scale(case, name)
                 for name, parameter in parameters.items()}
    return output.logits.detach(), output.loss.item(), gradients


def deviations(reference, other):
    """Relative: the loss; the logits by their largest; each gradient by norm, the worst."""
    logits, loss, gradients = reference
    worst = max(((other[2][name] - value).norm() / value.norm()).item()
                for name, value in gradients.items())
    largest = ((other[0] - logits).abs().max() / logits.abs().max()).item()
    return {"hf_loss_deviation": abs(other[1] / loss - 1), "hf_logits_deviation": largest,
            "hf_gradient_deviation": worst}


def least_sensitivity(case, weights, tokens, labels, loss):
    """The least relative change of the loss where one layer's span is off by one, or its theta is
    that of the other layers."""
    w = {name: torch.tensor(value, dtype=torch.float64) for name, value in weights.items()}
    changes = []

    def change(spans, thetas):
        changed = forward(case, w, tokens, labels, spans, thetas)[1].item()
        changes.append(abs(changed / loss - 1))

    for layer, span in enumerate(case.span_list()):
        kind, size = parse(span)
        for wrong in (size - 1, size + 1) if size else ():
            spans = case.span_list()
            spans[layer] = f"{kind}:{wrong}"
            change(spans, case.theta_list())
        if case.thetas:
            thetas = case.theta_list()
            thetas[layer] = sum(case.thetas) - thetas[layer]
            change(case.span_list(), thetas)
    return min(changes, default=math.inf)


def write(case, weights, tokens, labels, reference, measured):
    # v110: chunk indices of a few bytes, and readable by every HDF5 from 1.10 on.
    with h5py.File(FOLDER / f"{case.name}.h5", "w", libver=("v110", "v110")) as file:
        for field in "hidden", "heads", "ffn", "vocab", "positions":
            file.attrs[field] = np.int64(getattr(case, field))
        file.attrs["layers"] = np.int64(len(case.span_list()))
        file.attrs["window"] = np.int64(case.window())
        file.attrs["spans"] = np.bytes_(case.spans)
        file.attrs["tied"] = np.int64(case.tied)
        file.attrs["epsilon"] = EPSILON
        file.attrs["attention_scale"] = case.attention_scale
        if case.thetas:
            file.attrs["rotary_theta"], file.attrs["rotary_theta_window"] = case.thetas
        logits, loss, gradients = reference
        file.attrs["loss"] = loss
        file.attrs.update(measured)

        def store(name, values):
            packed = {"compression": "gzip", "compression_opts": 9, "shuffle": True,
                      "chunks": values.shape} if values.size > 512 else {}
            file.create_dataset(name, data=values, track_times=False, **packed)

        store("tokens", tokens)
        store("labels", labels)
        store("logits", logits.numpy().astype(np.float32))
        for name, value in weights.items():
            store(f"weights/{name}", value)
            store(f"gradients/{name}", gradients[name].numpy().astype(np.float32))


def generate(case):
    weights = make_weights(case)
    tokens, labels = make_batch(case)
    batch = torch.from_numpy(tokens).long(), torch.from_numpy(labels).long()
    reference = run_reference(case, weights, *batch)
    measured = deviations(reference, run_hugging_face(case, weights, *batch))
    assert max(measured.values()) < AGREEMENT, (case.name, measured)
    least = least_sensitivity(case, weights, *batch, reference[1])
    assert least > SENSITIVITY, (case.name, least)
    write(case, weights, tokens, labels, reference, measured)
    print(case.name, f"loss {reference[1]:.4f}", f"least change off by one {least:.1e}",
          *(f"{name} {value:.1e}" for name, value in measured.items()))


if __name__ == "__main__":
    torch.set_num_threads(1)  # one order of summation: the same bytes on every run
    for golden_case in CASES:
        generate(golden_case)
