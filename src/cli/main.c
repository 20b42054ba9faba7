/* main.c - the command: find the verb, read its options, run it, say how it ended.
 *
 * Exit status: 0 done, 1 failed, 2 misused. Results go to stdout; on failure one
 * sentence, "fashionbert: ...", goes to stderr.
 */
#include "base/nearest.h"
#include "cli/help.h"
#include "cli/verbs.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define VERB_ADDRESS(name) &fb_verb_##name,
static const fb_verb *const verbs[] = {FB_VERB_MAP(VERB_ADDRESS)};
#undef VERB_ADDRESS
enum { VERBS = sizeof verbs / sizeof verbs[0] };

static const fb_verb *find_verb(const char *name)
{
    for (int32_t i = 0; i < VERBS; i++)
        if (strcmp(verbs[i]->name, name) == 0)
            return verbs[i];
    return NULL;
}

static fb_status fail_unknown_verb(fb_context *ctx, const char *word)
{
    const char *names[VERBS + 1];
    for (int32_t i = 0; i < VERBS; i++)
        names[i] = verbs[i]->name;
    names[VERBS] = "help";
    const char *nearest = fb_nearest_name(word, names, VERBS + 1, sizeof names[0]);
    if (nearest)
        return fb_fail(ctx, FB_E_USAGE, "unknown verb \"%s\"; did you mean %s?", word,
                       nearest);
    return fb_fail(ctx, FB_E_USAGE,
                   "unknown verb \"%s\"; `fashionbert help` lists the right ones",
                   word);
}

static fb_status print_help_of(fb_context *ctx, fb_arena *arena, const fb_verb *verb)
{
    void *arguments = fb_verb_arguments(verb, arena);
    if (!arguments)
        return fb_fail(ctx, FB_E_MEMORY, "out of memory");
    fb_help_verb(stdout, verb, arguments);
    return FB_OK;
}

static fb_status print_man(fb_context *ctx, fb_arena *arena)
{
    void *arguments[VERBS];
    for (int32_t i = 0; i < VERBS; i++)
        if (!(arguments[i] = fb_verb_arguments(verbs[i], arena)))
            return fb_fail(ctx, FB_E_MEMORY, "out of memory");
    fb_help_man(stdout, verbs, arguments, VERBS);
    return FB_OK;
}

/* help | help VERB | help --man */
static fb_status run_help(fb_context *ctx, fb_arena *arena, int count, char **words)
{
    if (count == 0) {
        fb_help_usage(stdout, verbs, VERBS);
        return FB_OK;
    }
    if (count > 1)
        return fb_fail(ctx, FB_E_USAGE, "help takes one verb or --man, not also \"%s\"",
                       words[1]);
    if (strcmp(words[0], "--man") == 0)
        return print_man(ctx, arena);
    const fb_verb *verb = find_verb(words[0]);
    return verb ? print_help_of(ctx, arena, verb) : fail_unknown_verb(ctx, words[0]);
}

static fb_status run_verb(fb_context *ctx, fb_arena *arena, int count, char **words)
{
    bool help = false;
    const fb_verb *verb = find_verb(words[0]);
    if (!verb)
        return fail_unknown_verb(ctx, words[0]);
    void *arguments = fb_verb_arguments(verb, arena);
    if (!arguments)
        return fb_fail(ctx, FB_E_MEMORY, "out of memory");
    FB_TRY(fb_options_parse(ctx, verb, arguments, arena, count - 1, words + 1, &help));
    return help ? print_help_of(ctx, arena, verb) : verb->run(ctx, arguments);
}

static fb_status run(fb_context *ctx, fb_arena *arena, int count, char **words)
{
    if (strcmp(words[0], "--version") == 0) {
        printf("fashionbert %s\n", FB_VERSION);
        return FB_OK;
    }
    if (strcmp(words[0], "--help") == 0 || strcmp(words[0], "-h") == 0)
        return run_help(ctx, arena, 0, NULL);
    if (strcmp(words[0], "help") == 0)
        return run_help(ctx, arena, count - 1, words + 1);
    return run_verb(ctx, arena, count, words);
}

/* One line, whatever control characters the input that it names may hold. */
static void print_failure(const char *message)
{
    fputs("fashionbert: ", stderr);
    for (const char *c = message; *c; c++)
        fputc((unsigned char)*c < ' ' || *c == 127 ? '?' : *c, stderr);
    fputc('\n', stderr);
}

/* OpenMP's threads spin where they wait for each other, and then take the turns of the
 * threads that load batches and of other programs: on two busy cores a training step
 * took three to eight times longer. The runtime reads how to wait before main begins,
 * so the command starts itself over with that said, unless the user has said how. */
static void wait_without_spinning(char **argv)
{
    if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT"))
        return;
    if (setenv("OMP_WAIT_POLICY", "passive", 0) == 0)
        execv("/proc/self/exe", argv); /* where that fails, it only runs slower */
}

/* For ps, top and killall: started over, the process would be called "exe". */
static void take_name(const char *command)
{
    const char *slash = command ? strrchr(command, '/') : NULL;
    if (command && *command)
        (void)prctl(PR_SET_NAME, slash ? slash + 1 : command, 0, 0, 0);
}

/* A mapped file became shorter while it was read, or its disk failed. */
static void end_on_lost_page(int number)
{
    static const char sentence[] =
        "fashionbert: a file that is in use was cut short, or its disk failed\n";
    (void)number;
    if (write(STDERR_FILENO, sentence, sizeof sentence - 1) < 0)
        _exit(2);
    _exit(1);
}

int main(int argc, char **argv)
{
    wait_without_spinning(argv);
    take_name(argv[0]);
    /* A reader that goes away shows as a failed write, and is told like any other. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGBUS, end_on_lost_page);
    if (argc < 2) {
        fb_help_usage(stderr, verbs, VERBS);
        return 2;
    }
    fb_context *ctx = fb_context_create();
    fb_arena *arena = fb_arena_create(1 << 14);
    if (!ctx || !arena) {
        print_failure("out of memory");
        fb_arena_free(arena);
        fb_context_free(ctx);
        return 1;
    }
    fb_status status = run(ctx, arena, argc - 1, argv + 1);
    errno = 0;
    if (status == FB_OK && (fflush(stdout) != 0 || ferror(stdout)))
        status = fb_fail(ctx, FB_E_IO, "standard output could not be written: %s",
                         strerror(errno ? errno : EIO));
    if (status != FB_OK)
        print_failure(fb_context_message(ctx));
    fb_arena_free(arena);
    fb_context_free(ctx);
    int code = status == FB_OK ? 0 : status == FB_E_USAGE ? 2 : 1;
    struct rlimit space;
    bool little = getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY;
    if (status == FB_E_MEMORY || little) { /* OpenBLAS' threads may ask for theirs for
                                              ever, and exit() would wait for them */
        (void)fflush(NULL);
        _exit(code);
    }
    return code;
}
