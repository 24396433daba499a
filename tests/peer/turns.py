#!/usr/bin/python3
"""Palimpsest and its PyTorch peer in turns: the speed of a shared machine wanders more than the two differ.

Every round runs each of them once, in an order that alternates; what counts is the median over the rounds of the
ratio within a round. The peer runs twice: tuned (infini_torch.py says how), and as Debian installs it.

Usage: /usr/bin/python3 turns.py [--rounds 4] [--seconds 4] [--shape bench|shipped] [--modes train8,eval1,eval8]
"""
import argparse
import os
import re
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
SHAPES = {
    "bench": dict(d_model=256, layers=4, heads=4, segment=512, vocab=256),
    "shipped": dict(d_model=128, layers=4, heads=4, segment=256, vocab=2048),
}


def output(command, pattern, env=None):
    run = subprocess.run(command, capture_output=True, text=True, env=env)
    found = re.findall(pattern, run.stdout)
    if run.returncode or not found:
        sys.exit(f"{' '.join(command)}: {run.stderr.strip() or 'no figure in its output'}")
    return float(found[-1])


def ours(binary, shape, mode, batch, seconds):
    s = SHAPES[shape]
    words = [f"mode={mode}", f"batch={batch}", f"seconds={seconds}", "attention=infini-linear",
             f"d_model={s['d_model']}", f"n_layers={s['layers']}", f"n_heads={s['heads']}",
             f"d_head={s['d_model'] // s['heads']}", f"d_ff={4 * s['d_model']}", f"segment={s['segment']}",
             f"vocab={s['vocab']}"]
    return output([binary, "bench", *words, "format=csv"], rf"(?m)^{mode},{batch},(\d+)")


def peer(shape, mode, batch, seconds, stock):
    words = [w for key, value in SHAPES[shape].items() for w in (f"--{key}", str(value))]
    command = [sys.executable, f"{HERE}/infini_torch.py", "--mode", mode, "--batch", str(batch), "--seconds",
               str(seconds), *words]
    return output(command, r"tokens_per_s=(\d+)", dict(os.environ, PEER_TUNED="1") if stock else None)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--binary", default="build/palimpsest")
    p.add_argument("--rounds", type=int, default=4)
    p.add_argument("--seconds", type=float, default=4)
    p.add_argument("--shape", choices=SHAPES, default="shipped")
    p.add_argument("--modes", default="train8,eval1,eval8")
    a = p.parse_args()
    print(f"shape {a.shape}: {SHAPES[a.shape]}; {a.rounds} rounds of {a.seconds:g} s each; tokens/s, medians")
    print("| mode | batch | palimpsest | tuned peer | ratio (lowest, highest) | stock peer | ratio (lowest, highest) |")
    print("|------|------:|-----------:|-----------:|-------------------------|-----------:|-------------------------|")
    for mode, batch in re.findall(r"(train|eval)(\d+)", a.modes):
        run = {"ours": lambda: ours(a.binary, a.shape, mode, batch, a.seconds),
               "tuned": lambda: peer(a.shape, mode, batch, a.seconds, False),
               "stock": lambda: peer(a.shape, mode, batch, a.seconds, True)}
        rate = {name: [] for name in run}
        for i in range(a.rounds):
            for name in run if i % 2 == 0 else reversed(run):
                rate[name].append(run[name]())
        cells = [f"{statistics.median(rate['ours']):.0f}"]
        for name in ("tuned", "stock"):
            ratio = sorted(x / y for x, y in zip(rate["ours"], rate[name]))
            cells += [f"{statistics.median(rate[name]):.0f}",
                      f"{statistics.median(ratio):.2f} ({ratio[0]:.2f}, {ratio[-1]:.2f})"]
        print(f"| {mode} | {batch} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
