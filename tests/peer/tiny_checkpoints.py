"""Tiny random checkpoints of each family that can be read, as `transformers` saves them, with its logits and gradients.

By hand: python3 tests/peer/tiny_checkpoints.py tests/golden/checkpoints   (needs torch, transformers, safetensors)
A folder holds config.json, model.safetensors (BF16, so that the weights are the same numbers everywhere) and
expected.safetensors: tokens [T], logits [T, vocab] and grad.NAME of the mean loss over the T - 1 next tokens, in F32.
The same weights of some are written as GGUF (by PyPI's gguf) and as llama2.c's .bin: llama.gguf, llama2c.bin and so on."""
import json
import math
import os
import struct
import sys

import gguf
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
HUB = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
       "original_max_position_embeddings": 8192}  # Llama-3.2's: what a GGUF file holds divisors of
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
    "llama3-hub": (LlamaForCausalLM, config(LlamaConfig, HUB, head_dim=8)),
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
    grads = {key: p.grad.clone() for key, p in model.named_parameters()}  # .to() below rounds them
    model.to(torch.bfloat16).save_pretrained(folder)
    if name in ("llama", "qwen2", "qwen3", "llama-yarn", "llama3-hub"):
        write_gguf(model, cfg, folder + ".gguf")
    if name == "llama":
        write_llama2c(model, cfg, os.path.join(os.path.dirname(folder), "llama2c.bin"))
    if name == "llama-untied":
        write_llama2c(model, cfg, os.path.join(os.path.dirname(folder), "llama2c-untied.bin"))
    out = {"tokens": tokens[0].to(torch.int32), "logits": logits[0].detach().contiguous()}
    out.update({"grad." + key: g.contiguous() for key, g in grads.items()})
    save_file(out, os.path.join(folder, "expected.safetensors"))
    for extra in ("generation_config.json",):
        if os.path.exists(os.path.join(folder, extra)):
            os.remove(os.path.join(folder, extra))
    print(name, loss.item(), json.dumps(cfg.to_dict().get("rope_parameters")))


def side_by_side(w, heads):
    """The order of rows that llama.cpp's converter and llama2.c give q and k: rotary pairs (2i, 2i + 1)."""
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


NAMES = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output", "input_layernorm": "attn_norm",
         "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
         "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm", "post_attention_layernorm": "ffn_norm",
         "mlp.up_proj": "ffn_up", "mlp.gate_proj": "ffn_gate", "mlp.down_proj": "ffn_down"}


def gguf_name(key):
    stem, end = key.rsplit(".", 1)
    if stem in NAMES:
        return f"{NAMES[stem]}.{end}"
    _, _, layer, rest = stem.split(".", 3)
    return f"blk.{layer}.{NAMES[rest]}.{end}"


def llama3_divisors(cfg):
    rope, out = cfg.rope_parameters, []
    for i in range(cfg.head_dim // 2):
        wave = 2 * math.pi * rope["rope_theta"] ** (2 * i / cfg.head_dim)
        low, high, original = rope["low_freq_factor"], rope["high_freq_factor"], rope["original_max_position_embeddings"]
        smooth = (original / wave - low) / (high - low)
        out.append(1.0 if wave < original / high else rope["factor"] if wave > original / low
                   else 1 / ((1 - smooth) / rope["factor"] + smooth))
    return torch.tensor(out)


def write_gguf(model, cfg, path):
    arch = "llama" if cfg.model_type == "llama" else cfg.model_type
    w = gguf.GGUFWriter(path, arch)
    w.add_block_count(cfg.num_hidden_layers)
    w.add_context_length(cfg.max_position_embeddings)
    w.add_embedding_length(cfg.hidden_size)
    w.add_feed_forward_length(cfg.intermediate_size)
    w.add_head_count(cfg.num_attention_heads)
    w.add_head_count_kv(cfg.num_key_value_heads)
    w.add_key_length(cfg.head_dim)
    w.add_value_length(cfg.head_dim)
    w.add_rope_dimension_count(cfg.head_dim)
    w.add_layer_norm_rms_eps(cfg.rms_norm_eps)
    w.add_rope_freq_base(cfg.rope_parameters["rope_theta"])
    scaling = cfg.rope_parameters["rope_type"]
    if scaling == "yarn":
        w.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        w.add_rope_scaling_factor(cfg.rope_parameters["factor"])
        w.add_rope_scaling_orig_ctx_len(cfg.rope_parameters["original_max_position_embeddings"])
    if scaling == "llama3":
        w.add_tensor("rope_freqs.weight", llama3_divisors(cfg).numpy())
    for key, p in model.named_parameters():
        value = p.detach().float()
        if arch == "llama" and ("q_proj" in key or "k_proj" in key):
            value = side_by_side(value, cfg.num_attention_heads if "q_proj" in key else cfg.num_key_value_heads)
        w.add_tensor(gguf_name(key), value.contiguous().numpy())
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def write_llama2c(model, cfg, path):
    """An output of its own stands last, and makes the vocabulary negative."""
    p = {key: value.detach().float() for key, value in model.named_parameters()}
    layers = range(cfg.num_hidden_layers)
    order = [p["model.embed_tokens.weight"]]
    for name in ("input_layernorm", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
                 "post_attention_layernorm", "mlp.gate_proj", "mlp.down_proj", "mlp.up_proj"):
        for layer in layers:
            value = p[f"model.layers.{layer}.{name}.weight"]
            if name.endswith(("q_proj", "k_proj")):
                value = side_by_side(value, cfg.num_attention_heads if name.endswith("q_proj") else cfg.num_key_value_heads)
            order.append(value)
    order += [p["model.norm.weight"], torch.zeros(2 * cfg.max_position_embeddings * cfg.head_dim // 2)]
    vocab = cfg.vocab_size
    if not cfg.tie_word_embeddings:
        order.append(p["lm_head.weight"])
        vocab = -vocab
    with open(path, "wb") as f:
        f.write(struct.pack("<7i", cfg.hidden_size, cfg.intermediate_size, cfg.num_hidden_layers, cfg.num_attention_heads,
                            cfg.num_key_value_heads, vocab, cfg.max_position_embeddings))
        for value in order:
            f.write(value.contiguous().numpy().astype("<f4").tobytes())


def main():
    where = sys.argv[1]
    for name, (kind, cfg) in MODELS.items():
        folder = os.path.join(where, name)
        os.makedirs(folder, exist_ok=True)
        make(name, kind, cfg, folder)


main()
