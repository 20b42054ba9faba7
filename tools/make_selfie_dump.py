#!/usr/bin/env python3
"""Write tests/golden/selfie/reference.safetensors: Selfie in PyTorch.

An implementation of its own: each image's context runs alone, autograd for every gradient,
torch's layers. Computed in f64 on weights and pixels that are f32 and u8 hashes of (name,
place), which the test computes too: no weights are stored. Of a training step (statistics of
the batch): h, u, logits, loss, the share of right answers, and of each parameter's gradient
16 places and the norm; the loss with running statistics, before the step.

    pip install torch numpy safetensors;  python tools/make_selfie_dump.py
"""
import os

import numpy as np
import torch
import torch.nn.functional as F
from hashed import levels, value
from safetensors.numpy import save_file

torch.set_num_threads(1)
L, C, H, INNER, FEATURES = 2, 32, 4, 48, 256
IMAGES, GRID, SIDE, EPS = 3, 4, 12, 1e-12
P, SIZE = GRID * GRID, GRID * SIDE
MEAN, STD = 0.5, 0.25
MASKED = [[1, 6, 7, 12], [0, 3, 9, 15], [2, 6, 8, 13]]
# With these pixels no number that a ReLU sees is nearer to 0 than 1e-6 of their root mean
# square: rounding must not decide where a gradient goes.
PIXELS = "pixels1"


def make(shapes):
    return {name: value(name, shape).requires_grad_("running" not in name)
            for name, shape in shapes.items()}


def norm_shapes(name, width, running=False):
    keys = ["weight", "bias"] + (["running_mean", "running_var"] if running else [])
    return {f"{name}.{k}": (width,) for k in keys}


def linear_shapes(name, out, inputs):
    return {f"{name}.weight": (out, inputs), f"{name}.bias": (out,)}


BLOCKS = [("layer1.0", 32, 64, 1), ("layer2.0", 64, 128, 2), ("layer3.0", 128, 256, 2),
          ("layer3.1", 256, 256, 1)]


def all_shapes():
    s = {"image.encoder.conv1.weight": (32, 3, 5, 5)}
    s |= norm_shapes("image.encoder.bn1", 32, True)
    for name, inputs, out, stride in BLOCKS:
        b = "image.encoder." + name
        s |= {f"{b}.conv1.weight": (out, inputs, 3, 3), f"{b}.conv2.weight": (out, out, 3, 3)}
        s |= norm_shapes(b + ".bn1", out, True) | norm_shapes(b + ".bn2", out, True)
        if inputs != out or stride != 1:
            s[f"{b}.downsample.0.weight"] = (out, inputs, 1, 1)
            s |= norm_shapes(b + ".downsample.1", out, True)
    s |= linear_shapes("selfie.input", C, FEATURES) | norm_shapes("selfie.LayerNorm", C)
    s |= {"selfie.row_embeddings.weight": (GRID, C),
          "selfie.column_embeddings.weight": (GRID, C), "selfie.start.weight": (1, C)}
    for i in range(L):
        p = f"selfie.pooling.layer.{i}"
        for part in ["query", "key", "value"]:
            s |= linear_shapes(f"{p}.attention.self.{part}", C, C)
        s |= linear_shapes(p + ".attention.output.dense", C, C)
        s |= norm_shapes(p + ".attention.output.LayerNorm", C)
        s |= linear_shapes(p + ".intermediate.dense", INNER, C)
        s |= linear_shapes(p + ".output.dense", C, INNER)
        s |= norm_shapes(p + ".output.LayerNorm", C)
    s |= linear_shapes("selfie.query.dense", C, C) | norm_shapes("selfie.query.LayerNorm", C)
    return s | {"selfie.output.weight": (FEATURES, C)}


