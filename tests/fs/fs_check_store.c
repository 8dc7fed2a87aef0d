/* SPDX-License-Identifier: Apache-2.0 */
/* usage: fs_check_store STORE
 * Walks all rows of a store that no daemon has, without changing it; prints what it counted and
 * every fault. Exit status 0: none; 4: some; 1: it could not be walked. */
#include <inttypes.h>
#include <stdio.h>

#include "fs/kvfs.h"

static void tell(void *arg, int code, const char *text)
{
    (void)arg;
    printf("fault: %s\n", text);
}

static void say(void *arg, enum kv_message_level level, const char *text)
{
    (void)arg;
    (void)level;
    fprintf(stderr, "fs_check_store: %s\n", text);
}

int main(int argc, char **argv)
{
    struct kvfs_options options = {.read_only = true, .message_fn = say};
    struct kvfs_check_counts counts = {0};
    struct kvfs *fs = NULL;
    if (argc != 2) {
        fprintf(stderr, "usage: fs_check_store STORE\n");
        return 2;
    }
    int r = kvfs_open(argv[1], &options, &fs);
    if (r == 0) {
        r = kvfs_check(fs, tell, NULL, &counts);
        int closed = kvfs_close(fs);
        r = r == 0 ? closed : r;
    }
    if (r < 0) {
        fprintf(stderr, "fs_check_store: cannot walk %s: %s\n", argv[1], kv_strerror(r));
        return 1;
    }
    printf("%" PRIu64 " inodes, %" PRIu64 " directories, %" PRIu64 " entries, %" PRIu64
           " extents, %" PRIu64 " attributes, %" PRIu64 " orphans, %" PRIu64 " faults\n",
           counts.inodes, counts.directories, counts.entries, counts.extents, counts.xattrs,
           counts.orphans, counts.faults);
    return counts.faults + counts.orphans == 0 ? 0 : 4;
}
