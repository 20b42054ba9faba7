#!/usr/bin/env python3
"""Write tests/golden/vilbert/reference.safetensors: a training step of ViLBERT in PyTorch.

A small model with other widths and heads in each stream and in the connections, four products,
patches of raw pixels as regions. Dumped: the weights, the batch, and for each case the losses MLM,
MRM, TIA and every gradient of their sum (of kld and classes
those of the regions' head), then the scores of the pairs with nothing masked:

    pairs     eight pairs, half of them matched: cross entropy of each; MRM by NCE
    list      all pairs of the four products: softmax over texts and over images; MRM by NCE
    kld       pairs, MRM as the KLD of the patch as a distribution
    classes   pairs, MRM as the cross entropy of a detector's class

    pip install torch numpy safetensors;  python tools/make_vilbert_dump.py
"""
import os

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

C, HEADS, INNER, LAYERS, V, POSITIONS = 16, 2, 24, 3, 30, 8
W, V_HEADS, V_INNER, V_LAYERS = 12, 3, 20, 3
X, X_HEADS, CONNECTIONS, TEXT_CONNECT, VISUAL_CONNECT = 8, 2, 2, 1, 0
GRID, SIZE, EPS = 2, 8, 1e-12
P, FEATURES = GRID * GRID, (SIZE // GRID) ** 2 * 3
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])

torch.manual_seed(29)
texts = [[2, 11, 4, 13, 3], [2, 12, 5, 3], [2, 4, 27, 28, 9, 3], [2, 7, 3]]
B = len(texts)
mlm = [(0, 2, 12), (2, 1, 26), (2, 4, 9)]  # (item, position, target)
mrm = [(1, 3), (3, 0), (3, 2)]  # (item, patch): zeroed
classes = [5, 0, 47]  # of those regions
own = [(i, i, 1) for i in range(B)]
pairs = own + [(i, (i + 1) % B, 0) for i in range(B)]  # (text, image, label)
pixels = np.random.default_rng(31).integers(0, 256, (B, SIZE, SIZE, 3), dtype=np.uint8)


def shapes():
    s = {"bert.embeddings.word_embeddings.weight": (V, C), "bert.embeddings.token_type_embeddings.weight": (2, C),
         "bert.embeddings.position_embeddings.weight": (POSITIONS, C)}

    def linear(name, out, into):
        s[name + ".weight"], s[name + ".bias"] = (out, into), (out,)

    def norm(name, width):
        s[name + ".LayerNorm.weight"], s[name + ".LayerNorm.bias"] = (width,), (width,)

    norm("bert.embeddings", C)
    linear("visual.embeddings.image_embeddings", W, FEATURES)
    linear("visual.embeddings.image_location_embeddings", W, 5)
    norm("visual.embeddings", W)
    for stack, count, width, inner in (("bert", LAYERS, C, INNER), ("visual", V_LAYERS, W, V_INNER)):
        for n in range(count):
            p = f"{stack}.encoder.layer.{n}."
            for part in ("query", "key", "value"):
                linear(p + "attention.self." + part, width, width)
            linear(p + "attention.output.dense", width, width)
            norm(p + "attention.output", width)
            linear(p + "intermediate.dense", inner, width)
            linear(p + "output.dense", width, inner)
            norm(p + "output", width)
    for n in range(CONNECTIONS):
        for side, width, inner in (("text", C, INNER), ("visual", W, V_INNER)):
            p = f"connection.layer.{n}.{side}."
            for part in ("query", "key", "value"):
                linear(p + part, X, width)
            linear(p + "output.dense", width, X)
            norm(p + "output", width)
            linear(p + "intermediate.dense", inner, width)
            linear(p + "feed.dense", width, inner)
            norm(p + "feed", width)
    linear("cls.predictions.transform.dense", C, C)
    norm("cls.predictions.transform", C)
    s["cls.predictions.bias"] = (V,)
    linear("visual.predictions.transform.dense", W, W)
    norm("visual.predictions.transform", W)
    linear("visual.predictions.decoder", FEATURES, W)
    linear("pooler.text.dense", X, C)
    linear("pooler.visual.dense", X, W)
    linear("match", 2, X)
    return s


