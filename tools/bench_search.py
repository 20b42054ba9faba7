#!/usr/bin/env python3
"""Search of fashionbert beside FAISS and usearch: one run, the same vectors, queries, threads.

INDEX are index folders of the same products, the first of them --kind exact --storage f32: its
vectors are what the others are made of, and its answers the truth. Each query is asked alone, for
its ten nearest by inner product.

    exact   ours             each INDEX of --kind exact
            FAISS            IndexFlatIP, IndexScalarQuantizer (QT_8bit); in IndexShards, one a
                             thread, since FAISS walks for one query on one thread
            usearch          search(exact=True) of f32, bf16, i8
    graphs  ours             each INDEX of --kind hnsw, with the effort it was measured with
            FAISS, usearch   HNSWFlat and HNSWSQ (QT_8bit), Index of f32, bf16, i8: 32 links, 200
                             looked at to add a vector; efSearch doubled from 16 until recall@10
                             is .99. Built here, if some INDEX is a graph: that takes long.

Contestants take turns, --rounds times, each with a share of the queries behind one to warm up, so
that what else the machine does meets all of them. A search's time is that of the library's call;
the processor's is that of all its threads, and by it stands how many times as fast as the first of
ours one is: it says more where other work waits for the same processors.
Recall counts a product that is as near, by 1e-5, as the tenth of the truth. Bytes a product: of the
vectors as stored, a graph's links included; ours also says how many of these a search walks. What
is not installed is skipped, by name. Prints Markdown.

    pip install faiss-cpu usearch numpy
    cmake --build build --target fashionbert_shared
    python tools/bench_search.py --queries vectors/text.npy shop.index shop-int8.index
"""
import argparse
import ctypes
import json
import os
import statistics
import sys
import time

from bench_peers import processor, settle_threads

K, NEAR, WANTED, LEAST_EFFORT, MOST_EFFORT = 10, 1e-5, 0.99, 16, 4096
LINKS, LINKS_EFFORT = 32, 200


class Contestant:
    """search(query) gives the rows found; `walked` are bytes a product that it reads."""

    def __init__(self, name, exact, stored, search, walked=None, effort=None):
        self.name, self.exact, self.stored, self.walked = name, exact, stored, walked
        self.search, self.set_effort, self.effort, self.recall = search, effort, None, 0.0
        self.times, self.processor = [], []


# ---- ours ----------------------------------------------------------------------------


def part(folder, suffix):
    """The file of the index's one segment, or None."""
    with open(os.path.join(folder, "index.json")) as stream:
        segments = json.load(stream)["segments"]
    if len(segments) != 1 or segments[0]["deleted"]:
        raise SystemExit(f"{folder}: not an index made in one piece")
    path = os.path.join(folder, f"{segments[0]['number']:06d}.{suffix}")
    return path if os.path.exists(path) else None


def bytes_of(folder, suffixes):
    paths = [part(folder, suffix) for suffix in suffixes]
    return sum(os.path.getsize(path) for path in paths if path)


def ours(folder, count):
    import fashionbert as fb
    index = fb.Index(folder)
    info = index.info
    if info["products"] != count:
        raise SystemExit(f"{folder}: {info['products']} products, not {count}")
    options = index._options(K, 0, None, False, 0, "", None)
    library, result = fb._library(), ctypes.POINTER(fb._Result)()

    def search(query):
        fb._call("fb_index_search", index._open(), query.ctypes.data, ctypes.byref(options),
                 ctypes.byref(result))
        return lambda: take(result.contents)

    def take(found):
        rows = [found.hits[i].row for i in range(found.hit_count)]
        library.fb_search_result_free(result)
        return rows
    walked = ["vectors.npy", "vectors-scales.npy", "graph"]
    return Contestant(f"fashionbert {info['kind']} {info['storage']}", info["kind"] == "exact",
                      bytes_of(folder, walked + ["vectors-rests.npy"]) / count, search,
                      bytes_of(folder, walked) / count)


# ---- peers ---------------------------------------------------------------------------


def faiss_size(index):
    import faiss
    return faiss.serialize_index(index).nbytes


