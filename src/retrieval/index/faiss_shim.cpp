/* faiss_shim.cpp - see faiss_shim.h: the only C++ here. An exception of FAISS becomes a
 * status and its sentence; none leaves this file. */
extern "C" {
#include "retrieval/index/faiss_shim.h"
}

#include <faiss/IndexFlat.h>
#include <faiss/IndexHNSW.h>
#include <faiss/IndexIVFPQ.h>
#include <faiss/impl/DistanceComputer.h>
#include <faiss/impl/IDSelector.h>
#include <faiss/index_io.h>
#include <faiss/invlists/InvertedLists.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <shared_mutex>
#include <stdexcept>
#include <vector>

namespace
{

/* Edges of a node, and how widely they are looked for when a row comes in. */
constexpr int links = 32, build_effort = 200;
/* A code has a byte for so many numbers; its centroids are learnt from at most so many
 * rows. */
constexpr int numbers_a_byte = 4, code_bits = 8;
constexpr int64_t rows_a_list = 39, least_rows = 256 * 39, decoded_at_once = 65536;

template <typename Function>
fb_status guard(fb_context *ctx, const char *what, Function function)
{
    try {
        return function();
    } catch (const std::bad_alloc &) {
        return fb_fail(ctx, FB_E_MEMORY, "FAISS: %s: no memory", what);
    } catch (const std::exception &e) {
        return fb_fail(ctx, FB_E_BACKEND, "FAISS: %s: %.600s", what, e.what());
    } catch (...) {
        return fb_fail(ctx, FB_E_BACKEND, "FAISS: %s failed", what);
    }
}

/* Inner products with rows as the index stores them. */
struct row_computer : faiss::DistanceComputer {
    const fb_backend *be;
    const fb_stored *rows;
    fb_row_query query;

    row_computer(const fb_backend *lent, const fb_stored *stored)
        : be(lent), rows(stored), query()
    {
    }
    void set_query(const float *x) override
    {
        fb_row_query_set(&query, be, rows, x);
    }
    float operator()(faiss::Index::idx_t row) override
    {
        float score = 0;
        fb_row_query_near(&query, row, 1, &score);
        return score;
    }
    float symmetric_dis(faiss::Index::idx_t a, faiss::Index::idx_t b) override
    {
        return fb_stored_product(be, rows, a, b);
    }
};

/* What a graph of FAISS asks for its vectors: ours, where they lie. */
struct row_storage : faiss::Index {
    const fb_backend *be;
    fb_stored rows;

    row_storage(const fb_backend *lent, const fb_stored *stored)
        : faiss::Index(stored->width, faiss::METRIC_INNER_PRODUCT), be(lent),
          rows(*stored)
    {
        ntotal = 0;
    }
    /* They are there already; the graph counts them as it takes them in. */
    void add(idx_t n, const float *) override
    {
        ntotal += n;
    }
    void search(idx_t, const float *, idx_t, float *, idx_t *,
                const faiss::SearchParameters *) const override
    {
        throw std::logic_error("a graph searches by itself");
    }
    void reset() override
    {
        ntotal = 0;
    }
    faiss::DistanceComputer *get_distance_computer() const override
    {
        return new row_computer(be, &rows);
    }
};

void put_storage(faiss::IndexHNSW *graph, std::unique_ptr<faiss::Index> storage)
{
    if (graph->own_fields)
        delete graph->storage;
    graph->own_fields = true;
    graph->storage = storage.release();
}

std::vector<float> decoded(const fb_stored &rows, int64_t from, int64_t count)
{
    std::vector<float> out(static_cast<size_t>(count * rows.width));
    fb_stored_decode(&rows, from, count, out.data());
    return out;
}

std::unique_ptr<faiss::Index> make_hnsw(const fb_backend *be, const fb_stored &rows)
{
    auto index = std::make_unique<faiss::IndexHNSWFlat>(
        static_cast<int>(rows.width), links, faiss::METRIC_INNER_PRODUCT);
    put_storage(index.get(), std::make_unique<row_storage>(be, &rows));
    index->hnsw.efConstruction = build_effort;
    if (rows.storage == FB_STORED_F32)
        index->add(rows.count, rows.f32);
    for (int64_t at = 0; at < rows.count && rows.storage != FB_STORED_F32;
         at += decoded_at_once) {
        int64_t n = std::min<int64_t>(decoded_at_once, rows.count - at);
        index->add(n, decoded(rows, at, n).data());
    }
    return index;
}

/* The largest divisor of the width that gives no more bytes than it wants. */
int code_bytes(int32_t width)
{
    int bytes = std::max(1, width / numbers_a_byte);
    while (width % bytes != 0)
        bytes--;
    return bytes;
}

std::unique_ptr<faiss::Index> make_ivfpq(const fb_stored &rows)
{
    int64_t count = rows.count;
    auto width = static_cast<int32_t>(rows.width);
    auto lists = static_cast<int64_t>(4 * std::sqrt(static_cast<double>(count)));
    lists = std::max<int64_t>(1, std::min(lists, count / rows_a_list));
    auto quantizer = std::make_unique<faiss::IndexFlatIP>(width);
    auto index = std::make_unique<faiss::IndexIVFPQ>(
        quantizer.get(), width, static_cast<size_t>(lists),
        static_cast<size_t>(code_bytes(width)), code_bits, faiss::METRIC_INNER_PRODUCT);
    index->own_fields = true; /* of the quantizer, from here on */
    static_cast<void>(quantizer.release());
    std::vector<float> whole;
    if (!rows.f32)
        whole = decoded(rows, 0, count);
    index->train(count, rows.f32 ? rows.f32 : whole.data());
    index->add(count, rows.f32 ? rows.f32 : whole.data());
    return index;
}

/* omp_set_num_threads is of the calling thread; it gets back what it had. */
class threads_scope
{
  public:
    explicit threads_scope(int32_t threads) : before(omp_get_max_threads())
    {
        omp_set_num_threads(std::max(1, threads));
    }
    ~threads_scope()
    {
        omp_set_num_threads(before);
    }
    threads_scope(const threads_scope &) = delete;
    threads_scope &operator=(const threads_scope &) = delete;