def encoder(w, x, training, nearest):
    def bn(x, name):
        name = "image.encoder." + name
        return F.batch_norm(x, w[name + ".running_mean"].clone(),
                            w[name + ".running_var"].clone(), w[name + ".weight"],
                            w[name + ".bias"], training, 0.1, 1e-5)

    def relu(x):
        nearest.append(float(x.detach().abs().min() / (x.detach() ** 2).mean().sqrt()))
        return F.relu(x)

    def conv(x, name, stride=1):
        weight = w[f"image.encoder.{name}.weight"]
        return F.conv2d(x, weight, stride=stride, padding=weight.shape[2] // 2)

    x = relu(bn(conv(x, "conv1", 3), "bn1"))
    for name, inputs, out, stride in BLOCKS:
        y = relu(bn(conv(x, name + ".conv1", stride), name + ".bn1"))
        y = bn(conv(y, name + ".conv2"), name + ".bn2")
        if inputs != out or stride != 1:
            x = bn(conv(x, name + ".downsample.0", stride), name + ".downsample.1")
        x = relu(x + y)
    return x.mean((2, 3))


def linear(w, name, x):
    return F.linear(x, w[name + ".weight"], w[name + ".bias"])


def layer_norm(w, name, x):
    return F.layer_norm(x, (C,), w[name + ".weight"], w[name + ".bias"], EPS)


def transformer(w, x):
    for i in range(L):
        p = f"selfie.pooling.layer.{i}"
        q, k, v = (linear(w, f"{p}.attention.self.{part}", x).reshape(-1, H, C // H)
                   .transpose(0, 1) for part in ["query", "key", "value"])
        y = (F.softmax(q @ k.transpose(1, 2) / (C // H) ** 0.5, -1) @ v)
        y = linear(w, p + ".attention.output.dense", y.transpose(0, 1).reshape(-1, C))
        x = layer_norm(w, p + ".attention.output.LayerNorm", x + y)
        y = linear(w, p + ".output.dense", F.gelu(linear(w, p + ".intermediate.dense", x)))
        x = layer_norm(w, p + ".output.LayerNorm", x + y)
    return x


def run(w, training, nearest):
    u8 = levels(PIXELS, IMAGES * SIZE * SIZE * 3)
    x = (torch.from_numpy(u8).reshape(IMAGES, GRID, SIDE, GRID, SIDE, 3) / 255 - MEAN) / STD
    patches = x.permute(0, 1, 3, 5, 2, 4).reshape(IMAGES * P, 3, SIDE, SIDE)
    h = encoder(w, patches, training, nearest).reshape(IMAGES, P, FEATURES)
    place = (w["selfie.row_embeddings.weight"][:, None] +
             w["selfie.column_embeddings.weight"][None]).reshape(P, C)
    us, logits, losses, right = [], [], [], 0
    for i in range(IMAGES):
        seen = [p for p in range(P) if p not in MASKED[i]]
        context = linear(w, "selfie.input", h[i, seen]) + place[seen]
        x = layer_norm(w, "selfie.LayerNorm",
                       torch.cat([w["selfie.start.weight"], context]))
        u = transformer(w, x)[0]
        v = F.gelu(linear(w, "selfie.query.dense", u + place[MASKED[i]]))
        q = layer_norm(w, "selfie.query.LayerNorm", v) @ w["selfie.output.weight"].T
        z = q @ h[i, MASKED[i]].T
        losses.append(F.cross_entropy(z, torch.arange(len(MASKED[i])), reduction="none"))
        right += int((z.argmax(1) == torch.arange(len(MASKED[i]))).sum())
        us.append(u)
        logits.append(z)
    return h, torch.stack(us), torch.cat(logits), torch.cat(losses).mean(), right


def main():
    w = make(all_shapes())
    nearest = []
    with torch.no_grad():
        still = run(w, False, nearest)[3]
    h, u, logits, loss, right = run(w, True, nearest)
    print("loss %.4f, of running statistics %.4f, %d right; logits %.2f, nearest %.1e" % (
        loss, still, right, logits.std(), min(nearest)))
    assert min(nearest) > 1e-6, "choose other PIXELS"
    loss.backward()
    out = {"h": h.detach().reshape(-1)[::61].numpy(), "u": u.detach().numpy(),
           "logits": logits.detach().numpy(),
           "losses": np.array([loss.item(), still.item(), right])}
    for name, p in w.items():
        if p.requires_grad:
            g = p.grad.reshape(-1).numpy()
            at = [i * (g.size - 1) // 15 for i in range(16)]
            out["grad/" + name] = np.array([*g[at], np.linalg.norm(g)])
    out = {k: np.ascontiguousarray(v, dtype=np.float32) for k, v in out.items()}
    target = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests",
                          "golden", "selfie")
    os.makedirs(target, exist_ok=True)
    path = os.path.join(target, "reference.safetensors")
    save_file(out, path)
    print(len(out), "tensors", os.path.getsize(path), "bytes")


if __name__ == "__main__":
    main()
