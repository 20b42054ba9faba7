/* test_cores.c - the CPU quota of control groups, out of made-up /proc and /sys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/cores.h"
#include "base/file.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>

/* A root of its own, with what the process's files say. */
typedef struct place {
    fb_context *ctx;
    char root[64];
} place;

static int make_place(void **state)
{
    place *p = calloc(1, sizeof *p);
    strcpy(p->root, "/tmp/fb_test_cores_XXXXXX");
    if (!mkdtemp(p->root))
        return -1;
    p->ctx = fb_context_create();
    *state = p;
    return 0;
}

static int remove_place(void **state)
{
    place *p = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", p->root);
    int removed = system(command);
    fb_context_free(p->ctx);
    free(p);
    return removed;
}

static void put(place *p, const char *name, const char *text)
{
    char path[4096], folder[4096];
    assert_int_equal(fb_path_join(p->ctx, path, p->root, name), FB_OK);
    assert_int_equal(fb_path_folder(p->ctx, folder, path), FB_OK);
    assert_int_equal(fb_folder_make(p->ctx, folder), FB_OK);
    assert_int_equal(fb_file_write(p->ctx, path, text, strlen(text)), FB_OK);
}

static void quota_is(const place *p, double wanted)
{
    double got = fb_cores_quota(p->root);
    assert_true(got > wanted - 1e-9 && got < wanted + 1e-9);
}

static const char *const V2 =
    "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 "
    "cgroup2 rw,nsdelegate\n";

static void the_least_of_the_groups_above_counts(void **state)
{
    place *p = *state;
    put(p, "proc/self/mountinfo", V2);
    put(p, "proc/self/cgroup", "0::/shop/train.slice\n");
    put(p, "sys/fs/cgroup/shop/train.slice/cpu.max", "max 100000\n");
    quota_is(p, 0);
    put(p, "sys/fs/cgroup/shop/cpu.max", "150000 100000\n");
    quota_is(p, 1.5);
    put(p, "sys/fs/cgroup/shop/train.slice/cpu.max", "400000 100000\n");
    quota_is(p, 1.5);
    put(p, "sys/fs/cgroup/shop/train.slice/cpu.max", "25000 50000\n");
    quota_is(p, 0.5);
    put(p, "sys/fs/cgroup/other/cpu.max", "1000 100000\n"); /* not on the path */
    quota_is(p, 0.5);
}

static void a_container_sees_its_group_as_the_root(void **state)
{
    place *p = *state;
    put(p, "proc/self/mountinfo", V2);
    put(p, "proc/self/cgroup", "0::/\n");
    put(p, "sys/fs/cgroup/cpu.max", "200000 100000\n");
    quota_is(p, 2);
}

static void version_1_has_two_files_and_its_own_mount(void **state)
{
    place *p = *state;
    put(p, "proc/self/mountinfo",
        "31 30 0:27 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
        "32 30 0:28 /docker/ab /sys/fs/cgroup/cpu\\040and rw - cgroup cgroup "
        "rw,cpu,cpuacct\n");
    put(p, "proc/self/cgroup",
        "3:cpuset:/elsewhere\n2:cpu,cpuacct:/docker/ab/job\n1:name=systemd:/\n0::/\n");
    put(p, "sys/fs/cgroup/cpu and/job/cpu.cfs_quota_us", "-1\n");
    put(p, "sys/fs/cgroup/cpu and/job/cpu.cfs_period_us", "100000\n");
    quota_is(p, 0);
    put(p, "sys/fs/cgroup/cpu and/cpu.cfs_quota_us", "300000\n");
    put(p, "sys/fs/cgroup/cpu and/cpu.cfs_period_us", "100000\n");
    quota_is(p, 3);
    put(p, "sys/fs/cgroup/cpu and/job/cpu.cfs_quota_us", "120000\n");
    quota_is(p, 1.2);
    /* Out of what is mounted: the mount is the group. */
    put(p, "proc/self/cgroup", "2:cpu,cpuacct:/../host\n");
    quota_is(p, 3);
}

static void what_cannot_be_read_is_no_quota(void **state)
{
    place *p = *state;
    quota_is(p, 0);
    put(p, "proc/self/cgroup", "0::/a\nnonsense\n:\n");
    quota_is(p, 0);
    put(p, "proc/self/mountinfo", "\n - \n1 2 3\n");
    quota_is(p, 0);
    put(p, "proc/self/mountinfo", V2);
    static const char *const words[] = {"",          "max", "1",    "x y",
                                        "-5 100000", "5 0", "nan 1"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        put(p, "sys/fs/cgroup/a/cpu.max", words[i]);
        quota_is(p, 0);
    }
}

static void threads_are_at_least_one_and_at_most_the_processors(void **state)
{
    (void)state;
    assert_true(fb_cores() >= 1);
    assert_true(fb_cores() <= omp_get_num_procs());
    assert_int_equal(fb_cores_or(7), 7);
    assert_int_equal(fb_cores_or(0), fb_cores());
    omp_set_num_threads(1);
    assert_int_equal(fb_cores_team(), 1);
    omp_set_num_threads(1 << 10);
    assert_int_equal(fb_cores_team(), fb_cores());
}

#define IN_A_PLACE(test) cmocka_unit_test_setup_teardown(test, make_place, remove_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_A_PLACE(the_least_of_the_groups_above_counts),
        IN_A_PLACE(a_container_sees_its_group_as_the_root),
        IN_A_PLACE(version_1_has_two_files_and_its_own_mount),
        IN_A_PLACE(what_cannot_be_read_is_no_quota),
        cmocka_unit_test(threads_are_at_least_one_and_at_most_the_processors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
