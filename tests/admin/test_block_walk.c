/* SPDX-License-Identifier: Apache-2.0 */
/* A bad sector costs the blocks that lie in it, and none of their neighbours. */
#include "tests/lib/check_main.h"

#include "kvcore/admin/block_walk.h"
#include "kvcore/util/checksum.h"
#include "tests/table/table_lib.h"

enum { ROWS = 4000, SECTOR = 4096, BLOCKS_MAX = 1000 };

/* A table, and which of its bytes the device cannot read. */
struct fixture {
    struct kv_storage *storage;
    struct kv_storage_ops ops;
    const struct kv_storage_ops *real;
    struct model model;
    struct kv_object *object;
    uint64_t from, to; /* cannot be read */
    uint64_t mangled;  /* offset of a byte that is read wrongly; 0: none */
    uint64_t found[BLOCKS_MAX], sizes[BLOCKS_MAX];
    unsigned count;
    uint64_t next; /* where the next block or gap begins */
};

static struct fixture f;

static int faulty_read(struct kv_object *object, uint64_t offset, void *to, size_t size,
                       size_t *ret_got)
{
    if (offset < f.to && offset + size > f.from) {
        return -EIO;
    }
    int r = f.real->object_read(object, offset, to, size, ret_got);
    if (r == 0 && f.mangled != 0 && offset <= f.mangled && f.mangled - offset < *ret_got) {
        ((uint8_t *)to)[f.mangled - offset] ^= 1;
    }
    return r;
}

static void start(void)
{
    const struct table_builder_options options = small_blocks(CODEC_NONE);
    const struct model_shape shape = {
        .tail_max = 12, .letters = 5, .value_max = 40, .sequence_max = 300};
    struct rng rng = {test_seed()};

    f = (struct fixture){0};
    ck_ok(kv_storage_mem_create(&f.storage));
    f.model = model_create(&rng, &shape, ROWS);
    write_table(f.storage, &f.model, &options);
    ck_ok(f.storage->ops->object_open(f.storage, (struct kv_file_id){KV_FILE_TABLE, TEST_TABLE},
                                      &f.object));
    f.real = f.storage->ops;
    f.ops = *f.real;
    f.ops.object_read = faulty_read;
    f.storage->ops = &f.ops;
}

static void stop(void)
{
    f.storage->ops = f.real;
    f.real->object_close(f.object);
    kv_storage_mem_destroy(f.storage);
    model_finish(&f.model);
}

static int note_block(void *arg, struct walked_block *block)
{
    (void)arg;
    ck_assert_uint_eq(block->offset, f.next); /* nothing is left out, nothing comes twice */
    f.next += block->size;
    if (block->content != NULL) {
        ck_assert_uint_lt(f.count, BLOCKS_MAX);
        f.found[f.count] = block->offset;
        f.sizes[f.count++] = block->size;
    }
    return 0;
}

static void walk_all(void)
{
    const struct block_walk walk = {.storage = f.storage,
                                    .object = f.object,
                                    .file_seed =
                                        checksum_file_seed(TEST_SEED, KV_FILE_TABLE, TEST_TABLE),
                                    .end = f.real->object_size(f.object),
                                    .block_fn = note_block};
    f.count = 0;
    f.next = 0;
    ck_ok(block_walk(&walk));
    ck_assert_uint_eq(f.next, walk.end);
}

START_TEST(a_bad_sector_costs_only_the_blocks_in_it)
{
    uint64_t all[BLOCKS_MAX], sizes[BLOCKS_MAX];
    start();
    walk_all();
    unsigned count = f.count;
    memcpy(all, f.found, sizeof all);
    memcpy(sizes, f.sizes, sizeof sizes);
    uint64_t end = all[count - 1];
    ck_assert_uint_gt(end, 24 * SECTOR);
    for (uint64_t bad = 0; bad + SECTOR < end; bad += SECTOR) {
        f.from = bad;
        f.to = bad + SECTOR;
        /* Behind a header that is none the walk has to search, far before the bad sector too. */
        unsigned lame = count / 20;
        f.mangled = all[lame];
        walk_all();
        unsigned seen = 0;
        for (unsigned i = 0; i < count; i++) {
            bool lost = i == lame || (all[i] < f.to && all[i] + sizes[i] > f.from);
            bool found = seen < f.count && f.found[seen] == all[i];
            ck_assert_msg(found == !lost,
                          "bad at %" PRIu64 ": the block at %" PRIu64 " was %sfound (seed %" PRIu64
                          ")",
                          bad, all[i], found ? "" : "not ", test_seed());
            seen += found;
        }
        ck_assert_uint_eq(seen, f.count);
    }
    stop();
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("block_walk");
    suite_add(s, "sectors", a_bad_sector_costs_only_the_blocks_in_it);
    return s;
}
