#!/usr/bin/env python3
"""Write tests/golden/qti/reference.safetensors: Query-Title-Image matching in PyTorch.

An implementation of its own: each sequence runs alone, autograd for every gradient, torch's
layers and AdamW. Computed in f64 on weights and pixels that are f32 and u8 hashes of (name,
place), which the test computes too: no weights are stored. Dumped: embedded texts, the
encoder's output, logits and losses of all six heads, of each parameter's gradient under their
plain mean 16 places and the norm, squared gradient norms of each loss at the encoder's output,
and ten AdamW steps under the weights that these norms give (Eq. 6). Under late/ the same of
a model whose queries and titles pass the first layer each alone, with a [CLS] of its own.

    pip install torch numpy safetensors;  python tools/make_qti_dump.py
"""
import os

import numpy as np
import torch
import torch.nn.functional as F
from hashed import levels, value
from safetensors.numpy import save_file

torch.set_num_threads(1)
L, C, H, INNER, V, POSITIONS = 2, 32, 4, 48, 40, 12
SIZE, GRID, EPS, MEAN, STD = 16, 2, 1e-12, 0.5, 0.25
P, SIDE = GRID * GRID, SIZE // GRID
FEATURES = SIDE * SIDE * 3
CLS, SEP = 2, 3
Q, T, I = 0, 1, 2  # rows of the segment table

# Two queries, then three titles, without [CLS] and [SEP]; the last title is empty.
queries = [[11, 4], [12, 5, 30]]
titles = [[4, 13, 21, 7], [30, 9], []]
# query, title, image (-1: none), label
sequences = [(0, 0, 0, 1), (1, 1, 1, 1), (0, 1, 1, 0), (1, 2, 2, 0),
             (0, 0, -1, 1), (0, 1, -1, 0),
             (1, -1, 1, 1), (1, -1, 2, 0), (0, -1, 0, 1),
             (-1, 0, 0, 1), (-1, 0, 1, 0)]
# sequence, row in it, token; sequence, patch. Rows count [CLS].
mlm = [(0, 1, 26), (0, 5, 13), (1, 3, 5)]
mpm = [(0, 1), (1, 3)]
masked_patches = {(0, 1), (1, 3)}
NAMES = ["mlm", "tia", "mpm", "click", "qt", "qi"]


def norm_shapes(name):
    return {f"{name}.weight": (C,), f"{name}.bias": (C,)}


def linear_shapes(name, out, inputs):
    return {f"{name}.weight": (out, inputs), f"{name}.bias": (out,)}


def all_shapes():
    e = "bert.embeddings"
    s = {e + ".word_embeddings.weight": (V, C), e + ".position_embeddings.weight": (POSITIONS, C),
         e + ".token_type_embeddings.weight": (3, C)} | norm_shapes(e + ".LayerNorm")
    s |= {"image.projector.weight": (C, FEATURES), "image.position_embeddings.weight": (P, C)}
    s |= norm_shapes("image.LayerNorm")
    for i in range(L):
        p = f"bert.encoder.layer.{i}"
        for part in ["query", "key", "value"]:
            s |= linear_shapes(f"{p}.attention.self.{part}", C, C)
        s |= linear_shapes(p + ".attention.output.dense", C, C)
        s |= norm_shapes(p + ".attention.output.LayerNorm")
        s |= linear_shapes(p + ".intermediate.dense", INNER, C)
        s |= linear_shapes(p + ".output.dense", C, INNER)
        s |= norm_shapes(p + ".output.LayerNorm")
    s |= linear_shapes("bert.pooler.dense", C, C)
    for head in ["match", "click", "match_qt", "match_qi"]:
        s |= linear_shapes(head, 2, C)
    s |= linear_shapes("cls.predictions.transform.dense", C, C)
    s |= norm_shapes("cls.predictions.transform.LayerNorm")
    return s | {"cls.predictions.bias": (V,), "image.predictions.weight": (FEATURES, C)}


def make():
    return {name: value(name, shape).requires_grad_(True)
            for name, shape in all_shapes().items()}


def linear(w, name, x):
    return F.linear(x, w[name + ".weight"], w.get(name + ".bias"))


def norm(w, name, x):
    return F.layer_norm(x, (C,), w[name + ".weight"], w[name + ".bias"], EPS)


