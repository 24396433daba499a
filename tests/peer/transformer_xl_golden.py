#!/usr/bin/python3
"""Golden vectors for the Transformer-XL model, from an independent PyTorch implementation.

The model is MemTransformerLM of kimiyoung/transformer-xl with pre_lnorm, attn_type 0, div_val 1,
tied embeddings, biases shared across layers and no dropout. Only the parameter names are the
original's, so that the file also exercises a state_dict import.

Usage: /usr/bin/python3 transformer_xl_golden.py [output.safetensors]
"""
import json
import math
import pathlib
import struct
import sys

import torch
import torch.nn.functional as F

N_LAYER, D_MODEL, N_HEAD, D_HEAD, D_INNER, VOCAB = 2, 32, 4, 8, 64, 61
TGT_LEN, SEGMENTS, SEED = 16, 4, 20190108
VARIANTS = {
    "A": dict(mem_len=16, clamp_len=-1, same_length=0),
    "B": dict(mem_len=24, clamp_len=12, same_length=0),
    "C": dict(mem_len=24, clamp_len=-1, same_length=1),
}


def make_weights():
    """Random float32 parameters under the original's state_dict names."""
    gen = torch.Generator().manual_seed(SEED)

    def normal(*shape, std, mean=0.0):
        return mean + std * torch.randn(*shape, generator=gen)

    # 0.15 rather than 0.05 for matrices: attention must be far from uniform, or a wrong distance or mask
    # would hide below a float tolerance.
    w = {"word_emb.emb_layers.0.weight": normal(VOCAB, D_MODEL, std=0.15)}
    for n in range(N_LAYER):
        attn, ff = f"layers.{n}.dec_attn.", f"layers.{n}.pos_ff."
        w[attn + "qkv_net.weight"] = normal(3 * N_HEAD * D_HEAD, D_MODEL, std=0.15)
        w[attn + "r_net.weight"] = normal(N_HEAD * D_HEAD, D_MODEL, std=0.15)
        w[attn + "o_net.weight"] = normal(D_MODEL, N_HEAD * D_HEAD, std=0.15)
        w[ff + "CoreNet.0.weight"] = normal(D_INNER, D_MODEL, std=0.15)
        w[ff + "CoreNet.0.bias"] = normal(D_INNER, std=0.05)
        w[ff + "CoreNet.3.weight"] = normal(D_MODEL, D_INNER, std=0.15)
        w[ff + "CoreNet.3.bias"] = normal(D_MODEL, std=0.05)
        for norm in (attn, ff):
            w[norm + "layer_norm.weight"] = normal(D_MODEL, std=0.1, mean=1.0)
            w[norm + "layer_norm.bias"] = normal(D_MODEL, std=0.05)
    w["r_w_bias"] = normal(N_HEAD, D_HEAD, std=0.2)
    w["r_r_bias"] = normal(N_HEAD, D_HEAD, std=0.2)
    w["crit.out_layers.0.bias"] = normal(VOCAB, std=0.05)
    tokens = torch.randint(VOCAB, (SEGMENTS * TGT_LEN,), generator=gen)
    return w, tokens


def sinusoids(distance, dtype):
    """All sines first, then all cosines (not interleaved); one row per distance."""
    inv_freq = 1.0 / 10000 ** (torch.arange(0, D_MODEL, 2, dtype=dtype) / D_MODEL)
    angle = distance.to(dtype)[:, None] * inv_freq
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


def rel_shift(x):
    """The original's shift: one zero column in front, reinterpreted with the row length one less."""
    q, k = x.shape[-2:]
    return F.pad(x, (1, 0)).reshape(*x.shape[:-2], k + 1, q)[..., 1:, :].reshape(x.shape)


