"""Palimpsest and its speed peers in turns: the speed of a shared machine wanders more than they differ. What `make peer` runs.

    speed.py --peers FOLDER --out results/speed [--binary build/palimpsest] [--rounds 5] [--seconds 3] [--rows read,train,...]
        [--model models/fetched/SmolLM2-135M-Instruct.Q4_1.gguf] [--with torch,llama.cpp] [--parts build/tests/parts_speed] [--cpu-time]

--cpu-time: on one thread, by the processor time that was used, which others' work on the machine hardly moves; such rows are kept
beside the others as ROW@cpu.

Every peer is started once, and waits. In each round each program runs once, in an order that alternates, on all processors; what
counts is the median over the rounds of the ratio within a round. OUT/peer.jsonl keeps every figure of every row that was
measured last; OUT/peer.md is made of it alone (--table makes only that). FOLDER is what setup.sh made.

rows: read      the real model reads segments of 512 tokens from nothing: logits of all positions
      write-f32, write-bf16   the real model writes token by token, weights held so: beside llama.cpp alone
      train     one step of AdamW on two such segments, everything trained
      bench1, shipped1, bench8, shipped8   an Infini-attention model of ours, evaluated as 1 or 8 streams (infini_torch.py)
      bench-train, shipped-train           the same trained, 8 windows of 4 segments
      knn, tokenizer-smollm2, tokenizer-text-4k, rouge   single parts (parts_peer.py says which work), their answers compared first
"""
import argparse
import csv
import json
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
SHAPES = {"bench": dict(d_model=256, layers=4, heads=4, segment=512, vocab=256),
          "shipped": dict(d_model=128, layers=4, heads=4, segment=256, vocab=2048)}
LABEL = {"read": "SmolLM2-135M reads 512 tokens", "train": "SmolLM2-135M trains on 2 x 512 tokens",
         "write-f32": "SmolLM2-135M writes token by token, F32", "write-bf16": "SmolLM2-135M writes token by token, BF16"}
HOWS = {"read": ("eager", "sdpa", "compile", "freeze"), "train": ("eager", "sdpa", "compile")}
INFINI = ("eager", "sdpa", "compile", "compile-sdpa")
# Unit, the program beside ours, and what is measured.
PARTS = {"knn": ("queries/s", "faiss IndexFlatIP", "Exact search: 512 queries, 65,536 entries of 64 numbers, the best 32"),
         "tokenizer-smollm2": ("MB/s", "HuggingFace tokenizers", "Encode 950 KB of novels in pieces of 4 KiB, one core, SmolLM2's tokenizer"),
         "tokenizer-text-4k": ("MB/s", "HuggingFace tokenizers", "Encode 950 KB of novels in pieces of 4 KiB, one core, our text-4k"),
         "rouge": ("pairs/s", "rouge-score", "ROUGE-1, -2, -L, -Lsum of 10,000 pairs of 100 words, one core")}
TEXTS = ("doyle-sherlock-holmes", "twain-tom-sawyer")
OWN = {"bench": "Infini-attention, d_model 256 (3.2M)", "shipped": "Infini-attention, d_model 128, the shipped shape (1.05M)"}
GGUFS = ("F32", "BF16", "Q8_0", "Q4_1")


def fail(text):
    sys.exit(f"speed.py: {text}")


class Ours:
    """`palimpsest bench`, started anew each time: it measures SGEMM's peak, loads the model and warms up by itself."""

    def __init__(self, binary, words, seconds, env=None):
        self.env = env
        self.command = [binary, "bench", *words, f"seconds={seconds}", "format=csv"]

    def run(self):
        done = subprocess.run(self.command, capture_output=True, text=True, env=self.env)
        rows = list(csv.DictReader(done.stdout.splitlines()))
        if done.returncode or len(rows) != 1:
            fail(f"{' '.join(self.command)}: {done.stderr.strip() or 'no row'}")
        r = {k: float(v) for k, v in rows[0].items() if k != "mode"}
        return {"speed": r["tokens_per_second"], "share_of_peak": r["share_of_peak"],
                "peak_gflops": r["gflops"] / r["share_of_peak"]}

    def close(self):
        pass


