/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/bench/bench_fs_mixed.h"

#include <fcntl.h>
#include <stdio.h>

#include "kvcore/util/rng.h"
#include "tools/bench/bench_fs_ops.h"
#include "tools/bench/bench_process.h"

enum { DRAWS = 1024, NS_PER_S = 1000000000 };

static void name_synced(struct bench_fs_thread *t)
{
    snprintf(t->name, sizeof t->name, "t%u/synced", t->index);
}

/* A file of a MiB is written again and synced, as editors and databases do. */
static int write_and_sync(struct bench_fs_thread *t)
{
    name_synced(t);
    int fd = bench_fs_open(t, O_WRONLY | O_CREAT | O_TRUNC);
    if (fd < 0) {
        return fd;
    }
    int r = bench_fs_write(t, fd, BENCH_FS_STREAM_STEP);
    r = r == 0 ? bench_fs_sync(t, fd) : r;
    return bench_fs_close(t, fd, r);
}

static int replace(struct bench_fs_thread *t)
{
    int r = bench_fs_unlink_one(t);
    return r == 0 ? bench_fs_create_one(t) : r;
}

/* There and back, so that every file has the name that all expect. */
static int rename_twice(struct bench_fs_thread *t)
{
    int r = bench_fs_rename_one(t);
    return r == 0 ? bench_fs_rename_one(t) : r;
}

/* Half of the steps change nothing. */
static int step(struct bench_fs_thread *t, unsigned draw)
{
    if (draw < 384) {
        return bench_fs_read_one(t);
    }
    if (draw < 512) {
        return bench_fs_stat_one(t);
    }
    if (draw < 704) {
        return bench_fs_overwrite_one(t);
    }
    if (draw < 896) {
        return replace(t);
    }
    return draw < DRAWS - 1 ? rename_twice(t) : write_and_sync(t);
}

int bench_fs_run_mixed(struct bench_fs_thread *t)
{
    const struct bench_fs_config *config = bench_fs_config_of(t);
    uint64_t count = bench_fs_share(config, t->index);
    uint64_t began_ns = t->clock_ns;
    uint64_t part_ns = config->seconds * NS_PER_S / BENCH_PARTS;
    struct rng rng = {.state = t->index + 1};
    unsigned part = 0;
    int r = 0;
    while (r == 0 && count > 0 && part < BENCH_PARTS) {
        bench_fs_name(config, t->index, rng_below(&rng, count), t->run->letter, t->name);
        r = step(t, (unsigned)rng_below(&rng, DRAWS));
        r = r == 0 ? bench_fs_finish_op(t, 1) : r;
        t->part_done[part] += r == 0;
        for (; part < BENCH_PARTS && t->clock_ns - began_ns >= (part + 1) * part_ns; part++) {
            t->part_resident_bytes[part] =
                t->index == 0 ? bench_process_resident_bytes(config->daemon) : 0;
        }
    }
    if (r == 0) {
        name_synced(t);
        r = bench_fs_unlink_one(t);
        r = r == -ENOENT ? 0 : r; /* it never came to that step */
    }
    return r;
}
