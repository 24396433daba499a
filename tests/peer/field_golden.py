#!/usr/bin/env python3
"""Golden losses and gradients of the field's attention modules, in 64-bit PyTorch, token by token.

Written from the equations of models/README.md alone; nothing is cut into chunks, and gradients are autograd's.
Each file of tests/golden/field holds a small model's config and weights, a text of eight segments and more, the
loss of every token and the gradient of their mean. Run by hand, with names of modules or none for all:

    tests/peer/field_golden.py [NAME ...]
"""
import json
import pathlib
import struct
import sys

import torch
import torch.nn.functional as F

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "golden/field"
SHAPE = dict(vocab=23, d_model=20, n_layers=2, n_heads=2, d_head=6, d_ff=28, segment=16, final_norm=1, output_bias=1)
SEGMENTS, SEED = 9, 20261130


def cases():
    """name: (attention, its keys, and other keys of the shape)"""
    return {
        "deltanet": ("deltanet", dict(conv_width=3, beta_max=2, output_gate=0), {}),
        "gated-deltanet": ("gated-deltanet", dict(expand_v=2), dict(segment=80)),
        "rmt": ("rmt", dict(memory_tokens=5), {}),
        "autocompressor": ("autocompressor", dict(memory_tokens=3, accumulate=2), dict(final_norm=0)),
        "armt": ("armt", dict(memory_tokens=3, memory_width=4), {}),
        "compressive": ("compressive", dict(mem_len=16, compressed_len=6, compress_rate=4, reconstruction=0.5), {}),
        "compressive-odd": ("compressive", dict(mem_len=13, compressed_len=20, compress_rate=3, untie_r=1), {}),
        "gated-deltanet-shared": ("gated-deltanet", {}, dict(n_heads=4, n_kv_heads=2)),
    }


# ---- weights ----

class Weights(dict):
    """float32 numbers in float64, drawn when they are first asked for."""

    def __init__(self):
        super().__init__()
        self.random = torch.Generator().manual_seed(SEED)

    def make(self, name, *shape, std=None, mean=0.0):
        std = std if std is not None else 0.9 / shape[-1] ** 0.5
        value = mean + std * torch.randn(*shape, generator=self.random)
        self[name] = value.double().requires_grad_()


def model_weights(c):
    w, d = Weights(), c["d_model"]
    w.make("word_emb.emb_layers.0.weight", c["vocab"], d, std=0.15)
    for i in range(c["n_layers"]):
        at, ff = f"layers.{i}.dec_attn.", f"layers.{i}.pos_ff."
        PARAMS[c["attention"]](w, c, at)
        for name in (at, ff):
            w.make(name + "layer_norm.weight", d, std=0.1, mean=1.0)
            w.make(name + "layer_norm.bias", d, std=0.1)
        w.make(ff + "CoreNet.0.weight", c["d_ff"], d)
        w.make(ff + "CoreNet.0.bias", c["d_ff"], std=0.1)
        w.make(ff + "CoreNet.3.weight", d, c["d_ff"])
        w.make(ff + "CoreNet.3.bias", d, std=0.1)
    if c["final_norm"]:
        w.make("final_norm.weight", d, std=0.1, mean=1.0)
        w.make("final_norm.bias", d, std=0.1)
    w.make("crit.out_layers.0.bias", c["vocab"], std=0.1)
    return w


# ---- the decoder ----

def layer_norm(w, name, x):
    return F.layer_norm(x, x.shape[-1:], w[name + ".weight"], w[name + ".bias"], eps=1e-5)


def feed_forward(w, i, x):
    ff = f"layers.{i}.pos_ff."
    h = F.linear(layer_norm(w, ff + "layer_norm", x), w[ff + "CoreNet.0.weight"], w[ff + "CoreNet.0.bias"])
    return x + F.linear(F.gelu(h, approximate="tanh"), w[ff + "CoreNet.3.weight"], w[ff + "CoreNet.3.bias"])


def losses(w, c, tokens):
    """The loss of tokens[1:] in nats."""
    reader, out = READERS[c["attention"]](w, c), []
    for begin in range(0, len(tokens) - 1, c["segment"]):
        x = w["word_emb.emb_layers.0.weight"][tokens[begin:begin + c["segment"]]]
        x = reader.segment(x)
        logits = F.linear(x, w["word_emb.emb_layers.0.weight"], w["crit.out_layers.0.bias"])
        out.append(F.cross_entropy(logits, tokens[begin + 1:begin + c["segment"] + 1], reduction="none"))
    return torch.cat(out), reader


