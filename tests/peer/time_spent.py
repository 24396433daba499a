"""Where our time goes: perf's samples of `palimpsest bench` on one thread, summed by kind. Written to results/speed/profile.md.

    time_spent.py [--binary build/palimpsest] [--out results/speed/profile.md] [--seconds 8] [--runs 6] [--model models/fetched/SmolLM2-135M-Instruct.Q4_1.gguf]

Samples are taken by time, and of the last 40 % of a run alone: before that the model is made and warmed up. Needs `perf`.
"""
import argparse
import csv
import os
import re
import subprocess
import tempfile

SHAPE = "attention=infini-linear n_layers=4 n_heads=4"
SHIPPED = f"{SHAPE} d_model=128 d_head=32 d_ff=512 segment=256 vocab=2048"
BENCH = f"{SHAPE} d_model=256 d_head=64 d_ff=1024 segment=512 vocab=256"
RUNS = [("shipped shape, training", f"{SHIPPED} mode=train batch=8"), ("shipped shape, reading", f"{SHIPPED} mode=eval batch=8"),
        ("d_model 256, training", f"{BENCH} mode=train batch=8"), ("d_model 256, reading", f"{BENCH} mode=eval batch=8"),
        ("135M, training", "model={model} attention=local segment=512 mode=train window=1 batch=2"),
        ("135M, reading", "model={model} attention=local segment=512 mode=eval window=1 batch=1")]
# The first that matches counts.
KINDS = [("matrix products", r"sgemm_(small_)?kernel|^multiply_(512|256)$|^block_|chain_products|row_products|row_combine|tiles"),
         ("packing, and cutting into blocks", r"copy_|pack|transpose|product_direct|cblas|sgemm|product_task|deliver|fetch|hand_over|multiply_panel|permit"),
         ("softmax and loss", r"softmax|log_sum_exp|loss|nll"),
         ("activations and feature maps", r"gelu|elu|silu"),
         ("norms, copies and zeros", r"norm|rms|mem(cpy|move|set)"),
         ("rotary positions", r"rope|_cos|_sin|sincos"),
         ("sums and scalings of rows", r"^(axpy|blend|scale|scale_by|dot|multiply|sum|add_column_sums|bias_task)$"),
         ("AdamW", r"adamw"),
         ("waiting for tasks", r"worker_main|pool_run"),
         ("kernel: page faults and others", r"^\[k\]"),
         ("other", r"")]


def sample(a, words):
    """Kind -> share, and tokens/s and share of SGEMM's peak of the run."""
    with tempfile.TemporaryDirectory() as folder:
        data = f"{folder}/perf.data"
        command = [a.binary, "bench", *words.format(model=a.model).split(), f"seconds={a.seconds}", "threads=1", "format=csv"]
        done = subprocess.run(["perf", "record", "-q", "-e", "cpu-clock", "-F", "499", "-o", data, "--", *command], capture_output=True,
                              text=True, check=True)
        row = next(csv.DictReader(done.stdout.splitlines()))
        text = subprocess.run(["perf", "report", "-i", data, "--stdio", "--no-children", "-s", "symbol", "--time", "60%-100%", "-t", ";"],
                              capture_output=True, text=True, check=True).stdout
    shares = dict.fromkeys((k for k, _ in KINDS), 0.0)
    for line in text.splitlines():
        found = re.match(r"\s*([\d.]+)%\s*;\s*(\[.\])\s+([^;]+?)\s*(;|$)", line)
        if found:
            name = found[3] if found[2] == "[.]" else "[k] " + found[3]
            shares[next(k for k, pattern in KINDS if re.search(pattern, name))] += float(found[1])
    if sum(shares.values()) < 90:
        raise SystemExit(f"time_spent.py: perf's report was not understood:\n{text[:500]}")
    return shares, row


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--binary", default="build/palimpsest")
    p.add_argument("--model", default="models/fetched/SmolLM2-135M-Instruct.Q4_1.gguf")
    p.add_argument("--out", default="results/speed/profile.md")
    p.add_argument("--runs", type=int, default=len(RUNS), help="so many of them, from the first on")
    p.add_argument("--seconds", type=float, default=8)
    a = p.parse_args()
    runs = [(name, *sample(a, words)) for name, words in RUNS[:a.runs]]
    version = subprocess.run([a.binary, "--version"], capture_output=True, text=True).stdout.strip()
    cpu = next(x.split(":", 1)[1].strip() for x in open("/proc/cpuinfo") if x.startswith("model name"))
    out = ["# Where the time goes", "",
           "Written by `python3 tests/peer/time_spent.py`: perf's samples of `palimpsest bench` on one thread, percent of the time of the last 40 %",
           f"of each run, which no warming up is part of. {cpu}; {version}; load of the machine at the end {os.getloadavg()[0]:.1f}.",
           "A dash: under 0.05. Batch 8, windows of 4 segments in training; 135M is SmolLM2, 2 segments of 512 in training, 1 in reading.", "",
           "| part | " + " | ".join(name for name, _, _ in runs) + " |", "|---" + "|---:" * len(runs) + "|"]
    for kind, _ in KINDS:
        out.append(f"| {kind} | " + " | ".join(f"{s[kind]:.1f}" if s[kind] >= 0.05 else "-" for _, s, _ in runs) + " |")
    with open(a.out, "w") as f:
        f.write("\n".join(out) + "\n")
    print("\n".join(out))


main()
