#!/usr/bin/env python3
"""Write tests/golden/roi_align/reference.safetensors: RoI-align by torchvision.

Maps of two images, boxes as shares (whole images, cells, slivers, a point, corners), and for each
cut of the same samples a side into bins the mean over the bins of torchvision.ops.roi_align with
aligned=True, and the gradient of the maps from a random one of that mean, in double.

    pip install torch torchvision numpy safetensors;  python tools/make_roi_align_dump.py
"""
import os

import numpy as np
import torch
from safetensors.numpy import save_file
from torchvision.ops import roi_align

IMAGES, SIDE, CHANNELS = 2, 5, 3
CUTS = {"a": (1, 1), "b": (2, 2), "c": (5, 1), "d": (4, 2), "e": (7, 3)}  # bins, samples a bin

rng = np.random.default_rng(5)
maps = rng.standard_normal((IMAGES, SIDE, SIDE, CHANNELS)).astype(np.float32)
corners = rng.random((12, 2, 2)).astype(np.float32)
boxes = np.concatenate([corners.min(1), corners.max(1)], 1)
boxes = np.concatenate([boxes, np.float32([
    [0, 0, 1, 1], [0, 0, .2, .2], [.8, .8, 1, 1], [0, .4, 1, .45], [.5, .5, .5, .5],
    [0, 0, 0, 0], [1, 1, 1, 1], [.3, 0, .35, 1]])])
image = np.int32([0, 1] * (len(boxes) // 2))
seed = rng.standard_normal((len(boxes), CHANNELS)).astype(np.float32)

out = {"map": maps.reshape(-1, CHANNELS), "boxes": boxes, "image": image, "seed": seed}
for name, (bins, samples) in CUTS.items():
    x = torch.tensor(maps.transpose(0, 3, 1, 2).astype(np.float64), requires_grad=True)
    rois = torch.tensor(np.concatenate([image[:, None], boxes.astype(np.float64) * SIDE], 1))
    y = roi_align(x, rois, bins, 1.0, samples, True).mean((2, 3))
    (y * torch.tensor(seed)).sum().backward()
    out["samples/" + name] = np.int32([bins * samples])
    out["y/" + name] = y.detach().numpy().astype(np.float32)
    out["dmap/" + name] = x.grad.numpy().transpose(0, 2, 3, 1).reshape(-1, CHANNELS).astype(np.float32)
folder = os.path.join(os.path.dirname(__file__), "..", "tests", "golden", "roi_align")
os.makedirs(folder, exist_ok=True)
save_file(out, os.path.join(folder, "reference.safetensors"))