  private:
    int before;
};

} // namespace

/* A graph's effort is read from a search's parameters and, in 1.7.3, from the graph
 * too: who wants another than the last one sets it there alone, and searches. */
struct fb_ann {
    std::unique_ptr<faiss::Index> index;
    fb_ann_kind kind;
    mutable std::shared_mutex effort;
};

extern "C" bool fb_ann_available(void)
{
    return true;
}

extern "C" fb_status fb_ann_build(fb_context *ctx, fb_ann **ann, fb_ann_kind kind,
                                  const fb_backend *be, const fb_stored *rows,
                                  int32_t threads)
{
    if (kind == FB_ANN_IVFPQ && rows->count < least_rows)
        return fb_fail(ctx, FB_E_LIMIT,
                       "%lld vectors are too few to learn the codes of ivfpq from; it "
                       "takes %lld or more, exact and hnsw take any number",
                       static_cast<long long>(rows->count),
                       static_cast<long long>(least_rows));
    return guard(ctx, "building", [&] {
        threads_scope scope(threads);
        auto fresh = std::make_unique<fb_ann>();
        fresh->kind = kind;
        fresh->index = kind == FB_ANN_HNSW ? make_hnsw(be, *rows) : make_ivfpq(*rows);
        *ann = fresh.release();
        return FB_OK;
    });
}

/* With an empty storage in the place of ours, which FAISS could not write. */
extern "C" fb_status fb_ann_write(fb_context *ctx, const fb_ann *ann, const char *path)
{
    return guard(ctx, path, [&] {
        auto *graph = dynamic_cast<faiss::IndexHNSW *>(ann->index.get());
        faiss::IndexFlatIP nothing(ann->index->d);
        faiss::Index *storage = graph ? graph->storage : nullptr;
        if (graph)
            graph->storage = &nothing;
        try {
            faiss::write_index(ann->index.get(), path);
        } catch (...) {
            if (graph)
                graph->storage = storage;
            throw;
        }
        if (graph)
            graph->storage = storage;
        return FB_OK;
    });
}

/* A graph whose file holds no vectors is given the rows'. */
static bool take_rows(faiss::IndexHNSW *graph, const fb_backend *be,
                      const fb_stored *rows)
{
    auto links_of = static_cast<int64_t>(graph->hnsw.levels.size());
    if (!graph->storage || links_of != rows->count)
        return false;
    if (graph->storage->ntotal == rows->count)
        return true;
    if (graph->storage->ntotal != 0)
        return false;
    auto storage = std::make_unique<row_storage>(be, rows);
    storage->ntotal = rows->count;
    put_storage(graph, std::move(storage));
    return true;
}

/* Whether every link of a graph leads to a row that has that level, and every row has
 * room for its links: searches follow them without looking. */
static bool is_sound(const faiss::IndexHNSW &graph)
{
    const faiss::HNSW &g = graph.hnsw;
    const std::vector<int> &room = g.cum_nneighbor_per_level;
    size_t count = g.levels.size();
    auto rows = static_cast<int64_t>(count);
    if (g.offsets.size() != count + 1 || g.offsets[0] != 0 || room.size() < 2 ||
        room[0] != 0 || !std::is_sorted(room.begin(), room.end()) ||
        g.offsets[count] != g.neighbors.size() || g.upper_beam != 1)
        return false;
    if (count == 0)
        return g.entry_point == -1;
    for (size_t i = 0; i < count; i++)
        if (g.levels[i] < 1 || static_cast<size_t>(g.levels[i]) >= room.size() ||
            g.offsets[i] > g.neighbors.size() ||
            g.offsets[i + 1] - g.offsets[i] !=
                static_cast<size_t>(room[static_cast<size_t>(g.levels[i])]))
            return false;
    for (size_t i = 0; i < count; i++)
        for (int level = 0; level < g.levels[i]; level++)
            for (int k = room[static_cast<size_t>(level)];
                 k < room[static_cast<size_t>(level) + 1]; k++) {
                int64_t to = g.neighbors[g.offsets[i] + static_cast<size_t>(k)];
                if (to < -1 || to >= rows ||
                    (to >= 0 && g.levels[static_cast<size_t>(to)] <= level))
                    return false;
            }
    return g.entry_point >= 0 && g.entry_point < rows && g.max_level >= 0 &&
           g.max_level < g.levels[static_cast<size_t>(g.entry_point)];
}