def faiss_flat(vectors, threads, coded):
    import faiss
    count, width = vectors.shape
    whole, size = faiss.IndexShards(width, True, True), 0
    for t in range(threads):
        rows = vectors[count * t // threads:count * (t + 1) // threads]
        one = faiss.IndexFlatIP(width)
        if coded:
            one = faiss.IndexScalarQuantizer(width, faiss.ScalarQuantizer.QT_8bit,
                                             faiss.METRIC_INNER_PRODUCT)
            one.train(rows)
        one.add(rows)
        size += faiss_size(one)
        one.this.disown()
        whole.add_shard(one)
    whole.own_indices = True
    name = f"FAISS {'IndexScalarQuantizer, 8 bits' if coded else 'IndexFlatIP'}"
    return Contestant(name + (f", {threads} shards" if threads > 1 else ""), True, size / count,
                      lambda query: whole.search(query, K)[1][0])


def faiss_graph(vectors, threads, coded):
    import faiss
    count, width = vectors.shape
    metric = faiss.METRIC_INNER_PRODUCT
    if coded:
        index = faiss.IndexHNSWSQ(width, faiss.ScalarQuantizer.QT_8bit, LINKS, metric)
    else:
        index = faiss.IndexHNSWFlat(width, LINKS, metric)
    index.hnsw.efConstruction = LINKS_EFFORT
    if coded:
        index.train(vectors)
    index.add(vectors)

    def effort(value):
        index.hnsw.efSearch = value
    return Contestant(f"FAISS {'HNSWSQ, 8 bits' if coded else 'HNSWFlat'}", False,
                      faiss_size(index) / count, lambda query: index.search(query, K)[1][0],
                      effort=effort)


def usearch_codes(vectors, dtype):
    """Unit vectors as usearch takes them; NumPy has no bf16."""
    import numpy as np
    if dtype == "i8":
        return np.rint(127 * vectors).astype(np.int8)
    if dtype == "bf16":
        bits = vectors.view(np.uint32)
        return ((bits + 0x7fff + (bits >> 16 & 1)) >> 16).astype(np.uint16)
    return vectors


def usearch_exact(vectors, threads, dtype):
    from usearch.index import MetricKind, search
    rows = usearch_codes(vectors, dtype)
    return Contestant(f"usearch search, exact, {dtype}", True, rows[0].nbytes,
                      lambda query: search(rows, usearch_codes(query, dtype)[0], K, MetricKind.IP,
                                           exact=True, threads=threads, dtype=dtype).keys)


def usearch_graph(vectors, threads, dtype):
    import numpy as np
    from usearch.index import Index, MetricKind
    count, width = vectors.shape
    # Of i8 it scales by itself and compares cosines, which for unit vectors is the same.
    metric = MetricKind.Cos if dtype == "i8" else MetricKind.IP
    index = Index(ndim=width, metric=metric, dtype=dtype, connectivity=LINKS,
                  expansion_add=LINKS_EFFORT)
    index.add(np.arange(count), vectors, threads=threads)

    def effort(value):
        index.expansion_search = value
    return Contestant(f"usearch Index {dtype}", False, index.serialized_length / count,
                      lambda query: index.search(query[0], K, threads=1).keys, effort=effort)


def peers(vectors, threads, graphs):
    """{name: maker}."""
    makers = {"FAISS IndexFlatIP": lambda: faiss_flat(vectors, threads, False),
              "FAISS IndexScalarQuantizer": lambda: faiss_flat(vectors, threads, True)}
    dtypes = ["f32", "bf16", "i8"]
    makers.update({f"usearch exact {d}": lambda d=d: usearch_exact(vectors, threads, d)
                   for d in dtypes})
    if graphs:
        makers["FAISS HNSWFlat"] = lambda: faiss_graph(vectors, threads, False)
        makers["FAISS HNSWSQ"] = lambda: faiss_graph(vectors, threads, True)
        makers.update({f"usearch {d}": lambda d=d: usearch_graph(vectors, threads, d)
                       for d in dtypes})
    return makers


# ---- measuring -----------------------------------------------------------------------


def rows_of(found):
    """Ours are read behind the clock, as NumPy has those of others by then."""
    return found() if callable(found) else found


def recall_of(contestant, vectors, queries, truth):
    """truth [queries]: the score of the tenth."""
    hits = 0
    for query, least in zip(queries, truth):
        rows = [int(row) for row in rows_of(contestant.search(query[None])) if row >= 0]
        hits += int((vectors[rows] @ query >= least - NEAR).sum())
    return hits / (K * len(queries))


def settle_effort(contestant, vectors, queries, truth):
    """The least effort that finds enough; then the recall stands."""
    effort = LEAST_EFFORT
    while True:
        if contestant.set_effort:
            contestant.set_effort(effort)
            contestant.effort = effort
        contestant.recall = recall_of(contestant, vectors, queries, truth)
        if not contestant.set_effort or contestant.recall >= WANTED or effort >= MOST_EFFORT:
            return
        effort *= 2


def measure(contestants, queries, rounds):
    for share in range(rounds):
        mine = queries[share::rounds]
        for one in contestants:
            rows_of(one.search(mine[-1][None]))
            for query in mine:
                started, busy = time.perf_counter(), time.process_time()
                found = one.search(query[None])
                one.processor.append(1e3 * (time.process_time() - busy))
                one.times.append(1e3 * (time.perf_counter() - started))
                rows_of(found)


def show(title, contestants):
    if not contestants:
        return
    print(f"\n{title}\n\n| | ms, median | 90 % within | processor's ms | times as fast | "
          "recall@10 | bytes a product |\n|---|---|---|---|---|---|---|")
    own = [statistics.median(c.processor) for c in contestants if c.name.startswith("fashionbert")]
    for c in sorted(contestants, key=lambda c: statistics.median(c.times)):
        middle, most = statistics.median(c.times), statistics.quantiles(c.times, n=10)[-1]
        walked = f", {c.walked:.0f} of them walked" if c.walked and c.walked < c.stored else ""
        effort = f", effort {c.effort}" if c.effort else ""
        busy = statistics.median(c.processor)
        ratio = f"{own[0] / busy:.2f}" if own else "–"
        print(f"| {c.name}{effort} | {middle:.2f} | {most:.2f} | {busy:.2f} | {ratio} | "
              f"{c.recall:.4f} | {c.stored:.0f}{walked} |")
    print(flush=True)


def gather(args, vectors, graphs):
    """Ours, and the peers that start; why the others do not is printed."""
    all_of = [ours(folder, len(vectors)) for folder in args.index]
    for name, make in peers(vectors, args.threads, graphs).items():
        started = time.perf_counter()
        try:
            all_of.append(make())
        except Exception as error:  # whatever a library says: it is skipped, by name
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            print(f"{name}: skipped, {first}", flush=True)
            continue
        print(f"{name}: made in {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    return all_of


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("index", nargs="+", help="index folder of ours; the first exact, of f32")
    parser.add_argument("--queries", required=True, help=".npy [n, D], such as encode makes")
    parser.add_argument("--count", type=int, default=100, help="queries of them, evenly chosen")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


def main():
    args = arguments()
    settle_threads(args.threads)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:args.threads])
    sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "clients", "python"))
    import numpy as np
    path = part(args.index[0], "vectors.npy")
    vectors = np.load(path, mmap_mode="r") if path else None
    if vectors is None or vectors.dtype != np.float32:
        raise SystemExit(f"{args.index[0]}: not an index of --storage f32")
    vectors = np.ascontiguousarray(vectors)
    queries = np.load(args.queries)
    count = min(args.count, len(queries))
    queries = np.ascontiguousarray(queries[np.arange(count) * len(queries) // count], np.float32)
    graphs = any(part(folder, "graph") for folder in args.index)
    contestants = gather(args, vectors, graphs)
    first = contestants[0]
    truth = [(vectors[rows_of(first.search(q[None]))] @ q).min() for q in queries]
    for one in contestants:
        settle_effort(one, vectors, queries, truth)
    measure(contestants, queries, args.rounds)
    print(f"{processor()[0]}, {args.threads} threads: {len(vectors)} vectors of "
          f"{vectors.shape[1]}, {count} queries, {args.rounds} rounds")
    show("Exact: all vectors are compared", [c for c in contestants if c.exact])
    show("Graphs, on one thread", [c for c in contestants if not c.exact])


if __name__ == "__main__":
    main()
