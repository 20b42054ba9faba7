#!/usr/bin/env python3
"""Compare sentence vectors with what others compute from the same model.

    sentence_reference.py MODEL-FOLDER MAX-TOKENS TEXTS LEAST-COSINE VECTORS...

Others: transformers with sentence-transformers' mean pooling (the mean of the last hidden states
over all tokens, [CLS] and [SEP] too, of length 1); and, where it is installed and the folder is one
of its models, sentence-transformers itself. Fails unless every
cosine is above LEAST-COSINE.
"""
import os
import sys

import torch
import transformers
from tokenizers import BertWordPieceTokenizer

folder, most, texts_path, least, *vector_paths = sys.argv[1:]
most, least = int(most), float(least)
transformers.utils.logging.disable_progress_bar()
transformers.logging.set_verbosity_error()


def by_transformers(texts):
    model = transformers.BertModel.from_pretrained(folder, add_pooling_layer=False,
                                                   local_files_only=True).eval()
    tokenizer = BertWordPieceTokenizer(f"{folder}/vocab.txt", lowercase=True)
    tokenizer.enable_truncation(most)
    vectors = []
    for text in texts:
        with torch.no_grad():
            hidden = model(input_ids=torch.tensor([tokenizer.encode(text).ids])).last_hidden_state
        vectors.append(torch.nn.functional.normalize(hidden.mean(1), dim=1))
    return torch.cat(vectors)


def by_sentence_transformers(texts):
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        return None
    if not os.path.exists(f"{folder}/modules.json"):
        return None
    model = SentenceTransformer(folder, device="cpu")
    model.max_seq_length = most
    return model.encode(texts, convert_to_tensor=True, normalize_embeddings=True)


with open(texts_path, encoding="utf-8") as f:
    texts = f.read().split("\n")[:-1]
peers = {"transformers": by_transformers(texts), "sentence-transformers": by_sentence_transformers(texts)}
failed = False
for path in vector_paths:
    with open(path) as f:
        got = torch.tensor([[float(x) for x in line.split()] for line in f])
    for name, want in peers.items():
        if want is None:
            continue
        if want.shape != got.shape:
            sys.exit(f"{path}: {tuple(got.shape)} numbers, {name} has {tuple(want.shape)}")
        cosine = (want.double() * torch.nn.functional.normalize(got.double(), dim=1)).sum(1)
        between = (want @ want.T - 2 * torch.eye(len(texts))).max(1).values
        print(f"{os.path.basename(path)} against {name}: {len(texts)} texts, lowest cosine {cosine.min():.8f}, "
              f"largest difference {(want - got).abs().max():.2e}; "
              f"median cosine to the nearest other text {between.median():.4f}")
        failed = failed or not bool((cosine > least).all())
sys.exit(f"a cosine is not above {least}" if failed else 0)