def encoder(w, x, first, last):
    for i in range(first, last):
        p = f"bert.encoder.layer.{i}"
        q, k, v = (linear(w, f"{p}.attention.self.{part}", x).reshape(-1, H, C // H)
                   .transpose(0, 1) for part in ["query", "key", "value"])
        y = (F.softmax(q @ k.transpose(1, 2) / (C // H) ** 0.5, -1) @ v)
        y = linear(w, p + ".attention.output.dense", y.transpose(0, 1).reshape(-1, C))
        x = norm(w, p + ".attention.output.LayerNorm", x + y)
        y = linear(w, p + ".output.dense", F.gelu(linear(w, p + ".intermediate.dense", x)))
        x = norm(w, p + ".output.LayerNorm", x + y)
    return x


def tokens(w, ids, positions, segment):
    e = "bert.embeddings."
    return norm(w, "bert.embeddings.LayerNorm",
                w[e + "word_embeddings.weight"][ids]
                + w[e + "position_embeddings.weight"][positions]
                + w[e + "token_type_embeddings.weight"][segment])


def words(w, ids, segment, with_cls):
    """[CLS] ids [SEP] of one segment; positions begin at 1, specials have 0."""
    ids, positions = ids + [SEP], list(range(1, len(ids) + 1)) + [0]
    if with_cls:
        ids, positions = [CLS] + ids, [0] + positions
    return tokens(w, ids, positions, segment)


def patch_features():
    u8 = levels("pixels", 3 * SIZE * SIZE * 3)
    x = (torch.from_numpy(u8).reshape(3, GRID, SIDE, GRID, SIDE, 3) / 255 - MEAN) / STD
    return x.permute(0, 1, 3, 2, 4, 5).reshape(3, P, FEATURES)


def patches(w, features, image):
    f = features[image].clone()
    for p in range(P):
        if (image, p) in masked_patches:
            f[p] = 0
    return norm(w, "image.LayerNorm",
                f @ w["image.projector.weight"].T
                + w["bert.embeddings.token_type_embeddings.weight"][I]
                + w["image.position_embeddings.weight"])


def forward(w, late):
    features, hidden = patch_features(), []
    alone = 1 if late else 0

    def text(ids, segment, with_cls):
        if not late:
            return words(w, ids, segment, with_cls)
        return encoder(w, words(w, ids, segment, True), 0, alone)[0 if with_cls else 1:]

    for q, t, i, _ in sequences:
        parts = []
        if q >= 0:
            parts.append(text(queries[q], Q, True))
        if t >= 0:
            parts.append(text(titles[t], T, q < 0))
        if i >= 0:
            parts.append(patches(w, features, i))
        hidden.append(encoder(w, torch.cat(parts), alone, L))
    return features, hidden


KINDS = {"click": (True, True, True), "qt": (True, True, False), "qi": (True, False, True),
         "tia": (False, True, True)}
HEADS = {"click": "click", "qt": "match_qt", "qi": "match_qi", "tia": "match"}


def heads(w, features, hidden):
    logits, losses = {}, {}
    for kind, parts in KINDS.items():
        at = [n for n, s in enumerate(sequences)
              if (s[0] >= 0, s[1] >= 0, s[2] >= 0) == parts]
        cls = torch.stack([hidden[n][0] for n in at])
        logits[kind] = linear(w, HEADS[kind], torch.tanh(linear(w, "bert.pooler.dense", cls)))
        losses[kind] = F.cross_entropy(logits[kind], torch.tensor([sequences[n][3] for n in at]))
    x = F.gelu(linear(w, "cls.predictions.transform.dense",
                      torch.stack([hidden[n][r] for n, r, _ in mlm])))
    x = norm(w, "cls.predictions.transform.LayerNorm", x)
    logits["mlm"] = x @ w["bert.embeddings.word_embeddings.weight"].T + w["cls.predictions.bias"]
    losses["mlm"] = F.cross_entropy(logits["mlm"], torch.tensor([m[2] for m in mlm]))
    rows = torch.stack([hidden[n][len(hidden[n]) - P + p] for n, p in mpm])
    logits["mpm"] = rows @ w["image.predictions.weight"].T
    target = torch.stack([features[sequences[n][2]][p] for n, p in mpm])
    losses["mpm"] = F.kl_div(F.log_softmax(logits["mpm"], -1), F.softmax(target, -1),
                             reduction="batchmean")
    return logits, torch.stack([losses[n] for n in NAMES])


def output_norms(losses, hidden):
    return torch.tensor([sum((g**2).sum() for g in torch.autograd.grad(
        x, hidden, retain_graph=True, allow_unused=True) if g is not None) for x in losses])


def equation_6(norms):
    u = 1 / (len(norms) - norms / norms.sum())
    return u / u.sum()


def train(w, late):
    """Ten steps of AdamW; raw patches' projection learns at 1/side of the rate."""
    projector = w["image.projector.weight"]
    decay = [v for k, v in w.items() if v.dim() == 2 and v is not projector]
    plain = [v for k, v in w.items() if v.dim() == 1]
    optimizer = torch.optim.AdamW([{"params": decay, "weight_decay": 0.1},
                                   {"params": [projector], "weight_decay": 0.1,
                                    "lr": 1e-2 / SIDE},
                                   {"params": plain, "weight_decay": 0.0}],
                                  lr=1e-2, betas=(0.9, 0.98), eps=1e-8)
    path = []
    for _ in range(10):
        optimizer.zero_grad()
        features, hidden = forward(w, late)
        losses = heads(w, features, hidden)[1]
        (equation_6(output_norms(losses, hidden)) * losses).sum().backward()
        torch.nn.utils.clip_grad_norm_(list(w.values()), 1.0)
        optimizer.step()
        path.append(losses.detach().numpy().copy())
    return np.stack(path)


def dump(late):
    w = make()
    features, hidden = forward(w, late)
    logits, losses = heads(w, features, hidden)
    texts = [words(w, q, Q, True) for q in queries] + [words(w, t, T, True) for t in titles]
    out = {"text": torch.cat(texts), "hidden": torch.cat(hidden), "losses": losses,
           "norms": output_norms(losses, hidden)}
    out |= {"logits/" + k: v for k, v in logits.items() if k != "mpm"}
    out = {k: v.detach().numpy() for k, v in out.items()}
    losses.mean().backward()
    for name, p in w.items():
        g = p.grad.reshape(-1).numpy()
        at = [i * (g.size - 1) // 15 for i in range(16)]
        out["grad/" + name] = np.array([*g[at], np.linalg.norm(g)])
    out["steps"] = train(w, late)
    print("late" if late else "paper", dict(zip(NAMES, losses.detach().numpy().round(4))), "last", out["steps"][-1].round(4))
    return {k: np.ascontiguousarray(v, dtype=np.float32) for k, v in out.items()}


def main():
    out = dump(False) | {"late/" + k: v for k, v in dump(True).items()}
    target = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "golden",
                          "qti")
    os.makedirs(target, exist_ok=True)
    path = os.path.join(target, "reference.safetensors")
    save_file(out, path)
    print(len(out), "tensors", os.path.getsize(path), "bytes")


if __name__ == "__main__":
    main()
