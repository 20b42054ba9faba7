#!/usr/bin/env python3
"""Write tests/golden/cca/reference.safetensors: canonical correlations and DCCA's loss, in f64.

    x, y        rows of two views that share three directions; x has one of large scale, and a mean
                far from 0
    klein/...   a, b, rho by NumPy: C^-1/2 of each regularised covariance by its eigenvectors, one SVD,
                ridge = ETA * (largest eigenvalue) + 1e-8
    norm/...    the sum of T's first K singular values with absolute ridges R, and its gradients by
                PyTorch's autograd through eigh and svd

    pip install torch numpy safetensors;  python tools/make_cca_dump.py
"""
import os

import numpy as np
import torch
from safetensors.numpy import save_file

N, DX, DY, ETA, K, R, ROWS = 300, 9, 6, 1e-3, 3, (1e-3, 0.05), 40
rng = np.random.default_rng(5)


def views():
    shared = rng.standard_normal((N, 3))
    x = shared @ rng.standard_normal((3, DX)) + rng.standard_normal((N, DX))
    y = shared @ rng.standard_normal((3, DY)) + 0.5 * rng.standard_normal((N, DY))
    x[:, 4] *= 40
    return x + 1000 * rng.standard_normal(DX), y + rng.standard_normal(DY)


def inverse_root(c):
    values, vectors = np.linalg.eigh(c)
    return vectors @ np.diag(values ** -0.5) @ vectors.T


def ridge(c):
    return c + (ETA * np.linalg.eigvalsh(c)[-1] + 1e-8) * np.eye(len(c))


def solve(x, y):
    x, y = x - x.mean(0), y - y.mean(0)
    k1, k2 = (inverse_root(ridge(h.T @ h / (len(h) - 1))) for h in (x, y))
    u, rho, vt = np.linalg.svd(k1 @ (x.T @ y / (len(x) - 1)) @ k2, full_matrices=False)
    return k1 @ u, k2 @ vt.T, rho


def root(c, r):
    values, vectors = torch.linalg.eigh(c + r * torch.eye(len(c), dtype=c.dtype))
    return vectors @ torch.diag(values ** -0.5) @ vectors.T


def norm(h1, h2, k):
    h1, h2 = h1 - h1.mean(0), h2 - h2.mean(0)
    m = len(h1) - 1
    t = root(h1.T @ h1 / m, R[0]) @ (h1.T @ h2 / m) @ root(h2.T @ h2 / m, R[1])
    return torch.linalg.svdvals(t)[:k].sum()


def main():
    x, y = views()
    a, b, rho = solve(x, y)
    out = {"x": x, "y": y, "klein/a": a, "klein/b": b, "klein/rho": rho}
    for name, k in (("top", K), ("all", min(DX, DY))):
        h1, h2 = (torch.tensor(h[:ROWS] - h[:ROWS].mean(0)).requires_grad_(True) for h in (x, y))
        value = norm(h1, h2, k)
        value.backward()
        out |= {f"norm/{name}": value.detach().numpy().reshape(1), f"norm/{name}/h1": h1.grad.numpy(),
                f"norm/{name}/h2": h2.grad.numpy()}
    target = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "golden", "cca")
    os.makedirs(target, exist_ok=True)
    save_file({k: np.ascontiguousarray(v) for k, v in out.items()}, os.path.join(target, "reference.safetensors"))
    print(rho, out["norm/top"], out["norm/all"])


if __name__ == "__main__":
    main()
