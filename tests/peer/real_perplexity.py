#!/usr/bin/python3
"""The perplexity of a real model as three programs measure it: palimpsest, transformers (fp32) and llama.cpp.

One text is cut into chunks of --context tokens. The protocol `window` with a stride of a whole context scores all but
the first token of each, the protocol `llama.cpp` their second half; both come from one pass of transformers. Run by
hand, with torch, transformers and gguf from PyPI, and llama-perplexity built from llama.cpp's source:

    tests/peer/real_perplexity.py --gguf MODEL.gguf --text FILE [--llama-perplexity PATH] [--llama-gguf FILE ...]

Exit code 1 when palimpsest and transformers differ by more than --limit, relative, under either protocol.
"""
import argparse
import json
import math
import pathlib
import re
import shutil
import subprocess
import tempfile
import time


def transformers_losses(args, text):
    """Loss of every token but each chunk's first, [chunks, context - 1]; and whether the text's own begin is added."""
    import numpy
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(args.threads)
    path = pathlib.Path(args.gguf)
    where = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    tokens = AutoTokenizer.from_pretrained(**where)(text, return_tensors="pt", verbose=False)["input_ids"][0]
    model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32).eval()
    rows, began = [], time.monotonic()
    for at in range(0, len(tokens), args.context):
        chunk = tokens[at : at + args.context]
        with torch.inference_mode():
            logits = model(chunk[None]).logits[0, :-1].double()
        loss = logits.logsumexp(1) - logits.gather(1, chunk[1:, None])[:, 0]
        rows.append(numpy.pad(loss.numpy(), (0, args.context - 1 - len(loss)), constant_values=math.nan))
        if len(rows) % 20 == 0:
            print(f"transformers: {at + len(chunk)} of {len(tokens)} tokens, {time.monotonic() - began:.0f} s", flush=True)
    return numpy.stack(rows), len(tokens)


def of_transformers(args, losses, tokens):
    """Mean loss and count under both protocols."""
    import numpy

    whole = losses[: tokens // args.context]
    # The logits of the second half, whose last one predicts nothing.
    half = whole[:, args.context // 2 :]
    return {"window": (float(numpy.nanmean(losses)), int(numpy.isfinite(losses).sum())), "llama.cpp": (float(half.mean()), half.size)}


def of_palimpsest(args, protocol):
    """Mean loss, count, and the digest of the weights, from the journal of a run of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        test = pathlib.Path(scratch, "text", "test")
        test.mkdir(parents=True)
        shutil.copy(args.text, test / "text.txt")
        words = ["eval", "perplexity", f"model={args.gguf}", f"data={test.parent}", f"protocol={protocol}",
                 f"context={args.context}", "references=0", "plots=0", f"results={scratch}/r", f"threads={args.threads}"]
        if protocol == "window":
            words.append(f"stride={args.context}")
        subprocess.run([args.binary, *words], check=True, stdout=subprocess.DEVNULL)
        loss = count = 0
        weights = ""
        for line in pathlib.Path(scratch, "r", "perplexity-journal.jsonl").read_text().splitlines():
            record = json.loads(line)
            weights = record.get("weights", weights)
            if record["kind"] == "sample":
                loss += record["values"]["nll"]
                count += int(record["values"]["tokens"])
    return loss / count, count, weights


def of_llama_cpp(args, gguf):
    """llama-perplexity's own figure with caches in 32 bits: perplexity and its standard error, as printed."""
    command = [args.llama_perplexity, "-m", gguf, "-f", args.text, "-c", str(args.context), "-b", str(args.context),
               "-t", str(args.threads), "-ctk", "f32", "-ctv", "f32", "-fa", "off"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = re.search(r"Final estimate: PPL = ([0-9.]+) \+/- ([0-9.]+)", done.stdout + done.stderr)
    return float(found[1]), float(found[2])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default="build/palimpsest")
    parser.add_argument("--gguf", required=True)
    parser.add_argument("--text", required=True)
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--limit", type=float, default=1e-4)
    parser.add_argument("--keep", help="file for transformers' losses, read instead where it is there")
    parser.add_argument("--llama-perplexity")
    parser.add_argument("--llama-gguf", nargs="*", default=[], help="more files for llama.cpp, such as one in F32")
    args = parser.parse_args()

    import numpy

    if args.keep and pathlib.Path(args.keep).exists():
        kept = numpy.load(args.keep)
        losses, tokens = kept["losses"], int(kept["tokens"])
    else:
        losses, tokens = transformers_losses(args, pathlib.Path(args.text).read_text())
        if args.keep:
            numpy.savez(args.keep, losses=losses, tokens=tokens)
    theirs = of_transformers(args, losses, tokens)
    print("| protocol | program | tokens scored | perplexity | against palimpsest |\n|---|---|---|---|---|")
    worst = 0.0
    for protocol in ("window", "llama.cpp"):
        mean, count, weights = of_palimpsest(args, protocol)
        name = f"{protocol} {args.context}" + (f"/{args.context}" if protocol == "window" else "")
        print(f"| {name} | palimpsest | {count} | {math.exp(mean):.5f} | |")
        loss, size = theirs[protocol]
        relative = math.exp(loss - mean) - 1
        worst = max(worst, abs(relative)) if size == count else math.inf
        print(f"| {name} | transformers, fp32 | {size} | {math.exp(loss):.5f} | {relative:+.1e} |", flush=True)
    for gguf in [*args.llama_gguf, args.gguf] if args.llama_perplexity else []:
        value, error = of_llama_cpp(args, gguf)
        print(f"| {name} | llama.cpp, {pathlib.Path(gguf).name} | {count} | {value:.4f} ± {error:.4f} | {value / math.exp(mean) - 1:+.1e} |", flush=True)
    print(f"\nweights {weights}, text of {tokens} tokens; worst difference from transformers {worst:.1e}, at most {args.limit:g}")
    return worst > args.limit


if __name__ == "__main__":
    raise SystemExit(main())
