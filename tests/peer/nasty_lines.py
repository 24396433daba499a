#!/usr/bin/env python3
"""Are our tokens those of HuggingFace's tokenizers, on 20,000 nasty lines for each tokenizer? For developers, not CI.

    python tests/peer/nasty_lines.py build/palimpsest WORK NAME=PATH [NAME=PATH ...]

PATH is a tokenizer.json, or a model's .gguf of byte-level BPE (its vocabulary is then written as the tokenizer.json
that its splitting stands for; "PATH.gguf,PATH.json" takes the one that `palimpsest export` wrote of it). "spm:PATH" is a SentencePiece model, compared with our reading of its scores through
a llama2.c tokenizer.bin made of it. WORK is a folder for what is made on the way. Needs: tokenizers, and gguf or sentencepiece for
those. Random characters are those that the peer's Unicode has assigned. Every tokenizer is compared with names of special tokens as text and as tokens, where the file allows it.
"""
import json
import os
import random
import struct
import subprocess
import sys

LINES = 20000

PIECES = (
    list("aeinorst.,;:!?'\"()[]{}<>/\\|@#$%^&*_-+=~`") + [" "] * 6 + ["  ", "   ", " " * 17, "\n", "\n\n", "\n \n", "\r\n",
    "\r", "\t", "\t\t", "\v", "\f", " \n", " \r\n ", "\n  ", "\u0085", "\u00a0", "\u1680", "\u180e", "\u2003", "\u2028",
    "\u2029", "\u202f", "\u205f", "\u3000", "\u200b", "\u200c", "\u200d", "\ufeff", "\u00ad", "\u2060"] +
    list("0123456789") + ["12", "123", "1234", "12345678901", " 7", " 1234", "3.14", "1,000,000", "0x1F", "²", "½", "Ⅷ", "①",
    "٣٤", "२०२४", "๑๒๓", "১২৩", "𝟘𝟙", "𒐀", "〇", "三", "⑽", "1st", "x²"] +
    ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'T", "'RE", "'Ve", "'vE", "'M", "'LL", "'lL", "'D", "don't", "DON'T",
     "'ſ", "'r", "'l", "''", "'", "’s", "'sx", "they'll've", " 's", "\u212a", "ſ"] +
    [" the", " of", "The", "THE", "hello", " Hello", "world", "tokenizer", "ization", "un", "Straße", "naïve", "café", "cafe\u0301",
     "A\u030a", "\u212b", "\u1e9b\u0323", "o\u0302\u0323", "\u0958", "\ufb1d", "\u0344", "\U0001d160", "\uac00", "\u1100\u1161\u11a8",
     "\u2126", "\u1fef", "\u037e", "\u0340", "e\u0301\u0302\u0303" * 3, "\u0301", "q\u0307\u0323", "\u0dd9\u0dcf", "\u0b47\u0b3e",
     "\uf900", "\u0f73", "a\u0f71\u0f72"] +
    ["жук", " слово", "Ёлка", "שלום", "שָׁלוֹם", "مرحبا", "مُحَمَّد", "हिन्दी", "ไทย", "ภาษา", "漢字", "かな", "カタカナ", "한국어", "ភាសា",
     "தமிழ்", "తెలుగు", "አማርኛ", "ქართული", "Ελληνικά", "հայերեն", "བོད", "မြန်မာ", "ᏣᎳᎩ", "ᚠᚢᚦ", "𐌰𐌱", "𞤀𞤁", "𝒳𝓎", "ﬁ", "ǅ", "ʰ", "ª"] +
    ["😀", "👩‍👩‍👧", "👍🏽", "🇩🇪", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "❤️", "1️⃣", "🧑🏿‍🚀", "♀", "⚧️", "\U0001fae8", "\U0001fa75", "\U0001f6dc"] +
    ["\x00", "\x01", "\x04", "\x06", "\x13", "\x1b[0m", "\x1c", "\x1f", "\x7f", "\u0080", "\u009f", "\ufffd", "\ufffe", "\U0010ffff", "\ue000",
     "\U000e0041"] +
    ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<s>", "</s>", "<unk>", "<|begin_of_text|>", "<|eot_id|>", "<think>", "</think>",
     "<tool_call>", "<|im_", "<|", "|>", "<0x0A>", "<0x", "▁", "▁▁", " ▁", "▁the", "Ġ", "Ċ", "<|fim_prefix|>", "<tool", "[UNK]"] +
    ["\\frac{1}{2}", "func (t *T) X()", "\tif err != nil {\n", ":=", "://", "www.", "a_b_c", "--", "----------", "...", "!!!", "#include <x>",
     "CamelCaseWord", "aaaaaaaaaaaaaaaa", "=" * 40, "x" * 90, "ab" * 60, "é" * 40, "漢" * 50])


def unknown(first, last):
    """Characters that the peer's Unicode has not assigned. Ours is 17.0: it knows some of them, and must not count as
    wrong for that. (tokenizers 0.23 has 16.0.)"""
    from tokenizers import Regex, pre_tokenizers
    text = "".join(chr(c) for c in range(first, last) if not 0xD800 <= c <= 0xDFFF)
    return {c for piece, _ in pre_tokenizers.Split(Regex("[^\\p{Cn}]+"), "removed").pre_tokenize_str(text) for c in piece}