def attention(w, pre, x, mem, mem_len, clamp_len, same_length):
    q_len, m_len = x.shape[0], mem.shape[0]
    k_len = m_len + q_len
    # Memory holds raw layer inputs, so the norm is applied to memory and segment alike.
    cat = F.layer_norm(torch.cat([mem, x]), (D_MODEL,), w[pre + "layer_norm.weight"],
                       w[pre + "layer_norm.bias"], eps=1e-5)
    q, k, v = (cat @ w[pre + "qkv_net.weight"].T).view(k_len, 3, N_HEAD, D_HEAD).unbind(1)
    q = q[m_len:]

    distance = torch.arange(k_len - 1, -1, -1)
    if clamp_len > 0:
        distance = distance.clamp(max=clamp_len)
    r = (sinusoids(distance, x.dtype) @ w[pre + "r_net.weight"].T).view(k_len, N_HEAD, D_HEAD)

    content = torch.einsum("ind,jnd->nij", q + w["r_w_bias"], k)
    by_column = torch.einsum("ind,jnd->nij", q + w["r_r_bias"], r)
    # dist[i, j] = how far key j lies behind query i; column c of by_column stands for k_len-1-c.
    dist = torch.arange(q_len)[:, None] + m_len - torch.arange(k_len)[None, :]
    column = (k_len - 1 - dist).clamp(max=k_len - 1)
    position = by_column.gather(2, column.expand(N_HEAD, -1, -1))
    future = dist < 0
    shifted = rel_shift(by_column)
    assert torch.equal(position.masked_fill(future, 0), shifted.masked_fill(future, 0))

    # The original's same_length masks (full, partly full and empty memory) all reduce to dist >= mem_len.
    hidden = future | (dist >= mem_len) if same_length else future
    score = ((content + position) / math.sqrt(D_HEAD)).masked_fill(hidden, -math.inf)
    out = torch.einsum("nij,jnd->ind", score.softmax(-1), v).reshape(q_len, N_HEAD * D_HEAD)
    return x + out @ w[pre + "o_net.weight"].T


def feed_forward(w, pre, x):
    h = F.layer_norm(x, (D_MODEL,), w[pre + "layer_norm.weight"], w[pre + "layer_norm.bias"], eps=1e-5)
    h = F.relu(h @ w[pre + "CoreNet.0.weight"].T + w[pre + "CoreNet.0.bias"])
    return x + h @ w[pre + "CoreNet.3.weight"].T + w[pre + "CoreNet.3.bias"]


def run(w, tokens, mem_len, clamp_len, same_length):
    """Logits [len(tokens), VOCAB] of a stream cut into segments, memory starting empty."""
    emb = w["word_emb.emb_layers.0.weight"]
    mems = [emb.new_zeros(0, D_MODEL) for _ in range(N_LAYER)]
    logits = []
    for segment in tokens.split(TGT_LEN):
        x = emb[segment] * math.sqrt(D_MODEL)
        for n in range(N_LAYER):
            layer_input = x
            x = attention(w, f"layers.{n}.dec_attn.", x, mems[n], mem_len, clamp_len, same_length)
            x = feed_forward(w, f"layers.{n}.pos_ff.", x)
            mems[n] = torch.cat([mems[n], layer_input])[-mem_len:]
        logits.append(x @ emb.T + w["crit.out_layers.0.bias"])
    return torch.cat(logits)


def save_safetensors(path, tensors, metadata):
    names = {torch.float32: "F32", torch.int32: "I32"}
    header, blobs, at = {"__metadata__": metadata}, [], 0
    for name, t in tensors.items():
        blob = t.contiguous().numpy().tobytes()
        header[name] = {"dtype": names[t.dtype], "shape": list(t.shape), "data_offsets": [at, at + len(blob)]}
        blobs.append(blob)
        at += len(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # keeps the data 8-byte aligned
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def main():
    path = pathlib.Path(__file__).resolve().parent.parent / "golden/transformer_xl.safetensors"
    if len(sys.argv) > 1:
        path = pathlib.Path(sys.argv[1])
    torch.set_num_threads(1)
    weights, tokens = make_weights()
    out = dict(weights, tokens=tokens.to(torch.int32))
    # Computed in float64 so that the expected values carry no implementation's rounding.
    exact = {name: t.double() for name, t in weights.items()}
    for name, variant in VARIANTS.items():
        golden = run(exact, tokens, **variant)
        drift = (golden - run(weights, tokens, **variant)).abs().max().item()
        print(f"{name} {variant} |logit| max {golden.abs().max():.3f}, float32 differs by {drift:.1e}")
        out[f"logits.{name}"] = golden.float()
    config = dict(n_layer=N_LAYER, d_model=D_MODEL, n_head=N_HEAD, d_head=D_HEAD, d_inner=D_INNER,
                  vocab=VOCAB, tgt_len=TGT_LEN)
    metadata = {key: str(value) for key, value in config.items()}
    for name, variant in VARIANTS.items():
        metadata[f"variant.{name}"] = " ".join(f"{key}={value}" for key, value in variant.items())
    save_safetensors(path, out, metadata)
    print(f"{path} {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
