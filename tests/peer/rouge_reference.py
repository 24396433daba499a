#!/usr/bin/python3
"""ROUGE as google-research's rouge_score defines it, in plain Python: the reference for tests/golden/rouge.jsonl
and for timing. The stemmer is NLTK's (apt-get install python3-nltk).

rouge_reference.py golden              the golden vectors, as JSON lines
rouge_reference.py stems               words and their stems, for tests/golden/porter_stems.txt
rouge_reference.py check BINARY N      compare `BINARY rouge` with this on the golden cases and N random ones
rouge_reference.py pairs N WORDS SEED  N pairs of random texts of about WORDS words, as JSON lines
rouge_reference.py score FILE          scores of {"reference": ..., "hypothesis": ...} lines, with and without
                                       the stemmer, and the processor time on standard error
"""
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter

from nltk.stem.porter import PorterStemmer

STEMMER = PorterStemmer()
ZERO = (0.0, 0.0, 0.0)


def tokens(text, stem):
    words = re.sub("[^a-z0-9]+", " ", text.lower()).split()
    return [STEMMER.stem(w) if stem and len(w) > 3 else w for w in words]


def prf(hits, reference, hypothesis):
    p, r = hits / max(hypothesis, 1), hits / max(reference, 1)
    return (p, r, 2 * p * r / (p + r)) if p + r > 0 else ZERO


def ngram_score(reference, hypothesis, n):
    counts = [Counter(zip(*(t[k:] for k in range(n)))) for t in (reference, hypothesis)]
    hits = sum(min(c, counts[1][g]) for g, c in counts[0].items())
    return prf(hits, sum(counts[0].values()), sum(counts[1].values()))


def length_table(a, b):
    table = [[0] * (len(b) + 1)]
    for x in a:
        above, row = table[-1], [0]
        for j, y in enumerate(b):
            row.append(above[j] + 1 if x == y else max(above[j + 1], row[j]))
        table.append(row)
    return table


def lcs_score(reference, hypothesis):
    if not reference or not hypothesis:
        return ZERO
    return prf(length_table(reference, hypothesis)[-1][-1], len(reference), len(hypothesis))


def lcs_positions(reference, hypothesis):
    """Positions in the reference of the LCS that the walk from the far corner finds."""
    table = length_table(reference, hypothesis)
    i, j, found = len(reference), len(hypothesis), []
    while i and j:
        if reference[i - 1] == hypothesis[j - 1]:
            i, j = i - 1, j - 1
            found.append(i)
        elif table[i - 1][j] < table[i][j - 1]:
            j -= 1
        else:
            i -= 1
    return found


def summary_score(reference, hypothesis, stem):
    references, hypotheses = ([tokens(line, stem) for line in text.split("\n") if line]
                              for text in (reference, hypothesis))
    left = [Counter(t for s in sentences for t in s) for sentences in (references, hypotheses)]
    sizes = [sum(c.values()) for c in left]
    hits = 0
    for sentence in references:
        union = set()
        for other in hypotheses:
            union.update(lcs_positions(sentence, other))
        for i in sorted(union):
            if left[0][sentence[i]] > 0 and left[1][sentence[i]] > 0:
                hits += 1
                for c in left:
                    c[sentence[i]] -= 1
    return prf(hits, *sizes)


def score(reference, hypothesis, stem):
    a, b = tokens(reference, stem), tokens(hypothesis, stem)
    return {"rouge1": ngram_score(a, b, 1), "rouge2": ngram_score(a, b, 2), "rougeL": lcs_score(a, b),
            "rougeLsum": summary_score(reference, hypothesis, stem)}


def combine(references, hypothesis, stem, policy):
    each = [score(r, hypothesis, stem) for r in references]
    if policy == "first":
        return each[0]
    if policy == "mean":
        return {m: [sum(s[m][k] for s in each) / len(each) for k in range(3)] for m in each[0]}
    return {m: max((s[m] for s in each), key=lambda x: x[2]) for m in each[0]}


VOCABULARY = ("the of and to a in that was he his with her she it had on for ship captain storm sailing sailed "
              "relations relational conditionally flying dying skies news innings happily running hopping agreed "
              "plastered 1851 12 3rd well-known state-of-the-art don't caf\u00e9 na\u00efve stra\u00dfe \u0130zmir "
              "\u212aelvin \u03a3\u03b1\u03c2 \u4e2d\u6587 \U0001f600 e-mail O'Brien x 0 university universal").split()


def random_text(rng, words, vocabulary=VOCABULARY, line=12):
    """Words by a Zipf law, in lines of random length."""
    weights = [1 / (k + 2) for k in range(len(vocabulary))]
    out = []
    for word in rng.choices(vocabulary, weights, k=words):
        out.append(word)
        out.append("\n" if rng.random() < 1 / line else rng.choice([" ", " ", " ", ", ", "."]))
    return "".join(out)


