"""What `transformers` makes of a real model, for tests/models/test_import.c: logits at every token of a text, in F32 on the CPU.

By hand (needs torch, transformers, gguf, safetensors; 1 GB of disk for 4096 tokens of a vocabulary of 49152):
    python3 tests/peer/real_model.py models/fetched/SmolLM2-135M-Instruct.Q4_1.gguf TEXT 4096 /tmp/expected.safetensors
    PALIMPSEST_REAL_MODEL=models/fetched/SmolLM2-135M-Instruct.Q4_1.gguf \\
        PALIMPSEST_REAL_EXPECTED=/tmp/expected.safetensors build/tests/test_import
MODEL is a HuggingFace folder or a GGUF file, which `transformers` dequantises. The tokens are its tokenizer's, of the text's start."""
import os
import sys

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer


def load(path):
    folder, name = os.path.split(path.rstrip("/"))
    more = {"gguf_file": name} if name.endswith(".gguf") else {}
    where = (folder or ".") if more else path
    model = AutoModelForCausalLM.from_pretrained(where, dtype=torch.float32, attn_implementation="eager", **more)
    return model.eval(), AutoTokenizer.from_pretrained(where, **more)


def main():
    path, text, count, out = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    model, tokenizer = load(path)
    with open(text, encoding="utf-8") as f:
        tokens = tokenizer(f.read(40 * count), add_special_tokens=False)["input_ids"][:count]
    assert len(tokens) == count, f"{text}: only {len(tokens)} tokens"
    with torch.no_grad():
        logits = model(torch.tensor([tokens])).logits[0]
    loss = torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(tokens[1:]))
    save_file({"tokens": torch.tensor(tokens, dtype=torch.int32), "logits": logits.contiguous()}, out)
    print(f"{count} tokens, mean loss {loss.item():.6f}, largest |logit| {logits.abs().max().item():.2f}")


main()
