#!/usr/bin/env python3
"""SCAN here and in PyTorch, training steps of each in turn on the same machine.

Both: batches of 128 products (--batch), 64 rows of 256 numbers an image that a frozen network made
before, word embeddings of 300 numbers through a GRU both ways, width 256, words that ask rows, the
mean of their cosines, the hinge of the hardest, clipping, Adam; f32, as many threads. PyTorch goes the
official code's way: a loop over the texts of the batch, each against all images of it, with attended
vectors formed; its texts and features lie in memory, ours pass the loader. The catalogue is
bench_vse.py's: titles of 4 to 16 whole words. Printed are the median milliseconds of a step of each, by
the clock and of all threads together (which other work on the machine disturbs less), and how often that
is the time that our step's FLOPs (forward times three) take at the machine's rate of f32 matrix
products (torch.mm of 1024).

    pip install torch;  python tools/bench_scan.py build/fashionbert [--batch 128 --threads 2]
"""
import argparse
import json
import statistics
import subprocess
import tempfile
import time

import bench_vse as vse
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

WIDTH, LAMBDA = 256, 9.0


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(vse.WORDS + 5, vse.EMBEDDING)
        self.gru = nn.GRU(vse.EMBEDDING, WIDTH, bidirectional=True)
        self.row = nn.Linear(vse.FEATURES, WIDTH)

    def forward(self, ids, lengths, features):
        images = F.normalize(self.row(features), dim=2)
        packed = pack_padded_sequence(self.words(ids), lengths, enforce_sorted=False)
        states = pad_packed_sequence(self.gru(packed)[0])[0]
        texts = F.normalize((states[..., :WIDTH] + states[..., WIDTH:]) / 2, dim=2)
        columns = []
        for t, length in enumerate(lengths):
            query = texts[:length, t].unsqueeze(0).expand(len(images), -1, -1)
            s = F.leaky_relu(images @ query.transpose(1, 2), 0.1)  # [B, rows, words]
            s = s / (s.pow(2).sum(2, keepdim=True).sqrt() + 1e-8)
            attended = F.softmax(LAMBDA * s.transpose(1, 2), 2) @ images
            columns.append(F.cosine_similarity(query, attended, dim=2).mean(1))
        return torch.stack(columns, 1)


class Peer:
    """Steps of the model in PyTorch, over the products in a drawn order."""

    def __init__(self, lengths, batch):
        torch.manual_seed(5)
        self.model, self.lengths, self.batch = Model(), torch.tensor(lengths), batch
        self.ids = torch.randint(5, vse.WORDS + 5, (int(self.lengths.max()), vse.PRODUCTS))
        self.features = torch.randn(vse.PRODUCTS, vse.PATCHES, vse.FEATURES)
        self.optimizer = torch.optim.Adam(self.model.parameters(), 1e-3)

    def step(self):
        at = torch.randperm(vse.PRODUCTS)[:self.batch]
        longest = int(self.lengths[at].max())
        started, spent = time.perf_counter(), time.process_time()
        scores = self.model(self.ids[:longest, at], self.lengths[at], self.features[at])
        self.optimizer.zero_grad()
        vse.hardest(scores).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 2.0)
        self.optimizer.step()
        return time.perf_counter() - started, time.process_time() - spent


def ours(folder, out, options, steps):
    """Seconds of each step, and processor seconds of all of the run."""
    spent = vse.processor_seconds()
    subprocess.run([options.command, "train", "--system", "scan", "--catalog", folder, "--out", out,
                    "--vocab", folder + "/vocab.txt", "--batch", str(options.batch), "--hard-warmup", "0",
                    "--encoder", "thin", "--freeze-encoder", "--feature-cache", folder + "/features",
                    "--dtype", "f32", "--threads", str(options.threads), "--steps", str(steps), "--quiet"],
                   check=True, stdout=subprocess.DEVNULL)
    with open(out + "/log.jsonl") as log:
        times = [options.batch / json.loads(line)["pairs_per_s"] for line in log]
    return times, vse.processor_seconds() - spent


def step_flops(lengths, batch):
    """Of our step: the GRU, rows, all words with all rows, G, and G with all attention."""
    words, rows = batch * (float(lengths.mean()) + 2), batch * vse.PATCHES
    forward = (words * 12 * WIDTH * (vse.EMBEDDING + WIDTH) + 2 * rows * WIDTH * vse.FEATURES
               + 2 * words * rows * WIDTH + 2 * rows * vse.PATCHES * (WIDTH + words))
    return 3 * forward


def main():
    parse = argparse.ArgumentParser()
    parse.add_argument("command")
    parse.add_argument("--batch", type=int, default=128)
    parse.add_argument("--threads", type=int, default=2)
    parse.add_argument("--rounds", type=int, default=3)
    parse.add_argument("--steps", type=int, default=12)
    parse.add_argument("--products", type=int, default=512)
    options = parse.parse_args()
    vse.PRODUCTS = options.products
    torch.set_num_threads(options.threads)
    rng = np.random.default_rng(5)
    lengths = rng.integers(4, 17, vse.PRODUCTS)
    titles = [[vse.word(w) for w in rng.integers(0, vse.WORDS, n)] for n in lengths]
    peer, few = Peer(lengths + 2, options.batch), 3  # [CLS] and [SEP]; steps that make buffers
    here, there, rates = [], [], []
    with tempfile.TemporaryDirectory() as work:
        vse.make_catalogue(work + "/catalogue", titles, rng)
        ours(work + "/catalogue", work + "/first", options, 1)  # the features
        for i in range(options.rounds):
            rates.append(vse.matrix_rate())
            _, before = ours(work + "/catalogue", f"{work}/few{i}", options, few)
            times, after = ours(work + "/catalogue", f"{work}/{i}", options, few + options.steps)
            here += [(t, (after - before) / options.steps) for t in times[few:]]
            there += [peer.step() for _ in range(few + options.steps)][few:]
    flops = step_flops(lengths, options.batch)
    ideal = [flops / max(r[k] for r in rates) * 1e3 for k in range(2)]
    print(f"SCAN, batch {options.batch}, {options.threads} threads, f32: {flops / 1e9:.1f} GFLOP a step, "
          f"{ideal[0]:.0f} ms of products, {ideal[1]:.0f} ms of all threads")
    for name, steps in [("fashionbert", here), ("PyTorch", there)]:
        wall, cpu = [statistics.median(t[k] for t in steps) * 1e3 for k in range(2)]
        print(f"{name}: {wall:.0f} ms a step, {options.batch / wall * 1e3:.0f} products/s, "
              f"{wall / ideal[0]:.2f} x the products; of all threads {cpu:.0f} ms, "
              f"{cpu / ideal[1]:.2f} x")


if __name__ == "__main__":
    main()