class Waiting:
    """A program that warms up, says "ready", and answers each line of seconds with a speed: tokens/s where nothing else is said."""

    def __init__(self, command, seconds, env=None):
        self.seconds = seconds
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env)
        self.about = self.process.stdout.readline().strip()
        if not self.about.startswith("ready"):
            fail(f"{' '.join(command)} did not start")

    def run(self):
        self.process.stdin.write(f"{self.seconds}\n")
        self.process.stdin.flush()
        return {"speed": float(self.process.stdout.readline())}

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def programs(a, row):
    """Name -> program, ours first."""
    python, threads = f"{a.peers}/venv/bin/python", str(a.threads)
    if row in PARTS:
        return parts(a, row, python, threads)
    if row in LABEL:
        what, _, held = row.partition("-")
        words = [f"model={a.model}", "attention=local", "segment=512", f"mode={'eval' if what == 'read' else what}",
                 "window=1", f"batch={2 if what == 'train' else 1}", f"threads={threads}"]
        out = {"palimpsest": Ours(a.binary, words + ([f"hold={held}"] if held else []), a.seconds, a.env)}
        if held and "llama.cpp" in a.with_:
            file = f"{a.peers}/smollm2-{held}.gguf"
            out[f"llama.cpp {held.upper()}"] = Waiting([f"{a.peers}/llama_speed", file, threads, "write"], a.seconds, a.env)
        if held:
            return out
        if "torch" in a.with_:
            for how in HOWS[row]:
                out[f"PyTorch {how}"] = Waiting([python, f"{HERE}/llama_torch.py", f"{a.peers}/smollm2", "--mode", row, "--how", how,
                                                "--batch", "2", "--threads", threads], a.seconds, a.env)
        if "llama.cpp" in a.with_ and row == "read":
            for kind in GGUFS:
                file = a.model if kind == "Q4_1" else f"{a.peers}/smollm2-{kind.lower()}.gguf"
                out[f"llama.cpp {kind}"] = Waiting([f"{a.peers}/llama_speed", file, threads, "read"], a.seconds, a.env)
        return out
    shape = next((s for s in SHAPES if row.startswith(s)), None) or fail(f"no row {row}")
    s, train = SHAPES[shape], row.endswith("train")
    mode, batch = ("train", "8") if train else ("eval", row[len(shape):])
    words = [f"mode={mode}", f"batch={batch}", "attention=infini-linear", f"d_model={s['d_model']}", f"n_layers={s['layers']}",
             f"n_heads={s['heads']}", f"d_head={s['d_model'] // s['heads']}", f"d_ff={4 * s['d_model']}", f"segment={s['segment']}",
             f"vocab={s['vocab']}", f"threads={threads}"]
    peer = [python, f"{HERE}/infini_torch.py", "--mode", mode, "--batch", batch, "--threads", threads]
    peer += [w for key, value in s.items() for w in (f"--{key}", str(value))]
    out = {"palimpsest": Ours(a.binary, words, a.seconds, a.env)}
    for how in INFINI if "torch" in a.with_ else ():
        out[f"PyTorch {how}"] = Waiting([*peer, "--how", how], a.seconds, a.env)
    return out


def parts(a, row, python, threads):
    """Ours and one other program, which must give the same answers."""
    what, _, which = row.partition("-")
    folder = f"{a.peers}/parts"
    files = {"smollm2": f"{a.peers}/smollm2/tokenizer.json", "text-4k": "models/tokenizers/text-4k.json", "": None}
    ours, theirs = [a.parts, what, folder], [python, f"{HERE}/parts_peer.py", what, folder]
    if which:
        ours, theirs = ours + [files[which]], theirs + ["--file", files[which]]
    if what == "knn":
        ours, theirs = ours + [threads], theirs + ["--threads", threads]
    out = {"palimpsest": Waiting(ours, a.seconds, a.env), PARTS[row][1]: Waiting(theirs, a.seconds, a.env)}
    answers = [x.about.split()[1] for x in out.values()]
    if answers[0] != answers[1]:
        fail(f"{row}: our answers and theirs differ: {answers}")
    return out


