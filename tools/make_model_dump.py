#!/usr/bin/env python3
"""Write tests/golden/model/reference.safetensors: FashionBERT in PyTorch, step by step.

An implementation of its own: no packing (each pair runs alone), autograd for every gradient,
torch's LayerNorm, GELU, softmax, kl_div and AdamW. Dumped: the batch, the initial weights,
activations, the three losses, every gradient of their plain mean, squared gradient norms
of each loss, and ten AdamW steps under the official code's adaptive weights with gradients
flowing through them.

    pip install torch numpy safetensors;  python tools/make_model_dump.py
"""
import os

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

torch.manual_seed(7)
torch.set_num_threads(1)
L, C, H, INNER, V, POSITIONS = 2, 32, 4, 64, 50, 12
SIZE, GRID, EPS = 16, 2, 1e-12
P, SIDE = GRID * GRID, SIZE // GRID
FEATURES = SIDE * SIDE * 3
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])

# Three texts (one of them just [CLS] [SEP]), three images, four pairs, two matched.
texts = [[2, 11, 4, 13, 3], [2, 3], [2, 4, 27, 28, 29, 9, 3]]
pairs = [(0, 0, 1), (2, 2, 1), (0, 1, 0), (1, 2, 0)]
# (pair, position in text, target); (pair, patch)
mlm = [(0, 2, 12), (1, 1, 26), (1, 5, 9)]
mpm = [(0, 1), (1, 3)]
masked_patches = {(0, 1), (2, 3)}
rng = np.random.default_rng(11)
pixels = rng.integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8)


def normal(*shape, std=0.2):
    return torch.randn(*shape) * std


def make_weights():
    w = {
        "bert.embeddings.word_embeddings.weight": normal(V, C),
        "bert.embeddings.position_embeddings.weight": normal(POSITIONS, C),
        "bert.embeddings.token_type_embeddings.weight": normal(2, C),
        "bert.embeddings.LayerNorm.weight": 1 + normal(C, std=0.1),
        "bert.embeddings.LayerNorm.bias": normal(C, std=0.1),
        "image.projector.weight": normal(C, FEATURES, std=0.05),
        "image.type_embeddings.weight": normal(2, C),
        "image.position_embeddings.weight": normal(P, C),
        "image.LayerNorm.weight": 1 + normal(C, std=0.1),
        "image.LayerNorm.bias": normal(C, std=0.1),
        "bert.pooler.dense.weight": normal(C, C),
        "bert.pooler.dense.bias": normal(C, std=0.1),
        "match.weight": normal(2, C),
        "match.bias": normal(2, std=0.1),
        "cls.predictions.transform.dense.weight": normal(C, C),
        "cls.predictions.transform.dense.bias": normal(C, std=0.1),
        "cls.predictions.transform.LayerNorm.weight": 1 + normal(C, std=0.1),
        "cls.predictions.transform.LayerNorm.bias": normal(C, std=0.1),
        "cls.predictions.bias": normal(V, std=0.1),
        "image.predictions.weight": normal(FEATURES, C),
    }
    for i in range(L):
        p = f"bert.encoder.layer.{i}."
        for name, out, inn in [
            ("attention.self.query", C, C),
            ("attention.self.key", C, C),
            ("attention.self.value", C, C),
            ("attention.output.dense", C, C),
            ("intermediate.dense", INNER, C),
            ("output.dense", C, INNER),
        ]:
            w[p + name + ".weight"] = normal(out, inn)
            w[p + name + ".bias"] = normal(out, std=0.1)
        for name in ["attention.output.LayerNorm", "output.LayerNorm"]:
            w[p + name + ".weight"] = 1 + normal(C, std=0.1)
            w[p + name + ".bias"] = normal(C, std=0.1)
    return w


def norm(w, prefix, x):
    return F.layer_norm(x, (C,), w[prefix + ".weight"], w[prefix + ".bias"], EPS)


def linear(w, prefix, x):
    return F.linear(x, w[prefix + ".weight"], w.get(prefix + ".bias"))


def layer(w, p, x):
    n, d = x.shape[0], C // H
    q, k, v = (linear(w, p + "attention.self." + s, x).view(n, H, d).transpose(0, 1)
               for s in ("query", "key", "value"))
    context = torch.softmax(q @ k.transpose(1, 2) / d**0.5, -1) @ v
    context = context.transpose(0, 1).reshape(n, C)
    a = norm(w, p + "attention.output.LayerNorm",
             linear(w, p + "attention.output.dense", context) + x)
    inner = F.gelu(linear(w, p + "intermediate.dense", a))
    return norm(w, p + "output.LayerNorm", linear(w, p + "output.dense", inner) + a)


def patch_features():
    x = (torch.tensor(pixels).float() / 255 - MEAN) / STD
    x = x.view(3, GRID, SIDE, GRID, SIDE, 3).permute(0, 1, 3, 2, 4, 5)
    return x.reshape(3, P, FEATURES)


def forward(w):
    feats, e = patch_features(), "bert.embeddings."
    text, image = [], []
    for ids in texts:
        x = (w[e + "word_embeddings.weight"][ids]
             + w[e + "position_embeddings.weight"][:len(ids)]
             + w[e + "token_type_embeddings.weight"][0])
        text.append(norm(w, "bert.embeddings.LayerNorm", x))
    for i in range(3):
        f = feats[i].clone()
        for p in range(P):
            if (i, p) in masked_patches:
                f[p] = 0
        x = (f @ w["image.projector.weight"].T + w["image.type_embeddings.weight"][1]
             + w["image.position_embeddings.weight"])
        image.append(norm(w, "image.LayerNorm", x))
    hidden = []
    for t, i, _ in pairs:
        x = torch.cat([text[t], image[i]])
        for n in range(L):
            x = layer(w, f"bert.encoder.layer.{n}.", x)
        hidden.append(x)
    return feats, torch.cat(text), torch.cat(image), hidden


