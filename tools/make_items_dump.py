#!/usr/bin/env python3
"""Write tests/golden/items/reference.safetensors: a batch of items in PyTorch.

The model of make_model_dump.py, smaller, with the contrastive head: texts pass the trunk's first
layer alone, images are the mean of their patches; InfoNCE both ways, leaving out what is of one
product or of one text. Each item has exactly as many others as negatives are drawn, so that the
draw has no choice and the pairs are known: its own, and every other that is not its kin, both ways.
Dumped: the batch, the weights, vectors, similarities, the losses, and every gradient of

    pairs    mean(MLM, TIA, MPM) + ITC_WEIGHT ITC    TIA as a yes or no of each pair
    list     the same with TIA listwise, among each item's own and its negatives
    late     the same as list, patches joining the texts behind the trunk's first layer, TIA read off
             the product of the normed means over tokens and over patches, and soft labels: 2 / 5 of
             a list's target taken from the similarities

    pip install torch numpy safetensors;  python tools/make_items_dump.py
"""
import os

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

import make_model_dump as model

model.C, model.H, model.INNER, model.V, model.POSITIONS = 16, 2, 24, 30, 8
model.SIZE, model.SIDE, model.FEATURES = 8, 4, 48
VECTOR, TEXT_LAYERS, PATCHES_FROM, LOG_SCALE, ITC_WEIGHT, SOFT = 6, 1, 1, 1.2, 0.7, 0.4
P, V, C = model.P, model.V, model.C

torch.manual_seed(17)
texts = [[2, 11, 4, 13, 3], [2, 11, 4, 13, 3], [2, 4, 27, 28, 9, 3], [2, 7, 3]]
text_group, image_group = [0, 0, 2, 3], [4, 5, 6, 6]  # 0 and 1: one text; 2 and 3: one product
B = len(texts)
mlm = [(0, 2, 12), (2, 1, 26), (2, 4, 9)]  # (item, position, target)
mpm = [(1, 3), (3, 0)]  # (item, patch)
masked = {(1, 3), (3, 0)}
rng = np.random.default_rng(13)
pixels = rng.integers(0, 256, (B, model.SIZE, model.SIZE, 3), dtype=np.uint8)


def kin(i, j):
    return text_group[i] == text_group[j] or image_group[i] == image_group[j]


def features():
    x = (torch.tensor(pixels).float() / 255 - model.MEAN) / model.STD
    side, grid = model.SIDE, model.GRID
    return x.view(B, grid, side, grid, side, 3).permute(0, 1, 3, 2, 4, 5).reshape(B, P, -1)


def embed(w, feats):
    e = "bert.embeddings."
    text = [model.norm(w, e + "LayerNorm", w[e + "word_embeddings.weight"][ids]
                       + w[e + "position_embeddings.weight"][:len(ids)]
                       + w[e + "token_type_embeddings.weight"][0]) for ids in texts]
    image = []
    for i in range(B):
        shown = torch.stack([feats[i, p] * ((i, p) not in masked) for p in range(P)])
        image.append(model.norm(w, "image.LayerNorm", shown @ w["image.projector.weight"].T
                                + w["image.type_embeddings.weight"][1]
                                + w["image.position_embeddings.weight"]))
    return text, image


def trunk(w, x, layers, first=0):
    for n in range(first, layers):
        x = model.layer(w, f"bert.encoder.layer.{n}.", x)
    return x


def contrast(w, text, feats):
    u = torch.stack([trunk(w, t, TEXT_LAYERS).mean(0) for t in text])
    u = F.normalize(model.linear(w, "itc.text", u), dim=1)
    v = F.normalize(model.linear(w, "itc.image", feats.mean(1)), dim=1)
    similarity = v @ u.T
    out = torch.tensor([[i != j and kin(i, j) for j in range(B)] for i in range(B)])
    logits = (w["itc.log_scale"].exp() * similarity).masked_fill(out, -torch.inf)
    own = torch.arange(B)
    loss = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
    return u, v, similarity, loss