def golden_cases():
    story = "The captain was sailing home.\nHe had agreed to carry the news.\n\nThe storm broke at 12."
    yield "plain", ["The quick brown fox jumps over the lazy dog"], "The quick brown dog jumps on the log."
    yield "identical", [story], story
    yield "lines", [story], "At 12 the storm broke.\nThe captain carried news.\nHe agreed to sail home."
    yield "hyphens", ["A well-known, state-of-the-art e-mail"], "a well known state of the art email"
    yield "apostrophes", ["don't say O'Brien's can't"], "don t say o brien s cant"
    yield "digits", ["In 1851, on the 3rd of 12 days: 3,000.50"], "in 1851 on the 3rd day 3 000 50 1851"
    yield "non-ASCII", ["Caf\u00e9 na\u00efve stra\u00dfe \u4e2d\u6587 \U0001f600 r\u00e9sum\u00e9s"], \
        "cafe caf na ve stra e \u4e2d\u6587 r sum s"
    yield "lower case", ["\u0130STANBUL \u212aELVIN \u0130 \u212a 5\u212a\u0130x \u212b"], "i stanbul kelvin i k 5ki x a"
    yield "no separator", ["one\u00a0two\u2028three\rfour\x00five\x0bsix\x85seven"], "one two three four five six seven"
    yield "carriage returns", ["a b c\r\nd e f\r\n"], "d e f\r\na b c\r\n"
    yield "stems", ["dying skies news innings flying agreed plastered happily conditionally relational"], \
        "die sky new inning fly agree plaster happy conditional relate"
    yield "short words", ["ties dies was his gas bus"], "tie die wa hi ga bu"
    yield "empty hypothesis", [story], ""
    yield "empty reference", [""], story
    yield "both empty", [""], ""
    yield "no tokens", ["\u4e2d\u6587 ... \n ---"], "\u4e2d\u6587 ... \n ---"
    yield "one token", ["word"], "word"
    yield "no bigram", ["word"], "word after word"
    yield "empty lines", ["\n\n a b \n\n\n c d \n"], "\n c d\n\n\na b\n\n"
    yield "repeats", ["a a a b b"], "a b a b a b a b"
    yield "repeats in lines", ["a b a b\nb a b a\na a"], "b b a\na b b a\na"
    yield "union", ["w1 w2 w3 w4 w5"], "w1 w2 w6 w7 w8\nw1 w3 w8 w9 w5"
    yield "several", [story, "The storm broke the ship.", "At 12 he was home"], "The storm broke at 12, he was home."
    yield "several of equal F", ["a x", "a b x y z w"], "a b"
    yield "several, one empty", ["", "a b\nc"], "c\na b d"
    # Few distinct words: many LCS are equally long, and which one is chosen shows.
    for seed in range(24):
        rng = random.Random(seed)
        few = "a b c d e f".split()[:2 + seed % 5]
        yield f"ties {seed}", [random_text(rng, rng.randrange(1, 150), few, line=20)], \
            random_text(rng, rng.randrange(1, 150), few, line=20)
    for words in (60, 64, 65, 127, 128, 129, 193):
        rng = random.Random(words)
        yield f"one line of {words}", [" ".join(rng.choices("abcdefgh", k=words))], \
            " ".join(rng.choices("abcdefgh", k=words + rng.randrange(-3, 4)))
    for seed in range(12):
        rng = random.Random(1000 + seed)
        yield f"mixed {seed}", [random_text(rng, rng.randrange(5, 120)) for _ in range(1 + seed % 3)], \
            random_text(rng, rng.randrange(5, 120))
    rng = random.Random(7)
    yield "long", [random_text(rng, 1500)], random_text(rng, 1100)
    yield "long lines", [random_text(rng, 900, line=300)], random_text(rng, 1200, line=500)


def golden():
    for name, references, hypothesis in golden_cases():
        case = {"name": name, "reference": references, "hypothesis": hypothesis}
        for policy in ["max", "mean", "first"] if len(references) > 1 else ["max"]:
            for stem in (0, 1):
                case[f"{policy}{'+stemmer' * stem}"] = combine(references, hypothesis, stem, policy)
        print(json.dumps(case))


SUFFIXES = ("ational tional enci anci izer bli abli alli entli eli ousli ization ation ator alism iveness fulness "
            "ousness aliti iviti biliti fulli logi icate ative alize iciti ical ful ness al ance ence er ic able ible "
            "ant ement ment ent ion sion tion ou ism ate iti ous ive ize e ll y s es ies sses ied eed ed ing at bl iz "
            "ly ally ationally lly ying yed").split()


