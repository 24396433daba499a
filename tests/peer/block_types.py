"""Golden file of GGUF's number types: random blocks, and what PyPI's `gguf` expands them to.
By hand: python3 tests/peer/block_types.py > tests/golden/block_types.txt  (needs numpy and gguf)"""
import numpy as np
from gguf import GGMLQuantizationType as T
from gguf.quants import dequantize
from gguf.constants import GGML_QUANT_SIZES

NAMES = "F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q4_K Q5_K Q6_K".split()
HALVES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}
rng = np.random.default_rng(1)
for name in NAMES:
    kind = T[name]
    values, size = GGML_QUANT_SIZES[kind]
    blocks = 2 if values > 1 else 64
    data = rng.integers(0, 256, blocks * size, dtype=np.uint8)
    for b in range(blocks):  # scales of any size, but finite
        for at in HALVES.get(name, []):
            data[b * size + at : b * size + at + 2] = np.frombuffer(np.float16(rng.normal() * 10.0 ** rng.integers(-6, 3)).tobytes(), np.uint8)
    if name in ("F16", "BF16"):  # subnormals, infinities and zeros too, no NaN (whose payload is free)
        bits = data.view(np.uint16)
        bits[:6] = [0, 0x8000, 1, 0x83FF, 0x7C00 if name == "F16" else 0x7F80, 0x0400]
        top = 0x7C00 if name == "F16" else 0x7F80
        bits[6:] = np.where((bits[6:] & top) == top, bits[6:] & 0x8FFF, bits[6:])
    out = dequantize(data, kind) if name != "F16" else data.view(np.float16).astype(np.float32)
    print(name, int(kind), data.tobytes().hex(), np.ascontiguousarray(out, dtype="<f4").tobytes().hex())
