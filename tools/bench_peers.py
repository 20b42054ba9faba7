#!/usr/bin/env python3
"""fashionbert beside PyTorch, ONNX Runtime and OpenVINO: one run, same shapes, same threads.

Pairs: --presets in batches of 32 pairs of 64 raw patches and 20 tokens, post-norm blocks with GELU,
patches projected by a Linear, pooler and pair head; all sequences have one length, so nothing is
lost to padding. Training adds dropout 0.1, the masked-word head on 3 rows of every second pair,
clipping and AdamW. Features: --networks over 16 images of the size that ours take, to the last
stage's map.

    score     ours            f32, bf16, int8
              PyTorch         eager and compiled, f32 and bf16; dynamic int8
              ONNX Runtime    f32, dynamic int8
              OpenVINO        f32, bf16; int8 by NNCF, its activations' ranges from random batches
    train     ours and PyTorch, eager and compiled, f32 and bf16
    features  ours            f32, bf16, int8
              PyTorch         eager and compiled, channels last, f32 and bf16
              OpenVINO        f32, bf16; int8 by NNCF, likewise

bf16 is left out where /proc/cpuinfo knows no instruction for it. Contestants take turns, --rounds
times, each warmed up, so that what else the machine does meets all of them; printed are medians and
the ratio of our best float to their best float, of our int8 to their best int8. What is not
installed is skipped, by name. Prints Markdown.

    pip install torch onnx onnxruntime openvino nncf
    python tools/bench_peers.py build/fashionbert [--presets mini,base --threads 2 --rounds 5]
"""
import argparse
import json
import logging
import os
import statistics
import subprocess
import tempfile
import time
import warnings

PAIRS, TOKENS, PATCHES, FEATURES, VOCAB, IMAGES = 32, 20, 64, 3072, 30522, 16
BLOCKS = {"resnet18": (False, (2, 2, 2, 2)), "resnet34": (False, (3, 4, 6, 3)),
          "resnet50": (True, (3, 4, 6, 3)), "resnet101": (True, (3, 4, 23, 3))}
SIZES = {"mini": (4, 256, 4), "small": (4, 512, 8), "base": (12, 768, 12)}


def processor():
    with open("/proc/cpuinfo") as lines:
        facts = dict(line.split(":", 1) for line in lines if ":" in line)
    facts = {name.strip(): value.strip() for name, value in facts.items()}
    flags = facts.get("flags", facts.get("Features", "")).split()
    return facts.get("model name", "?"), bool({"avx512_bf16", "amx_bf16", "bf16"} & set(flags))


