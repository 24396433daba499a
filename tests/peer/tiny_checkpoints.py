"""Tiny random checkpoints of each family that can be read, as `transformers` saves them, with its logits and gradients.

By hand: python3 tests/peer/tiny_checkpoints.py tests/golden/checkpoints   (needs torch, transformers, safetensors)
A folder holds config.json, model.safetensors (BF16, so that the weights are the same numbers everywhere) and
expected.safetensors: tokens [T], logits [T, vocab] and grad.NAME of the mean loss over the T - 1 next tokens, in F32."""
import json
import os
import sys

import torch
from safetensors.torch import save_file
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

SHAPE = dict(vocab_size=32, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, head_dim=4, max_position_embeddings=64, rms_norm_eps=1e-5, attn_implementation="eager",
             bos_token_id=0, eos_token_id=1, initializer_range=0.25)
LLAMA3 = {"rope_type": "llama3", "rope_theta": 100.0, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 16}
YARN = {"rope_type": "yarn", "rope_theta": 100.0, "factor": 4.0, "original_max_position_embeddings": 16}
LINEAR = {"rope_type": "linear", "rope_theta": 100.0, "factor": 2.0}
PLAIN = {"rope_type": "default", "rope_theta": 100.0}


def config(kind, scaling=PLAIN, **more):
    return kind(**{**SHAPE, "tie_word_embeddings": True, "rope_parameters": scaling, **more})


MODELS = {
    "llama": (LlamaForCausalLM, config(LlamaConfig)),
    "llama-untied": (LlamaForCausalLM, config(LlamaConfig, tie_word_embeddings=False)),
    "llama-wide-head": (LlamaForCausalLM, config(LlamaConfig, head_dim=8)),
    "llama3": (LlamaForCausalLM, config(LlamaConfig, LLAMA3)),
    "llama-linear": (LlamaForCausalLM, config(LlamaConfig, LINEAR)),
    "llama-yarn": (LlamaForCausalLM, config(LlamaConfig, YARN)),
    "qwen2": (Qwen2ForCausalLM, config(Qwen2Config)),
    "qwen3": (Qwen3ForCausalLM, config(Qwen3Config, head_dim=8)),
    "mistral": (MistralForCausalLM, config(MistralConfig, sliding_window=8)),
}


def make(name, kind, cfg, folder):
    torch.manual_seed(sum(map(ord, name)))
    model = kind(cfg).eval()
    with torch.no_grad():
        for key, p in model.named_parameters():
            if p.dim() == 1:  # biases and gains that matter
                p.copy_(torch.randn_like(p) * 0.3 + (1.0 if "norm" in key else 0.0))
            p.copy_(p.to(torch.bfloat16).float())
    tokens = torch.randint(0, cfg.vocab_size, (1, 48))
    logits = model(tokens).logits
    loss = torch.nn.functional.cross_entropy(logits[0, :-1], tokens[0, 1:])
    loss.backward()
    model.to(torch.bfloat16).save_pretrained(folder)
    out = {"tokens": tokens[0].to(torch.int32), "logits": logits[0].detach().contiguous()}
    for key, p in model.named_parameters():
        out["grad." + key] = p.grad.float().contiguous()
    save_file(out, os.path.join(folder, "expected.safetensors"))
    for extra in ("generation_config.json",):
        if os.path.exists(os.path.join(folder, extra)):
            os.remove(os.path.join(folder, extra))
    print(name, float(loss), json.dumps(cfg.to_dict().get("rope_parameters")))


def main():
    where = sys.argv[1]
    for name, (kind, cfg) in MODELS.items():
        folder = os.path.join(where, name)
        os.makedirs(folder, exist_ok=True)
        make(name, kind, cfg, folder)


main()