def make_weights():
    w = {}
    for name, shape in shapes().items():
        gain = name.endswith("LayerNorm.weight")
        w[name] = (gain + 0.3 * torch.randn(*shape)).requires_grad_(True)
    return w


def linear(w, name, x):
    return x @ w[name + ".weight"].T + w[name + ".bias"]


def norm(w, name, x):
    return F.layer_norm(x, x.shape[-1:], w[name + ".LayerNorm.weight"], w[name + ".LayerNorm.bias"], EPS)


def attend(q, k, v, heads):
    def split(x):
        return x.view(x.shape[0], heads, -1).transpose(0, 1)

    q, k, v = split(q), split(k), split(v)
    p = F.softmax(q @ k.transpose(1, 2) / q.shape[-1] ** 0.5, -1)
    return (p @ v).transpose(0, 1).reshape(q.shape[1], -1)


def layer(w, prefix, x, heads):
    q, k, v = (linear(w, prefix + "attention.self." + part, x) for part in ("query", "key", "value"))
    a = norm(w, prefix + "attention.output",
             linear(w, prefix + "attention.output.dense", attend(q, k, v, heads)) + x)
    inner = F.gelu(linear(w, prefix + "intermediate.dense", a))
    return norm(w, prefix + "output", linear(w, prefix + "output.dense", inner) + a)


def connect(w, n, text, visual):
    x = {"text": text, "visual": visual}
    y = {}
    for side, other in (("text", "visual"), ("visual", "text")):
        p, o = f"connection.layer.{n}.{side}.", f"connection.layer.{n}.{other}."
        context = attend(linear(w, p + "query", x[side]), linear(w, o + "key", x[other]),
                         linear(w, o + "value", x[other]), X_HEADS)
        a = norm(w, p + "output", linear(w, p + "output.dense", context) + x[side])
        y[side] = norm(w, p + "feed", linear(w, p + "feed.dense",
                                             F.gelu(linear(w, p + "intermediate.dense", a))) + a)
    return y["text"], y["visual"]


def features():
    x = (torch.tensor(pixels).float() / 255 - MEAN) / STD
    side = SIZE // GRID
    return x.view(B, GRID, side, GRID, side, 3).permute(0, 1, 3, 2, 4, 5).reshape(B, P, -1)


def boxes():
    cells = [(c / GRID, r / GRID, (c + 1) / GRID, (r + 1) / GRID) for r in range(GRID) for c in range(GRID)]
    return torch.tensor([(0, 0, 1, 1)] + cells)


def encode(w, feats, text, image, whole):
    """The two streams of one pair; whole: no region is zeroed."""
    e = "bert.embeddings."
    ids = texts[text]
    t = norm(w, "bert.embeddings", w[e + "word_embeddings.weight"][ids]
             + w[e + "position_embeddings.weight"][:len(ids)] + w[e + "token_type_embeddings.weight"][0])
    seen = [p for p in range(P) if whole or (image, p) not in mrm]
    shown = torch.stack([feats[image][seen].mean(0)]
                        + [feats[image, p] * (p in seen) for p in range(P)])
    box = boxes()
    area = (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])
    v = norm(w, "visual.embeddings",
             linear(w, "visual.embeddings.image_embeddings", shown)
             + linear(w, "visual.embeddings.image_location_embeddings", torch.cat([box, area[:, None]], 1)))
    for n in range(TEXT_CONNECT):
        t = layer(w, f"bert.encoder.layer.{n}.", t, HEADS)
    for n in range(VISUAL_CONNECT):
        v = layer(w, f"visual.encoder.layer.{n}.", v, V_HEADS)
    for n in range(CONNECTIONS):
        t, v = connect(w, n, t, v)
        last = n == CONNECTIONS - 1
        for k in range(TEXT_CONNECT + n, LAYERS if last else TEXT_CONNECT + n + 1):
            t = layer(w, f"bert.encoder.layer.{k}.", t, HEADS)
        for k in range(VISUAL_CONNECT + n, V_LAYERS if last else VISUAL_CONNECT + n + 1):
            v = layer(w, f"visual.encoder.layer.{k}.", v, V_HEADS)
    return t, v


