/* faiss_shim.cpp - see faiss_shim.h: the only C++ here. An exception of FAISS becomes a
 * status and its sentence; none leaves this file. */
extern "C" {
#include "retrieval/index/faiss_shim.h"
}

#include <faiss/IndexFlat.h>
#include <faiss/IndexHNSW.h>
#include <faiss/IndexIVFPQ.h>
#include <faiss/impl/IDSelector.h>
#include <faiss/index_io.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <shared_mutex>
#include <vector>

namespace
{

/* Edges of a node, and how widely they are looked for when a row comes in. */
constexpr int links = 32, build_effort = 200;
/* A code has a byte for so many numbers; its centroids are learnt from at most so many
 * rows. */
constexpr int numbers_a_byte = 4, code_bits = 8;
constexpr int64_t rows_a_list = 39, least_rows = 256 * 39;

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

std::unique_ptr<faiss::Index> make_hnsw(const float *rows, int64_t count, int32_t width)
{
    auto index = std::make_unique<faiss::IndexHNSWFlat>(width, links,
                                                        faiss::METRIC_INNER_PRODUCT);
    index->hnsw.efConstruction = build_effort;
    index->add(count, rows);
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

std::unique_ptr<faiss::Index> make_ivfpq(const float *rows, int64_t count,
                                         int32_t width)
{
    auto lists = static_cast<int64_t>(4 * std::sqrt(static_cast<double>(count)));
    lists = std::max<int64_t>(1, std::min(lists, count / rows_a_list));
    auto quantizer = std::make_unique<faiss::IndexFlatIP>(width);
    auto index = std::make_unique<faiss::IndexIVFPQ>(
        quantizer.get(), width, static_cast<size_t>(lists),
        static_cast<size_t>(code_bytes(width)), code_bits, faiss::METRIC_INNER_PRODUCT);
    index->own_fields = true; /* of the quantizer, from here on */
    static_cast<void>(quantizer.release());
    index->train(count, rows);
    index->add(count, rows);
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
                                  const float *rows, int64_t count, int32_t width,
                                  int32_t threads)
{
    if (kind == FB_ANN_IVFPQ && count < least_rows)
        return fb_fail(ctx, FB_E_LIMIT,
                       "%lld vectors are too few to learn the codes of ivfpq from; it "
                       "takes %lld or more, exact and hnsw take any number",
                       static_cast<long long>(count),
                       static_cast<long long>(least_rows));
    return guard(ctx, "building", [&] {
        threads_scope scope(threads);
        auto fresh = std::make_unique<fb_ann>();
        fresh->kind = kind;
        fresh->index = kind == FB_ANN_HNSW ? make_hnsw(rows, count, width)
                                           : make_ivfpq(rows, count, width);
        *ann = fresh.release();
        return FB_OK;
    });
}

extern "C" fb_status fb_ann_write(fb_context *ctx, const fb_ann *ann, const char *path)
{
    return guard(ctx, path, [&] {
        faiss::write_index(ann->index.get(), path);
        return FB_OK;
    });
}

extern "C" fb_status fb_ann_open(fb_context *ctx, fb_ann **ann, const char *path,
                                 fb_ann_kind kind, int64_t count, int32_t width)
{
    return guard(ctx, path, [&] {
        auto fresh = std::make_unique<fb_ann>();
        fresh->kind = kind;
        fresh->index.reset(faiss::read_index(path));
        const faiss::Index *index = fresh->index.get();
        bool right = kind == FB_ANN_HNSW
                         ? dynamic_cast<const faiss::IndexHNSW *>(index) != nullptr
                         : dynamic_cast<const faiss::IndexIVFPQ *>(index) != nullptr;
        if (!right || index->ntotal != count || index->d != width)
            return fb_fail(ctx, FB_E_FORMAT,
                           "%s: not an index of %lld vectors of %d numbers", path,
                           static_cast<long long>(count), static_cast<int>(width));
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