class Stack:
    """Layers one after the other, each with a state of its own."""

    def __init__(self, w, c):
        self.w, self.c = w, c
        self.layers = [self.layer(i) for i in range(c["n_layers"])]
        self.extra = 0  # losses of the modules' own

    def segment(self, x):
        return self.read(x)

    def read(self, x):
        for i, attention in enumerate(self.layers):
            x = self.before(i, x)
            x = x + attention(x, layer_norm(self.w, f"layers.{i}.dec_attn.layer_norm", x))
            x = feed_forward(self.w, i, x)
            self.after(i, x)
        return layer_norm(self.w, "final_norm", x) if self.c["final_norm"] else x

    def before(self, i, x):
        return x

    def after(self, i, x):
        pass


# ---- DeltaNet, Gated DeltaNet ----

def delta_sizes(c):
    kv = c.get("n_kv_heads", 0) or c["n_heads"]
    d_k = c["d_head"]
    return c["n_heads"], kv, d_k, d_k * c.get("expand_v", 1)


def delta_params(w, c, at):
    heads, kv, d_k, d_v = delta_sizes(c)
    row, d = heads * d_k + kv * (d_k + d_v), c["d_model"]
    w.make(at + "qkv_net.weight", row, d)
    w.make(at + "o_net.weight", d, heads * d_v)
    w.make(at + "conv.weight", c.get("conv_width", 4), row, std=0.6)
    w.make(at + "beta_net.weight", kv, d)
    w.make(at + "o_norm.weight", d_v, std=0.1, mean=1.0)
    if c.get("output_gate", 1):
        w.make(at + "g_net.weight", heads * d_v, d)
    if c["attention"] == "gated-deltanet":
        w.make(at + "a_net.weight", kv, d)
        w.make(at + "A_log", kv, std=0.5, mean=-1.0)
        w.make(at + "dt_bias", kv, std=0.5)


