"""Writes every-dtype.safetensors: one [2, 3] tensor 1..6 per stored dtype, named after it."""

from pathlib import Path

import torch
from safetensors.torch import save_file

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}

values = torch.arange(1, 7, dtype=torch.float32).reshape(2, 3)
tensors = {name: values.to(dtype) for name, dtype in DTYPES.items()}
save_file(tensors, Path(__file__).parent / "every-dtype.safetensors", {"format": "pt"})