def forward(w, listwise, late):
    feats = features()
    text, image = embed(w, feats)
    u, v, similarity, itc = contrast(w, text, feats)
    first = PATCHES_FROM if late else 0
    text = [trunk(w, t, first) for t in text]
    hidden = {(t, i): trunk(w, torch.cat([text[t], image[i]]), model.L, first)
              for t in range(B) for i in range(B) if t == i or not kin(t, i)}

    def summary(pair):
        h, words = hidden[pair], len(texts[pair[0]])
        if not late:
            return h[0]
        return (model.norm(w, "match.words.LayerNorm", h[:words].mean(0))
                * model.norm(w, "match.patches.LayerNorm", h[words:].mean(0)))

    def margins(pairs):
        rows = torch.stack([summary(pair) for pair in pairs])
        return model.linear(w, "match", torch.tanh(model.linear(w, "bert.pooler.dense", rows)))

    others = [[j for j in range(B) if not kin(i, j)] for i in range(B)]
    of_images = [[(i, i)] + [(j, i) for j in others[i]] for i in range(B)]
    of_texts = [[(i, i)] + [(i, j) for j in others[i]] for i in range(B)]
    if listwise:
        z = [margins(pairs) for pairs in of_images + of_texts]
        share, scale = SOFT if late else 0, w["itc.log_scale"].exp().detach()
        targets = [share * F.softmax(scale * torch.stack([similarity[i, t].detach() for t, i in pairs]), 0)
                   + (1 - share) * torch.eye(len(pairs))[0] for pairs in of_images + of_texts]
        tia = torch.stack([F.cross_entropy((m[:, 1] - m[:, 0])[None], t[None])
                           for m, t in zip(z, targets)]).mean()
    else:
        pairs = [(i, i) for i in range(B)] + [p for some in of_images + of_texts for p in some[1:]]
        tia = F.cross_entropy(margins(pairs), torch.tensor([int(t == i) for t, i in pairs]))
    rows = torch.stack([hidden[i, i][p] for i, p, _ in mlm])
    t = F.gelu(model.linear(w, "cls.predictions.transform.dense", rows))
    t = model.norm(w, "cls.predictions.transform.LayerNorm", t)
    logits = t @ w["bert.embeddings.word_embeddings.weight"].T + w["cls.predictions.bias"]
    words = F.cross_entropy(logits, torch.tensor([x[2] for x in mlm]))
    rows = torch.stack([hidden[i, i][len(texts[i]) + p] for i, p in mpm])
    target = torch.stack([feats[i, p] for i, p in mpm])
    patches = F.kl_div(F.log_softmax(rows @ w["image.predictions.weight"].T, -1), F.softmax(target, -1),
                       reduction="batchmean")
    return torch.stack([words, tia, patches]), itc, u, v, similarity


def make_weights():
    w = model.make_weights()
    for side in ("words", "patches"):
        w[f"match.{side}.LayerNorm.weight"] = 1 + model.normal(C)
        w[f"match.{side}.LayerNorm.bias"] = model.normal(C)
    w["itc.text.weight"], w["itc.text.bias"] = model.normal(VECTOR, C), model.normal(VECTOR)
    w["itc.image.weight"], w["itc.image.bias"] = model.normal(VECTOR, model.FEATURES), model.normal(VECTOR)
    w["itc.log_scale"] = torch.tensor(LOG_SCALE)
    return w


def main():
    weights = {k: v.clone().requires_grad_(True) for k, v in make_weights().items()}
    out = {"weight/" + k: v.detach().numpy().reshape(-1) for k, v in weights.items()}
    for name in ("pairs", "list", "late"):
        for v in weights.values():
            v.grad = None
        losses, itc, u, image, similarity = forward(weights, name != "pairs", name == "late")
        (losses.mean() + ITC_WEIGHT * itc).backward()
        out[f"{name}/losses"] = np.append(losses.detach().numpy(), itc.detach().numpy())
        for k, v in weights.items():
            if v.grad is not None:
                out[f"{name}/grad/{k}"] = v.grad.numpy().reshape(-1).copy()
    out["text_vectors"], out["image_vectors"] = u.detach().numpy(), image.detach().numpy()
    out["similarity"] = similarity.detach().numpy()
    starts = np.cumsum([0] + [len(t) for t in texts])
    rows = np.cumsum([0] + [len(t) + P for t in texts])
    mask = np.zeros(B * P, np.uint8)
    for i, p in masked:
        mask[i * P + p] = 1
    i32 = lambda x: np.array(x, np.int32)
    out.update({
        "batch/token_ids": i32(sum(texts, [])), "batch/text_offsets": i32(starts),
        "batch/text_group": i32(text_group), "batch/image_group": i32(image_group),
        "batch/pixels": pixels.reshape(B, -1), "batch/patch_masked": mask,
        "batch/mlm_rows": i32([rows[i] + p for i, p, _ in mlm]), "batch/mlm_targets": i32([x[2] for x in mlm]),
        "batch/mpm_rows": i32([rows[i] + len(texts[i]) + p for i, p in mpm]),
        "batch/mpm_patches": i32([i * P + p for i, p in mpm]),
    })
    target = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "golden", "items")
    os.makedirs(target, exist_ok=True)
    save_file({k: np.ascontiguousarray(v) for k, v in out.items()}, os.path.join(target, "reference.safetensors"))
    print({name: out[f"{name}/losses"] for name in ("pairs", "list", "late")})


if __name__ == "__main__":
    main()
