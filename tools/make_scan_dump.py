#!/usr/bin/env python3
"""Write tests/golden/scan/reference.safetensors: SCAN and PFAN in PyTorch, as their papers have them.

One batch of items, two with one text and two of one product, images of raw patches of a grid of two
by two. The attended vectors are formed, pair by pair, as the official code does. Dumped: the batch,
weights, and of each case its scores, its loss and every gradient of the loss:

    t2i_avg, t2i_lse, i2t_avg, i2t_lse, both   SCAN, hinge of the hardest negative
    sum                                        t2i_avg, hinge summed over all negatives
    pfan, pfan_lse                             PFAN, t2i: rows with positions, and the attention's part

    pip install torch numpy safetensors;  python tools/make_scan_dump.py
"""
import os

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

V, E, C, POSITION, GRID, SIZE, BLOCKS, K = 20, 5, 6, 4, 2, 8, 16, 15
MEAN, STD = np.array([0.5, 0.4, 0.3]), np.array([0.2, 0.3, 0.25])
LAMBDA = {"t2i": (9.0, 6.0), "i2t": (4.0, 5.0)}
MARGIN = 0.2
P, FEATURES = GRID * GRID, (SIZE // GRID) ** 2 * 3

torch.manual_seed(31)
torch.set_default_dtype(torch.float64)
rng = np.random.default_rng(37)
texts = [[2, 11, 4, 13, 3], [2, 11, 4, 13, 3], [2, 4, 17, 18, 9, 3], [2, 7, 3], [2, 15, 12, 5, 3]]
text_group, image_group = [0, 0, 2, 3, 4], [5, 6, 7, 7, 9]
B = len(texts)
pixels = rng.integers(0, 256, (B, SIZE, SIZE, 3), dtype=np.uint8)


def uniform(shape, bound):
    return (torch.rand(shape) * 2 - 1) * bound


shapes = {"text.embed.weight": (V, E), "image.fc.bias": (C,)}
for way in ("", "_reverse"):
    shapes |= {f"text.gru.weight_ih_l0{way}": (3 * C, E), f"text.gru.weight_hh_l0{way}": (3 * C, C),
               f"text.gru.bias_ih_l0{way}": (3 * C,), f"text.gru.bias_hh_l0{way}": (3 * C,)}
weights = {"scan": {n: uniform(s, 0.8) for n, s in shapes.items()}}
weights["pfan"] = dict(weights["scan"])
weights["scan"]["image.fc.weight"] = uniform((C, FEATURES), 0.4)
weights["pfan"] |= {"image.fc.weight": uniform((C, FEATURES + POSITION), 0.4),
                    "image.position.weight": uniform((BLOCKS * BLOCKS + 1, POSITION), 1.0),
                    "image.position_attention.weight": uniform((POSITION, FEATURES), 0.3)}


def patches():
    x = (torch.tensor(pixels).double() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    side = SIZE // GRID
    return x.view(B, GRID, side, GRID, side, 3).permute(0, 1, 3, 2, 4, 5).reshape(B, P, -1)


def gru(w, x, way):
    if way:
        x = x.flip(0)
    h, states = torch.zeros(C), []
    for row in x:
        i = w["text.gru.weight_ih_l0" + way] @ row + w["text.gru.bias_ih_l0" + way]
        s = w["text.gru.weight_hh_l0" + way] @ h + w["text.gru.bias_hh_l0" + way]
        r, z = torch.sigmoid(i[:C] + s[:C]), torch.sigmoid(i[C:2 * C] + s[C:2 * C])
        h = (1 - z) * torch.tanh(i[2 * C:] + r * s[2 * C:]) + z * h
        states.append(h)
    states = torch.stack(states)
    return states.flip(0) if way else states


def words(w, ids):
    x = w["text.embed.weight"][ids]
    return F.normalize((gru(w, x, "") + gru(w, x, "_reverse")) / 2, dim=1)


def blocks(x1, y1, x2, y2):
    """The K blocks of largest overlap: of equal ones those nearer to the middle, then the lower id."""
    cells = []
    for x in range(BLOCKS):
        for y in range(BLOCKS):
            wide = max(0, min(x2, (x + 1) / BLOCKS) - max(x1, x / BLOCKS))
            high = max(0, min(y2, (y + 1) / BLOCKS) - max(y1, y / BLOCKS))
            away = ((x + .5) / BLOCKS - (x1 + x2) / 2) ** 2 + ((y + .5) / BLOCKS - (y1 + y2) / 2) ** 2
            if wide * high > 0:
                cells.append((-round(wide * high, 9), round(away, 9), x * BLOCKS + y))
    return sorted(cells)[:K]


def positions(w, features):
    out = []
    for p in range(P):
        row, column = divmod(p, GRID)
        cells = blocks(column / GRID, row / GRID, (column + 1) / GRID, (row + 1) / GRID)
        overlap = torch.tensor([-c[0] for c in cells])
        table = w["image.position.weight"][[c[2] for c in cells]]
        a = F.softmax(torch.tanh(table @ (w["image.position_attention.weight"] @ features[p])), 0)
        out.append(F.softmax(overlap / overlap.sum() * a, 0) @ table)
    return torch.stack(out)


def rows(w, system, features):
    if system == "pfan":
        features = torch.cat([features, positions(w, features)], 1)
    return F.normalize(features @ w["image.fc.weight"].T + w["image.fc.bias"], dim=1)


def pool(v, how, factor):
    return v.mean() if how == "avg" else torch.logsumexp(factor * v, 0) / factor


def one_score(query, context, direction, how, focus):
    lambda1, lambda2 = LAMBDA[direction]
    s = F.leaky_relu(query @ context.T, 0.1)
    s = s / (s.pow(2).sum(0, keepdim=True).sqrt() + 1e-8)
    a = F.softmax(lambda1 * s, 1)
    score = pool(F.cosine_similarity(query, a @ context, dim=1), how, lambda2)
    return score + focus * pool(a.max(1).values, how, lambda2) if focus else score


def scores(w, system, direction, how):
    text, feats = [words(w, ids) for ids in texts], patches()
    image = [rows(w, system, feats[i]) for i in range(B)]
    t2i = [[one_score(t, i, "t2i", how, .5 if system == "pfan" else 0) for t in text] for i in image]
    i2t = [[one_score(i, t, "i2t", how, 0) for t in text] for i in image]
    chosen = {"t2i": [t2i], "i2t": [i2t], "both": [t2i, i2t]}[direction]
    return sum(torch.stack([torch.stack(row) for row in s]) for s in chosen) / len(chosen)


def hinge(s, hardest):
    total = 0
    for i in range(B):
        others = [j for j in range(B) if text_group[i] != text_group[j] and image_group[i] != image_group[j]]
        for line in (s[i], s[:, i]):
            loss = torch.stack([(MARGIN + line[j] - s[i, i]).clamp(min=0) for j in others])
            total = total + (loss.max() if hardest else loss.sum())
    return total


out = {"batch/token_ids": np.concatenate(texts).astype(np.int32),
       "batch/text_offsets": np.cumsum([0] + [len(t) for t in texts]).astype(np.int32),
       "batch/text_group": np.array(text_group, np.int32),
       "batch/image_group": np.array(image_group, np.int32), "batch/pixels": pixels}
cases = {"t2i_avg": ("scan", "t2i", "avg", True), "t2i_lse": ("scan", "t2i", "lse", True),
         "i2t_avg": ("scan", "i2t", "avg", True), "i2t_lse": ("scan", "i2t", "lse", True),
         "both": ("scan", "both", "avg", True), "sum": ("scan", "t2i", "avg", False),
         "pfan": ("pfan", "t2i", "avg", True), "pfan_lse": ("pfan", "t2i", "lse", True)}
for system, w in weights.items():
    for name, value in w.items():
        out[f"weight/{system}/{name}"] = value
for case, (system, direction, how, hardest) in cases.items():
    w = {n: x.clone().requires_grad_() for n, x in weights[system].items()}
    s = scores(w, system, direction, how)
    loss = hinge(s, hardest)
    out[f"{case}/scores"], out[f"{case}/loss"] = s, loss.reshape(1)
    for name, g in zip(w, torch.autograd.grad(loss, list(w.values()))):
        out[f"{case}/{name}"] = g
path = os.path.join(os.path.dirname(__file__), "../tests/golden/scan/reference.safetensors")
os.makedirs(os.path.dirname(path), exist_ok=True)
save_file({k: np.ascontiguousarray(v.detach().float().numpy() if torch.is_tensor(v) else v)
           for k, v in out.items()}, path)
