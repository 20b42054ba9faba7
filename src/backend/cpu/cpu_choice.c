/* cpu_choice.c - whether this processor multiplies faster in f32 or in bf16: two linear
 * layers, the first of a feed-forward of the presets base and mini, in both formats.
 *
 * Found once a machine (processor, number of threads, oneDNN's version and the
 * instructions that it uses) and kept in the cache folder; where there is none, once a
 * process.
 */
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/cpu_onednn.h"
#include "backend/format_choice.h"
#include "base/cache_folder.h"
#include "base/clock.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static const double most_s = 0.15; /* with what making the backends takes, under 0.2 */

static const struct {
    int64_t rows, in, out;
} layers[] = {{256, 768, 3072}, {512, 256, 1024}};

static fb_status try_layers(void *self, fb_context *ctx, double *flop_per_s)
{
    fb_backend *be = self;
    double flop = 0, seconds = 0;
    for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++) {
        double rate = 0, one = 2.0 * (double)layers[i].rows * (double)layers[i].in *
                               (double)layers[i].out;
        FB_TRY(cpu_gemm_rate(ctx, be, &rate, layers[i].rows, layers[i].in,
                             layers[i].out, 1, false));
        flop += one;
        seconds += one / rate;
    }
    *flop_per_s = flop / seconds;
    return FB_OK;
}

static fb_status measure(fb_context *ctx, int32_t threads, fb_format_rates *rates)
{
    fb_backend *f32 = NULL, *bf16 = NULL;
    fb_status status = cpu_backend_create(ctx, &f32, FB_F32, threads);
    if (status == FB_OK)
        status = cpu_backend_create(ctx, &bf16, FB_BF16, threads);
    if (status == FB_OK) {
        const fb_format_trial a = {f32, try_layers}, b = {bf16, try_layers};
        status = fb_format_measure(ctx, &a, &b, fb_clock_s, most_s, rates);
    }
    if (f32)
        cpu_free(f32);
    if (bf16)
        cpu_free(bf16);
    return status;
}

static void name_machine(char text[256], int32_t threads)
{
    char processor[64];
    const dnnl_version_t *v = dnnl_version();
    cpu_name(processor);
    snprintf(text, 256, "%s, %d threads, oneDNN %d.%d.%d %.40s, isa %d", processor,
             (int)threads, v->major, v->minor, v->patch, v->hash,
             (int)dnnl_get_effective_cpu_isa());
}

static fb_status find(fb_context *ctx, int32_t threads, fb_format_rates *rates)
{
    char machine[256], folder[4096];
    bool keeps = fb_cache_folder(folder);
    name_machine(machine, threads);
    if (keeps && fb_format_recall(folder, machine, rates))
        return FB_OK;
    FB_TRY(measure(ctx, threads, rates));
    if (keeps)
        fb_format_remember(folder, machine, rates);
    return FB_OK;
}

fb_status cpu_format_rates(fb_context *ctx, int32_t threads, fb_format_rates *rates)
{
    /* The machine's, whoever asks: of the last number of threads. */
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static int32_t known_threads;
    static fb_format_rates known;
    *rates = (fb_format_rates){0, 0};
    if (!fb_backend_cpu_has_bf16())
        return FB_OK;
    pthread_mutex_lock(&lock);
    /* Where bf16 cannot be tried, it is not what auto takes: nobody's failure. */
    if (known_threads != threads && find(NULL, threads, &known) != FB_OK)
        known = (fb_format_rates){0, 0};
    known_threads = threads;
    *rates = known;
    pthread_mutex_unlock(&lock);
    (void)ctx;
    return FB_OK;
}