def machine(a):
    text = open("/proc/cpuinfo").read()
    name = next((x.split(":", 1)[1].strip() for x in text.splitlines() if x.startswith("model name")), "")
    version = subprocess.run([a.binary, "--version"], capture_output=True, text=True).stdout.strip()
    head = subprocess.run([a.binary, "bench", "seconds=0.1", "mode=eval", "batch=1", f"model={a.model}"], capture_output=True, text=True)
    core = next((x for x in head.stdout.splitlines() if "BLAS" in x), "").split(", SGEMM")[0]
    return {"processor": name, "threads": a.threads, "version": version, "core": core}


def measure(a, row, keep):
    """keep(lines) after each round."""
    about = machine(a)
    run = programs(a, row)
    lines = []
    for i in range(a.rounds):
        for name in run if i % 2 == 0 else reversed(run):
            lines.append({"row": row + "@cpu" * a.cpu_time, "round": i, "program": name, **run[name].run(), "load": round(os.getloadavg()[0], 2), **about})
            print(f"{row} {i + 1}/{a.rounds} {name}: {lines[-1]['speed']:.6g} {unit(row)}", file=sys.stderr)
        keep(lines)
    for program in run.values():
        program.close()


def unit(row):
    row = row.partition("@")[0]
    return PARTS[row][0] if row in PARTS else "tokens/s"


def title(row):
    row, _, clock = row.partition("@")
    if clock:
        return title(row) + ": one thread, by processor time"
    shape = next((s for s in OWN if row.startswith(s)), None)
    if row in PARTS:
        return PARTS[row][2]
    if not shape:
        return LABEL.get(row, row)
    what = row[len(shape):]
    return f"{OWN[shape]}, " + ("trains on 8 windows of 4 segments" if what == "-train" else f"read as {what} stream{'s' * (what != '1')}")


def spread(values, form):
    v = sorted(values)
    return f"{form.format(statistics.median(v))} ({form.format(v[0])}, {form.format(v[-1])})"


