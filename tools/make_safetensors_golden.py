#!/usr/bin/env python3
"""Write tests/golden/safetensors/types.safetensors with Python's own safetensors.

Every floating-point type with its awkward values (subnormals, infinities, NaN, both zeros), an
integer type, an empty tensor and one without dimensions. The numbers stand again, as f32 bits,
in tests/nn/test_safetensors.c.

    pip install torch safetensors;  python tools/make_safetensors_golden.py
"""
import os

import torch
from safetensors.torch import save_file

inf, nan = float("inf"), float("nan")
half = [0.0, -0.0, 1.0, -2.5, 2.0**-24, -3 * 2.0**-24, 1023 * 2.0**-24, 2.0**-14, 65504.0, inf, -inf, nan]
tensors = {
    "f32": torch.tensor([[1.5, -0.0, 3.4e38], [1e-45, -1e-3, 7.0]], dtype=torch.float32),
    "f16": torch.tensor(half, dtype=torch.float16),
    "bf16": torch.tensor([1.0, -0.15625, 1e-40, inf, nan], dtype=torch.bfloat16),
    "f64": torch.tensor([0.1, -1e300, 1e-320, 3.0], dtype=torch.float64),
    "i64": torch.tensor([[1], [-(2**62)]], dtype=torch.int64),
    "empty": torch.zeros((0, 3), dtype=torch.float32),
    "scalar": torch.tensor(2.75, dtype=torch.float32),
}
folder = os.path.join(os.path.dirname(__file__), "..", "tests", "golden", "safetensors")
os.makedirs(folder, exist_ok=True)
save_file(tensors, os.path.join(folder, "types.safetensors"), metadata={"format": "pt"})