def lines():
    rng = random.Random(20261130)
    left_out = unknown(0x80, 0x110000) - {"\ufffe", "\U0010ffff"}
    out = [" ", "  ", "\n", "a", " a", "a ", "▁", "'s", "1", "\x00"]
    out += [c * n for c in ("a", " ", "1", "é", "漢", "\n", "'", "\u0301") for n in (2, 3, 63, 64, 65, 200, 1000)]
    while len(out) < LINES:
        s = ""
        for _ in range(1 + rng.randrange(30)):
            if rng.randrange(7):
                s += rng.choice(PIECES)
            else:
                c = rng.randrange(rng.choice((0x300, 0x3000, 0x3000, 0x20000, 0x110000)))
                s += chr(c) if not 0xD800 <= c <= 0xDFFF and chr(c) not in left_out else "?"
        out.append(s)
    return out


def byte_characters():
    plain = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    other = [b for b in range(256) if b not in plain]
    return {**{b: chr(b) for b in plain}, **{b: chr(256 + i) for i, b in enumerate(other)}}


def json_of_gguf(path, out):
    """The tokenizer.json that a GGUF file of byte-level BPE was made from, as far as tokens go."""
    from gguf import GGUFReader
    fields = GGUFReader(path).fields
    get = lambda key: fields["tokenizer.ggml." + key].contents()
    assert get("model") == "gpt2" and get("pre") in ("smollm", "gpt-2"), (get("model"), get("pre"))
    tokens, types = get("tokens"), get("token_type")
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    parts = [{"type": "Digits", "individual_digits": True}, level] if get("pre") == "smollm" else [level]
    added = [{"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
              "special": types[i] == 3} for i, t in enumerate(tokens) if types[i] in (3, 4)]
    root = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": parts}, "post_processor": None, "decoder": level,
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                      "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                      "vocab": {t: i for i, t in enumerate(tokens)}, "merges": get("merges")}}
    with open(out, "w") as f:
        json.dump(root, f)
    return out


def bin_of_spm(path, out):
    """llama2.c's export of a SentencePiece model: scores and texts, with spaces as themselves."""
    import sentencepiece
    sp = sentencepiece.SentencePieceProcessor(model_file=path)
    entries = [(sp.get_score(i), sp.id_to_piece(i).replace("▁", " ").encode()) for i in range(sp.get_piece_size())]
    with open(out, "wb") as f:
        f.write(struct.pack("<I", max(len(t) for _, t in entries)))
        for score, text in entries:
            f.write(struct.pack("<fi", score, len(text)) + text)
    return sp, out


def ours(binary, tokenizer, texts, special):
    result = subprocess.run([binary, "tokenizer", "action=encode", f"tokenizer={tokenizer}", f"data={texts}", f"special={special}"],
                            check=True, stdout=subprocess.PIPE)
    return [[int(t) for t in line.split()] for line in result.stdout.decode().split("\n")[:-1]]


def compare(name, texts, mine, theirs):
    assert len(mine) == len(texts), (len(mine), len(texts))
    wrong = [i for i in range(len(texts)) if mine[i] != theirs[i]]
    print(f"{name}: {len(texts) - len(wrong)} of {len(texts)} lines have the same tokens ({sum(map(len, theirs))} tokens)")
    for i in wrong[:5]:
        first = next((k for k, (a, b) in enumerate(zip(mine[i], theirs[i])) if a != b), min(len(mine[i]), len(theirs[i])))
        print("  ", ascii(texts[i][:200]), "\n    ours ", mine[i][first:first + 8], "\n    theirs", theirs[i][first:first + 8])
    return len(wrong)


def main():
    binary, work, *named = sys.argv[1:]
    os.makedirs(work, exist_ok=True)
    texts, wrong = lines(), 0
    file = os.path.join(work, "lines.jsonl")
    with open(file, "w") as f:
        for text in texts:
            f.write(json.dumps({"text": text}) + "\n")
    for item in named:
        name, path = item.split("=", 1)
        if path.startswith("spm:"):
            sp, made = bin_of_spm(path[4:], os.path.join(work, name + ".bin"))
            wrong += compare(name, texts, ours(binary, made, file, "text"), [sp.encode(t) for t in texts])
            continue
        from tokenizers import Tokenizer
        path, _, exported = path.partition(",")
        json_path = exported or path
        if json_path.endswith(".gguf"):
            json_path = json_of_gguf(path, os.path.join(work, name + ".json"))
        theirs = Tokenizer.from_file(json_path)
        for special in ("text", "token"):
            theirs.encode_special_tokens = special == "text"
            expected = [e.ids for e in theirs.encode_batch(texts, add_special_tokens=False)]
            wrong += compare(f"{name}, special={special}", texts, ours(binary, path, file, special), expected)
    return wrong > 0


if __name__ == "__main__":
    sys.exit(main())
