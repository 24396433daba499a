#!/usr/bin/env python3
"""Makes tests/golden/tokenizers: small tokenizers of the kinds that real models have, and the tokens that HuggingFace's
tokenizers make of nasty lines. For developers: python tests/peer/tokenizer_golden.py TEXT... (any English texts to train on)
"""
import json
import os
import random
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import nasty_lines  # noqa: E402

FOLDER = "tests/golden/tokenizers"
REST = "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
SHORT = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
SPLIT = {"llama3": SHORT + "\\p{N}{1,3}" + REST, "qwen": SHORT + "\\p{N}" + REST}


def bytes_kind(name):
    t = Tokenizer(models.BPE(ignore_merges=name == "llama3"))
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(SPLIT[name]), "isolated"),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    if name == "qwen":
        t.normalizer = normalizers.NFC()
    t.decoder = decoders.ByteLevel()
    special = "<|begin_of_text|>" if name == "llama3" else "<|endoftext|>"
    return t, trainers.BpeTrainer(vocab_size=450, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=[special],
                                  show_progress=False)


def finish_bytes(name, t):
    if name == "qwen":
        t.add_tokens([AddedToken("<think>", normalized=False, special=False)])
        return
    t.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(
        single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", t.token_to_id("<|begin_of_text|>"))])])


def spaced_kind(texts):
    """SentencePiece's layout: <unk> <s> </s>, the bytes, then pieces by falling score, the characters last."""
    words = Tokenizer(models.BPE())
    words.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    words.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="never", split=True)
    words.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=220, show_progress=False))
    learnt = json.loads(words.to_str())["model"]
    pieces = ["▁▁"] + [t for t, _ in sorted(learnt["vocab"].items(), key=lambda x: x[1]) if len(t) > 1 and t != "▁▁"]
    pieces += sorted({c for p in pieces for c in p} | set(" e\u00e9漢\n".replace(" ", "▁")))
    names = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)] + [p for p in pieces]
    vocab = {t: i for i, t in enumerate(names)}
    merges = [(t[:c], t[c:]) for t in pieces for c in range(1, len(t)) if vocab.get(t[:c], 0) > 258 and vocab.get(t[c:], 0) > 258]
    t = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.normalizer = words.normalizer
    t.add_special_tokens([AddedToken(s, normalized=False) for s in names[:3]])
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    t.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return t


def main():
    texts = [open(p, encoding="utf-8").read()[:200000] for p in sys.argv[1:]]
    os.makedirs(FOLDER, exist_ok=True)
    made = {}
    for name in SPLIT:
        t, trainer = bytes_kind(name)
        t.train_from_iterator(texts, trainer)
        finish_bytes(name, t)
        made[name] = t
    made["spaced"] = spaced_kind([line for text in texts for line in text.splitlines()])
    for name, t in made.items():
        root = json.loads(t.to_str())
        root["model"]["merges"] = [" ".join(m) for m in root["model"]["merges"]]
        with open(f"{FOLDER}/{name}.json", "w", encoding="utf-8") as f:
            json.dump(root, f, ensure_ascii=False, separators=(",", ":"))
    lines = nasty_lines.lines()
    rng = random.Random(16)
    chosen = [l for l in lines[:12]] + rng.sample([l for l in lines if len(l) < 50], 40)
    chosen += ["".join(rng.sample(lines, 12))[:500], "<|begin_of_text|>a<think> b<|endoftext|>", "x<s>y</s> z", "  <think>  ", "1234567 89 0"]
    with open(f"{FOLDER}/lines.jsonl", "w") as f:
        for line in chosen:
            row = {"text": line}
            for name, t in made.items():
                for special in ("text", "token"):
                    t.encode_special_tokens = special == "text"
                    row[f"{name} {special}"] = t.encode(line, add_special_tokens=False).ids
            f.write(json.dumps(row, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
