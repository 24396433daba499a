#!/usr/bin/python3
"""A checkpoint as large as a real one, of random weights: for measuring memory, never for a result.

Writes a HuggingFace folder of the Llama family in BF16, in files of at most 4 GB with their index; or, where OUT
ends in .gguf, one GGUF file whose matrices are all Q4_0. Weights are random numbers of about 0.01 in size, the same
in every run. It needs a few megabytes of memory, and brings no tokenizer: say tokenizer=bytes.

Usage: large_checkpoint.py SHAPE OUT, with SHAPE one of 135m, 1b, 8b
"""
import json
import os
import random
import struct
import sys

SHAPES = {  # d_model, layers, heads, kv heads, head width, d_ff, vocabulary, tied, rope theta
    "135m": (576, 30, 9, 3, 64, 1536, 49152, True, 1e5),
    "1b": (2048, 16, 32, 8, 64, 8192, 128256, True, 5e5),
    "8b": (4096, 32, 32, 8, 128, 14336, 128256, False, 5e5),
}
BLOCK, MOST = 1 << 20, 4 << 30
Q4_BLOCKS, GGUF_ALIGN = 1 << 16, 32


def tensors(shape):
    d, layers, heads, kv, width, ff, vocab, tied, _ = shape
    yield "model.embed_tokens.weight", (vocab, d)
    for i in range(layers):
        at = f"model.layers.{i}."
        yield at + "input_layernorm.weight", (d,)
        yield at + "self_attn.q_proj.weight", (heads * width, d)
        yield at + "self_attn.k_proj.weight", (kv * width, d)
        yield at + "self_attn.v_proj.weight", (kv * width, d)
        yield at + "self_attn.o_proj.weight", (d, heads * width)
        yield at + "post_attention_layernorm.weight", (d,)
        yield at + "mlp.gate_proj.weight", (ff, d)
        yield at + "mlp.up_proj.weight", (ff, d)
        yield at + "mlp.down_proj.weight", (d, ff)
    yield "model.norm.weight", (d,)
    if not tied:
        yield "lm_head.weight", (vocab, d)


def size_of(dims):
    count = 2
    for n in dims:
        count *= n
    return count