def settle_threads(count):
    """Before any library starts a pool; a pool that spins while another computes would cost it."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(count)
    os.environ["OMP_WAIT_POLICY"] = "passive"


def timed(step, least_s=0.5):
    """Median seconds of a step over at least `least_s` and three steps."""
    times = []
    while len(times) < 3 or sum(times) < least_s:
        started = time.perf_counter()
        step()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


# ---- the model, in PyTorch -----------------------------------------------------------


def torch_models():
    import torch
    from torch import nn
    from torch.nn import functional as f

    class Block(nn.Module):
        def __init__(self, width, heads):
            super().__init__()
            self.heads, self.qkv = heads, nn.Linear(width, 3 * width)
            self.out, self.norm1 = nn.Linear(width, width), nn.LayerNorm(width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
            self.norm2, self.drop = nn.LayerNorm(width), nn.Dropout(0.1)

        def forward(self, x):
            b, t, c = x.shape
            q, k, v = self.qkv(x).view(b, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
            a = f.scaled_dot_product_attention(q, k, v, dropout_p=0.1 if self.training else 0.0)
            x = self.norm1(x + self.drop(self.out(a.transpose(1, 2).reshape(b, t, c))))
            return self.norm2(x + self.drop(self.down(f.gelu(self.up(x)))))

    class Pairs(nn.Module):
        def __init__(self, layers, width, heads):
            super().__init__()
            self.word = nn.Embedding(VOCAB, width)
            self.project = nn.Linear(FEATURES, width, bias=False)
            self.norm = nn.LayerNorm(width)
            self.blocks = nn.Sequential(*[Block(width, heads) for _ in range(layers)])
            self.pooler, self.match = nn.Linear(width, width), nn.Linear(width, 2)
            self.transform = nn.Linear(width, width)

        def hidden(self, ids, patches):
            x = torch.cat([self.word(ids), self.project(patches)], 1)
            return self.blocks(self.norm(x))

        def forward(self, ids, patches):
            return self.match(torch.tanh(self.pooler(self.hidden(ids, patches)[:, 0])))

    return torch, Pairs


def torch_resnet(bottleneck, counts):
    """A residual network up to its last stage's map (He et al. 2016), strides on the 3x3."""
    from torch import nn

    def unit(width, out, kernel, stride=1):
        return nn.Conv2d(width, out, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(out)

    class Block(nn.Module):
        def __init__(self, width, inner, out, stride):
            super().__init__()
            if bottleneck:
                self.body = nn.Sequential(*unit(width, inner, 1), nn.ReLU(),
                                          *unit(inner, inner, 3, stride), nn.ReLU(),
                                          *unit(inner, out, 1))
            else:
                self.body = nn.Sequential(*unit(width, inner, 3, stride), nn.ReLU(),
                                          *unit(inner, out, 3))
            alike = stride == 1 and width == out
            self.short = nn.Identity() if alike else nn.Sequential(*unit(width, out, 1, stride))

        def forward(self, x):
            return nn.functional.relu(self.body(x) + self.short(x))

    layers, width = [*unit(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)], 64
    for stage, count in enumerate(counts):
        inner = 64 << stage
        out = inner * (4 if bottleneck else 1)
        for block in range(count):
            layers.append(Block(width, inner, out, 2 if stage and not block else 1))
            width = out
    return nn.Sequential(*layers).eval()


def make_pairs(preset):
    torch, pairs = torch_models()
    torch.manual_seed(1)
    ids = torch.randint(0, VOCAB, (PAIRS, TOKENS))
    return torch, pairs(*SIZES[preset]), ids, torch.randn(PAIRS, PATCHES, FEATURES)


def torch_scorer(model, inputs, compiled, dtype):
    import copy

    import torch
    low = copy.deepcopy(model).eval().to(dtype)
    call = torch.compile(low) if compiled else low
    x = [v.to(dtype) if v.is_floating_point() else v for v in inputs]

    def step():
        with torch.inference_mode():
            call(*x)
    return step


def torch_int8(model, inputs):
    import torch
    small = torch.ao.quantization.quantize_dynamic(model.eval(), {torch.nn.Linear}, torch.qint8)

    def step():
        with torch.inference_mode():
            small(*inputs)
    return step


def torch_trainer(preset, compiled, dtype):
    torch, model, ids, patches = make_pairs(preset)
    labels = torch.arange(PAIRS) % 2
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4, fused=True)

    def losses():
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype != torch.float32):
            h = model.hidden(ids, patches)
            logits = model.match(torch.tanh(model.pooler(h[:, 0])))
            rows = model.transform(h[::2, 1:4].reshape(-1, h.shape[-1]))
            words = torch.nn.functional.gelu(rows) @ model.word.weight.T
            cross = torch.nn.functional.cross_entropy
            return (cross(logits.float(), labels)
                    + cross(words.float(), ids[::2, 1:4].reshape(-1)))
    call = torch.compile(losses) if compiled else losses

    def step():
        optimizer.zero_grad()
        call().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return step


# ---- the other runtimes --------------------------------------------------------------


def onnx_file(folder, model, inputs):
    import torch
    path = os.path.join(folder, "model.onnx")
    torch.onnx.export(model.eval(), inputs, path, opset_version=17, dynamo=False,
                      input_names=["ids", "patches"][:len(inputs)])
    return path


