#!/usr/bin/env python3
"""Write tests/golden/resnet/reference.safetensors: residual networks in torchvision.

Computed in f64 on weights and pixels that are f32 and u8 hashes of (name, place), which the
test computes too: no weights are stored. Of every network, on two pictures with running
statistics: 64 places of the stem's output and of each stage's (channels last), their mean
and root mean square. Of three networks, with the statistics of the batch: the same, the
running statistics behind the step, and of each parameter's gradient of sum(r * y), r a hash
too, 16 places and the norm.

    pip install torch torchvision numpy safetensors;  python tools/make_resnet_dump.py
"""
import os

import numpy as np
import torch
import torchvision
from hashed import hashes, levels, value
from safetensors.numpy import save_file
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

torch.set_num_threads(2)
IMAGES, EVAL_SIZE, TRAIN_SIZE = 2, 64, 40
# Of the pixels' hash. With it no number that a ReLU sees in training is nearer to 0 than
# 1e-5 of their root mean square: rounding must not decide where a gradient goes.
PIXELS = "pixels17"
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def pictures(size):
    x = levels(PIXELS, IMAGES * size * size * 3).reshape(IMAGES, size, size, 3) / 255.0
    return torch.from_numpy((x - MEAN) / STD).permute(0, 3, 1, 2).contiguous()


def small(block, stem, stages, **options):
    """A torchvision ResNet with a stem and stages of its own: (kernel, stride, channels,
    pool), [(blocks, channels, stride)]."""
    net = ResNet(block, [1, 1, 1, 1], **options)
    kernel, stride, channels, pool = stem
    net.conv1 = torch.nn.Conv2d(3, channels, kernel, stride, kernel // 2, bias=False)
    net.bn1 = torch.nn.BatchNorm2d(channels)
    if not pool:
        net.maxpool = torch.nn.Identity()
    net.inplanes = channels
    for i in range(4):
        layer = torch.nn.Identity()
        if i < len(stages):
            blocks, channels, stride = stages[i]
            layer = net._make_layer(block, channels, blocks, stride=stride)
        setattr(net, f"layer{i + 1}", layer)
    return net, len(stages)


NETS = {
    "resnet18": lambda: (torchvision.models.resnet18(), 4),
    "resnet34": lambda: (torchvision.models.resnet34(), 4),
    "resnet50": lambda: (torchvision.models.resnet50(), 4),
    "resnet101": lambda: (torchvision.models.resnet101(), 4),
    "resnet152": lambda: (torchvision.models.resnet152(), 4),
    "resnext101": lambda: (torchvision.models.resnext101_32x8d(), 4),
    "thin": lambda: small(BasicBlock, (5, 3, 32, False),
                          [(1, 64, 1), (1, 128, 2), (2, 256, 2)]),
    "grouped": lambda: small(Bottleneck, (3, 2, 16, True), [(1, 16, 1), (2, 32, 2)],
                             groups=4, width_per_group=16),
}
TRAINED = ["resnet18", "thin", "grouped"]


def places(x, count):
    flat = x.reshape(-1).numpy()
    at = [i * (flat.size - 1) // (count - 1) for i in range(count)]
    return flat[at]


def run(net, stages, x):
    maps = [net.maxpool(net.relu(net.bn1(net.conv1(x))))]
    for i in range(stages):
        maps.append(getattr(net, f"layer{i + 1}")(maps[-1]))
    return [m.permute(0, 2, 3, 1) for m in maps]


def watch_relus(net, nearest):
    def watch(_, inputs):
        x = inputs[0].detach()
        nearest.append(float(x.abs().min() / (x ** 2).mean().sqrt()))

    for module in net.modules():
        if isinstance(module, torch.nn.ReLU):
            module.register_forward_pre_hook(watch)


def dump_maps(out, prefix, maps):
    for i, m in enumerate(maps):
        m = m.detach()
        rms = float((m ** 2).mean().sqrt())
        out[f"{prefix}/{i}"] = np.array([*places(m, 64), float(m.mean()), rms], np.float32)
        print(prefix, i, tuple(m.shape), "mean %.3f rms %.3f" % tuple(out[f"{prefix}/{i}"][64:]))


def dump(out, name):
    net, stages = NETS[name]()
    net.fc = torch.nn.Identity()
    net = net.double().eval()
    state = {k: value(k, v.shape) for k, v in net.state_dict().items() if v.dim()}
    net.load_state_dict(state, strict=False)
    with torch.no_grad():
        dump_maps(out, f"{name}/eval", run(net, stages, pictures(EVAL_SIZE)))
    if name not in TRAINED:
        return
    net.train()
    nearest = []
    watch_relus(net, nearest)
    maps = run(net, stages, pictures(TRAIN_SIZE))
    dump_maps(out, f"{name}/train", maps)
    assert min(nearest) > 1e-5, "choose other PIXELS"
    r = torch.from_numpy(hashes("loss", maps[-1].numel()).astype(np.float32).astype(np.float64))
    (maps[-1].reshape(-1) * r).sum().backward()
    for k, p in net.named_parameters():
        out[f"{name}/grad/{k}"] = np.array([*places(p.grad, 16), float(p.grad.norm())],
                                           np.float32)
    for k, b in net.named_buffers():
        if b.dim():
            out[f"{name}/running/{k}"] = places(b, 4).astype(np.float32)


def main():
    out = {}
    for name in NETS:
        dump(out, name)
    here = os.path.dirname(os.path.abspath(__file__))
    target = os.path.join(here, "..", "tests", "golden", "resnet")
    os.makedirs(target, exist_ok=True)
    path = os.path.join(target, "reference.safetensors")
    save_file(out, path)
    print(len(out), "tensors", os.path.getsize(path), "bytes")


if __name__ == "__main__":
    main()
