#!/usr/bin/env python3
"""Write tests/golden/vlbert/reference.safetensors: VL-BERT in PyTorch, from its formulas.

An implementation of its own: each pair runs alone, the object's input is one concatenation of
geometry and feature and one product, autograd for every gradient. Some masked objects show the
mask, some keep their feature; boxes are random. Dumped: the batch, the weights, activations, the
losses, and every gradient of their sum,

    pairs    masked words, masked objects, alignment of each pair alone
    block    the same, alignment listwise among all pairs of a block of four

    pip install torch numpy safetensors;  python tools/make_vlbert_dump.py
"""
import os

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

import make_model_dump as model

model.C, model.H, model.INNER, model.V, model.POSITIONS = 16, 2, 24, 30, 10
model.SIZE, model.SIDE, model.FEATURES = 8, 4, 48
C, P, V, N = model.C, model.P, model.V, 3  # N frequencies
KEY, SHOWN = 99, 0.5  # of a step: random bits; share of the masked that are hidden

torch.manual_seed(29)
texts = [[2, 11, 4, 13, 3], [2, 3], [2, 4, 27, 28, 29, 9, 3], [2, 8, 3]]
I = len(texts)
sets = {
    "pairs": dict(pairs=[(0, 0, 1), (2, 2, 1), (0, 1, 0), (1, 2, 0), (3, 3, 1)],
                  mlm=[(0, 2, 12), (1, 1, 26), (1, 5, 9)],  # pair, position, target
                  mvrc=[(0, 1), (1, 2), (1, 3), (4, 0)]),   # pair, patch
    "block": dict(pairs=[(i, i, 1) for i in range(I)],
                  mlm=[(0, 2, 12), (2, 1, 26), (2, 5, 9)],
                  mvrc=[(0, 1), (2, 2), (2, 3), (3, 0)]),
}
masked = [(0, 1), (2, 2), (2, 3), (3, 0)]  # image, patch
rng = np.random.default_rng(31)
pixels = rng.integers(0, 256, (I, model.SIZE, model.SIZE, 3), dtype=np.uint8)
corners = np.sort(rng.random((I, P, 2, 2)), axis=2).reshape(I, P, 4).astype(np.float32)


def bits(key, index):
    """fb_random_hash32"""
    x = (index ^ key) & 0xffffffff
    x ^= x >> 16
    x = x * 0x7feb352d & 0xffffffff
    x ^= x >> 15
    x = (x + (key >> 32)) & 0xffffffff
    x = x * 0x846ca68b & 0xffffffff
    return x ^ x >> 16


hidden = {(i, p) for i, p in masked if bits(2**64 - 1 - KEY, i * P + p) / 2**32 < SHOWN}
assert 0 < len(hidden) < len(masked)


def geometry(box):
    x1, y1, x2, y2 = (float(v) for v in box)
    out = []
    for v in (100 * (x1 + x2) / 2, 100 * (y1 + y2) / 2, 100 * (x2 - x1), 100 * (y2 - y1)):
        waves = v / 1000 ** (torch.arange(N, dtype=torch.float64) / N)
        out += [waves.sin(), waves.cos()]
    return torch.cat(out).float()


def features():
    x = (torch.tensor(pixels).float() / 255 - model.MEAN) / model.STD
    side, grid = model.SIDE, model.GRID
    return x.view(I, grid, side, grid, side, 3).permute(0, 1, 3, 2, 4, 5).reshape(I, P, -1)


def objects_of(w, feats, i):
    """The whole image first, then its patches, before the norms."""
    whole = torch.stack([feats[i, p] for p in range(P) if (i, p) not in hidden]).mean(0)
    rows = [torch.cat([geometry((0, 0, 1, 1)), whole])]
    for p in range(P):
        f = w["object.mask.weight"][0] if (i, p) in hidden else feats[i, p]
        rows.append(torch.cat([geometry(corners[i, p]), f]))
    weight = torch.cat([w["object.geometry.weight"], w["object.feature.weight"]], 1)
    return F.relu(torch.stack(rows) @ weight.T + w["object.feature.bias"])


def encode(w, objects, t, i):
    ids, n, e = texts[t], len(texts[t]), "bert.embeddings."
    place, other = w[e + "position_embeddings.weight"], w["object.word_embeddings.weight"]
    clue = model.norm(w, "text.visual.LayerNorm", objects[i][0])
    rows = [w[e + "word_embeddings.weight"][id_] + clue + place[k] + w[e + "token_type_embeddings.weight"][0]
            for k, id_ in enumerate(ids)]
    looks, type2 = model.norm(w, "object.visual.LayerNorm", objects[i]), w["object.type_embeddings.weight"][0]
    for k in range(P + 1):
        word = other[1] if (i, k - 1) in hidden else other[0]
        rows.append(word + looks[k] + place[n] + type2)
    rows.append(other[2] + place[n + 1] + type2)
    x = model.norm(w, e + "LayerNorm", torch.stack(rows))
    for layer in range(model.L):
        x = model.layer(w, f"bert.encoder.layer.{layer}.", x)
    return x