def onnx_scorer(folder, model, inputs, threads, int8):
    import onnxruntime as ort
    from onnxruntime.quantization import QuantType, quantize_dynamic
    path = onnx_file(folder, model, inputs)
    if int8:
        small = path.replace("model", "small")
        quantize_dynamic(path, small, weight_type=QuantType.QInt8)
        path = small
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = {i.name: v.numpy() for i, v in zip(session.get_inputs(), inputs)}
    return lambda: session.run(None, feed)


def openvino_scorer(model, inputs, threads, precision):
    import openvino as ov
    import torch
    with torch.inference_mode():
        converted = ov.convert_model(model.eval(), example_input=inputs,
                                     input=[tuple(v.shape) for v in inputs])
    if precision == "int8":
        import nncf
        transformer = nncf.ModelType.TRANSFORMER if len(inputs) > 1 else None
        batches = [[v.numpy() if not v.is_floating_point() else torch.randn_like(v).numpy()
                    for v in inputs] for _ in range(8)]
        converted = nncf.quantize(converted, nncf.Dataset(batches), model_type=transformer,
                                  subset_size=len(batches))
    compiled = ov.Core().compile_model(converted, "CPU", {
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1})
    request, feed = compiled.create_infer_request(), [v.numpy() for v in inputs]
    return lambda: request.infer(feed)


# ---- a table -------------------------------------------------------------------------


def ours(program, threads, dtype, **options):
    """A call that gives the seconds of a batch of ours, from `bench --json`."""
    command = [program, "bench", "--json", "--quiet", "--threads", str(threads), "--dtype", dtype,
               "--repeats", "3"]
    for name, value in options.items():
        command += ["--" + name.replace("_", "-"), str(value)]

    def seconds():
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr.strip().splitlines()[-1])
        run = json.loads(done.stdout)["runs"][0]
        if run["dtype"] != dtype:
            raise RuntimeError(f"computes in {run['dtype']} here")
        return PAIRS / run["pairs_per_s"] if run["pairs_per_s"] else IMAGES / run["images_per_s"]
    return seconds


def gather(makers, rounds):
    """{name: [seconds]} of all that start; why the others do not is printed."""
    calls, times = {}, {}
    for name, make in makers.items():
        try:
            calls[name] = make()
            calls[name]()  # warms up, and finds out whether it works
        except Exception as error:  # whatever a library says: it is skipped, by name
            calls.pop(name, None)
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            print(f"{name}: skipped, {first}", flush=True)
    for _ in range(rounds):
        for name, call in calls.items():
            times.setdefault(name, []).append(call())
    return times


def is_int8(name):
    return "int8" in name


def show(title, unit, count, times):
    print(f"\n{title}\n\n| | {unit} | beside our best float |\n|---|---|---|")
    middle = {name: statistics.median(t) for name, t in times.items()}
    best = {}
    for name, seconds in middle.items():
        key = name.startswith("fashionbert"), is_int8(name)
        best[key] = min(seconds, best.get(key, seconds))
    own = best.get((True, False))
    for name, seconds in sorted(middle.items(), key=lambda pair: pair[1]):
        ratio = f"{own / seconds:.2f}" if own else "–"
        print(f"| {name} | {count / seconds:.1f} | {ratio} |")
    for int8, word in (False, "float"), (True, "int8"):
        if (True, int8) in best and (False, int8) in best:
            ratio = best[False, int8] / best[True, int8]
            print(f"\nOurs in {word} is {ratio:.2f} times the best peer in {word}.")
    if (True, True) in best and own:
        print(f"\nOur int8 is {own / best[True, True]:.2f} times our best float.")
    print(flush=True)


def peer(make):
    """A maker of calls that give seconds, of a maker of steps."""
    def start():
        step = make()
        step()
        return lambda: timed(step)
    return start


