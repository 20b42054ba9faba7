#!/usr/bin/env python3
"""Training SCAN here and in PyTorch, one run on one machine: products a second.

Both see the same sizes: batches of BATCH products, 64 rows of F numbers an image that a frozen
network made before, titles as long as the catalogue's, embeddings of 300, a GRU both ways, width 256,
words that ask rows, the mean of cosines, hinge of the hardest negative, Adam. PyTorch runs the official
code's way: a loop over the captions of the batch, each against all images of it, attended vectors
formed.

    python tools/bench_scan.py BUILD/fashionbert CATALOG ENCODER-FOLDER [BATCH [THREADS]]

ENCODER-FOLDER is a model folder of this program with a network. Prints the median of the steps'
rates of both; the catalogue's features are made and kept beside the model in a temporary folder.
"""
import json
import statistics
import subprocess
import sys
import tempfile
import time

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

STEPS, SKIP, ROWS, WORDS, WIDTH, VOCAB, MARGIN = 24, 4, 64, 300, 256, 8000, 0.2


def run_here(program, catalog, encoder, batch, threads):
    with tempfile.TemporaryDirectory() as folder:
        out = folder + "/model"
        subprocess.run([program, "train", "--system", "scan", "--catalog", catalog, "--out", out,
                        "--encoder", "thin", "--encoder-weights", encoder, "--freeze-encoder",
                        "--batch", str(batch), "--steps", str(STEPS), "--validate-every", str(10 * STEPS),
                        "--hard-warmup", "0", "--threads", str(threads), "--quiet"], check=True)
        lines = [json.loads(line) for line in open(out + "/log.jsonl")]
    return statistics.median(line["pairs_per_s"] for line in lines[SKIP:] if "pairs_per_s" in line)


class Scan(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.word, self.fc = nn.Embedding(VOCAB, WORDS), nn.Linear(features, WIDTH)
        self.gru = nn.GRU(WORDS, WIDTH, bidirectional=True, batch_first=True)

    def forward(self, features, ids, lengths):
        images = F.normalize(self.fc(features), dim=2)
        packed = pack_padded_sequence(self.word(ids), lengths, batch_first=True, enforce_sorted=False)
        states = pad_packed_sequence(self.gru(packed)[0], batch_first=True)[0]
        captions = F.normalize((states[:, :, :WIDTH] + states[:, :, WIDTH:]) / 2, dim=2)
        columns = []
        for caption, length in zip(captions, lengths):
            query = caption[:length].unsqueeze(0).expand(len(images), -1, -1)
            s = F.leaky_relu(images @ query.transpose(1, 2), 0.1)  # [B, rows, words]
            s = s / (s.pow(2).sum(2, keepdim=True).sqrt() + 1e-8)
            a = F.softmax(9 * s.transpose(1, 2), 2)
            columns.append(F.cosine_similarity(query, a @ images, dim=2).mean(1))
        return torch.stack(columns, 1)


def run_pytorch(batch, features, mean_words, threads):
    torch.manual_seed(1)
    torch.set_num_threads(threads)
    model = Scan(features)
    optimizer = torch.optim.Adam(model.parameters(), 2e-4)
    seconds = []
    for step in range(8):
        lengths = torch.randint(mean_words - 3, mean_words + 4, (batch,))
        ids, x = torch.randint(0, VOCAB, (batch, int(lengths.max()))), torch.randn(batch, ROWS, features)
        started = time.perf_counter()
        s = model(x, ids, lengths)
        cost = (MARGIN + s - s.diag().view(-1, 1)).clamp(min=0).fill_diagonal_(0).max(1)[0].sum()
        cost = cost + (MARGIN + s - s.diag().view(1, -1)).clamp(min=0).fill_diagonal_(0).max(0)[0].sum()
        optimizer.zero_grad()
        cost.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimizer.step()
        seconds.append(time.perf_counter() - started)
    return batch / statistics.median(seconds[2:])


def main():
    program, catalog, encoder = sys.argv[1:4]
    batch = int(sys.argv[4]) if len(sys.argv) > 4 else 128
    threads = int(sys.argv[5]) if len(sys.argv) > 5 else 2
    titles = [json.loads(line)["title"] for line in open(catalog + "/metadata.jsonl")]
    words = round(statistics.mean(len(t.split()) for t in titles)) + 4  # pieces, [CLS] and [SEP]
    here = run_here(program, catalog, encoder, batch, threads)
    there = run_pytorch(batch, 256, words, threads)
    print(f"batch {batch}, {threads} threads: here {here:.1f} products/s, "
          f"PyTorch {torch.__version__} {there:.1f} products/s, {here / there:.2f} times")


if __name__ == "__main__":
    main()