def judge(w, h):
    return model.linear(w, "relationship", torch.tanh(model.linear(w, "bert.pooler.dense", h[0])))


def forward(w, name):
    pairs, feats = sets[name]["pairs"], features()
    objects = [objects_of(w, feats, i) for i in range(I)]
    states = [encode(w, objects, t, i) for t, i, _ in pairs]
    if name == "pairs":
        logits = torch.stack([judge(w, h) for h in states])
        tia = F.cross_entropy(logits, torch.tensor([label for _, _, label in pairs]))
    else:
        z = torch.stack([torch.stack([judge(w, encode(w, objects, t, i)) for t in range(I)]) for i in range(I)])
        margins, own = z[..., 1] - z[..., 0], torch.arange(I)
        tia = (F.cross_entropy(margins, own) + F.cross_entropy(margins.T, own)) / 2
    rows = torch.stack([states[b][p] for b, p, _ in sets[name]["mlm"]])
    t = F.gelu(model.linear(w, "cls.predictions.transform.dense", rows))
    t = model.norm(w, "cls.predictions.transform.LayerNorm", t)
    words = t @ w["bert.embeddings.word_embeddings.weight"].T + w["cls.predictions.bias"]
    mlm = F.cross_entropy(words, torch.tensor([x[2] for x in sets[name]["mlm"]]))
    rows = torch.stack([states[b][len(texts[pairs[b][0]]) + 1 + p] for b, p in sets[name]["mvrc"]])
    q = model.linear(w, "mvrc.prediction", F.gelu(model.linear(w, "mvrc.transform.dense", rows)))
    target = torch.stack([feats[pairs[b][1], p] for b, p in sets[name]["mvrc"]])
    mvrc = F.kl_div(F.log_softmax(q, -1), F.softmax(target, -1), reduction="batchmean")
    return torch.stack([mlm, mvrc, tia]), objects, states


def make_weights():
    n = model.normal
    w = {k: v for k, v in model.make_weights().items() if not k.startswith(("image.", "match."))}
    w.update({
        "object.word_embeddings.weight": n(3, C), "object.type_embeddings.weight": n(1, C),
        "object.mask.weight": n(1, model.FEATURES), "object.feature.weight": n(C, model.FEATURES, std=0.05),
        "object.feature.bias": n(C), "object.geometry.weight": n(C, 8 * N),
        "relationship.weight": n(2, C), "relationship.bias": n(2),
        "mvrc.transform.dense.weight": n(C, C), "mvrc.transform.dense.bias": n(C),
        "mvrc.prediction.weight": n(model.FEATURES, C), "mvrc.prediction.bias": n(model.FEATURES),
    })
    for side in ("object", "text"):
        w[f"{side}.visual.LayerNorm.weight"] = n(C, std=0.5)
        w[f"{side}.visual.LayerNorm.bias"] = n(C)
    return w


def main():
    weights = {k: v.clone().requires_grad_(True) for k, v in make_weights().items()}
    out = {"weight/" + k: v.detach().numpy().reshape(-1) for k, v in weights.items()}
    for name, s in sets.items():
        for v in weights.values():
            v.grad = None
        losses, objects, states = forward(weights, name)
        losses.sum().backward()
        out[f"{name}/losses"] = losses.detach().numpy()
        for k, v in weights.items():
            out[f"{name}/grad/{k}"] = v.grad.numpy().reshape(-1).copy()
        seq = np.cumsum([0] + [len(texts[t]) + P for t, _, _ in s["pairs"]])
        out.update({
            f"{name}/pairs": np.array(s["pairs"], np.int32),
            f"{name}/mlm_rows": np.array([seq[b] + p for b, p, _ in s["mlm"]], np.int32),
            f"{name}/mlm_targets": np.array([x[2] for x in s["mlm"]], np.int32),
            f"{name}/mpm_rows": np.array([seq[b] + len(texts[s["pairs"][b][0]]) + p for b, p in s["mvrc"]], np.int32),
            f"{name}/mpm_patches": np.array([s["pairs"][b][1] * P + p for b, p in s["mvrc"]], np.int32),
        })
        if name == "pairs":
            out["states"] = torch.cat(states).detach().numpy()
            out["objects"] = torch.cat([o[1:] for o in objects] + [o[:1] for o in objects]).detach().numpy()
    mask = np.zeros(I * P, np.uint8)
    for i, p in masked:
        mask[i * P + p] = 1
    out.update({
        "batch/token_ids": np.array(sum(texts, []), np.int32),
        "batch/text_offsets": np.cumsum([0] + [len(t) for t in texts]).astype(np.int32),
        "batch/pixels": pixels.reshape(I, -1), "batch/patch_masked": mask,
        "batch/boxes": corners.reshape(-1),
    })
    target = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "golden", "vlbert")
    os.makedirs(target, exist_ok=True)
    save_file({k: np.ascontiguousarray(v) for k, v in out.items()}, os.path.join(target, "reference.safetensors"))
    print({name: out[f"{name}/losses"] for name in sets}, "hidden", sorted(hidden))


if __name__ == "__main__":
    main()
