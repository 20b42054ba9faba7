#!/usr/bin/env python3
"""Compare sentence vectors with what transformers computes from the same model.

    sentence_reference.py MODEL-FOLDER MAX-TOKENS TEXTS VECTORS

As sentence-transformers' mean pooling: the mean of the last hidden states over all tokens that the
attention mask has, [CLS] and [SEP] too, of length 1. Fails unless every cosine is above 0.9999.
"""
import sys

import torch
from tokenizers import BertWordPieceTokenizer
from transformers import BertModel

folder, most, texts_path, vectors_path = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
model = BertModel.from_pretrained(folder, add_pooling_layer=False, local_files_only=True).eval()
tokenizer = BertWordPieceTokenizer(f"{folder}/vocab.txt", lowercase=True)
tokenizer.enable_truncation(most)
tokenizer.enable_padding()
with open(texts_path, encoding="utf-8") as f:
    texts = f.read().split("\n")[:-1]
with open(vectors_path) as f:
    got = torch.tensor([[float(x) for x in line.split()] for line in f])
batch = tokenizer.encode_batch(texts)
ids = torch.tensor([e.ids for e in batch])
mask = torch.tensor([e.attention_mask for e in batch])
with torch.no_grad():
    hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
weight = mask[:, :, None].float()
want = torch.nn.functional.normalize((hidden * weight).sum(1) / weight.sum(1), dim=1)
if want.shape != got.shape:
    sys.exit(f"{tuple(got.shape)} numbers, not {tuple(want.shape)}")
cosine = (want.double() * torch.nn.functional.normalize(got.double(), dim=1)).sum(1)
between = (want @ want.T - 2 * torch.eye(len(texts))).max(1).values
print(f"{len(texts)} texts: lowest cosine {cosine.min():.8f}, largest difference "
      f"{(want - got).abs().max():.2e}; median cosine to the nearest other text {between.median():.4f}")
sys.exit(0 if bool((cosine > 0.9999).all()) else "a cosine is not above 0.9999")