def stems():
    """Real words of every rule, and made-up ones of all kinds of stems with all endings."""
    rng = random.Random(1980)
    words = {"sky", "skies", "dying", "lying", "tying", "news", "innings", "inning", "outings", "cannings", "howe",
              "proceed", "exceed", "succeed", "dies", "flies", "died", "spied", "enjoy", "spy", "happy", "geology",
              "theologically", "controll", "roll", "hissing", "fizzed", "hopping", "filing", "failing", "sized",
              "agreed", "feed", "bleed", "rationally", "nationally", "oed", "aing", "yyyying", "syzygies", "3rds",
              "1990s", "42ing", "b4bbed"}
    for _ in range(2600):
        word = "".join(rng.choices("aeiouyybcdlmnrstxwz1", k=rng.randrange(1, 6)))
        words.add(word + "".join(rng.choices(SUFFIXES, k=rng.randrange(1, 3))))
    for word in sorted(words):
        print(word, STEMMER.stem(word))


def check(binary, count):
    """Exit with the first case that differs by more than 1e-9."""
    rng = random.Random(99)
    odd = list("abABz09 \n\n -'.,\u0130\u212as\u00df\u00e9\u03a3\u03c2\u4e2d\U0001f600\u2028\r\t\x00\x0b\u0307\uff21")
    kinds = [lambda: "".join(rng.choices(odd, k=rng.randrange(120))),
             lambda: random_text(rng, rng.randrange(200), list("abcdef")[:rng.randrange(1, 7)],
                                 rng.choice([3, 10, 70, 1000])),
             lambda: random_text(rng, rng.randrange(150)),
             lambda: " ".join(rng.choices("abcdefghijklmnop", k=rng.randrange(40, 210)))]
    cases = [(references, hypothesis) for _, references, hypothesis in golden_cases()]
    for i in range(count):
        text = kinds[i % len(kinds)]
        cases.append(([text() for _ in range(rng.choice([1, 1, 2, 3]))], text()))
    worst = 0
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        for references, hypothesis in cases:
            print(json.dumps({"reference": references, "hypothesis": hypothesis}), file=file, flush=True)
        for stem in (0, 1):
            for policy in ("max", "mean", "first"):
                command = [binary, "rouge", "jsonl=1", "json=1", "each=1", f"ref={file.name}", f"stemmer={stem}",
                           f"policy={policy}"]
                lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
                for (references, hypothesis), line in zip(cases, lines[:-1], strict=True):
                    expected, got = combine(references, hypothesis, stem, policy), json.loads(line)
                    for metric, values in expected.items():
                        for name, value in zip(("precision", "recall", "fmeasure"), values):
                            difference = abs(value - got[metric][name])
                            worst = max(worst, difference)
                            if difference > 1e-9:
                                sys.exit(f"stemmer {stem}, {policy}, {metric} {name}: {got[metric][name]}, expected "
                                         f"{value}, of {json.dumps([references, hypothesis])}")
    print(f"{len(cases)} cases, largest difference {worst:.1e}")


def pairs(count, words, seed):
    """Texts as long as summaries, over a vocabulary with the shape of English: half of the words come from 60."""
    rng = random.Random(seed)
    syllables = ["ba", "con", "der", "es", "fi", "gra", "hol", "in", "ka", "lem", "mo", "ner", "op", "pre", "ris"]
    endings = ["", "", "s", "ed", "ing", "ation", "ly", "ness", "ful", "al"]
    made = {"".join(rng.choices(syllables, k=rng.randrange(1, 4))) + rng.choice(endings) for _ in range(8000)}
    vocabulary = sorted(made)
    rng.shuffle(vocabulary)
    for _ in range(count):
        print(json.dumps({"reference": random_text(rng, words, vocabulary, line=20).capitalize(),
                          "hypothesis": random_text(rng, words, vocabulary, line=20).capitalize()}))


def score_file(path):
    rows = [json.loads(line) for line in open(path, encoding="utf-8", newline="\n")]
    for stem in (0, 1):
        start = time.process_time()
        results = [score(row["reference"], row["hypothesis"], stem) for row in rows]
        print(f"{len(rows)} pairs, stemmer {stem}: {time.process_time() - start:.2f} s", file=sys.stderr)
        for result in results:
            print(json.dumps({"stemmer": stem, **result}))


if __name__ == "__main__":
    if sys.argv[1:] == ["golden"]:
        golden()
    elif sys.argv[1:] == ["stems"]:
        stems()
    elif sys.argv[1:2] == ["check"] and len(sys.argv) == 4:
        check(sys.argv[2], int(sys.argv[3]))
    elif sys.argv[1:2] == ["pairs"] and len(sys.argv) == 5:
        pairs(*map(int, sys.argv[2:]))
    elif sys.argv[1:2] == ["score"] and len(sys.argv) == 3:
        score_file(sys.argv[2])
    else:
        sys.exit(__doc__)
