"""Speed peer: the Infini-attention model (linear update) in PyTorch: eager, with its fused local attention (sdpa), or through
torch.compile with either (compile, compile-sdpa), for the shapes at hand and warm.

The window goes through the stack whole and is cut into segments inside attention. The linear update makes
the state before segment s a prefix sum of per-segment products, so no loop over segments is needed.
Going through the stack segment by segment instead trains at the same speed (within 1% with glibc malloc)
and takes about a tenth less memory; evaluation streams one segment at a time in any case.

    infini_torch.py --mode train|eval --how eager --batch 8 [--d_model ...]; then every line with seconds on stdin gives tokens/s.
"""
import argparse
import math
import os
import statistics
import sys
import time


def parse_args():
    p = argparse.ArgumentParser()
    p.add_argument("--mode", choices=("train", "eval"), default="train")
    p.add_argument("--how", choices=("eager", "sdpa", "compile", "compile-sdpa"), default="eager")
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--window", type=int, default=4, help="segments per training window")
    p.add_argument("--d_model", type=int, default=256)
    p.add_argument("--layers", type=int, default=4)
    p.add_argument("--heads", type=int, default=4)
    p.add_argument("--segment", type=int, default=512)
    p.add_argument("--vocab", type=int, default=256)
    p.add_argument("--threads", type=int, default=2)
    return p.parse_args()


def keep_memory():
    """Start again with a malloc that keeps large blocks: glibc's gives them back, and faults them in again each step."""
    if "PEER_STARTED" not in os.environ:
        keep = {"MALLOC_MMAP_THRESHOLD_": str(1 << 34), "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}
        os.execve(sys.executable, [sys.executable] + sys.argv, dict(os.environ, PEER_STARTED="1", **keep))


args = parse_args()
keep_memory()

import torch
import torch.nn as nn
import torch.nn.functional as F

EPS = 1e-6  # keeps the read of an empty memory at 0 rather than 0/0


class InfiniAttention(nn.Module):
    def __init__(self, d_model, heads, segment):
        super().__init__()
        self.heads, self.d_head, self.segment = heads, d_model // heads, segment
        self.qkv = nn.Linear(d_model, 3 * d_model, bias=False)
        self.out = nn.Linear(d_model, d_model, bias=False)
        self.beta = nn.Parameter(torch.zeros(heads, 1, 1))
        half = self.d_head // 2
        angle = torch.arange(segment)[:, None] / 10000 ** (torch.arange(half) / half)
        self.register_buffer("cos", angle.cos().repeat(1, 2))
        self.register_buffer("sin", torch.cat([-angle.sin(), angle.sin()], dim=-1))
        self.register_buffer("mask", torch.full((segment, segment), -math.inf).triu(1))

    def rope(self, x):
        return x * self.cos + x.roll(self.d_head // 2, dims=-1) * self.sin

    def forward(self, x, state):
        batch, length, d_model = x.shape
        shape = batch, length // self.segment, self.segment, 3, self.heads, self.d_head
        q, k, v = self.qkv(x).view(shape).permute(3, 0, 1, 4, 2, 5).contiguous().unbind(0)

        # The memory sees q and k without positions; segment s reads what the segments before it wrote.
        sq, sk = F.elu(q) + 1, F.elu(k) + 1
        m = torch.cat([state[0], sk.transpose(-1, -2) @ v], dim=1).cumsum(1)
        z = torch.cat([state[1], sk.sum(-2).unsqueeze(-1)], dim=1).cumsum(1)
        a_mem = (sq @ m[:, :-1]) / (sq @ z[:, :-1] + EPS)

        if args.how.endswith("sdpa"):
            flat = (x.flatten(0, 1) for x in (self.rope(q), self.rope(k), v))
            a_dot = F.scaled_dot_product_attention(*flat, is_causal=True).view_as(v)
        else:
            scores = (self.rope(q) / math.sqrt(self.d_head)) @ self.rope(k).transpose(-1, -2)
            scores += self.mask
            a_dot = scores.softmax(-1) @ v

        a = torch.lerp(a_dot, a_mem, torch.sigmoid(self.beta))
        y = self.out(a.transpose(2, 3).reshape(batch, length, d_model))
        return y, (m[:, -1:], z[:, -1:])


class Block(nn.Module):
    def __init__(self, d_model, heads, segment):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.attention = InfiniAttention(d_model, heads, segment)
        self.up, self.down = nn.Linear(d_model, 4 * d_model), nn.Linear(4 * d_model, d_model)

    def forward(self, x, state):
        y, state = self.attention(self.norm1(x), state)
        x = x + y
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh")), state


class Model(nn.Module):
    def __init__(self, d_model, layers, heads, segment):
        super().__init__()
        self.embedding = nn.Embedding(args.vocab, d_model)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.blocks = nn.ModuleList(Block(d_model, heads, segment) for _ in range(layers))
        self.norm = nn.LayerNorm(d_model)
        self.heads, self.d_head = heads, d_model // heads

    def empty_state(self, batch):
        shape = batch, 1, self.heads, self.d_head
        return [(torch.zeros(*shape, self.d_head), torch.zeros(*shape, 1)) for _ in self.blocks]

    def forward(self, tokens, states):
        """tokens [batch, segments * segment] -> logits and the states to carry on with."""
        x, after = self.embedding(tokens), []
        for block, state in zip(self.blocks, states):
            x, state = block(x, state)
            after.append(state)
        return F.linear(self.norm(x), self.embedding.weight), after


def loss_of(model, tokens, targets, states):
    logits, states = model(tokens, states)
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten()), states


def train_step(model, loss, a):
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, fused=True)
    tokens = torch.randint(args.vocab, (a.batch, a.window * a.segment + 1))

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss(model, tokens[:, :-1], tokens[:, 1:], model.empty_state(a.batch))[0].backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step, a.batch * a.window * a.segment


def eval_step(model, loss, a):
    tokens = torch.randint(args.vocab, (a.batch, a.segment + 1))
    states = model.empty_state(a.batch)

    @torch.no_grad()
    def step():
        nonlocal states
        value, states = loss(model, tokens[:, :-1], tokens[:, 1:], states)
        return value.item()

    return step, a.batch * a.segment


def main():
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    model = Model(args.d_model, args.layers, args.heads, args.segment)
    loss = torch.compile(loss_of, dynamic=False) if args.how.startswith("compile") else loss_of
    step, tokens = (train_step if args.mode == "train" else eval_step)(model, loss, args)

    for _ in range(3):
        step()
    print(f"ready torch {torch.__version__}", flush=True)
    for line in sys.stdin:
        times, stop = [], time.perf_counter() + float(line)
        while not times or time.perf_counter() < stop:
            start = time.perf_counter()
            step()
            times.append(time.perf_counter() - start)
        print(f"{tokens / statistics.median(times):.2f}", flush=True)


if __name__ == "__main__":
    main()
