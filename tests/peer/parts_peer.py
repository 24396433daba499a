"""Speed peers of parts: faiss' exact search, HuggingFace's tokenizers, rouge-score. parts_speed.c does the same with ours.

    parts_peer.py make DIR [TEXT.txt ...]     the files that both read: knn.f32, texts.bin, pairs.bin
    parts_peer.py knn DIR --threads 2 | tokenizer DIR --file tokenizer.json | rouge DIR

Of the last three each prints "ready" and a check of its answers, which must be ours; then every line with seconds on stdin gives a speed.
knn: 512 queries among 65,536 entries of 64 numbers, the 32 best by inner product; queries/s.
tokenizer: pieces of about 4 KiB, one after the other on one core; MB/s.
rouge: 10,000 pairs of about 100 words, ROUGE-1, -2, -L and -Lsum with the stemmer, on one core; pairs/s. rouge-score would take minutes
for all: it goes on from pair to pair while it is timed, and the check is of the first 200.
"""
import argparse
import itertools
import os
import random
import statistics
import sys
import time

ENTRIES, QUERIES, WIDTH, NEIGHBOURS = 65536, 512, 64, 32
PIECE, PAIRS, CHECKED, AT_ONCE = 4096, 10000, 200, 20


def pieces(text):
    """Whole paragraphs, at least PIECE characters each."""
    out, now = [], ""
    for paragraph in text.split("\n\n"):
        now += paragraph + "\n\n"
        if len(now) >= PIECE:
            out.append(now)
            now = ""
    return out + ([now] if now else [])


def sentences(words, rng):
    """The words in lines of 15 to 30."""
    out, at = [], 0
    while at < len(words):
        n = rng.randint(15, 30)
        out.append(" ".join(words[at:at + n]))
        at += n
    return "\n".join(out)


def make(folder, files):
    import numpy
    os.makedirs(folder, exist_ok=True)
    numpy.random.default_rng(1).standard_normal((ENTRIES + QUERIES, WIDTH), dtype=numpy.float32).tofile(f"{folder}/knn.f32")
    text = "\n\n".join(open(f, encoding="utf-8").read().replace("\0", "") for f in files)
    with open(f"{folder}/texts.bin", "wb") as f:
        f.write(b"".join(x.encode() + b"\0" for x in pieces(text)))
    words, rng = text.split(), random.Random(1)
    with open(f"{folder}/pairs.bin", "wb") as f:
        for _ in range(PAIRS):
            at, n = rng.randrange(len(words) - 300), rng.randint(80, 120)
            reference, other = words[at:at + n], words[rng.randrange(len(words)):][:n]
            # A summary that has much of the reference, in its order, and as much of something else.
            hypothesis = [rng.choice((a, b)) for a, b in zip(reference, other)] or reference
            f.write(sentences(reference, rng).encode() + b"\0" + sentences(hypothesis, rng).encode() + b"\0")


def read(path):
    return [x.decode() for x in open(path, "rb").read().split(b"\0")[:-1]]


def knn(a):
    import faiss
    import numpy
    faiss.omp_set_num_threads(a.threads)
    all_ = numpy.fromfile(f"{a.folder}/knn.f32", dtype=numpy.float32).reshape(-1, WIDTH)
    index, queries = faiss.IndexFlatIP(WIDTH), all_[ENTRIES:]
    index.add(all_[:ENTRIES])
    _, found = index.search(queries, NEIGHBOURS)
    return (lambda: index.search(queries, NEIGHBOURS)), QUERIES, f"{int(found.sum())} faiss {faiss.__version__}"


def tokenizer(a):
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    import tokenizers
    t, texts = tokenizers.Tokenizer.from_file(a.file), read(f"{a.folder}/texts.bin")
    # Its fastest call: a batch, without the places of the tokens in the text.
    encode = lambda: t.encode_batch_fast(texts, add_special_tokens=False)
    check = sum(sum(e.ids) + len(e.ids) for e in encode())
    return encode, 1e-6 * sum(len(x.encode()) for x in texts), f"{check} tokenizers {tokenizers.__version__}"


def rouge(a):
    from rouge_score import rouge_scorer
    kinds = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    texts, scorer = read(f"{a.folder}/pairs.bin"), rouge_scorer.RougeScorer(kinds, use_stemmer=True)
    pairs = list(zip(texts[::2], texts[1::2]))
    check = sum(s[k].fmeasure for s in (scorer.score(*p) for p in pairs[:CHECKED]) for k in kinds)
    endless = itertools.cycle(pairs)
    return (lambda: [scorer.score(*next(endless)) for _ in range(AT_ONCE)]), AT_ONCE, f"{check:.6f} rouge-score"


def main():
    p = argparse.ArgumentParser()
    p.add_argument("what", choices=("make", "knn", "tokenizer", "rouge"))
    p.add_argument("folder")
    p.add_argument("files", nargs="*")
    p.add_argument("--file")
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    if a.what == "make":
        make(a.folder, a.files)
        return
    run, units, about = {"knn": knn, "tokenizer": tokenizer, "rouge": rouge}[a.what](a)
    print(f"ready {about}", flush=True)
    for line in sys.stdin:
        times, stop = [], time.perf_counter() + float(line)
        while not times or time.perf_counter() < stop:
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        print(f"{units / statistics.median(times):.4f}", flush=True)


main()
