#!/usr/bin/env python3
"""VSE++ here and in PyTorch, a training step of each in turn on the same machine.

Both: batches of 128 products, a frozen network's features of 64 patches, their mean through a
Linear, word embeddings of 300 numbers through a GRU, all others' scores by one product, the hinge
of the hardest, clipping, Adam. f32, as many threads. PyTorch packs its sequences
(pack_padded_sequence), so that neither computes on padding; its texts and features lie in memory,
ours pass the loader. Titles are of 4 to 16 whole words, drawn with a fixed seed, so both see the
same lengths; images are of one colour. `fashionbert train` runs for a stretch of steps, then
PyTorch, several times; printed are the median milliseconds of a step of each, by the clock and of
all threads together (which other work on the machine disturbs less), and how often that is the time
that the model's FLOPs (forward times three) take at the machine's rate of f32 matrix products
(torch.mm of 1024).

    pip install torch;  python tools/bench_vse.py build/fashionbert [--vector 512 --threads 2]
"""
import argparse
import json
import os
import resource
import statistics
import struct
import subprocess
import tempfile
import time
import zlib

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

WORDS, PRODUCTS, BATCH, PATCHES, FEATURES, EMBEDDING, MARGIN = 2000, 2048, 128, 64, 256, 300, 0.2


def word(i):
    return "w" + chr(97 + i // 676) + chr(97 + i // 26 % 26) + chr(97 + i % 26)


def png(colour):
    def chunk(kind, data):
        return (struct.pack(">I", len(data)) + kind + data
                + struct.pack(">I", zlib.crc32(kind + data)))
    rows = (b"\0" + bytes(colour) * 16) * 16
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def make_catalogue(folder, titles, rng):
    os.makedirs(folder + "/images")
    with open(folder + "/metadata.jsonl", "w") as lines:
        for i, words in enumerate(titles):
            with open(f"{folder}/images/{i}.png", "wb") as image:
                image.write(png(rng.integers(0, 256, 3).tolist()))
            lines.write(json.dumps({"file_name": f"images/{i}.png", "category": "c",
                                    "split": "train", "title": " ".join(words)}) + "\n")
    with open(folder + "/vocab.txt", "w") as vocab:
        vocab.write("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
                              + [word(i) for i in range(WORDS)]) + "\n")


class Model(nn.Module):
    def __init__(self, vector):
        super().__init__()
        self.words, self.gru = nn.Embedding(WORDS + 5, EMBEDDING), nn.GRU(EMBEDDING, vector)
        self.image = nn.Linear(FEATURES, vector)

    def forward(self, ids, lengths, features):
        packed = pack_padded_sequence(self.words(ids), lengths, enforce_sorted=False)
        text = nn.functional.normalize(self.gru(packed)[1][0])
        return nn.functional.normalize(self.image(features.mean(1))) @ text.T


def hardest(scores):
    own, eye = scores.diag().unsqueeze(1), torch.eye(len(scores), dtype=torch.bool)
    rows = (MARGIN + scores - own).clamp(min=0).masked_fill(eye, 0).amax(1)
    columns = (MARGIN + scores - own.T).clamp(min=0).masked_fill(eye, 0).amax(0)
    return rows.sum() + columns.sum()


class Peer:
    """Steps of the model in PyTorch, over the products in a drawn order."""

    def __init__(self, vector, lengths, seed):
        torch.manual_seed(seed)
        self.model, self.lengths = Model(vector), torch.tensor(lengths)
        self.ids = torch.randint(5, WORDS + 5, (int(self.lengths.max()), PRODUCTS))
        self.features = torch.randn(PRODUCTS, PATCHES, FEATURES)
        self.optimizer = torch.optim.Adam(self.model.parameters(), 1e-3)

    def step(self):
        at = torch.randperm(PRODUCTS)[:BATCH]
        longest = int(self.lengths[at].max())
        started, spent = time.perf_counter(), time.process_time()
        loss = hardest(self.model(self.ids[:longest, at], self.lengths[at], self.features[at]))
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 2.0)
        self.optimizer.step()
        return time.perf_counter() - started, time.process_time() - spent


def processor_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def ours(folder, out, options, steps):
    """Seconds of each step, and processor seconds of all of the run."""
    spent = processor_seconds()
    subprocess.run([options.command, "train", "--system", "vse++", "--catalog", folder, "--out", out,
                    "--vocab", folder + "/vocab.txt", "--vector-size", str(options.vector),
                    "--batch", str(BATCH), "--hard-warmup", "0", "--encoder", "thin",
                    "--freeze-encoder", "--feature-cache", folder + "/features", "--dtype", "f32",
                    "--threads", str(options.threads), "--steps", str(steps), "--quiet"],
                   check=True, stdout=subprocess.DEVNULL)
    with open(out + "/log.jsonl") as log:
        times = [BATCH / json.loads(line)["pairs_per_s"] for line in log]
    return times, processor_seconds() - spent


def matrix_rate():
    """FLOP a second, and a second of all threads together."""
    a, b, times = torch.randn(1024, 1024), torch.randn(1024, 1024), []
    for _ in range(8):
        started, spent = time.perf_counter(), time.process_time()
        torch.mm(a, b)
        times.append((time.perf_counter() - started, time.process_time() - spent))
    return [2 * 1024**3 / min(t[k] for t in times) for k in range(2)]


def main():
    parse = argparse.ArgumentParser()
    parse.add_argument("command")
    parse.add_argument("--vector", type=int, default=512)
    parse.add_argument("--threads", type=int, default=2)
    parse.add_argument("--rounds", type=int, default=3)
    parse.add_argument("--steps", type=int, default=40)
    options = parse.parse_args()
    torch.set_num_threads(options.threads)
    rng = np.random.default_rng(5)
    lengths = rng.integers(4, 17, PRODUCTS)
    titles = [[word(w) for w in rng.integers(0, WORDS, n)] for n in lengths]
    peer = Peer(options.vector, lengths + 2, 5)  # [CLS] and [SEP]
    few = 10  # steps that make buffers and caches
    here, there, rates = [], [], []
    with tempfile.TemporaryDirectory() as work:
        make_catalogue(work + "/catalogue", titles, rng)
        ours(work + "/catalogue", work + "/first", options, 1)  # the features
        for i in range(options.rounds):
            rates.append(matrix_rate())
            _, before = ours(work + "/catalogue", f"{work}/few{i}", options, few)
            times, after = ours(work + "/catalogue", f"{work}/{i}", options, few + options.steps)
            here += [(t, (after - before) / options.steps) for t in times[few:]]
            there += [peer.step() for _ in range(few + options.steps)][few:]
    token = 2 * 3 * options.vector * (EMBEDDING + options.vector)
    flops = 3 * BATCH * ((float(lengths.mean()) + 2) * token + 2 * FEATURES * options.vector)
    ideal = [flops / max(r[k] for r in rates) * 1e3 for k in range(2)]
    print(f"VSE++ of width {options.vector}, {options.threads} threads, f32: {flops / 1e9:.1f} GFLOP "
          f"a step, {ideal[0]:.0f} ms of products, {ideal[1]:.0f} ms of all threads")
    for name, steps in [("fashionbert", here), ("PyTorch", there)]:
        wall, cpu = [statistics.median(t[k] for t in steps) * 1e3 for k in range(2)]
        print(f"{name}: {wall:.0f} ms a step, {BATCH / wall * 1e3:.0f} products/s, "
              f"{wall / ideal[0]:.2f} x the products; of all threads {cpu:.0f} ms, "
              f"{cpu / ideal[1]:.2f} x")


if __name__ == "__main__":
    main()