def table(lines):
    """Markdown of all rows: medians, and lowest and highest."""
    out = ["# Speed beside other programs", "",
           "Written by `make peer` from `peer.jsonl`. Speeds and ratios are medians over rounds in which every program ran once, with the",
           "lowest and highest. A ratio is ours over theirs in the same round; the fastest other program's is bold. Share: of SGEMM's peak",
           "(squares of 1024, OpenBLAS, one on each processor), measured by the same process just before; of the speed at which memory is",
           "read where text is written.", ""]
    for row in dict.fromkeys(x["row"] for x in lines):
        these = [x for x in lines if x["row"] == row]
        ours = {x["round"]: x for x in these if x["program"] == "palimpsest"}
        first = these[0]
        speeds = {name: statistics.median(x["speed"] for x in these if x["program"] == name)
                  for name in dict.fromkeys(x["program"] for x in sorted(these, key=lambda x: x["program"] != "palimpsest"))}
        fastest = max((n for n in speeds if n != "palimpsest"), key=speeds.get, default="")
        head = ["program", unit(row), "ours over it"]
        if row.partition("@")[0] not in PARTS:
            head += ["share of memory's speed"] if row.startswith("write") else ["share of SGEMM's peak", "SGEMM, GFLOP/s"]
        out += [f"## {title(row)}", "",
                f"{first['processor']}, {first['threads']} thread{'s' * (first['threads'] > 1)}; {first['version']}; {first['core'].partition(', ')[2]}. {len(ours)} rounds.",
                f"Load of the machine after each run, this one's own included: {min(x['load'] for x in these):.1f} to "
                f"{max(x['load'] for x in these):.1f}. Above the threads: others worked beside it.", ""]
        if row.startswith(tuple(OWN)) and not any("compile" in n for n in speeds):
            out += ["torch.compile was not measured here.", ""]
        out += [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
        for name in speeds:
            mine = [x for x in these if x["program"] == name]
            cells = [name, spread([x["speed"] for x in mine], "{:.1f}" if unit(row) == "MB/s" else "{:.0f}")]
            if name == "palimpsest":
                cells.append("")
                if len(head) > 3:
                    cells.append(spread([100 * x["share_of_peak"] for x in mine], "{:.0f} %"))
                if len(head) > 4:
                    cells.append(spread([x["peak_gflops"] for x in mine], "{:.0f}"))
            else:
                ratio = spread([ours[x["round"]]["speed"] / x["speed"] for x in mine], "{:.2f}")
                cells += [f"**{ratio}**" if name == fastest else ratio] + [""] * (len(head) - 3)
            out.append(f"| {' | '.join(cells)} |")
        out.append("")
    return "\n".join(out)


def prepare(a, row):
    """The model as PyTorch and llama.cpp read it: what our own reader makes of the GGUF file, and the same numbers in other forms."""
    if not os.path.exists(a.model):
        fail(f"{a.model} is missing; type: make models")
    if ("torch" in a.with_ or row in PARTS) and not os.path.exists(f"{a.peers}/smollm2/config.json"):
        subprocess.run([a.binary, "export", f"model={a.model}", f"out={a.peers}/smollm2"], check=True, stdout=subprocess.DEVNULL)
    if row in PARTS:
        texts = [f"datasets/text/books/test/{x}.txt" for x in TEXTS]
        if not all(map(os.path.exists, texts)):
            fail(f"{texts[0]} is missing; type: make datasets DATASETS=books")
        if not os.path.exists(f"{a.peers}/parts/pairs.bin"):
            subprocess.run([f"{a.peers}/venv/bin/python", f"{HERE}/parts_peer.py", "make", f"{a.peers}/parts", *texts], check=True)
    for kind in GGUFS[:-1] if "llama.cpp" in a.with_ and row in LABEL else ():
        to = f"{a.peers}/smollm2-{kind.lower()}.gguf"
        if not os.path.exists(to):
            subprocess.run([f"{a.peers}/venv/bin/python", f"{HERE}/requantise.py", a.model, to, kind.lower()], check=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--peers", default="build/peer")
    p.add_argument("--binary", default="build/palimpsest")
    p.add_argument("--parts", default="build/tests/parts_speed")
    p.add_argument("--out", default="results/speed")
    p.add_argument("--model", default="models/fetched/SmolLM2-135M-Instruct.Q4_1.gguf")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=float, default=3)
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--with", dest="with_", default="torch")
    p.add_argument("--rows", default="read,write-f32,write-bf16,train,bench-train,bench1,bench8,shipped-train,shipped1,shipped8,"
                   "knn,tokenizer-smollm2,tokenizer-text-4k,rouge")
    p.add_argument("--cpu-time", action="store_true")
    p.add_argument("--table", action="store_true")
    a = p.parse_args()
    a.env = None
    if a.cpu_time:
        a.threads, clock = 1, os.path.abspath(f"{a.peers}/cpu_clock.so")
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", clock, f"{HERE}/cpu_clock.c"], check=True)
        a.env = dict(os.environ, LD_PRELOAD=clock)
    log = f"{a.out}/peer.jsonl"
    lines = [json.loads(x) for x in open(log)] if os.path.exists(log) else []
    os.makedirs(a.out, exist_ok=True)

    def keep(row, fresh):
        nonlocal lines
        lines = [x for x in lines if x["row"] != row] + fresh
        for path, text in ((log, "".join(json.dumps(x) + "\n" for x in lines)), (f"{a.out}/peer.md", table(lines))):
            with open(f"{path}.tmp", "w") as f:
                f.write(text)
            os.replace(f"{path}.tmp", path)

    for row in a.rows.split(",") if not a.table else ():
        if row in LABEL or row in PARTS:
            prepare(a, row)
        measure(a, row, lambda fresh, row=row + "@cpu" * a.cpu_time: keep(row, fresh))
    keep("", [])
    print(table(lines))


main()
