#!/usr/bin/env python3
"""Write tests/golden/gru/reference.safetensors: torch.nn.GRU over packed sequences, forward and
backward.

Both ways over ragged sequences, one of a single row, rows end to end. Dumped: the rows, the weights
under torch's names, the states read forwards, the mean of both ways, and every gradient of

    one     sum(factor_one * states read forwards)
    both    sum(factor_both * mean of both ways)

    pip install torch numpy safetensors;  python tools/make_gru_dump.py
"""
import os

import numpy as np
import torch
from safetensors.numpy import save_file
from torch.nn.utils.rnn import pack_sequence, unpack_sequence

I, H, LENGTHS = 5, 7, [4, 1, 6, 2, 6, 3]

torch.manual_seed(23)
T = sum(LENGTHS)
gru = torch.nn.GRU(I, H, bidirectional=True)
x = torch.randn(T, I, requires_grad=True)
factor = {"one": torch.randn(T, H), "both": torch.randn(T, H)}

states = unpack_sequence(gru(pack_sequence(torch.split(x, LENGTHS), enforce_sorted=False))[0])
states = torch.cat(states)
value = {"one": states[:, :H], "both": (states[:, :H] + states[:, H:]) / 2}

out = {"x": x, "offsets": np.cumsum([0] + LENGTHS).astype(np.int32)}
for name, w in gru.named_parameters():
    out["weight/" + name] = w
for what, y in value.items():
    out["y/" + what] = y
    out["factor/" + what] = factor[what]
    wanted = {"x": x, **dict(gru.named_parameters())}
    got = torch.autograd.grad((factor[what] * y).sum(), list(wanted.values()), retain_graph=True,
                              allow_unused=True)
    for name, w, g in zip(wanted, wanted.values(), got):
        out[f"{what}/{name}"] = torch.zeros_like(w) if g is None else g
path = os.path.join(os.path.dirname(__file__), "../tests/golden/gru/reference.safetensors")
os.makedirs(os.path.dirname(path), exist_ok=True)
save_file({k: np.ascontiguousarray(v.detach().numpy() if torch.is_tensor(v) else v)
           for k, v in out.items()}, path)