def predict_regions(w, hidden, feats, case):
    rows = torch.stack([hidden[i, i][1][1 + p] for i, p in mrm])
    z = norm(w, "visual.predictions.transform", F.gelu(linear(w, "visual.predictions.transform.dense", rows)))
    z = linear(w, "visual.predictions.decoder", z)
    target = torch.stack([feats[i, p] for i, p in mrm])
    if case == "kld":
        return F.kl_div(F.log_softmax(z, -1), F.softmax(target, -1), reduction="batchmean")
    if case == "classes":
        return F.cross_entropy(z, torch.tensor(classes))
    return F.cross_entropy(z @ F.normalize(target, dim=1).T, torch.arange(len(mrm)))


def match(w, hidden):
    both = torch.stack([F.relu(linear(w, "pooler.text.dense", text[0]))
                        * F.relu(linear(w, "pooler.visual.dense", visual[0])) for text, visual in hidden])
    return linear(w, "match", both)


def forward(w, case):
    feats = features()
    listwise = case == "list"
    judged = [(t, i) for t in range(B) for i in range(B)] if listwise else [(t, i) for t, i, _ in pairs]
    hidden = {pair: encode(w, feats, *pair, False) for pair in judged}
    z = match(w, [hidden[pair] for pair in judged])
    if listwise:
        margin = (z[:, 1] - z[:, 0]).view(B, B)  # texts by images
        tia = (F.cross_entropy(margin, torch.arange(B)) + F.cross_entropy(margin.T, torch.arange(B))) / 2
    else:
        tia = F.cross_entropy(z, torch.tensor([label for _, _, label in pairs]))
    rows = torch.stack([hidden[i, i][0][p] for i, p, _ in mlm])
    h = norm(w, "cls.predictions.transform", F.gelu(linear(w, "cls.predictions.transform.dense", rows)))
    words = F.cross_entropy(h @ w["bert.embeddings.word_embeddings.weight"].T + w["cls.predictions.bias"],
                            torch.tensor([x[2] for x in mlm]))
    return torch.stack([words, predict_regions(w, hidden, feats, case), tia])


def main():
    weights = make_weights()
    out = {"weight/" + k: v.detach().numpy().reshape(-1) for k, v in weights.items()}
    for case in ("pairs", "list", "kld", "classes"):
        for v in weights.values():
            v.grad = None
        losses = forward(weights, case)
        losses.sum().backward()
        out[f"{case}/losses"] = losses.detach().numpy()
        for k, v in weights.items():
            assert v.grad is not None, k
            if case in ("kld", "classes") and not k.startswith("visual.predictions."):
                continue
            out[f"{case}/grad/{k}"] = v.grad.numpy().reshape(-1).copy()
        print(case, losses.detach().numpy())
    with torch.no_grad():
        z = match(weights, [encode(weights, features(), text, image, True) for text, image, _ in pairs])
        out["scores"] = (z[:, 1] - z[:, 0]).numpy()
    starts = np.cumsum([0] + [len(t) for t in texts])
    rows = np.cumsum([0] + [len(t) + P for t in texts])
    mask = np.zeros(B * P, np.uint8)
    for i, p in mrm:
        mask[i * P + p] = 1
    i32 = lambda x: np.array(x, np.int32)
    out.update({
        "batch/token_ids": i32(sum(texts, [])), "batch/text_offsets": i32(starts),
        "batch/pixels": pixels.reshape(B, -1), "batch/patch_masked": mask,
        "batch/mlm_rows": i32([rows[i] + p for i, p, _ in mlm]), "batch/mlm_targets": i32([x[2] for x in mlm]),
        "batch/mpm_rows": i32([rows[i] + len(texts[i]) + p for i, p in mrm]),
        "batch/mpm_patches": i32([i * P + p for i, p in mrm]),
    })
    target = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "golden", "vilbert")
    os.makedirs(target, exist_ok=True)
    save_file({k: np.ascontiguousarray(v) for k, v in out.items()}, os.path.join(target, "reference.safetensors"))


if __name__ == "__main__":
    main()
