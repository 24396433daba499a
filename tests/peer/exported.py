#!/usr/bin/env python3
"""Folders that `palimpsest export` writes, opened by transformers.

1. Each golden checkpoint is exported from what the program read of it; transformers must compute the logits that it
   computed from the original (tests/golden/checkpoints/*/expected.safetensors).
2. A model of this program's own is trained for a few steps and exported; transformers' loss of a text must be the one
   that `palimpsest eval` writes to its journal.

Needs torch, transformers and safetensors. Run by hand: tests/peer/exported.py [--binary build/palimpsest]
Exit code 1 when a logit differs by more than 1e-4, or the loss by more than 1e-5 nats a token.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

sys.path.pop(0)  # a script beside this one is called tokenizers.py

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

GOLDEN = pathlib.Path("tests/golden/checkpoints")
LOGIT_LIMIT, LOSS_LIMIT = 1e-4, 1e-5
SHAPE = ("attention=full context=8K vocab=2048 d_model=48 n_layers=2 n_heads=4 n_kv_heads=2 d_head=12 d_ff=96 norm=rms "
         "feed_forward=gated activation=silu ff_bias=0 segment=256").split()


def run(binary, *words):
    subprocess.run([binary, *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def open_model(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def golden(binary, folder, out):
    expected = load_file(folder / "expected.safetensors")
    run(binary, "export", "model=%s" % folder, "out=%s" % out)
    tokens = expected["tokens"].long().reshape(1, -1)
    with torch.no_grad():
        logits = open_model(out)(tokens).logits[0]
    return (logits - expected["logits"].reshape(logits.shape)).abs().max().item()


def own(binary, folder):
    weights, text, hub = folder / "own.safetensors", folder / "text.txt", folder / "own"
    words = pathlib.Path("models/README.md").read_text()[:6000]
    text.write_text(words)
    (folder / "books" / "train").mkdir(parents=True)
    (folder / "books" / "train" / "page.txt").write_text(words)
    run(binary, "train", "task=perplexity", "data=%s" % (folder / "books"), "tokenizer=models/tokenizers/text-2k.json",
        "out=%s" % weights, "batch_tokens=1K", "train_len=512", "train_steps=20", "lr=5e-3", "log_every=10", *SHAPE)
    run(binary, "eval", "task=perplexity", "model=%s" % weights, "data=%s" % text, "max_tokens=1K", "references=0",
        "plots=0", "results=%s" % folder)
    run(binary, "export", "model=%s" % weights, "out=%s" % hub)
    records = [json.loads(line) for line in open(folder / "perplexity-journal.jsonl")]
    values = next(r["values"] for r in records if r["kind"] == "sample")
    model, tokenizer = open_model(hub), AutoTokenizer.from_pretrained(hub)
    ids = tokenizer(words, add_special_tokens=False)["input_ids"][:int(values["tokens"])]
    tokens = torch.tensor([[model.config.bos_token_id] + ids])
    with torch.no_grad():
        logits = model(tokens).logits[0, :-1]
    loss = torch.nn.functional.cross_entropy(logits.double(), tokens[0, 1:]).item()
    return loss, values["nll"] / values["tokens"], len(ids)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default="build/palimpsest")
    args = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        for folder in sorted(p.parent for p in GOLDEN.glob("*/config.json")):
            worst = golden(args.binary, folder, scratch / folder.name)
            failed |= not worst <= LOGIT_LIMIT
            print("%s  %-16s largest difference of a logit %.1e" % (
                "agrees" if worst <= LOGIT_LIMIT else "DIFFERS", folder.name, worst))
        theirs, ours, count = own(args.binary, scratch)
        off = abs(theirs - ours)
        failed |= not off <= LOSS_LIMIT
        print("%s  %-16s %d tokens, loss %.6f, by transformers %.6f: off by %.1e nats a token" % (
            "agrees" if off <= LOSS_LIMIT else "DIFFERS", "our own", count, ours, theirs, off))
    sys.exit(failed)


if __name__ == "__main__":
    main()
