#!/usr/bin/env python3
"""Open a model folder in transformers and torchvision and compare with our own outputs.

    weights_out_reference.py MODEL-FOLDER TEXT IMAGE OUTPUTS BACK

OUTPUTS is what model_outputs wrote of the same text and image. Compared: token ids, hidden states
of BertModel, Pillow's pixels, torchvision's last map. BACK is a folder to write: the BERT part as
transformers saves it, to start a training from.
"""
import json
import logging
import sys
import warnings

import numpy as np
import torch
import torchvision
import transformers
from PIL import Image, ImageOps
from safetensors.torch import load_file

folder, text, image, outputs_path, back = sys.argv[1:]
warnings.simplefilter("ignore")
logging.disable(logging.WARNING)  # long lists of the tensors that are not BERT's
transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
ours = load_file(outputs_path)
stored = load_file(f"{folder}/model.safetensors")
with open(f"{folder}/config.json") as f:
    config = json.load(f)["fashionbert"]
OWN = ("image.", "match.", "itc.")
bad = []


def expect(what, good, detail=""):
    print(f"{'ok' if good else 'BAD'}: {what}{' ' if detail else ''}{detail}")
    if not good:
        bad.append(what)


def near(what, got, want, most):
    """Largest difference over the largest number."""
    if got.shape != want.shape:
        return expect(what, False, f"{tuple(got.shape)} is not {tuple(want.shape)}")
    error = float((got - want).abs().max() / want.abs().max())
    expect(what, error <= most, f"differs by {error:.1e}")


def opened(kind, lacks, has):
    """The folder as a model of transformers: tensors it may lack, and may have besides ours."""
    model, info = kind.from_pretrained(folder, output_loading_info=True, local_files_only=True)
    missing = [k for k in info["missing_keys"] if not k.startswith(lacks)]
    extra = [k for k in info["unexpected_keys"] if not k.startswith(OWN + has)]
    expect(f"{kind.__name__} misses nothing", not missing, f"{missing[:5] or ''}")
    expect(f"{kind.__name__} leaves nothing of BERT", not extra, f"{extra[:5] or ''}")
    expect(f"{kind.__name__} takes every shape", not info["mismatched_keys"])
    return model.eval()


bert = opened(transformers.BertModel, lacks=(), has=("cls.",))
full = opened(transformers.BertForPreTraining, lacks=("cls.seq_relationship.",), has=())
expect("the decoder is the word table",
       torch.equal(full.cls.predictions.decoder.weight, stored["bert.embeddings.word_embeddings.weight"]))
tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
ids = tokenizer(text)["input_ids"]
expect("the text's tokens", ids == [int(i) for i in ours["ids"]], str(len(ids)))
with torch.no_grad():
    near("hidden states of the text", bert(torch.tensor([ids])).last_hidden_state[0], ours["hidden"], 1e-4)

size = config["image_size"]
fit = (lambda x: ImageOps.pad(x, (size, size), Image.BILINEAR, color=(255, 255, 255))) \
    if config["fit"] == "pad" else (lambda x: x.resize((size, size), Image.BILINEAR))
pixels = torch.tensor(np.asarray(fit(Image.open(image).convert("RGB"))).astype(np.float32))
near("Pillow's pixels", pixels, ours["pixels"], 0)
network = getattr(torchvision.models, config["encoder"])(weights=None)
prefix = "image.encoder."
found = network.load_state_dict({k[len(prefix):]: v for k, v in stored.items() if k.startswith(prefix)},
                                strict=False)
expect("torchvision misses fc only", sorted(found.missing_keys) == ["fc.bias", "fc.weight"],
       str(found.missing_keys[:5]))
expect("torchvision knows every tensor", not found.unexpected_keys, f"{found.unexpected_keys[:5] or ''}")
trunk = torch.nn.Sequential(*list(network.eval().children())[:-2])
x = (pixels / 255 - torch.tensor(config["mean"])) / torch.tensor(config["std"])
with torch.no_grad():
    maps = trunk(x.permute(2, 0, 1)[None].float())[0]  # [F, grid, grid]
near("patch features of the image", maps.flatten(1).T, ours["features"], 1e-4)

full.save_pretrained(back)
tokenizer.save_pretrained(back)
sys.exit(f"{len(bad)} of the comparisons failed" if bad else 0)
