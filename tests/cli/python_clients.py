#!/usr/bin/env python3
"""python_clients.py CATALOGUE MODEL INDEX URL - clients/python against the server at URL and,
where NumPy and libfashionbert.so are, the library: both say the same."""

import os
import subprocess
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "clients", "python"))
import fashionbert_http as http  # noqa: E402

catalogue, model_folder, index_folder, url = sys.argv[1:5]
photos = [f"{catalogue}/images/{i}.png" for i in range(4)]
checks = failures = 0


def check(what, right):
    global checks, failures
    checks += 1
    if not right:
        failures += 1
        print("FAILED:", what)


def refused(kind, words, call, *arguments, **named):
    try:
        call(*arguments, **named)
    except kind as error:
        return words in str(error) or print("said:", error)
    return False


def close(a, b):
    return a is b is None or abs(a - b) <= 1e-5 * max(1, abs(a))


def over_http():
    client = http.Client(url)
    check("ready", client.ready())
    hits = client.search("red circle", k=5, rerank=20)
    check("five hits", len(hits) == 5)
    check("best first", all(a["rerank_score"] >= b["rerank_score"] for a, b in zip(hits, hits[1:])))
    check("filtered", {h["attributes"]["category"] for h in
                       client.search("red", filter={"category": ["stripe"]})} == {"stripe"})
    check("an image", client.search(image=http.Image(photos[0]), by="image")[0]["product_id"] == "p0")
    check("the whole answer", "took_ms" in client.search("red", full=True))
    scores = client.match(["red circle", "blue"], [http.Image(p) for p in photos])
    check("2 x 4 scores", len(scores) == 2 and len(scores[0]) == 4)
    check("bytes as well", close(scores[1][2], client.match(
        ["blue"], [http.Image(open(photos[2], "rb").read())])[0][0]))
    check("vectors", abs(sum(x * x for x in client.encode(texts=["red"])[0]) - 1) < 1e-3)
    ranked = client.rerank(["p1", "p2"], text="red")
    check("re-ranked", {h["product_id"] for h in ranked} == {"p1", "p2"})
    check("explained", [w["word"] for w in client.explain("red circle", product_id="p1")["words"]]
          == ["red", "circle"])
    check("a product", client.product("p3")["product_id"] == "p3")
    check("its photo", client.photo("p3") == open(photos[3], "rb").read())
    check("the index", client.index()["products"] == 80)
    check("a refusal is told", refused(http.ServerError, "422 invalid: k must be", client.search,
                                       "red", k=0))
    check("an id that is not there", refused(http.ServerError, "404", client.product, "../x"))
    check("no server", refused(OSError, "", http.Client("http://127.0.0.1:1").search, "red"))
    check("no address", refused(ValueError, "address", http.Client, "ftp://x"))
    found = []
    threads = [threading.Thread(target=lambda: found.append(client.search("red circle", k=5, rerank=20)))
               for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check("the same from eight threads", [[h["product_id"] for h in f] for f in found] ==
          8 * [[h["product_id"] for h in hits]])
    client.close()
    return hits, scores


def same_structs(library):
    """Sizes and places of members as the C compiler sees them."""
    lines = ['#include "fashionbert.h"', "#include <stdio.h>", "int main(void) {"]
    wanted = []
    for struct in library._structs:
        import ctypes
        wanted.append(ctypes.sizeof(struct))
        lines.append(f'printf("%zu\\n", sizeof({struct._name_}));')
        for name, _ in struct._fields_:
            wanted.append(getattr(struct, name).offset)
            lines.append(f'printf("%zu\\n", offsetof({struct._name_}, {name}));')
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/sizes.c", "w") as file:
            file.write("\n".join(lines + ["return 0; }"]))
        subprocess.run(["cc", "-I", os.path.join(HERE, "..", "..", "include"), "-o", f"{folder}/sizes",
                        f"{folder}/sizes.c"], check=True)
        out = subprocess.run([f"{folder}/sizes"], check=True, capture_output=True, text=True).stdout
    check("structs are those of the header", [int(line) for line in out.split()] == wanted)


def through_the_library(hits, scores):
    import numpy as np
    import fashionbert
    same_structs(fashionbert)
    model = fashionbert.Model(model_folder, threads=1)
    own = model.match(["red circle", "blue"], photos)
    check("scores are those of the server", np.allclose(own, scores, atol=1e-5))
    check("dtype and shape", own.dtype == np.float32 and own.shape == (2, 4))
    pixels = [model.read_image(p) for p in photos]
    check("arrays of pixels too", np.array_equal(model.match(["red circle", "blue"], pixels), own))
    data = [open(p, "rb").read() for p in photos]
    check("and bytes", np.array_equal(model.match(["red circle", "blue"], data), own))
    check("no pair", model.match([], photos).shape == (0, 4))
    vectors = model.encode(texts=["red", "blue"])
    check("vectors", vectors.shape == (2, model.vector_size) and
          np.allclose((vectors ** 2).sum(1), 1, atol=1e-3))
    check("of products", model.encode(["red", "blue"], photos[:2], 0.3).shape == vectors.shape)
    check("a wrong array", refused(ValueError, "uint8", model.match, ["a"], [np.zeros((2, 2, 3))]))
    check("no such file", refused(fashionbert.Error, "none.png", model.match, ["a"], ["none.png"]))
    check("no pairs", refused(ValueError, "make no pairs", model.encode, ["a"], photos))
    index = fashionbert.Index(index_folder, model)
    check("the index", index.info["products"] == 80 and "category" in index.info["attributes"])
    found = index.search("red circle", k=5, rerank=20)
    check("hits are those of the server", [h["product_id"] for h in found] ==
          [h["product_id"] for h in hits] and all(
              close(a[s], b[s]) for a, b in zip(found, hits) for s in ("score", "rerank_score")))
    check("and their attributes", found[0]["attributes"] == hits[0]["attributes"])
    by_image = index.search(image=photos[0], by="image", filter={"category": ["circle", "square", "stripe"]})
    check("an image", by_image[0]["product_id"] == "p0" and by_image[0]["rerank_score"] is None)
    ids, near = index.nearest(vectors, k=3)
    check("nearest", near.shape == (2, 3) and ids[0] == [
        h["product_id"] for h in index.search("red", k=3)])
    check("a wrong width", refused(ValueError, "vectors must be", index.nearest, vectors[:, 1:]))
    check("an unknown filter", refused(fashionbert.Error, "size", index.search, "a", filter={"size": "M"}))
    check("no model folder", refused(fashionbert.Error, "no such model", fashionbert.Model, "/none"))
    index.close()
    model.close()
    check("closed", refused(ValueError, "closed", model.encode, ["a"]))


results = over_http()
try:
    import numpy  # noqa: F401
    has_library = os.path.exists(os.environ.get("FASHIONBERT_LIBRARY", ""))
except ImportError:
    has_library = False
if has_library:
    through_the_library(*results)
else:
    print("left out: the library (no NumPy, or a build with sanitizers)")
print(f"python: {checks - failures} of {checks} checks hold")
sys.exit(failures > 0)
