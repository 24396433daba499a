"""A GGUF file's matrices in another form, everything else as it is: requantise.py FROM.gguf TO.gguf f32|bf16|q8_0
For the speed peers (speed.py); needs gguf. The numbers are those of FROM, rounded to the form."""
import os
import sys

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import GGUFReader, GGUFValueType, GGUFWriter, quants

FORMS = {"f32": (Type.F32, 0), "bf16": (Type.BF16, 32), "q8_0": (Type.Q8_0, 7)}


def main():
    source, target, form = sys.argv[1:]
    kind, file_type = FORMS[form]
    reader = GGUFReader(source)
    writer = GGUFWriter(target + ".tmp", reader.fields["general.architecture"].contents())
    for f in reader.fields.values():
        if f.name.startswith("GGUF.") or f.name == "general.architecture":
            continue
        array = f.types[0] == GGUFValueType.ARRAY
        value = file_type if f.name == "general.file_type" else f.contents()
        writer.add_key_value(f.name, value, f.types[0], f.types[-1] if array else None)
    for t in reader.tensors:
        shape = [int(n) for n in reversed(t.shape)]
        x = quants.dequantize(t.data, t.tensor_type).astype(np.float32).reshape(shape)
        if len(shape) < 2 or kind == Type.F32:
            writer.add_tensor(t.name, x)
        else:
            data = quants.quantize(x, kind)
            writer.add_tensor(t.name, data, raw_shape=data.shape, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    os.replace(target + ".tmp", target)


main()
