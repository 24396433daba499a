"""Speed peer: a Llama folder of HuggingFace in PyTorch, as `transformers` has it, in 32 bits on the CPU.

    llama_torch.py FOLDER --mode read|train --how eager|sdpa|compile|freeze [--batch 2] [--threads 2]

It prints "ready" when all is warm. Then every line with seconds on stdin gives tokens/s on stdout: the median of the steps made in that time.
read: a segment of 512 tokens from nothing, logits and losses of all. train: one whole step with AdamW on BATCH segments.
eager: `transformers`' own attention; sdpa: PyTorch's fused one; compile: torch.compile of that; freeze: inductor's constant weights too.
"""
import argparse
import os
import statistics
import sys
import time

SEGMENT = 512


def arguments():
    p = argparse.ArgumentParser()
    p.add_argument("folder")
    p.add_argument("--mode", choices=("read", "train"), required=True)
    p.add_argument("--how", choices=("eager", "sdpa", "compile", "freeze"), default="sdpa")
    p.add_argument("--batch", type=int, default=2)
    p.add_argument("--threads", type=int, default=2)
    return p.parse_args()


def keep_memory():
    """Start again with a malloc that keeps large blocks: glibc's gives them back, and faults them in again each step."""
    if "PEER_STARTED" not in os.environ:
        keep = {"MALLOC_MMAP_THRESHOLD_": str(1 << 34), "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}
        os.execve(sys.executable, [sys.executable] + sys.argv, dict(os.environ, PEER_STARTED="1", **keep))


args = arguments()
keep_memory()

import torch
import torch._inductor.config as inductor
import torch.nn.functional as F
from transformers import AutoModelForCausalLM


def loss_of(model, tokens, targets):
    logits = model(input_ids=tokens, use_cache=False).logits
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")


def reader(model, compiled):
    tokens = torch.randint(model.config.vocab_size, (1, SEGMENT))

    def step():
        with torch.no_grad():
            return compiled(model, tokens, tokens)

    return step, SEGMENT


def trainer(model, compiled):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    tokens = torch.randint(model.config.vocab_size, (args.batch, SEGMENT))

    def step():
        optimizer.zero_grad(set_to_none=True)
        compiled(model, tokens, tokens).mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step, args.batch * SEGMENT


def main():
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    attention = "eager" if args.how == "eager" else "sdpa"
    model = AutoModelForCausalLM.from_pretrained(args.folder, dtype=torch.float32, attn_implementation=attention)
    model = model.train() if args.mode == "train" else model.eval().requires_grad_(False)
    if args.how == "freeze":
        inductor.freezing = True
    compiled = torch.compile(loss_of) if args.how in ("compile", "freeze") else loss_of
    step, tokens = (trainer if args.mode == "train" else reader)(model, compiled)
    for _ in range(2):
        step()
    print(f"ready torch {torch.__version__}", flush=True)
    for line in sys.stdin:
        times, stop = [], time.perf_counter() + float(line)
        while not times or time.perf_counter() < stop:
            start = time.perf_counter()
            step()
            times.append(time.perf_counter() - start)
        print(f"{tokens / statistics.median(times):.2f}", flush=True)


main()
