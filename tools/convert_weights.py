#!/usr/bin/env python3
"""Convert weights to the safetensors file of 32-bit floats that fashionbert reads.

    python tools/convert_weights.py pytorch_model.bin model.safetensors
    python tools/convert_weights.py half.safetensors model.safetensors

FILE is a PyTorch state dict (.bin, .pt, .pth; also one under "state_dict", "model_state_dict" or
"model", and names that DistributedDataParallel begins with "module.") or a safetensors file of any
floating-point type; several shards become one file. PyTorch files are read with weights_only=True,
which runs no code out of them. Nothing is fetched.

Needs torch and safetensors (pip install torch safetensors).
"""
import argparse
import os
import pickle
import sys
import warnings

import torch
from safetensors.torch import load_file, save_file

WRAPPERS = ("state_dict", "model_state_dict", "model")


def fail(message):
    sys.exit(f"convert_weights: {message}")


def read(path):
    if not os.path.isfile(path):
        fail(f"{path}: no such file")
    try:
        if path.endswith(".safetensors"):
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols; failures are told below
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        fail(f"{path}: not a PyTorch file of plain tensors; save the model's state_dict() alone")
    except Exception as error:  # whatever the two libraries raise is about the file
        fail(f"{path}: cannot be read: {str(error).splitlines()[0]}")
    for key in WRAPPERS:
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    if not isinstance(loaded, dict):
        fail(f"{path}: holds a {type(loaded).__name__}, not a state dict of names and tensors")
    return loaded


def converted(tensors, path):
    """Tensors by name, floating-point ones in f32, and how many there were of each type."""
    out, counts = {}, {}
    for name, tensor in tensors.items():
        if not isinstance(tensor, torch.Tensor):
            print(f"  left out {name}: a {type(tensor).__name__}, not a tensor")
            continue
        if not isinstance(name, str):
            fail(f"{path}: a tensor's name is {name!r}, not text")
        kind = str(tensor.dtype).removeprefix("torch.")
        counts[kind] = counts.get(kind, 0) + 1
        if tensor.is_floating_point():
            narrow = tensor.to(torch.float32)
            if torch.isfinite(tensor).all() and not torch.isfinite(narrow).all():
                fail(f"{path}: {name} holds {kind} numbers past the range of f32")
            tensor = narrow
        # a copy of its own: safetensors refuses tensors that share memory
        out[name.removeprefix("module.")] = tensor.detach().clone().contiguous()
    return out, counts


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("file", nargs="+", help="PyTorch or safetensors file; shards: all of them")
    parser.add_argument("out", help="safetensors file to write")
    options = parser.parse_args()
    if not options.out.endswith(".safetensors"):
        fail(f"{options.out}: the name to write must end in .safetensors")
    tensors = {}
    for path in options.file:
        part, counts = converted(read(path), path)
        twice = sorted(tensors.keys() & part.keys())
        if twice:
            fail(f"{path}: {twice[0]} was in a file before it")
        tensors.update(part)
        kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(counts.items()))
        print(f"{path}: {len(part)} tensors ({kinds or 'none'})")
    if not tensors:
        fail("no tensors to write")
    fresh = options.out + ".new"
    save_file(tensors, fresh, metadata={"format": "pt"})
    os.replace(fresh, options.out)
    numbers = sum(t.numel() for t in tensors.values())
    print(f"{options.out}: {len(tensors)} tensors, {numbers} numbers, floats as f32")


main()