def random_block():
    """BF16 numbers of 2^-7 to 2^-5: a random low byte under one of two high bytes."""
    rng = random.Random(1)
    low = rng.randbytes(BLOCK // 2)
    high = bytes(0xBC if b & 1 else 0x3C for b in rng.randbytes(BLOCK // 2))
    block = bytearray(BLOCK)
    block[0::2], block[1::2] = low, high
    return bytes(block)


def random_q4_0():
    """Blocks of 32 numbers: a scale of 2^-9 or -2^-9 as a half, and 16 random bytes."""
    rng = random.Random(1)
    return b"".join(struct.pack("<H", 0x1800 | (rng.getrandbits(1) << 15)) + rng.randbytes(16)
                    for _ in range(Q4_BLOCKS))


GGUF_NAMES = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
              "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm",
              "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}


def gguf_name(name):
    if name.startswith("model.layers."):
        _, _, layer, rest = name.split(".", 3)
        return f"blk.{layer}.{GGUF_NAMES[rest.removesuffix('.weight')]}.weight"
    return {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
            "lm_head.weight": "output.weight"}[name]


def gguf_text(text):
    return struct.pack("<Q", len(text)) + text.encode()


def gguf_head(shape):
    d, layers, heads, kv, width, ff, vocab, _, theta = shape
    whole = {"llama.block_count": layers, "llama.context_length": 131072, "llama.embedding_length": d,
             "llama.feed_forward_length": ff, "llama.attention.head_count": heads,
             "llama.attention.head_count_kv": kv, "llama.attention.key_length": width,
             "llama.attention.value_length": width, "llama.rope.dimension_count": width, "llama.vocab_size": vocab,
             "general.file_type": 2, "general.alignment": GGUF_ALIGN}
    real = {"llama.attention.layer_norm_rms_epsilon": 1e-5, "llama.rope.freq_base": theta}
    keys = gguf_text("general.architecture") + struct.pack("<I", 8) + gguf_text("llama")
    for key, value in whole.items():
        keys += gguf_text(key) + struct.pack("<II", 4, value)
    for key, value in real.items():
        keys += gguf_text(key) + struct.pack("<If", 6, value)
    return 1 + len(whole) + len(real), keys


def write_gguf(path, shape):
    """Tensors of one dimension are F32 and 1, the others Q4_0."""
    count, head = gguf_head(shape)
    infos, sizes, at = b"", [], 0
    everything = list(tensors(shape))
    for name, dims in everything:
        values = size_of(dims) // 2
        sizes.append(values // 32 * 18 if len(dims) == 2 else values * 4)
        infos += gguf_text(gguf_name(name)) + struct.pack("<I", len(dims))
        infos += b"".join(struct.pack("<Q", n) for n in reversed(dims))
        infos += struct.pack("<IQ", 2 if len(dims) == 2 else 0, at)
        at += (sizes[-1] + GGUF_ALIGN - 1) // GGUF_ALIGN * GGUF_ALIGN
    block = random_q4_0()
    with open(path, "wb") as f:
        f.write(b"GGUF" + struct.pack("<IQQ", 3, len(everything), count) + head + infos)
        for number, ((_, dims), size) in enumerate(zip(everything, sizes)):
            f.write(bytes(-f.tell() % GGUF_ALIGN))
            if len(dims) == 1:
                f.write(struct.pack("<f", 1) * dims[0])
                continue
            turn = number * 37 % Q4_BLOCKS * 18
            turned = block[turn:] + block[:turn]
            for done in range(0, size, len(turned)):
                f.write(turned[:size - done])
        f.write(bytes(-f.tell() % GGUF_ALIGN))


def write_file(path, group, block):
    head, at = {}, 0
    for name, dims in group:
        head[name] = {"dtype": "BF16", "shape": list(dims), "data_offsets": [at, at + size_of(dims)]}
        at += size_of(dims)
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 64 + 56)  # so that the data begins at a multiple of 64
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for number, (_, dims) in enumerate(group):
            left, turn = size_of(dims), number * 4098 % BLOCK & ~1
            turned = block[turn:] + block[:turn]
            if len(dims) == 1:
                f.write(struct.pack("<H", 0x3F80) * dims[0])
                continue
            while left > 0:
                f.write(turned[:left])
                left -= BLOCK


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in SHAPES:
        sys.exit(__doc__)
    shape, out = SHAPES[sys.argv[1]], sys.argv[2]
    if out.endswith(".gguf"):
        write_gguf(out, shape)
        return
    d, layers, heads, kv, width, ff, vocab, tied, theta = shape
    os.makedirs(out, exist_ok=True)
    groups, size = [[]], 0
    for name, dims in tensors(shape):
        if size and size + size_of(dims) > MOST:
            groups.append([])
            size = 0
        groups[-1].append((name, dims))
        size += size_of(dims)
    block, index = random_block(), {}
    for i, group in enumerate(groups):
        name = "model.safetensors" if len(groups) == 1 else f"model-{i + 1:05d}-of-{len(groups):05d}.safetensors"
        write_file(os.path.join(out, name), group, block)
        index.update({tensor: name for tensor, _ in group})
    if len(groups) > 1:
        with open(os.path.join(out, "model.safetensors.index.json"), "w") as f:
            json.dump({"metadata": {}, "weight_map": index}, f)
    with open(os.path.join(out, "config.json"), "w") as f:
        json.dump({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": d,
                   "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kv,
                   "head_dim": width, "intermediate_size": ff, "vocab_size": vocab, "hidden_act": "silu",
                   "rms_norm_eps": 1e-5, "rope_theta": theta, "max_position_embeddings": 131072,
                   "tie_word_embeddings": tied, "torch_dtype": "bfloat16", "attention_bias": False,
                   "mlp_bias": False}, f)


if __name__ == "__main__":
    main()