/* The same of lists of codes: as many lists, codes and centroids as they say, and rows
 * that are there. */
static bool is_sound(const faiss::IndexIVFPQ &index)
{
    const auto *lists = dynamic_cast<const faiss::ArrayInvertedLists *>(index.invlists);
    const auto *means = dynamic_cast<const faiss::IndexFlat *>(index.quantizer);
    const faiss::ProductQuantizer &pq = index.pq;
    auto width = static_cast<size_t>(index.d);
    if (!lists || !means || means->d != index.d ||
        means->ntotal != static_cast<int64_t>(index.nlist) ||
        means->codes.size() != index.nlist * width * sizeof(float) ||
        lists->nlist != index.nlist || lists->ids.size() != index.nlist ||
        lists->codes.size() != index.nlist || pq.d != width || pq.nbits != code_bits ||
        pq.M == 0 || pq.M * pq.dsub != width || pq.code_size != pq.M ||
        pq.ksub != size_t{1} << code_bits || pq.centroids.size() != width * pq.ksub ||
        index.code_size != pq.code_size || lists->code_size != pq.code_size)
        return false;
    for (size_t l = 0; l < index.nlist; l++) {
        if (lists->codes[l].size() != lists->ids[l].size() * pq.code_size)
            return false;
        for (int64_t row : lists->ids[l])
            if (row < 0 || row >= index.ntotal)
                return false;
    }
    return true;
}

extern "C" fb_status fb_ann_open(fb_context *ctx, fb_ann **ann, const char *path,
                                 fb_ann_kind kind, const fb_backend *be,
                                 const fb_stored *rows)
{
    return guard(ctx, path, [&] {
        auto fresh = std::make_unique<fb_ann>();
        fresh->kind = kind;
        fresh->index.reset(faiss::read_index(path));
        faiss::Index *index = fresh->index.get();
        auto *graph = dynamic_cast<faiss::IndexHNSW *>(index);
        auto *codes = dynamic_cast<const faiss::IndexIVFPQ *>(index);
        bool right = kind == FB_ANN_HNSW ? graph != nullptr : codes != nullptr;
        if (!right || index->ntotal != rows->count || index->d != rows->width ||
            (graph && !take_rows(graph, be, rows)))
            return fb_fail(ctx, FB_E_FORMAT,
                           "%s: not an index of %lld vectors of %d numbers", path,
                           static_cast<long long>(rows->count),
                           static_cast<int>(rows->width));
        if (index->metric_type != faiss::METRIC_INNER_PRODUCT ||
            !(graph ? is_sound(*graph) : is_sound(*codes)))
            return fb_fail(ctx, FB_E_FORMAT,
                           "%s: damaged: a link or list leads nowhere", path);
        *ann = fresh.release();
        return FB_OK;
    });
}

extern "C" void fb_ann_close(fb_ann *ann)
{
    delete ann;
}

static void search_graph(const fb_ann *ann, const float *query, int32_t k,
                         int32_t effort, faiss::IDSelector *bits, float *scores,
                         faiss::Index::idx_t *rows)
{
    auto *index = static_cast<faiss::IndexHNSW *>(ann->index.get());
    faiss::SearchParametersHNSW how;
    how.sel = bits;
    how.efSearch = effort;
    {
        std::shared_lock<std::shared_mutex> lock(ann->effort);
        if (index->hnsw.efSearch == effort) {
            index->search(1, query, k, scores, rows, &how);
            return;
        }
    }
    std::unique_lock<std::shared_mutex> lock(ann->effort);
    index->hnsw.efSearch = effort;
    index->search(1, query, k, scores, rows, &how);
}

extern "C" fb_status fb_ann_search(fb_context *ctx, const fb_ann *ann,
                                   const float *query, int32_t k, int32_t effort,
                                   const uint8_t *allowed, int64_t *found)
{
    return guard(ctx, "searching", [&] {
        threads_scope scope(1);
        std::vector<float> scores(static_cast<size_t>(k));
        std::vector<faiss::Index::idx_t> rows(static_cast<size_t>(k), -1);
        faiss::IDSelectorBitmap bits(static_cast<size_t>(ann->index->ntotal + 7) / 8,
                                     allowed);
        faiss::IDSelector *sel = allowed ? &bits : nullptr;
        effort = std::max(effort, 1);
        if (ann->kind == FB_ANN_HNSW) {
            search_graph(ann, query, k, std::max(effort, k), sel, scores.data(),
                         rows.data());
        } else {
            faiss::SearchParametersIVF how;
            how.nprobe = static_cast<size_t>(effort);
            how.sel = sel;
            ann->index->search(1, query, k, scores.data(), rows.data(), &how);
        }
        std::copy(rows.begin(), rows.end(), found);
        return FB_OK;
    });
}
