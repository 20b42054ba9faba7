"""Weights and pixels made of hashes of (name, place), so that a dump need not hold them:
tests/support/hashed_weights.h makes the same."""
import numpy as np
import torch


def hashes(name, count):
    """fb_random_hash32 of the keys' FNV-1a and 0 .. count-1, as [-1, 1)."""
    key = 0xcbf29ce484222325
    for byte in name.encode():
        key = (key ^ byte) * 0x100000001b3 % 2**64
    x = np.arange(count, dtype=np.uint32) ^ np.uint32(key % 2**32)
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x7feb352d)
    x ^= x >> np.uint32(15)
    x += np.uint32(key >> 32)
    x *= np.uint32(0x846ca68b)
    x ^= x >> np.uint32(16)
    return x.astype(np.float64) * 2.0**-31 - 1.0


def levels(name, count):
    """Pixels, 0 to 255."""
    return np.floor((hashes(name, count) + 1.0) * 128.0)


def value(name, shape):
    """A parameter's or running statistic's numbers, f64 that f32 can hold."""
    u = hashes(name, int(np.prod(shape)))
    if len(shape) == 4:
        v = u * np.sqrt(6.0 / np.prod(shape[1:]))
    elif len(shape) == 2:
        v = 0.3 * u
    elif name.endswith("running_var"):
        v = 1.0 + 0.5 * u
    elif name.endswith("weight"):
        v = 0.7 + 0.2 * u
    else:
        v = 0.2 * u
    return torch.from_numpy(v.astype(np.float32).astype(np.float64)).reshape(shape)
