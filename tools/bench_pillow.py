#!/usr/bin/env python3
"""The peer of `fashionbert bench --modes images`: the same JPEGs decoded and padded to the same
size by Pillow, on one core of the same machine.

The command writes its JPEGs into a folder; Pillow then opens the same bytes, turns them
upright, makes them RGB and pads them on white with the bilinear filter, as the command does.
Both take turns, so that what else the machine does falls on both; the median round counts.
Prints JSON.

    pip install pillow;  python tools/bench_pillow.py [build/fashionbert] [--rounds 5]
"""
import argparse
import io
import json
import pathlib
import statistics
import subprocess
import tempfile
import time

import PIL
from PIL import Image, ImageOps

COMMAND = ["bench", "--modes", "images", "--repeats", "5", "--threads", "1", "--quiet", "--json"]


def ours(binary, folder):
    words = [binary, *COMMAND, "--image-folder", folder]
    run = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(run.stdout)["images"]


def theirs(data, size, seconds=0.5):
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
        ImageOps.pad(image, (size, size), Image.Resampling.BILINEAR, "white").tobytes()
        count += 1
    return count / (time.perf_counter() - started)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary", nargs="?", default="build/fashionbert")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rates = {}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.rounds):
            for image in ours(options.binary, folder):
                name = f"{image['width']}x{image['height']}"
                data = (pathlib.Path(folder) / f"{name}.jpg").read_bytes()
                a, b = rates.setdefault((name, image["size"]), ([], []))
                a.append(image["images_per_s"])
                b.append(theirs(data, image["size"]))
    rows = []
    for (name, size), (a, b) in rates.items():
        a, b = statistics.median(a), statistics.median(b)
        rows.append({"jpeg": name, "size": size, "fashionbert_images_per_s": round(a, 1),
                     "pillow_images_per_s": round(b, 1), "ratio": round(a / b, 2)})
    print(json.dumps({"pillow": PIL.__version__, "images": rows}, indent=2))


if __name__ == "__main__":
    main()
