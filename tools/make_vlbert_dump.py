#!/usr/bin/env python3
"""Write tests/golden/vlbert/reference.safetensors: VL-BERT in PyTorch, from its formulas.

An implementation of its own: each pair runs alone, the object's input is one concatenation of
geometry and feature and one product, autograd for every gradient. Some masked objects show the
mask, some keep their feature; boxes are random. Dumped: the batch, the weights, activations, the
losses, and every gradient of their sum,

    pairs    masked words, masked objects, alignment of each pair alone
    block    the same, alignment listwise among all pairs of a block of four
    regions  of pairs, images of 3, 1, 4 and 2 regions, whose classes are the masked objects' targets

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
sets["regions"] = sets["pairs"]
masked = [(0, 1), (2, 2), (2, 3), (3, 0)]  # image, patch
COUNTS = {"pairs": [P] * I, "block": [P] * I, "regions": [3, 1, 4, 2]}
rng = np.random.default_rng(31)
pixels = rng.integers(0, 256, (I, model.SIZE, model.SIZE, 3), dtype=np.uint8)
corners = np.sort(rng.random((I, P, 2, 2)), axis=2).reshape(I, P, 4).astype(np.float32)
region_features = torch.tensor(rng.standard_normal((I, P, model.FEATURES))).bfloat16().float()
region_classes = rng.integers(0, model.FEATURES, (I, P))
region_scores = rng.random((I, P)).astype(np.float32)
region_scores[2, 2], region_scores[3, 0] = 0.001, 1.0  # less than chance; all of it


def bits(key, index):
    """fb_random_hash32"""
    x = (index ^ key) & 0xffffffff
    x ^= x >> 16
    x = x * 0x7feb352d & 0xffffffff
    x ^= x >> 15
    x = (x + (key >> 32)) & 0xffffffff
    x = x * 0x846ca68b & 0xffffffff
    return x ^ x >> 16


def hidden_of(name):
    first = np.cumsum([0] + COUNTS[name])
    hidden = {(i, p) for i, p in masked if bits(2**64 - 1 - KEY, int(first[i]) + p) / 2**32 < SHOWN}
    assert 0 < len(hidden) < len(masked)
    return hidden


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


def objects_of(w, feats, i, count, hidden):
    """The whole image first, then its patches or regions, before the norms."""
    whole = torch.stack([feats[i, p] for p in range(count) if (i, p) not in hidden]).mean(0)
    rows = [torch.cat([geometry((0, 0, 1, 1)), whole])]
    for p in range(count):
        f = w["object.mask.weight"][0] if (i, p) in hidden else feats[i, p]
        rows.append(torch.cat([geometry(corners[i, p]), f]))
    weight = torch.cat([w["object.geometry.weight"], w["object.feature.weight"]], 1)
    return F.relu(torch.stack(rows) @ weight.T + w["object.feature.bias"])


def encode(w, objects, t, i, hidden):
    ids, n, e = texts[t], len(texts[t]), "bert.embeddings."
    place, other = w[e + "position_embeddings.weight"], w["object.word_embeddings.weight"]
    clue = model.norm(w, "text.visual.LayerNorm", objects[i][0])
    rows = [w[e + "word_embeddings.weight"][id_] + clue + place[k] + w[e + "token_type_embeddings.weight"][0]
            for k, id_ in enumerate(ids)]
    looks, type2 = model.norm(w, "object.visual.LayerNorm", objects[i]), w["object.type_embeddings.weight"][0]
    for k in range(len(looks)):
        word = other[1] if (i, k - 1) in hidden else other[0]
        rows.append(word + looks[k] + place[n] + type2)
    rows.append(other[2] + place[n + 1] + type2)
    x = model.norm(w, e + "LayerNorm", torch.stack(rows))
    for layer in range(model.L):
        x = model.layer(w, f"bert.encoder.layer.{layer}.", x)
    return x


def judge(w, h):
    return model.linear(w, "relationship", torch.tanh(model.linear(w, "bert.pooler.dense", h[0])))


def soft_class(i, p):
    score = min(max(float(region_scores[i, p]), 1 / model.FEATURES), 1 - 1e-6)
    target = torch.full((model.FEATURES,), (1 - score) / (model.FEATURES - 1))
    target[region_classes[i, p]] = score
    return target


def forward(w, name):
    pairs, hidden = sets[name]["pairs"], hidden_of(name)
    feats = region_features if name == "regions" else features()
    objects = [objects_of(w, feats, i, COUNTS[name][i], hidden) for i in range(I)]
    states = [encode(w, objects, t, i, hidden) for t, i, _ in pairs]
    if name != "block":
        logits = torch.stack([judge(w, h) for h in states])
        tia = F.cross_entropy(logits, torch.tensor([label for _, _, label in pairs]))
    else:
        z = torch.stack([torch.stack([judge(w, encode(w, objects, t, i, hidden)) for t in range(I)]) for i in range(I)])
        margins, own = z[..., 1] - z[..., 0], torch.arange(I)
        tia = (F.cross_entropy(margins, own) + F.cross_entropy(margins.T, own)) / 2
    rows = torch.stack([states[b][p] for b, p, _ in sets[name]["mlm"]])
    t = F.gelu(model.linear(w, "cls.predictions.transform.dense", rows))
    t = model.norm(w, "cls.predictions.transform.LayerNorm", t)
    words = t @ w["bert.embeddings.word_embeddings.weight"].T + w["cls.predictions.bias"]
    mlm = F.cross_entropy(words, torch.tensor([x[2] for x in sets[name]["mlm"]]))
    rows = torch.stack([states[b][len(texts[pairs[b][0]]) + 1 + p] for b, p in sets[name]["mvrc"]])
    q = model.linear(w, "mvrc.prediction", F.gelu(model.linear(w, "mvrc.transform.dense", rows)))
    target = torch.stack([soft_class(pairs[b][1], p) if name == "regions" else F.softmax(feats[pairs[b][1], p], -1)
                          for b, p in sets[name]["mvrc"]])
    mvrc = F.kl_div(F.log_softmax(q, -1), target, reduction="batchmean")
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
        seq = np.cumsum([0] + [len(texts[t]) + COUNTS[name][i] for t, i, _ in s["pairs"]])
        first = np.cumsum([0] + COUNTS[name])
        out.update({
            f"{name}/pairs": np.array(s["pairs"], np.int32),
            f"{name}/mlm_rows": np.array([seq[b] + p for b, p, _ in s["mlm"]], np.int32),
            f"{name}/mlm_targets": np.array([x[2] for x in s["mlm"]], np.int32),
            f"{name}/mpm_rows": np.array([seq[b] + len(texts[s["pairs"][b][0]]) + p for b, p in s["mvrc"]], np.int32),
            f"{name}/mpm_patches": np.array([first[s["pairs"][b][1]] + p for b, p in s["mvrc"]], np.int32),
        })
        if name == "pairs":
            out["states"] = torch.cat(states).detach().numpy()
            out["objects"] = torch.cat([o[1:] for o in objects] + [o[:1] for o in objects]).detach().numpy()
    mask = np.zeros(I * P, np.uint8)
    for i, p in masked:
        mask[i * P + p] = 1
    rows = [(i, p) for i in range(I) for p in range(COUNTS["regions"][i])]
    out.update({
        "regions/offsets": np.cumsum([0] + COUNTS["regions"]).astype(np.int32),
        "regions/features": torch.stack([region_features[r] for r in rows]).numpy(),
        "regions/boxes": np.stack([corners[r] for r in rows]),
        "regions/scores": np.array([region_scores[r] for r in rows], np.float32),
        "regions/classes": np.array([region_classes[r] for r in rows], np.int32),
        "regions/masked": np.array([r in masked for r in rows], np.uint8),
        "batch/token_ids": np.array(sum(texts, []), np.int32),
        "batch/text_offsets": np.cumsum([0] + [len(t) for t in texts]).astype(np.int32),
        "batch/pixels": pixels.reshape(I, -1), "batch/patch_masked": mask,
        "batch/boxes": corners.reshape(-1),
    })
    target = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "golden", "vlbert")
    os.makedirs(target, exist_ok=True)
    save_file({k: np.ascontiguousarray(v) for k, v in out.items()}, os.path.join(target, "reference.safetensors"))
    print({name: (out[f"{name}/losses"], sorted(hidden_of(name))) for name in sets})


if __name__ == "__main__":
    main()
