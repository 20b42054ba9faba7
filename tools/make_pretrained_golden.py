#!/usr/bin/env python3
"""Write tests/golden/pretrained/ with Hugging Face's transformers and torchvision's names.

    pretraining/  BertForPreTraining: "bert.", pooler, predictions, seq_relationship; with vocab.txt
                  and tokenizer.json
    bare/         BertModel without pooler, no "bert.", LayerNorm.gamma and .beta, position_ids
    sharded/      pretraining in two files under an index
    resnet/       a ResNet's names and shapes, two stages of basic blocks, 4 and 8 wide
    expected.safetensors   token ids of four texts end to end, and what transformers makes of them:
                  hidden states, unit mean vectors, pooled, logits of the predictions; and the
                  vectors of "bare"

Two layers, 16 wide, 64 tokens, 12 positions; weights drawn wide enough to matter.

    pip install torch safetensors transformers;  python tools/make_pretrained_golden.py
"""
import json
import os
import shutil

import torch
from safetensors.torch import load_file, save_file
from tokenizers import BertWordPieceTokenizer
from transformers import BertConfig, BertForPreTraining, BertModel

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "tests", "golden", "pretrained")
TEXTS = ["blue shirt", "red linen dresses, 42", "", "a shirt in blue and red"]
WORDS = "blue red shirt dress linen kleid a in and , 4 2 - b l u e r d s h i t".split()
PIECES = "##es ##2 ##s ##e ##a ##b ##c ##d ##i ##l ##n ##r ##t ##u".split()


def vocabulary():
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + WORDS + PIECES
    return tokens + [f"[unused{i}]" for i in range(64 - len(tokens))]


def config():
    return BertConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
                      vocab_size=64, max_position_embeddings=12, attn_implementation="eager")


def redraw(model, seed):
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            norm = "LayerNorm.weight" in name
            p.copy_(torch.randn(p.shape, generator=g) * 0.3 + (1.0 if norm else 0.0))
    return model.eval()


def hidden_of(trunk, ids):
    return trunk(input_ids=torch.tensor([ids])).last_hidden_state[0]


def unit_mean(hidden):
    return torch.nn.functional.normalize(hidden.mean(0), dim=0)


def write_tokenizer(folder):
    vocab = vocabulary()
    with open(os.path.join(folder, "vocab.txt"), "w") as f:
        f.write("".join(t + "\n" for t in vocab))
    tokenizer = BertWordPieceTokenizer(vocab={t: i for i, t in enumerate(vocab)}, lowercase=True)
    tokenizer.save(os.path.join(folder, "tokenizer.json"), pretty=False)
    return tokenizer


def write_sharded(tensors, folder):
    os.makedirs(folder)
    names, weight_map = sorted(tensors), {}
    for n, part in enumerate([names[::2], names[1::2]]):
        file = f"model-0000{n + 1}-of-00002.safetensors"
        save_file({k: tensors[k] for k in part}, os.path.join(folder, file))
        weight_map.update({k: file for k in part})
    with open(os.path.join(folder, "model.safetensors.index.json"), "w") as f:
        json.dump({"metadata": {"total_size": 0}, "weight_map": weight_map}, f)


def write_resnet(folder):
    g = torch.Generator().manual_seed(5)
    tensors = {}

    def norm(name, width):
        for part in ("weight", "bias", "running_mean"):
            tensors[f"{name}.{part}"] = torch.randn(width, generator=g)
        tensors[f"{name}.running_var"] = torch.rand(width, generator=g) + 0.5
        tensors[f"{name}.num_batches_tracked"] = torch.tensor(7)

    def conv(name, out, inputs, k):
        tensors[f"{name}.weight"] = torch.randn((out, inputs, k, k), generator=g)

    conv("conv1", 4, 3, 7)
    norm("bn1", 4)
    for stage, (inputs, width) in enumerate([(4, 4), (4, 8)], 1):
        block = f"layer{stage}.0"
        conv(f"{block}.conv1", width, inputs, 3)
        norm(f"{block}.bn1", width)
        conv(f"{block}.conv2", width, width, 3)
        norm(f"{block}.bn2", width)
        if inputs != width:
            conv(f"{block}.downsample.0", width, inputs, 1)
            norm(f"{block}.downsample.1", width)
    tensors["fc.weight"] = torch.randn((10, 8), generator=g)
    tensors["fc.bias"] = torch.randn(10, generator=g)
    os.makedirs(folder)
    save_file(tensors, os.path.join(folder, "model.safetensors"))


def main():
    shutil.rmtree(ROOT, ignore_errors=True)
    full = os.path.join(ROOT, "pretraining")
    os.makedirs(full)
    model = redraw(BertForPreTraining(config()), 1)
    model.save_pretrained(full)
    tokenizer = write_tokenizer(full)
    ids = [tokenizer.encode(t).ids for t in TEXTS]
    offsets = [sum(len(i) for i in ids[:n]) for n in range(len(ids) + 1)]
    with torch.no_grad():
        hidden = [hidden_of(model.bert, i) for i in ids]
        outputs = [model(input_ids=torch.tensor([i])) for i in ids]
        expected = {
            "ids": torch.tensor(sum(ids, []), dtype=torch.int32),
            "offsets": torch.tensor(offsets, dtype=torch.int32),
            "hidden": torch.cat(hidden),
            "mean": torch.stack([unit_mean(h) for h in hidden]),
            "pooled": torch.cat([model.bert.pooler(h[None]) for h in hidden]),
            "logits": torch.cat([o.prediction_logits[0] for o in outputs]),
        }
        bare = redraw(BertModel(config(), add_pooling_layer=False), 2)
        expected["bare"] = torch.stack([unit_mean(hidden_of(bare, i)) for i in ids])
    write_sharded(load_file(os.path.join(full, "model.safetensors")), os.path.join(ROOT, "sharded"))
    old = {k.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): v.contiguous()
           for k, v in bare.state_dict().items()}
    old["embeddings.position_ids"] = torch.arange(12)[None]
    os.makedirs(os.path.join(ROOT, "bare"))
    save_file(old, os.path.join(ROOT, "bare", "model.safetensors"))
    for name in ("config.json", "vocab.txt"):
        shutil.copy(os.path.join(full, name), os.path.join(ROOT, "bare", name))
    write_resnet(os.path.join(ROOT, "resnet"))
    save_file(expected, os.path.join(ROOT, "expected.safetensors"))


main()
