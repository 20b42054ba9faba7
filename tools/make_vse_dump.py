#!/usr/bin/env python3
"""Write tests/golden/vse/reference.safetensors: VSE and VSE++ on a batch of items in PyTorch.

An implementation of its own, from the formulas: torch.nn.GRU over each text alone, hinges pair by
pair in loops, autograd for every gradient. Items 0 and 1 have one text, 2 and 3 show one product:
neither is the other's mismatch. Dumped: the batch, the weights, vectors, scores, and the loss and
every gradient of

    vse     the sum of the hinges, over the batch
    vse++   the hardest hinge of each image and of each text, over the batch

    pip install torch numpy safetensors;  python tools/make_vse_dump.py
"""
import os

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

V, E, D, SIZE, GRID, MARGIN = 30, 9, 6, 8, 2, 0.2
P, SIDE, FEATURES = GRID * GRID, SIZE // GRID, (SIZE // GRID) ** 2 * 3
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])

torch.manual_seed(29)
texts = [[2, 11, 4, 13, 3], [2, 11, 4, 13, 3], [2, 4, 27, 28, 9, 3], [2, 7, 3], [2, 21, 8, 3]]
text_group, image_group = [0, 0, 2, 3, 4], [4, 5, 6, 6, 7]
B = len(texts)
pixels = np.random.default_rng(31).integers(0, 256, (B, SIZE, SIZE, 3), dtype=np.uint8)

gru = torch.nn.GRU(E, D)
w = {"image.fc.weight": torch.randn(D, FEATURES) * 0.3, "image.fc.bias": torch.randn(D) * 0.3,
     "text.embed.weight": torch.randn(V, E)}
for t in w.values():
    t.requires_grad_()
w |= {"text.gru." + name: t for name, t in gru.named_parameters()}


def kin(i, j):
    return text_group[i] == text_group[j] or image_group[i] == image_group[j]


x = (torch.tensor(pixels).float() / 255 - MEAN) / STD
patches = x.view(B, GRID, SIDE, GRID, SIDE, 3).permute(0, 1, 3, 2, 4, 5).reshape(B, P, -1)
image = F.normalize(F.linear(patches.mean(1), w["image.fc.weight"], w["image.fc.bias"]))
last = [gru(w["text.embed.weight"][ids].unsqueeze(1))[0][-1, 0] for ids in texts]
text = F.normalize(torch.stack(last))
s = image @ text.T

out = {"image_vectors": image, "text_vectors": text, "scores": s}
losses = {"vse": torch.zeros(()), "vse++": torch.zeros(())}
nearest = 1.0
for i in range(B):
    others = [j for j in range(B) if not kin(i, j)]
    for costs in [[MARGIN + s[i, j] - s[i, i] for j in others],
                  [MARGIN + s[j, i] - s[i, i] for j in others]]:
        costs = torch.stack(costs)
        losses["vse"] = losses["vse"] + costs.clamp(min=0).sum()
        losses["vse++"] = losses["vse++"] + costs.clamp(min=0).max()
        # A kink or a tie too near would decide by rounding; texts 0 and 1 tie, and are one.
        order = costs.detach().unique()
        nearest = min(nearest, order.abs().min().item(), (order[1:] - order[:-1]).min().item())
assert nearest > 1e-4, nearest
for name, loss in losses.items():
    out[name + "/loss"] = loss.reshape(1)
    for key, g in zip(w, torch.autograd.grad(loss, list(w.values()), retain_graph=True)):
        out[f"{name}/grad/{key}"] = g
out |= {"weight/" + key: t for key, t in w.items()}

ints = {"text_offsets": np.cumsum([0] + [len(t) for t in texts]), "token_ids": np.concatenate(texts),
        "text_group": text_group, "image_group": image_group, "mlm_rows": [], "mlm_targets": [],
        "mpm_rows": [], "mpm_patches": []}
out |= {"batch/" + name: np.array(v, np.int32) for name, v in ints.items()}
out["batch/pixels"] = pixels
out["batch/patch_masked"] = np.zeros(B * P, np.uint8)
path = os.path.join(os.path.dirname(__file__), "../tests/golden/vse/reference.safetensors")
os.makedirs(os.path.dirname(path), exist_ok=True)
save_file({k: np.ascontiguousarray(v.detach().numpy() if torch.is_tensor(v) else v)
           for k, v in out.items()}, path)
print(f"losses {losses['vse'].item():.4f} {losses['vse++'].item():.4f}, nearest kink {nearest:.1e}")
