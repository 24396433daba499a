#!/usr/bin/python3
"""The perplexity of a real model as three programs measure it: palimpsest, transformers (fp32) and llama.cpp.

The first --tokens of a text are cut into chunks of --context tokens. The protocol `window` with a stride of a whole
context scores all but the first token of each, the protocol `llama.cpp` the second half of the first --chunks of them;
both come from one pass of transformers. Run by hand, with torch, transformers, accelerate and gguf from PyPI, and llama-perplexity built from
llama.cpp's source:

    tests/peer/real_perplexity.py --gguf MODEL.gguf --data FOLDER --keep FOLDER \\
        [--llama-perplexity PATH] [--llama-gguf FILE ...]

--data is a corpus of one document, FOLDER/test/NAME.txt. What is in --keep is not measured again. Exit code 1 when
palimpsest and transformers differ by more than --limit, relative, under either protocol.
"""
import argparse
import json
import math
import pathlib
import re
import subprocess


def transformers_losses(args, text, kept):
    """Loss of every token but each chunk's first, [chunks, context - 1], in float64."""
    import numpy
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if kept.exists():
        return numpy.load(kept)["losses"]
    torch.set_num_threads(args.threads)
    path = pathlib.Path(args.gguf)
    where = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    tokens = AutoTokenizer.from_pretrained(**where)(text, return_tensors="pt", verbose=False)["input_ids"][0]
    model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32).eval()
    rows = []
    for at in range(0, args.tokens, args.context):
        chunk = tokens[at : at + args.context]
        with torch.inference_mode():
            logits = model(chunk[None]).logits[0, :-1].double()
        rows.append((logits.logsumexp(1) - logits.gather(1, chunk[1:, None])[:, 0]).numpy())
        if len(rows) % 20 == 0:
            print(f"transformers: {at + len(chunk)} of {args.tokens} tokens", flush=True)
    losses = numpy.stack(rows)
    numpy.savez(kept, losses=losses)
    return losses


def of_palimpsest(args, keep, protocol, tokens):
    """Loss and tokens of every piece, and the digest of the weights, from the journal of the run."""
    stride = [f"stride={args.context}"] if protocol == "window" else []
    words = ["eval", "perplexity", f"model={args.gguf}", f"data={args.data}", f"max_tokens={tokens}",
             f"protocol={protocol}", f"context={args.context}", *stride, "references=0", "plots=0",
             f"results={keep}/palimpsest", f"threads={args.threads}"]
    subprocess.run([args.binary, *words], check=True, stdout=subprocess.DEVNULL)
    pieces, cell = {}, None
    for line in (keep / "palimpsest" / "perplexity-journal.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record["kind"] == "cell" and record["variant"].startswith(protocol + "="):
            cell, pieces = record, {}
        if record["kind"] == "sample" and cell and record["cell_key"] == cell["key"]:
            pieces[record["index"]] = (record["values"]["nll"], record["values"]["tokens"])
    return [pieces[i] for i in sorted(pieces)], cell["weights"]


def of_llama_cpp(args, keep, gguf):
    """llama-perplexity's own figure with caches in 32 bits, weights as stored: perplexity and its standard error."""
    kept = keep / f"llama-{pathlib.Path(gguf).name}.log"
    if not kept.exists():
        text = next(pathlib.Path(args.data, "test").iterdir())
        command = [args.llama_perplexity, "-m", gguf, "-f", text, "-c", str(args.context), "-b", str(args.context), "-t",
                   str(args.threads), "-ctk", "f32", "-ctv", "f32", "-fa", "off", "--no-repack", "--chunks", str(args.chunks)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        kept.write_text(done.stdout + done.stderr)
    found = re.search(r"Final estimate: PPL = ([0-9.]+) \+/- ([0-9.]+)", kept.read_text())
    return float(found[1]), float(found[2])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default="build/palimpsest")
    parser.add_argument("--gguf", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--keep", required=True)
    parser.add_argument("--tokens", type=int, default=102400)
    parser.add_argument("--chunks", type=int, help="of the protocol llama.cpp; all that the tokens make if not given")
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--limit", type=float, default=1e-4)
    parser.add_argument("--llama-perplexity")
    parser.add_argument("--llama-gguf", nargs="*", default=[], help="more files for llama.cpp, such as one in F32")
    args = parser.parse_args()
    args.tokens -= args.tokens % args.context
    args.chunks = args.chunks or args.tokens // args.context
    keep = pathlib.Path(args.keep)
    keep.mkdir(parents=True, exist_ok=True)
    text = next(pathlib.Path(args.data, "test").iterdir())

    losses = transformers_losses(args, text.read_text(), keep / "transformers.npz")
    print("| protocol | program | tokens scored | perplexity | against palimpsest |\n|---|---|---|---|---|")
    worst = 0.0
    for protocol in ("window", "llama.cpp"):
        window = protocol == "window"
        pieces, weights = of_palimpsest(args, keep, protocol, args.tokens if window else args.chunks * args.context)
        theirs = losses if window else losses[: args.chunks, args.context // 2 :]
        mean = sum(p[0] for p in pieces) / sum(p[1] for p in pieces)
        name = f"{protocol} {args.context}" + (f"/{args.context}" if window else "")
        print(f"| {name} | palimpsest | {sum(p[1] for p in pieces):.0f} | {math.exp(mean):.5f} | |")
        same = len(pieces) == len(theirs) and all(p[1] == theirs.shape[1] for p in pieces)
        relative = math.exp(theirs.mean() - mean) - 1
        chunk = max(abs(p[0] / p[1] - row.mean()) for p, row in zip(pieces, theirs))
        worst = max(worst, abs(relative)) if same else math.inf
        print(f"| {name} | transformers, fp32 | {theirs.size} | {math.exp(theirs.mean()):.5f} | {relative:+.1e}; a chunk at most {chunk:.1e} nats |")
    for gguf in [*args.llama_gguf, args.gguf] if args.llama_perplexity else []:
        value, error = of_llama_cpp(args, keep, gguf)
        print(f"| {name} | llama.cpp, {pathlib.Path(gguf).name} | {theirs.size} | {value:.4f} ± {error:.4f} | {value / math.exp(mean) - 1:+.1e} |")
    print(f"\nweights {weights}; worst difference from transformers {worst:.1e}, at most {args.limit:g}")
    return worst > args.limit


if __name__ == "__main__":
    raise SystemExit(main())