class DeltaLayer:
    def __init__(self, w, c, index):
        self.w, self.c, self.at = w, c, f"layers.{index}.dec_attn."
        heads, kv, d_k, d_v = delta_sizes(c)
        self.state = [torch.zeros(d_k, d_v, dtype=torch.float64) for _ in range(kv)]
        self.past = []  # rows before the convolution

    def __call__(self, residual, x):
        return torch.stack([self.token(row) for row in x])

    def token(self, x):
        w, c, (heads, kv, d_k, d_v) = self.w, self.c, delta_sizes(self.c)
        taps = w[self.at + "conv.weight"]
        self.past.append(w[self.at + "qkv_net.weight"] @ x)
        recent = self.past[-len(taps):]
        row = F.silu(sum(tap * old for tap, old in zip(taps[-len(recent):], recent)))
        unit = lambda a: a / (a @ a + 1e-6).sqrt()
        q = [unit(a) / d_k ** 0.5 for a in row[:heads * d_k].split(d_k)]
        k = [unit(a) for a in row[heads * d_k:(heads + kv) * d_k].split(d_k)]
        v = row[(heads + kv) * d_k:].split(d_v)
        b = c.get("beta_max", 1) * torch.sigmoid(w[self.at + "beta_net.weight"] @ x)
        out = []
        for h in range(kv):
            s = self.state[h]
            if c["attention"] == "gated-deltanet":
                step = F.softplus(w[self.at + "a_net.weight"][h] @ x + w[self.at + "dt_bias"][h])
                s = torch.exp(-torch.exp(w[self.at + "A_log"][h]) * step) * s
            s = s + torch.outer(k[h], b[h] * (v[h] - k[h] @ s))
            self.state[h] = s
            for mine in range(h * heads // kv, (h + 1) * heads // kv):
                o = q[mine] @ s
                out.append(o / ((o ** 2).mean() + 1e-5).sqrt() * w[self.at + "o_norm.weight"])
        out = torch.cat(out)
        if c.get("output_gate", 1):
            out = out * F.silu(w[self.at + "g_net.weight"] @ x)
        return w[self.at + "o_net.weight"] @ out


class DeltaStack(Stack):
    def layer(self, index):
        return DeltaLayer(self.w, self.c, index)


# ---- memory tokens: RMT, AutoCompressor ----

def rotate(x):
    half = x.shape[-1] // 2
    angle = torch.arange(len(x), dtype=torch.float64)[:, None] * 10000.0 ** (-2 * torch.arange(half, dtype=torch.float64) / x.shape[-1])
    first, second = x[:, :half], x[:, half:]
    return torch.cat([first * angle.cos() - second * angle.sin(), second * angle.cos() + first * angle.sin()], dim=1)


def local_params(w, c, at):
    width = c["n_heads"] * c["d_head"]
    w.make(at + "qkv_net.weight", 3 * width, c["d_model"])
    w.make(at + "o_net.weight", c["d_model"], width)


def memory_params(w, c, at):
    local_params(w, c, at)
    if "memory.weight" not in w:
        w.make("memory.weight", c["memory_tokens"], c["d_model"], std=0.5)


class LocalLayer:
    def __init__(self, w, c, index):
        self.w, self.c, self.at = w, c, f"layers.{index}.dec_attn."

    def __call__(self, residual, x):
        e, out = self.c["d_head"], []
        q, k, v = (x @ self.w[self.at + "qkv_net.weight"].T).chunk(3, dim=1)
        for h in range(self.c["n_heads"]):
            mine = slice(h * e, (h + 1) * e)
            score = rotate(q[:, mine]) @ rotate(k[:, mine]).T / e ** 0.5
            score = score.masked_fill(torch.ones_like(score).triu(1) > 0, -torch.inf)
            out.append(score.softmax(-1) @ v[:, mine])
        return torch.cat(out, dim=1) @ self.w[self.at + "o_net.weight"].T


class MemoryStack(Stack):
    def layer(self, index):
        return LocalLayer(self.w, self.c, index)

    def segment(self, x):
        learned, p = self.w["memory.weight"], self.c["memory_tokens"]
        if self.c["attention"] == "rmt":
            front = back = getattr(self, "memory", learned)
        else:
            self.summaries = getattr(self, "summaries", [])[-self.c["accumulate"]:]
            front, back = torch.cat([learned[:0]] + self.summaries), learned
        y = self.read(torch.cat([front, x, back]))
        if self.c["attention"] == "rmt":
            self.memory = y[-p:]
        else:
            self.summaries.append(y[-p:])
        return y[len(front):-p]


# ---- ARMT ----

def armt_params(w, c, at):
    memory_params(w, c, at)
    if "associative.q.weight" not in w:
        layers, width, d = c["n_layers"], c["memory_width"], c["d_model"]
        w.make("associative.q.weight", layers * width, d)
        w.make("associative.k.weight", layers * width, d)
        w.make("associative.v.weight", layers * d, d)
        w.make("associative.write.weight", layers, d)
        w.make("associative.write.bias", layers, std=0.5)


def dpfp(a):
    both = torch.cat([F.relu(a), F.relu(-a)], dim=-1)
    return torch.cat([both * both.roll(shift, -1) for shift in (1, 2, 3)], dim=-1)


class AssociativeStack(MemoryStack):
    def segment(self, x):
        self.first = not hasattr(self, "memory")
        if self.first:
            features = 6 * self.c["memory_width"]
            new = lambda *shape: torch.zeros(*shape, dtype=torch.float64)
            self.memory = [(new(features, self.c["d_model"]), new(features)) for _ in self.layers]
        return self.read(torch.cat([x, self.w["memory.weight"]]))[:len(x)]

    def part(self, name, i):
        return self.w["associative." + name].chunk(self.c["n_layers"])[i]

    def before(self, i, x):
        if self.first:
            return x
        (a, z), f = self.memory[i], dpfp(x @ self.part("q.weight", i).T)
        return x + (f @ a) / (f @ z + 1e-5)[:, None]

    def after(self, i, x):
        m, (a, z) = x[-self.c["memory_tokens"]:], self.memory[i]
        f, v = dpfp(m @ self.part("k.weight", i).T), m @ self.part("v.weight", i).T
        b = torch.sigmoid(m @ self.part("write.weight", i)[0] + self.part("write.bias", i))
        old, share = torch.zeros_like(v), torch.ones_like(b)
        if not self.first:
            old = (f @ a) / (f @ z + 1e-5)[:, None]
            share = (1 - (f @ z) / ((f ** 2).sum(1) + 1e-5)).clamp(0, 1).detach()
        self.memory[i] = (a + f.T @ (b[:, None] * (v - old)), z + share @ f)


# ---- Compressive Transformer ----

def compressive_params(w, c, at):
    local_params(w, c, at)
    d, width = c["d_model"], c["n_heads"] * c["d_head"]
    w.make(at + "r_net.weight", width, d)
    for name in ("r_w_bias", "r_r_bias"):
        name = at + name if c.get("untie_r", 0) else name
        if name not in w:
            w.make(name, c["n_heads"], c["d_head"], std=0.3)
    w.make(at + "compress.weight", d, c["compress_rate"] * d)
    w.make(at + "compress.bias", d, std=0.1)


class CompressiveLayer:
    def __init__(self, w, c, index, stack):
        self.w, self.c, self.at, self.stack = w, c, f"layers.{index}.dec_attn.", stack
        self.past, self.compressed = torch.zeros(0, c["d_model"], dtype=torch.float64), []

    def tensor(self, name):
        return self.w[self.at + name] if self.at + name in self.w else self.w[name]

    def normed(self, rows):
        return layer_norm(self.w, self.at + "layer_norm", rows)

    def heads(self, rows, which):
        return F.linear(rows, self.w[self.at + "qkv_net.weight"].chunk(3)[which]).split(self.c["d_head"], dim=1)

    def __call__(self, residual, x):
        c, d = self.c, self.c["d_model"]
        near = self.past[max(0, len(self.past) - c["mem_len"]):]
        rows = torch.cat([x[:0]] + self.compressed[-c["compressed_len"]:] + [near])
        rows = torch.cat([self.normed(rows), x])
        away = len(rows) - len(x) + torch.arange(len(x))[:, None] - torch.arange(len(rows))
        angle = torch.arange(len(rows), dtype=torch.float64)[:, None] * 10000.0 ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
        r = torch.cat([angle.sin(), angle.cos()], dim=1) @ self.w[self.at + "r_net.weight"].T
        out = []
        for h, (q, k, v, r) in enumerate(zip(self.heads(x, 0), self.heads(rows, 1), self.heads(rows, 2), r.split(c["d_head"], dim=1))):
            score = (q + self.tensor("r_w_bias")[h]) @ k.T
            score = score + ((q + self.tensor("r_r_bias")[h]) @ r.T).gather(1, away.clamp(min=0))
            out.append((score / c["d_head"] ** 0.5).masked_fill(away < 0, -torch.inf).softmax(-1) @ v)
        self.compress(residual.detach(), x.detach())
        return torch.cat(out, dim=1) @ self.w[self.at + "o_net.weight"].T

    def compress(self, residual, x):
        c, rate = self.c, self.c["compress_rate"]
        self.past = torch.cat([self.past, residual])
        old = []
        while len(self.past) - c["mem_len"] > rate * len(self.compressed):
            first = rate * len(self.compressed)
            old.append(self.past[first:first + rate])
            row = self.tensor("compress.weight") @ old[-1].reshape(-1) + self.tensor("compress.bias")
            self.compressed.append(row[None])
        if not old:
            return
        new = torch.cat(self.compressed[-len(old):])
        frozen = {key: value.detach() for key, value in self.w.items()}
        self.w, live = frozen, self.w
        read = lambda rows: torch.cat([
            (q @ k.T / c["d_head"] ** 0.5).softmax(-1) @ v
            for q, k, v in zip(self.heads(x, 0), self.heads(self.normed(rows), 1), self.heads(self.normed(rows), 2))], dim=1)
        loss = ((read(torch.cat(old)) - read(new)) ** 2).mean()
        self.w = live
        self.compressed = [row.detach() for row in self.compressed]
        self.stack.extra = self.stack.extra + c.get("reconstruction", 1) * loss / (SEGMENTS * c["n_layers"])


class CompressiveStack(Stack):
    def layer(self, index):
        return CompressiveLayer(self.w, self.c, index, self)


PARAMS = {"compressive": compressive_params, "armt": armt_params, "rmt": memory_params, "autocompressor": memory_params, "deltanet": delta_params, "gated-deltanet": delta_params}
READERS = {"compressive": CompressiveStack, "armt": AssociativeStack, "rmt": MemoryStack, "autocompressor": MemoryStack, "deltanet": DeltaStack, "gated-deltanet": DeltaStack}


# ---- files ----

def save(path, tensors, config):
    names = {torch.float32: "F32", torch.float64: "F64", torch.int32: "I32"}
    header, blobs, at = {"__metadata__": {"config": config}}, [], 0
    for name, t in tensors.items():
        blob = t.contiguous().numpy().tobytes()
        header[name] = {"dtype": names[t.dtype], "shape": list(t.shape), "data_offsets": [at, at + len(blob)]}
        blobs.append(blob)
        at += len(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def main():
    torch.set_num_threads(1)
    FOLDER.mkdir(exist_ok=True)
    for name, (attention, keys, shape) in cases().items():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        c = {"attention": attention, **SHAPE, **shape, **keys}
        w = model_weights(c)
        tokens = torch.randint(c["vocab"], (SEGMENTS * c["segment"] + 1,), generator=w.random)
        nll, reader = losses(w, c, tokens)
        (nll.mean() + reader.extra).backward()
        out = {key: value.detach().float() for key, value in w.items()}
        out.update({"gradient." + key: value.grad.float() for key, value in w.items() if value.grad is not None})
        out.update(tokens=tokens.int(), nll=nll.detach())
        path = FOLDER / (name + ".safetensors")
        save(path, out, "".join(f"{key} = {value}\n" for key, value in c.items()))
        print(f"{name}: {len(nll)} tokens, mean loss {nll.mean():.6f}, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