def compare_pairs(args, preset, floats):
    def setting(mode, dtype):
        return lambda: ours(args.program, args.threads, dtype, presets=preset, encoders="pixels",
                            modes=mode, batch=PAIRS)
    score = {f"fashionbert {d}": setting("score", d) for d in floats + ["int8"]}
    train = {f"fashionbert {d}": setting("train", d) for d in floats}
    with tempfile.TemporaryDirectory() as folder:
        try:
            torch, model, *inputs = make_pairs(preset)
            inputs = tuple(inputs)
        except ImportError as error:
            print(f"PyTorch, and what reads its models: skipped, {error}")
            floats = []
        for d in floats:
            dtype = torch.float32 if d == "f32" else torch.bfloat16
            for compiled in False, True:
                name = f"PyTorch {d}" + (", compiled" if compiled else "")
                score[name] = peer(lambda c=compiled, t=dtype: torch_scorer(model, inputs, c, t))
                train[name] = peer(lambda c=compiled, t=dtype: torch_trainer(preset, c, t))
            score[f"OpenVINO {d}"] = peer(
                lambda d=d: openvino_scorer(model, inputs, args.threads, d))
        if floats:
            score["PyTorch dynamic int8"] = peer(lambda: torch_int8(model, inputs))
            for int8, word in (False, "f32"), (True, "dynamic int8"):
                score[f"ONNX Runtime {word}"] = peer(
                    lambda i=int8: onnx_scorer(folder, model, inputs, args.threads, i))
            score["OpenVINO int8"] = peer(
                lambda: openvino_scorer(model, inputs, args.threads, "int8"))
        for mode, makers in ("score", score), ("train", train):
            if mode in args.modes:
                show(f"{preset}, {mode}, batches of {PAIRS}", "pairs/s", PAIRS,
                     gather(makers, args.rounds))


def compare_features(args, network, floats):
    size = 256

    makers = {f"fashionbert {d}": lambda d=d: ours(
        args.program, args.threads, d, encoders=network, modes="features", encoder_batch=IMAGES)
        for d in floats + ["int8"]}
    try:
        import torch
        torch.manual_seed(1)
        model, inputs = torch_resnet(*BLOCKS[network]), (torch.randn(IMAGES, 3, size, size),)
    except ImportError as error:
        print(f"PyTorch, and what reads its models: skipped, {error}")
        floats = []
    for d in floats:
        dtype = torch.float32 if d == "f32" else torch.bfloat16
        for compiled in False, True:
            makers[f"PyTorch {d}" + (", compiled" if compiled else "")] = peer(
                lambda c=compiled, t=dtype: torch_scorer(
                    model.to(memory_format=torch.channels_last), inputs, c, t))
        makers[f"OpenVINO {d}"] = peer(
            lambda d=d: openvino_scorer(model, inputs, args.threads, d))
    if floats:
        makers["OpenVINO int8"] = peer(
            lambda: openvino_scorer(model, inputs, args.threads, "int8"))
    show(f"{network}, features of {IMAGES} images of {size}x{size}", "images/s", IMAGES,
         gather(makers, args.rounds))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", help="fashionbert, as built")
    parser.add_argument("--presets", default="mini,base")
    parser.add_argument("--modes", default="score,train,features")
    parser.add_argument("--networks", default="resnet18,resnet50", help=", ".join(BLOCKS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    args.modes = args.modes.split(",")
    return args


def main():
    args = arguments()
    settle_threads(args.threads)
    warnings.simplefilter("ignore")  # of what the libraries will drop some day
    logging.disable(logging.WARNING)
    name, bf16 = processor()
    floats = ["f32", "bf16"] if bf16 else ["f32"]
    print(f"{name}, {args.threads} threads, {args.rounds} rounds"
          + ("" if bf16 else "; no bf16 instructions, so none in bf16"), flush=True)
    if "score" in args.modes or "train" in args.modes:
        for preset in args.presets.split(","):
            compare_pairs(args, preset, floats)
    if "features" in args.modes:
        for network in args.networks.split(","):
            compare_features(args, network, floats)


if __name__ == "__main__":
    main()
