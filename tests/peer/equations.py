#!/usr/bin/python3
"""The models once more, in 64-bit numpy, from the equations of models/README.md alone.

Reads shipped weights by itself, computes the loss of every token of a text, and compares the losses of the
ranges of positions that `palimpsest eval task=perplexity` writes to its journal. Run by hand:

    tests/peer/equations.py [--binary build/palimpsest] [--text FILE] [--tokens 2304] [--instead window:sinks=2]
                            [MODEL.safetensors ...]

Exit code 1 when a range differs by more than 1e-5 nats a token.
"""
import argparse
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

import numpy as np

MODELS = ("text-infini-linear", "text-infini-delta", "text-infini-next", "text-transformer-xl", "text-memorizing",
          "passkey-infini-next-overlap")
BEGIN = "<|endoftext|>"
LIMIT = 1e-5
# Keys of a model that do not belong to its attention.
SHARED = ("vocab d_model n_layers n_heads d_head d_ff segment activation embed_scale final_norm tied output_bias attn_scale "
          "init_std norm_eps norm feed_forward n_kv_heads attn_bias qk_norm ff_bias").split()


def read_weights(path):
    """Tensors in float64, and the config as a dictionary of strings."""
    data = pathlib.Path(path).read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    meta = header.pop("__metadata__")
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        raw = data[8 + size + begin:8 + size + end]
        if entry["dtype"] == "BF16":
            value = (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4")
        else:
            value = np.frombuffer(raw, {"F32": "<f4", "F64": "<f8"}[entry["dtype"]])
        tensors[name] = value.astype(np.float64).reshape(entry["shape"])
    config = dict(line.split(" = ", 1) for line in meta["config"].strip().splitlines())
    return tensors, config, meta


def size(text):
    """A number of tokens; K and M stand for 2^10 and 2^20."""
    return int(text[:-1]) << {"K": 10, "M": 20}[text[-1]] if text[-1] in "KM" else int(text)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def softmax(score):
    e = np.exp(score - score.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def rms(x, gain, eps):
    return x / np.sqrt((x ** 2).mean(axis=-1, keepdims=True) + eps) * gain


def norm(w, c, name, x):
    """The norm whose tensors begin with `name`."""
    gain, eps = w[name + ".weight"].reshape(-1), float(c["norm_eps"])
    if c.get("norm", "layer") == "rms":
        return rms(x, gain, eps)
    centred = x - x.mean(axis=-1, keepdims=True)
    return rms(centred, gain, eps) + w[name + ".bias"].reshape(-1)


def linear(w, name, x):
    """x by a matrix, and a bias where there is one."""
    y = x @ w[name + ".weight"].T
    return y + w[name + ".bias"].reshape(-1) if name + ".bias" in w else y


def activation(kind, a):
    if kind == "relu":
        return np.maximum(a, 0)
    if kind == "silu":
        return a * sigmoid(a)
    return 0.5 * a * (1 + np.tanh(np.sqrt(2 / np.pi) * (a + 0.044715 * a ** 3)))


def frequencies(c, base, width):
    """Radians a position of each rotary pair."""
    plain = float(base) ** (-2 * np.arange(width // 2) / width)
    factor, kind = float(c.get("rope_factor", "1")), c.get("rope_scaling", "none")
    if kind == "linear":
        return plain / factor
    if kind == "llama3":
        original, low, high = size(c.get("rope_original", "8K")), float(c.get("rope_low", "1")), float(c.get("rope_high", "4"))
        wave = 2 * np.pi / plain
        share = (original / wave - low) / (high - low)
        scale = np.where(wave < original / high, 1, np.where(wave > original / low, 1 / factor, (1 - share) / factor + share))
        return plain * scale
    return plain


def rotate(c, x, position, base):
    half = x.shape[-1] // 2
    angle = position[:, None] * frequencies(c, base, x.shape[-1])
    cosine, sine = np.cos(angle), np.sin(angle)
    if c.get("rope_layout", "half") == "interleaved":
        first, second, y = x[:, 0::2], x[:, 1::2], np.empty_like(x)
        y[:, 0::2], y[:, 1::2] = first * cosine - second * sine, second * cosine + first * sine
        return y
    first, second = x[:, :half], x[:, half:]
    return np.concatenate([first * cosine - second * sine, second * cosine + first * sine], axis=1)


class Layer:
    """One layer's attention, with its state."""

    def __init__(self, w, c, index):
        self.w, self.c, self.index = w, c, index
        self.h, self.e, self.n = int(c["n_heads"]), int(c["d_head"]), size(c["segment"])
        self.kv = int(c.get("n_kv_heads", "0")) or self.h
        self.group = self.h // self.kv
        self.kind = c["attention"]
        self.scale = 1 / np.sqrt(float(c["d_model"] if c.get("attn_scale") == "model" else self.e))
        self.seen = 0
        self.cache = None  # rows of before the segment
        self.memory = [self.empty_memory() for _ in range(self.kv)]
        self.store = [(np.zeros((0, self.e)), np.zeros((0, self.e))) for _ in range(self.kv)]

    def tensor(self, name):
        return self.w["layers.%d.dec_attn.%s" % (self.index, name)]

    def option(self, name, fallback):
        return self.c.get(name, fallback)

    def heads(self, x):
        """q of every query head, k and v of every key head."""
        qkv = linear(self.w, "layers.%d.dec_attn.qkv_net" % self.index, x)
        part = np.split(qkv, self.h + 2 * self.kv, axis=1)
        q, k, v = part[:self.h], part[self.h:self.h + self.kv], part[self.h + self.kv:]
        if self.c.get("qk_norm", "none") == "rms":
            eps = float(self.c["norm_eps"])
            q = [rms(a, self.tensor("q_norm.weight").reshape(-1), eps) for a in q]
            k = [rms(a, self.tensor("k_norm.weight").reshape(-1), eps) for a in k]
        return q, k, v

    def normed(self, x):
        return norm(self.w, self.c, "layers.%d.dec_attn.layer_norm" % self.index, x)

    def local(self, q, k, v, old_k, old_v, scale):
        """Causal attention over the rows before the segment and those of the segment, rotated."""
        old = len(old_k)
        at = np.arange(old + len(q), dtype=np.float64)
        base = self.option("rope_base", "10000")
        keys = rotate(self.c, np.concatenate([old_k, k]), at, base)
        score = scale * rotate(self.c, q, at[old:], base) @ keys.T
        score[np.arange(old + len(q))[None, :] > old + np.arange(len(q))[:, None]] = -np.inf
        return softmax(score) @ np.concatenate([old_v, v])

    def cached(self, h, k, v):
        """The cached keys and values of key head h; then those of this segment enter."""
        length = 1 << 40 if self.kind == "full" else size(self.option("xl_len", "0"))
        if self.cache is None:
            self.cache = [(np.zeros((0, self.e)), np.zeros((0, self.e))) for _ in range(self.kv)]
        old = self.cache[h]
        newest = [np.concatenate([a, b]) for a, b in zip(old, (k, v))]
        self.cache[h] = tuple(a[max(0, len(a) - length):] for a in newest)
        return old

    def __call__(self, x):
        n = self.normed(x)
        if self.kind == "transformer-xl":
            out = self.transformer_xl(x, n)
        else:
            q, k, v = self.heads(n)
            out = []
            for h in range(self.kv):
                out += self.key_head(h, n, q[h * self.group:(h + 1) * self.group], k[h], v[h])
        self.seen += len(x)
        return linear(self.w, "layers.%d.dec_attn.o_net" % self.index, np.concatenate(out, axis=1))

    def key_head(self, h, n, queries, k, v):
        """The outputs of the query heads that share key head h."""
        first = h * self.group
        if self.kind == "window":
            return [self.window(q, *newest) for newest in [self.all_of(h, k, v)] for q in queries]
        if self.kind == "memorizing" and self.index == self.knn_layer():
            return self.memorizing(h, first, queries, k, v)
        cached = self.cached(h, k, v)
        local = [self.local(q, k, v, *cached, self.scale) for q in queries]
        if self.kind.startswith("infini") and self.has_memory():
            return self.infini(h, first, n, queries, k, v, local)
        return local

    # ---- window ----

    def all_of(self, h, k, v):
        """Keys and values of the whole stream; what is too old is masked."""
        self.store[h] = tuple(np.concatenate([a, b]) for a, b in zip(self.store[h], (k, v)))
        return self.store[h]

    def window(self, q, k, v):
        length, sinks = size(self.option("window", "512")), size(self.option("sinks", "4"))
        by_segment, base = self.option("window_slides", "token") == "segment", self.option("rope_base", "10000")
        out = np.zeros_like(q)
        for i in range(len(q)):
            t = self.seen + i
            first = max(0, self.seen - length if by_segment else t + 1 - length)
            seen = np.concatenate([np.arange(min(sinks, first)), np.arange(first, t + 1)])
            place = np.arange(len(seen)) if self.option("window_positions", "cache") == "cache" else seen
            place = place.astype(np.float64)
            score = rotate(self.c, k[seen], place, base) @ rotate(self.c, q[i:i + 1], place[-1:], base)[0]
            out[i] = softmax(self.scale * score) @ v[seen]
        return out

    # ---- transformer-xl ----

    def transformer_xl(self, x, n):
        length = size(self.option("mem_len", "-1"))
        length = self.n if length < 0 else length
        clamp, same = size(self.option("clamp_len", "-1")), self.option("same_length", "0") == "1"
        old = np.zeros((0, x.shape[1])) if self.cache is None else self.cache
        rows = np.concatenate([self.normed(old), n]) if len(old) else n
        self.cache = np.concatenate([old, x])
        self.cache = self.cache[max(0, len(self.cache) - length):]
        half = x.shape[1] // 2
        distance = np.arange(len(rows), dtype=np.float64)
        if clamp > 0:
            distance = np.minimum(distance, clamp)
        angle = distance[:, None] * 10000.0 ** (-2 * np.arange(half) / x.shape[1])
        rel = np.concatenate([np.sin(angle), np.cos(angle)], axis=1) @ self.tensor("r_net.weight").T
        q, k, v = self.heads(rows)
        t, j = len(old) + np.arange(len(x))[:, None], np.arange(len(rows))[None, :]
        away = t - j
        hidden = (away < 0) | (same & (away >= length))
        out = []
        for h in range(self.h):
            shared = h // self.group
            u, w = (self.w.get("r_%s_bias" % s, None) for s in "wr")
            u = self.tensor("r_w_bias") if u is None else u
            w = self.tensor("r_r_bias") if w is None else w
            r = rel[:, h * self.e:(h + 1) * self.e]
            mine = q[h][len(old):]
            score = (mine + u[h]) @ k[shared].T
            score += np.take_along_axis((mine + w[h]) @ r.T, np.maximum(away, 0), axis=1)
            out.append(softmax(np.where(hidden, -np.inf, self.scale * score)) @ v[shared])
        return out

    # ---- Infini-attention ----

    def empty_memory(self):
        z = np.full(self.e, float(self.option("memory_z_init", "0")))
        return {"M": np.zeros((self.e, self.e)), "z": z, "last": np.zeros(self.e)}

    def feature(self, a):
        if self.option("memory_feature", "elu1") == "relu":
            return np.maximum(a, 0)
        return np.where(a < 0, np.exp(np.minimum(a, 0)), a + 1)

    def has_memory(self):
        layers = self.option("memory_layers", "all")
        chosen = layers == "all" or str(self.index) in layers.replace(",", ".").split(".")
        return chosen and self.index >= int(self.option("memory_from", "0"))

    def mapped(self, name, head, x):
        """q or k of one head as the memory sees it."""
        if self.option("memory_map", "none") == "none":
            return x
        e = x.shape[1]
        return x @ self.tensor(name)[head * e : (head + 1) * e].T

    def infini(self, h, first, n, queries, k, v, local):
        m, eps = self.memory[h], float(self.option("memory_eps", "1e-6"))
        z_init = float(self.option("memory_z_init", "0"))
        readable = self.seen > 0 or z_init > 0
        recall = lambda f: (f @ m["M"]) / (f @ m["z"] + eps)[:, None] if readable else np.zeros_like(f)
        empty = self.seen == 0
        if self.option("memory_empty", "first") == "unwritten":
            empty = not m["M"].any() and (m["z"] == z_init).all()
        out = []
        for i, q in enumerate(queries):
            beta, adds = self.tensor("gate").reshape(-1)[first + i], self.option("memory_mix", "gate") == "add"
            g = beta if adds else sigmoid(beta)
            if empty and self.option("first_segment", "local") == "local":
                g = 0
            read = recall(self.feature(self.mapped("memory_q.weight", first + i, q)))
            out.append(g * read + (1 if adds else 1 - g) * local[i])
        self.write(h, m, n, k, v, recall, readable)
        return out

    def write(self, h, m, n, k, v, recall, readable):
        f = self.feature(self.mapped("memory_k.weight", h, k))
        key = f if self.option("memory_key", "own") == "own" else np.concatenate([m["last"][None], f[:-1]])
        weight = np.ones(len(k))
        if self.kind == "infini-gated":
            a = n @ self.tensor("write_gate.weight")[h] + self.tensor("write_gate.bias").reshape(-1)[h]
            weight = np.clip(1.2 * sigmoid(a) - 0.1, 0, 1)
        share = np.ones(len(k))
        if self.option("memory_z_rule", "sum") == "gamma" and readable:
            length = (key ** 2).sum(axis=1)
            share = np.where(length > 0, np.clip(1 - key @ m["z"] / np.where(length > 0, length, 1), 0, 1), 0)
        old = recall(key) if self.kind == "infini-delta" else 0
        m["M"] = m["M"] + (weight[:, None] * key).T @ (v - old)
        m["z"] = m["z"] + (weight * share) @ key
        m["last"] = f[-1]

    # ---- Memorizing Transformer ----

    def knn_layer(self):
        layer = int(self.option("knn_layer", "-1"))
        return layer if layer >= 0 else -(-3 * int(self.c["n_layers"]) // 4) - 1

    def memorizing(self, h, first, queries, k, v):
        if self.option("knn_mix", "gate") == "softmax":
            return self.joint(h, queries, k, v)
        unit = lambda a: a / np.sqrt((a ** 2).sum(axis=1, keepdims=True) + 1e-12)
        k = unit(k)
        cached, (keys, values) = self.cached(h, k, v), self.store[h]
        most, entries = int(self.option("knn_k", "32")), size(self.option("knn_entries", "64K"))
        out = []
        for i, q in enumerate(queries):
            q = np.exp(self.tensor("log_qk_scale").reshape(-1)[first + i]) * unit(q)
            g = sigmoid(self.tensor("gate").reshape(-1)[first + i])
            if self.seen == 0 and self.option("first_segment", "local") == "local":
                g = 0
            read = np.zeros_like(q)
            if len(keys):
                score = q @ keys.T
                best = np.argsort(-score, axis=1, kind="stable")[:, :most]
                read = np.einsum("tk,tke->te", softmax(np.take_along_axis(score, best, axis=1)), values[best])
            out.append(g * read + (1 - g) * self.local(q, k, v, *cached, 1))
        self.store[h] = tuple(np.concatenate([a, b])[-entries:] for a, b in zip(self.store[h], (k, v)))
        return out


    def joint(self, h, queries, k, v):
        """One softmax over local keys and the best of those before them."""
        (old_k, old_v), (keys, values) = self.cached(h, k, v), self.store[h]
        most, entries = int(self.option("knn_k", "32")), size(self.option("knn_entries", "64K"))
        count, old = max(0, len(keys) - size(self.option("xl_len", "0"))), len(old_k)
        at, base = np.arange(old + len(k), dtype=np.float64), self.option("rope_base", "10000")
        near = rotate(self.c, np.concatenate([old_k, k]), at, base)
        out = []
        for q in queries:
            score = self.scale * rotate(self.c, q, at[old:], base) @ near.T
            score[np.arange(old + len(q))[None, :] > old + np.arange(len(q))[:, None]] = -np.inf
            far = self.scale * q @ keys[:count].T
            best = np.argsort(-far, axis=1, kind="stable")[:, :most]
            weight = softmax(np.concatenate([np.take_along_axis(far, best, axis=1), score], axis=1))
            o = np.einsum("tk,tke->te", weight[:, :best.shape[1]], values[best]) if count else 0
            out.append(o + weight[:, best.shape[1]:] @ np.concatenate([old_v, v]))
        self.store[h] = tuple(np.concatenate([a, b])[-entries:] for a, b in zip(self.store[h], (k, v)))
        return out


def losses(path, tokens, instead=""):
    """The loss of tokens[1:], in nats."""
    w, c, _ = read_weights(path)
    if instead:
        name, *settings = instead.split(":")
        kept = ("rope_base", "xl_len") if name != "transformer-xl" else ()
        own = {k: v for k, v in c.items() if k in kept or k in SHARED or k.startswith("rope_")}
        c = {**own, "attention": name, **dict(s.split("=") for s in settings)}
    layers, n = [Layer(w, c, i) for i in range(int(c["n_layers"]))], size(c["segment"])
    embedding = w["word_emb.emb_layers.0.weight"]
    output = embedding if c["tied"] == "1" else w["crit.out_layers.0.weight"]
    scale = np.sqrt(float(c["d_model"])) if c["embed_scale"] == "sqrt_d_model" else 1
    out = []
    for begin in range(0, len(tokens) - 1, n):
        x = scale * embedding[tokens[begin:begin + n]]
        for i, layer in enumerate(layers):
            ff = "layers.%d.pos_ff." % i
            x = x + layer(x)
            m = norm(w, c, ff + "layer_norm", x)
            hidden = linear(w, ff + "CoreNet.0", m)
            if c.get("feed_forward", "plain") == "gated":
                hidden = activation(c["activation"], linear(w, ff + "gate", m)) * hidden
            else:
                hidden = activation(c["activation"], hidden)
            x = x + linear(w, ff + "CoreNet.3", hidden)
        if c["final_norm"] == "1":
            x = norm(w, c, "final_norm", x)
        logits = x @ output.T
        if c["output_bias"] == "1":
            logits = logits + w["crit.out_layers.0.bias"].reshape(-1)
        wanted = tokens[begin + 1:begin + n + 1]
        logits = logits[:len(wanted)]
        most = logits.max(axis=1)
        total = most + np.log(np.exp(logits - most[:, None]).sum(axis=1))
        out.append(total - logits[np.arange(len(wanted)), wanted])
    return np.concatenate(out)


def tokenizer_of(path):
    """The shipped tokenizer of the name that the weights were trained with."""
    return "models/tokenizers/" + pathlib.Path(read_weights(path)[2]["tokenizer"]).name


def encode(binary, tokenizer, text, count):
    line = subprocess.run([binary, "tokenizer", "encode", "data=%s" % text, "tokenizer=%s" % tokenizer], check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.split("\n")[0]
    tokens = [int(t) for t in line.split()][:count]
    begin = next(t["id"] for t in json.load(open(tokenizer))["added_tokens"] if t["content"] == BEGIN)
    return np.array([begin] + tokens)


def journal_ranges(binary, weights, text, count, folder, instead):
    """{first position: (sum of losses, tokens)} as the program found them."""
    subprocess.run([binary, "eval", "task=perplexity", "model=%s%s" % (weights, instead and "+" + instead), "data=%s" % text,
                    "max_tokens=%d" % count, "references=0", "plots=0", "results=%s" % folder], check=True,
                   stdout=subprocess.DEVNULL)
    sample = [json.loads(line) for line in open(pathlib.Path(folder) / "perplexity-journal.jsonl")]
    value = next(s["values"] for s in sample if s["kind"] == "sample")
    at = lambda name: int(name[4:].replace("K", "")) * (1024 if name.endswith("K") else 1)
    return {at(name): (value[name], int(value["tokens" + name[3:]])) for name in value
            if name.startswith("nll@") and value["tokens" + name[3:]] > 0}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default="build/palimpsest")
    parser.add_argument("--text", default="models/attention/infini.c")
    parser.add_argument("--tokens", type=int, default=2304)
    parser.add_argument("--instead", default="", help="an attention in place of the models', such as window:sinks=2")
    parser.add_argument("weights", nargs="*", default=["models/weights/%s.safetensors" % m for m in MODELS])
    args = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        text = pathlib.Path(folder) / "text.txt"
        text.write_bytes(pathlib.Path(args.text).read_bytes())
        for weights in args.weights:
            tokens = encode(args.binary, tokenizer_of(weights), text, args.tokens)
            mine = losses(weights, tokens, args.instead)
            run = pathlib.Path(folder) / pathlib.Path(weights).stem
            worst = 0
            for first, (total, count) in sorted(journal_ranges(args.binary, weights, text, args.tokens, run, args.instead).items()):
                worst = max(worst, abs(mine[first:first + count].sum() - total) / count)
            failed |= not worst <= LIMIT
            print("%s  %-30s %d tokens, mean loss %.6f, worst range off by %.1e nats a token" % (
                "agrees" if worst <= LIMIT else "DIFFERS", pathlib.Path(weights).stem, len(mine), mine.mean(), worst))
    sys.exit(failed)


if __name__ == "__main__":
    main()
