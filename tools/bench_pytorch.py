#!/usr/bin/env python3
"""The peer of `fashionbert bench`: the same model sizes in PyTorch on the same machine.

torch.nn.TransformerEncoderLayer (post-norm, GELU) over 64 patches + 20 tokens a pair, raw
patches projected by a Linear, pooler and pair head; training adds dropout 0.1, the masked-word
head on 3 rows of every second pair and AdamW. All sequences have one length, so nothing is
lost to padding. Prints pairs/s, median of repeats.

    pip install torch;  OMP_NUM_THREADS=2 python tools/bench_pytorch.py [mini small base]
"""
import statistics
import sys
import time

import torch
from torch import nn

PAIRS, TOKENS, PATCHES, FEATURES, VOCAB = 32, 20, 64, 3072, 30522
SIZES = {"mini": (4, 256, 4), "small": (4, 512, 8), "base": (12, 768, 12)}


class Model(nn.Module):
    def __init__(self, layers, width, heads):
        super().__init__()
        self.word, self.project = nn.Embedding(VOCAB, width), nn.Linear(FEATURES, width, bias=False)
        self.norm = nn.LayerNorm(width)
        block = nn.TransformerEncoderLayer(width, heads, 4 * width, 0.1, "gelu", batch_first=True)
        self.encoder = nn.TransformerEncoder(block, layers)
        self.pooler, self.match = nn.Linear(width, width), nn.Linear(width, 2)
        self.transform = nn.Linear(width, width)

    def forward(self, ids, patches):
        x = torch.cat([self.word(ids), self.project(patches)], 1)
        h = self.encoder(self.norm(x))
        return h, self.match(torch.tanh(self.pooler(h[:, 0])))


def median_seconds(step, repeats=8, warm_up=3):
    times = []
    for i in range(warm_up + repeats):
        started = time.perf_counter()
        step()
        times.append(time.perf_counter() - started)
    return statistics.median(times[warm_up:])


def run(preset, dtype):
    torch.manual_seed(1)
    model = Model(*SIZES[preset])
    ids = torch.randint(0, VOCAB, (PAIRS, TOKENS))
    patches = torch.randn(PAIRS, PATCHES, FEATURES)
    labels = torch.arange(PAIRS) % 2
    scorer = Model(*SIZES[preset]).eval().to(dtype)
    low = patches.to(dtype)

    def score():
        with torch.inference_mode():
            scorer(ids, low)

    optimizer = torch.optim.AdamW(model.parameters(), 1e-4, fused=True)

    def train():
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            h, logits = model(ids, patches)
            rows = torch.nn.functional.gelu(model.transform(h[::2, 1:4].reshape(-1, h.shape[-1])))
            words = rows @ model.word.weight.T
            loss = (nn.functional.cross_entropy(logits.float(), labels)
                    + nn.functional.cross_entropy(words.float(), ids[::2, 1:4].reshape(-1)))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    print(f"{preset} score {str(dtype)[6:]}: {PAIRS / median_seconds(score):.1f} pairs/s", flush=True)
    print(f"{preset} train {str(dtype)[6:]}: {PAIRS / median_seconds(train):.1f} pairs/s", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(2)
    for name in sys.argv[1:] or SIZES:
        run(name, torch.bfloat16)