def heads(w, feats, hidden):
    pooled = torch.tanh(linear(w, "bert.pooler.dense", torch.stack([h[0] for h in hidden])))
    tia_logits = linear(w, "match", pooled)
    rows = torch.stack([hidden[b][p] for b, p, _ in mlm])
    t = F.gelu(linear(w, "cls.predictions.transform.dense", rows))
    t = norm(w, "cls.predictions.transform.LayerNorm", t)
    mlm_logits = (t @ w["bert.embeddings.word_embeddings.weight"].T
                  + w["cls.predictions.bias"])
    rows = torch.stack([hidden[b][len(texts[pairs[b][0]]) + p] for b, p in mpm])
    mpm_logits = rows @ w["image.predictions.weight"].T
    target = torch.stack([feats[pairs[b][1]][p] for b, p in mpm])
    losses = torch.stack([
        F.cross_entropy(mlm_logits, torch.tensor([x[2] for x in mlm])),
        F.cross_entropy(tia_logits, torch.tensor([x[2] for x in pairs])),
        F.kl_div(F.log_softmax(mpm_logits, -1), F.softmax(target, -1),
                 reduction="batchmean"),
    ])
    return losses, mlm_logits, tia_logits, mpm_logits


def is_shared(name):
    return (name.startswith("bert.embeddings") or name.startswith("bert.encoder")
            or (name.startswith("image.") and "predictions" not in name))


def official_weights(losses):
    n = torch.softmax(losses, 0) ** 2
    u = 1 / (3 - n)
    return u / u.sum()


def main():
    weights = {k: v.clone().requires_grad_(True) for k, v in make_weights().items()}
    out = {"weight/" + k: v.detach().numpy().copy() for k, v in weights.items()}

    feats, text, image, hidden = forward(weights)
    for h in hidden:
        h.retain_grad()
    losses, mlm_logits, tia_logits, mpm_logits = heads(weights, feats, hidden)
    out["features"] = feats.reshape(-1, FEATURES).numpy()
    out["text"], out["patches"] = text.detach().numpy(), image.detach().numpy()
    out["hidden"] = torch.cat(hidden).detach().numpy()
    out["logits/mlm"] = mlm_logits.detach().numpy()
    out["logits/tia"] = tia_logits.detach().numpy()
    out["logits/mpm"] = mpm_logits.detach().numpy()
    out["losses"] = losses.detach().numpy()

    at_output, at_shared = [], []
    for i in range(3):
        shared = [v for k, v in weights.items() if is_shared(k)]
        g = torch.autograd.grad(losses[i], hidden + shared, retain_graph=True,
                                allow_unused=True)
        sums = [float((x.double() ** 2).sum()) if x is not None else 0.0 for x in g]
        at_output.append(sum(sums[:len(hidden)]))
        at_shared.append(sum(sums[len(hidden):]))
    out["norms/output"] = np.array(at_output, np.float32)
    out["norms/shared"] = np.array(at_shared, np.float32)

    losses.mean().backward()
    for k, v in weights.items():
        out["grad/" + k] = v.grad.numpy().copy()

    # The projection of raw patches learns at 1/side of the rate.
    projector = [weights["image.projector.weight"]]
    decay = [v for k, v in weights.items() if v.dim() == 2 and k != "image.projector.weight"]
    plain = [v for k, v in weights.items() if v.dim() == 1]
    optimizer = torch.optim.AdamW([{"params": decay, "weight_decay": 0.1},
                                   {"params": projector, "weight_decay": 0.1, "lr": 1e-2 / SIDE},
                                   {"params": plain, "weight_decay": 0.0}],
                                  lr=1e-2, betas=(0.9, 0.98), eps=1e-8)
    path = []
    for _ in range(10):
        optimizer.zero_grad()
        feats, _, _, hidden = forward(weights)
        losses = heads(weights, feats, hidden)[0]
        (official_weights(losses) * losses).sum().backward()
        torch.nn.utils.clip_grad_norm_(list(weights.values()), 1.0)
        optimizer.step()
        path.append(losses.detach().numpy().copy())
    out["steps/losses"] = np.stack(path)
    for k, v in weights.items():
        out["after/" + k] = v.detach().numpy().copy()

    offsets = np.cumsum([0] + [len(t) for t in texts])
    seq = np.cumsum([0] + [len(texts[t]) + P for t, _, _ in pairs])
    mask = np.zeros(3 * P, np.uint8)
    for i, p in masked_patches:
        mask[i * P + p] = 1
    i32 = lambda x: np.array(x, np.int32)
    out.update({
        "batch/token_ids": i32(sum(texts, [])), "batch/text_offsets": i32(offsets),
        "batch/pixels": pixels.reshape(3, -1), "batch/patch_masked": mask,
        "batch/pairs": i32(pairs),
        "batch/mlm_rows": i32([seq[b] + p for b, p, _ in mlm]),
        "batch/mlm_targets": i32([x[2] for x in mlm]),
        "batch/mpm_rows": i32([seq[b] + len(texts[pairs[b][0]]) + p for b, p in mpm]),
        "batch/mpm_patches": i32([pairs[b][1] * P + p for b, p in mpm]),
    })
    here = os.path.dirname(os.path.abspath(__file__))
    target = os.path.join(here, "..", "tests", "golden", "model")
    os.makedirs(target, exist_ok=True)
    save_file({k: np.ascontiguousarray(v) for k, v in out.items()},
              os.path.join(target, "reference.safetensors"))
    print("losses", out["losses"], "after ten steps", path[-1])


if __name__ == "__main__":
    main()
