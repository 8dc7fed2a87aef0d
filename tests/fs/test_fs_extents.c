/* SPDX-License-Identifier: Apache-2.0 */
/* Extents as they are stored, lost ones, shared ones, and random operations on one file against an
 * array of bytes. */
#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/core/contents.h"
#include "kvcore/util/rng.h"
#include "tests/fs/fs_check.h"
#include "tests/fs/fs_fixture.h"

enum { ROOT = KVFS_ROOT_INO, CHUNK = FORMAT_CHUNK_BYTES, LOST_TEXT_SIZE = 1024 };

static void set_size(struct fs_fixture *f, uint64_t ino, uint64_t size)
{
    struct kvfs_entry e;
    struct stat attr = {.st_size = (off_t)size};
    ck_ok(kvfs_setattr(f->fs, ino, &attr, KVFS_SET_SIZE, &e));
}

static void write_bytes(struct fs_fixture *f, uint64_t ino, uint64_t offset, uint8_t byte,
                        size_t size)
{
    uint8_t *bytes = malloc(size);
    memset(bytes, byte, size);
    ck_ok(kvfs_write(f->fs, ino, offset, kv_slice(bytes, size), false, false));
    free(bytes);
}

/* The range is all of `byte`. */
static void check_bytes(struct fs_fixture *f, uint64_t ino, uint64_t offset, uint8_t byte,
                        size_t size)
{
    struct kv_buf buf = {0};
    ck_ok(kvfs_read(f->fs, ino, offset, size, &buf));
    ck_assert_uint_eq(buf.size, size);
    for (size_t i = 0; i < size; i++) {
        if (buf.data[i] != byte) {
            ck_abort_msg("byte %zu is %u, not %u", offset + i, buf.data[i], byte);
        }
    }
    kv_buf_finish(&buf);
}

static void check_lost(struct fs_fixture *f, uint64_t ino, uint64_t offset, size_t size)
{
    struct kv_buf buf = {0};
    ck_fails(kvfs_read(f->fs, ino, offset, size, &buf), EIO);
    kv_buf_finish(&buf);
}

/* Behind the filesystem's back, as a repair does. */
static void lose_row(struct fs_fixture *f, uint64_t ino, uint64_t end)
{
    struct kv_batch *batch = NULL;
    struct rowkey key;
    rowkey_extent(&key, ino, end);
    ck_ok(kv_batch_create(&batch));
    ck_ok(kv_batch_put_lost(batch, fixture_table(f, "data"), rowkey_slice(&key)));
    ck_ok(kv_write(kvfs_store(f->fs), batch, KV_DURABLE_WRITE));
    kv_batch_destroy(batch);
}

static uint64_t count_extents(struct fs_fixture *f)
{
    return fixture_count_rows(f, "data", ROW_EXTENT);
}

static void punch(struct fs_fixture *f, uint64_t ino, uint64_t offset, uint64_t size)
{
    ck_ok(kvfs_fallocate(f->fs, ino, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, size));
}

/* ---- what is stored ---------------------------------------------------------------------------
 */

START_TEST(an_extent_is_its_bytes_under_the_offset_of_its_end)
{
    static const uint8_t key[] = {'B', 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0x80, 5};
    struct fs_fixture f;
    struct kv_buf value = {0};
    fixture_open(&f);
    uint64_t ino = fixture_file(&f, ROOT, "f");
    ck_assert_uint_eq(ino, 16);
    fixture_write(&f, ino, CHUNK, "hello");
    ck_ok(kv_get_copy(fixture_table(&f, "data"), NULL, kv_slice(key, sizeof key), &value));
    ck_assert(kv_slice_equal(kv_buf_slice(&value), kv_slice_str("hello")));
    kv_buf_finish(&value);
    fixture_close(&f);
}
END_TEST

START_TEST(an_overwrite_cuts_the_extent_and_leaves_its_rest)
{
    struct fs_fixture f;
    fixture_open(&f);
    uint64_t ino = fixture_file(&f, ROOT, "f");
    write_bytes(&f, ino, 0, 'a', CHUNK);
    write_bytes(&f, ino, 8192, 'b', 4096);
    ck_assert_uint_eq(count_extents(&f), 3);
    check_bytes(&f, ino, 0, 'a', 8192);
    check_bytes(&f, ino, 8192, 'b', 4096);
    check_bytes(&f, ino, 12288, 'a', CHUNK - 12288);
    write_bytes(&f, ino, 0, 'c', CHUNK);
    ck_assert_uint_eq(count_extents(&f), 1);
    check_bytes(&f, ino, 0, 'c', CHUNK);
    fixture_close(&f);
}
END_TEST

START_TEST(appends_make_few_extents_and_one_of_a_full_chunk)
{
    struct fs_fixture f;
    fixture_open(&f);
    uint64_t ino = fixture_file(&f, ROOT, "log");
    for (unsigned at = 0; at < CHUNK; at += 128) {
        write_bytes(&f, ino, at, (uint8_t)(1 + at / 128), 128);
        ck_assert_uint_le(count_extents(&f), CHUNK_PIECES_MAX);
    }
    ck_assert_uint_eq(count_extents(&f), 1);
    check_bytes(&f, ino, 128 * 77, 78, 128);
    fixture_close(&f);
}
END_TEST

START_TEST(overwriting_pages_of_a_full_chunk_joins_nothing)
{
    struct fs_fixture f;
    struct kv_stats before;
    struct kv_stats after;
    fixture_open(&f);
    uint64_t ino = fixture_file(&f, ROOT, "f");
    write_bytes(&f, ino, 0, 'a', CHUNK);
    for (unsigned at = 0; at < CHUNK; at += 4096) {
        write_bytes(&f, ino, at, 'b', 4096);
    }
    ck_assert_uint_eq(count_extents(&f), CHUNK / 4096);
    kv_stats(kvfs_store(f.fs), &before);
    write_bytes(&f, ino, CHUNK - 4096, 'c', 4096);
    kv_stats(kvfs_store(f.fs), &after);
    ck_assert_uint_lt(after.bytes_written_user - before.bytes_written_user, 4096 + 300);
    fixture_close(&f);
}
END_TEST

/* ---- lost extents -----------------------------------------------------------------------------
 */

START_TEST(a_lost_extent_is_an_error_to_read_and_nothing_else_is)
{
    struct fs_fixture f;
    uint64_t at;
    fixture_open(&f);
    uint64_t ino = fixture_file(&f, ROOT, "f");
    write_bytes(&f, ino, 0, 'a', 3 * CHUNK);
    lose_row(&f, ino, 2 * CHUNK);
    check_bytes(&f, ino, 0, 'a', CHUNK);
    check_lost(&f, ino, CHUNK - 1, 2);
    check_lost(&f, ino, 2 * CHUNK - 1, 1);
    check_bytes(&f, ino, 2 * CHUNK, 'a', CHUNK);
    ck_ok(kvfs_seek(f.fs, ino, 0, SEEK_HOLE, &at));
    ck_assert_uint_eq(at, 3 * CHUNK);
    ck_assert_uint_gt(f.damage_messages, 0);
    ck_ok(kvfs_unlink(f.fs, ROOT, "f"));
    ck_assert_uint_eq(count_extents(&f), 0);
    fixture_close(&f);
}
END_TEST

START_TEST(overwriting_a_part_of_a_lost_extent_clears_that_part)
{
    struct fs_fixture f;
    fixture_open(&f);
    uint64_t ino = fixture_file(&f, ROOT, "f");
    write_bytes(&f, ino, 0, 'a', CHUNK);
    lose_row(&f, ino, CHUNK);
    write_bytes(&f, ino, 1000, 'b', 5000);
    check_bytes(&f, ino, 1000, 'b', 5000);
    check_lost(&f, ino, 999, 1);
    check_lost(&f, ino, 6000, 1);
    write_bytes(&f, ino, 0, 'c', 1000);
    write_bytes(&f, ino, 6000, 'd', CHUNK - 6000);
    check_bytes(&f, ino, 0, 'c', 1000);
    check_bytes(&f, ino, 6000, 'd', CHUNK - 6000);
    fixture_close(&f);
}
END_TEST

START_TEST(punching_a_part_of_a_lost_extent_clears_that_part_only)
{
    struct fs_fixture f;
    fixture_open(&f);
    uint64_t ino = fixture_file(&f, ROOT, "f");
    write_bytes(&f, ino, 2000, 'b', CHUNK - 2000);
    write_bytes(&f, ino, 0, 'a', 2000);
    lose_row(&f, ino, CHUNK);
    punch(&f, ino, 500, 1500); /* up to the lost extent, which does not grow for that */
    check_bytes(&f, ino, 0, 'a', 500);
    check_bytes(&f, ino, 500, 0, 1500);
    check_lost(&f, ino, 2000, 1);
    punch(&f, ino, 3000, 1000);
    check_bytes(&f, ino, 3000, 0, 1000);
    check_lost(&f, ino, 2999, 1);
    check_lost(&f, ino, 4000, 1);
    punch(&f, ino, 0, CHUNK);
    check_bytes(&f, ino, 0, 0, CHUNK);
    ck_assert_uint_eq(count_extents(&f), 0);
    ck_assert_int_eq(fixture_stat(&f, ino).stat.st_blocks, 0);
    fixture_close(&f);
}
END_TEST

START_TEST(truncating_a_lost_extent_keeps_what_is_before)
{
    struct fs_fixture f;
    fixture_open(&f);
    uint64_t ino = fixture_file(&f, ROOT, "f");
    write_bytes(&f, ino, 0, 'a', 3 * CHUNK);
    lose_row(&f, ino, 2 * CHUNK);
    lose_row(&f, ino, 3 * CHUNK);
    set_size(&f, ino, CHUNK + 10);
    check_lost(&f, ino, CHUNK + 9, 1);
    set_size(&f, ino, CHUNK + 20);
    check_lost(&f, ino, CHUNK + 9, 1);
    check_bytes(&f, ino, CHUNK + 10, 0, 10);
    set_size(&f, ino, CHUNK);
    check_bytes(&f, ino, 0, 'a', CHUNK);
    fixture_close(&f);
}
END_TEST

static bool is_first = true;

/* "NAME FROM TO" of each, joined by commas; stops behind a range of more than ten chunks. */
static int add_range(void *arg, const struct kvfs_lost_range *range)
{
    char *text = arg;
    size_t size = strlen(text);
    snprintf(text + size, LOST_TEXT_SIZE - size, "%s%.*s %" PRIu64 " %" PRIu64,
             is_first ? "" : ", ", (int)range->path.size,
             range->path.size > 0 ? (const char *)range->path.data : "", range->from, range->to);
    is_first = false;
    return range->to - range->from > 10 * CHUNK ? 7 : 0;
}

static void expect_lost(struct fs_fixture *f, const char *wanted, int result)
{
    char text[LOST_TEXT_SIZE] = "";
    is_first = true;
    ck_assert_int_eq(kvfs_lost_ranges(f->fs, add_range, text), result);
    ck_assert_str_eq(text, wanted);
}

START_TEST(lost_ranges_are_listed_with_a_name_of_their_file)
{
    struct fs_fixture f;
    struct rowkey key;
    fixture_open(&f);
    uint64_t dir = fixture_dir(&f, ROOT, "d");
    uint64_t a = fixture_file(&f, dir, "a");
    uint64_t sound = fixture_file(&f, ROOT, "sound");
    uint64_t nameless = fixture_file(&f, ROOT, "n");
    uint64_t large = fixture_file(&f, ROOT, "large");
    write_bytes(&f, a, 0, 'a', 4 * CHUNK);
    write_bytes(&f, sound, 0, 'a', CHUNK);
    write_bytes(&f, nameless, 0, 'a', 100);
    write_bytes(&f, large, 0, 'a', 13 * CHUNK);
    expect_lost(&f, "", 0);
    lose_row(&f, a, CHUNK);
    lose_row(&f, a, 2 * CHUNK);
    lose_row(&f, a, 4 * CHUNK);
    lose_row(&f, nameless, 100);
    expect_lost(&f, "d/a 0 65536, d/a 98304 131072, n 0 100", 0);
    write_bytes(&f, a, 0, 'b', 4096); /* what is written again is lost no more */
    expect_lost(&f, "d/a 4096 65536, d/a 98304 131072, n 0 100", 0);
    rowkey_backptr(&key, nameless);
    struct kv_buf backptr = {0};
    ck_ok(kv_get_copy(fixture_table(&f, "meta"), NULL, rowkey_slice(&key), &backptr));
    ck_ok(kv_delete(fixture_table(&f, "meta"), rowkey_slice(&key), KV_DURABLE_WRITE));
    for (uint64_t i = 1; i < 12; i++) {
        lose_row(&f, large, i * CHUNK);
    }
    lose_row(&f, large, 13 * CHUNK);
    expect_lost(&f, "d/a 4096 65536, d/a 98304 131072,  0 100, large 0 360448", 7);
    ck_ok(kv_put(fixture_table(&f, "meta"), rowkey_slice(&key), kv_buf_slice(&backptr),
                 KV_DURABLE_WRITE));
    kv_buf_finish(&backptr);
    fixture_close(&f);
}
END_TEST

START_TEST(a_row_that_makes_no_sense_can_be_overwritten)
{
    struct fs_fixture f;
    struct rowkey key;
    uint8_t *bytes = calloc(1, CHUNK + 5);
    fixture_open(&f);
    uint64_t ino = fixture_file(&f, ROOT, "f");
    write_bytes(&f, ino, 0, 'a', 2 * CHUNK);
    rowkey_extent(&key, ino, 2 * CHUNK);
    ck_ok(kv_put(fixture_table(&f, "data"), rowkey_slice(&key), kv_slice(bytes, CHUNK + 5),
                 KV_DURABLE_WRITE));
    check_bytes(&f, ino, 0, 'a', CHUNK);
    check_lost(&f, ino, CHUNK, 1);
    write_bytes(&f, ino, CHUNK, 'b', CHUNK);
    check_bytes(&f, ino, CHUNK, 'b', CHUNK);
    free(bytes);
    fixture_close(&f);
}
END_TEST

/* ---- copying ----------------------------------------------------------------------------------
 */

static uint64_t copy(struct fs_fixture *f, const struct kvfs_copy *range)
{
    uint64_t copied = 0;
    ck_ok(kvfs_copy_range(f->fs, range, &copied));
    return copied;
}

START_TEST(a_copied_range_is_equal_and_its_own)
{
    struct fs_fixture f;
    fixture_open(&f);
    uint64_t in = fixture_file(&f, ROOT, "in");
    uint64_t out = fixture_file(&f, ROOT, "out");
    write_bytes(&f, in, 0, 'a', 4 * CHUNK);
    punch(&f, in, CHUNK, CHUNK);
    write_bytes(&f, out, 0, 'z', 3 * CHUNK);
    struct kvfs_copy range = {.ino_in = in, .ino_out = out, .size = 10 * CHUNK};
    ck_assert_uint_eq(copy(&f, &range), 4 * CHUNK);
    write_bytes(&f, in, 0, 'b', 4 * CHUNK);
    check_bytes(&f, out, 0, 'a', CHUNK);
    check_bytes(&f, out, CHUNK, 0, CHUNK);
    check_bytes(&f, out, 2 * CHUNK, 'a', 2 * CHUNK);
    ck_assert_int_eq(fixture_stat(&f, out).stat.st_size, 4 * CHUNK);
    ck_assert_int_eq(fixture_stat(&f, out).stat.st_blocks, 3 * CHUNK / 512);
    fixture_close(&f);
}
END_TEST

START_TEST(copying_has_the_limits_and_errors_of_the_system_call)
{
    struct fs_fixture f;
    uint64_t copied = 7;
    fixture_open(&f);
    uint64_t in = fixture_file(&f, ROOT, "in");
    uint64_t dir = fixture_dir(&f, ROOT, "dir");
    write_bytes(&f, in, 0, 'a', 2 * CHUNK);
    struct kvfs_copy range = {.ino_in = in, .ino_out = in, .offset_out = 100, .size = 200};
    ck_fails(kvfs_copy_range(f.fs, &range, &copied), EINVAL);
    range = (struct kvfs_copy){.ino_in = dir, .ino_out = in, .size = 1};
    ck_fails(kvfs_copy_range(f.fs, &range, &copied), EISDIR);
    range = (struct kvfs_copy){.ino_in = in, .ino_out = dir, .size = 1};
    ck_fails(kvfs_copy_range(f.fs, &range, &copied), EISDIR);
    range = (struct kvfs_copy){
        .ino_in = in, .ino_out = in, .offset_out = KVFS_FILE_SIZE_MAX, .size = 1};
    ck_fails(kvfs_copy_range(f.fs, &range, &copied), EFBIG);
    ck_assert_uint_eq(copied, 7);
    range = (struct kvfs_copy){.ino_in = in, .offset_in = 2 * CHUNK, .ino_out = in, .size = 1};
    ck_assert_uint_eq(copy(&f, &range), 0);
    lose_row(&f, in, CHUNK);
    range =
        (struct kvfs_copy){.ino_in = in, .ino_out = in, .offset_out = 4 * CHUNK, .size = 2 * CHUNK};
    ck_fails(kvfs_copy_range(f.fs, &range, &copied), EIO);
    ck_assert_int_eq(fixture_stat(&f, in).stat.st_size, 2 * CHUNK);
    write_bytes(&f, in, 0, 'a', CHUNK);
    fixture_close(&f);
}
END_TEST

/* ---- random -----------------------------------------------------------------------------------
 */

enum { FILE_MAX = 6 * CHUNK };

/* A byte of the file, or that it is lost. */
enum { LOST = 256 };

struct model {
    struct fs_fixture f;
    struct rng rng;
    uint64_t ino, size;
    uint16_t bytes[FILE_MAX];
    bool loses;
    uint64_t refused; /* holes that were not made */
};

/* As its entry says; behind the filesystem's back that says afterwards that holes are lost below
 * `lost_below`, unless it is NULL. Then the filesystem must be opened again. */
static struct inode stored_inode(struct fs_fixture *f, const uint64_t *lost_below)
{
    uint8_t bytes[DIRENT_SIZE_MAX];
    struct kv_table *meta = fixture_table(f, "meta");
    struct kv_buf old = {0};
    struct dir_entry entry;
    struct rowkey key;
    rowkey_dirent(&key, ROOT, kv_slice_str("f"));
    ck_ok(kv_get_copy(meta, NULL, rowkey_slice(&key), &old));
    ck_ok(dirent_decode(kv_buf_slice(&old), &entry));
    if (lost_below != NULL) {
        fixture_put_lost_below(f);
        entry.inode.lost_below = *lost_below;
        size_t size = dirent_encode_inode(bytes, entry.ino, &entry.inode);
        ck_ok(kv_put(meta, rowkey_slice(&key), kv_slice(bytes, size), KV_DURABLE_WRITE));
    }
    kv_buf_finish(&old);
    return entry.inode;
}

static uint64_t pick(struct model *m, uint64_t bound)
{
    return rng_below(&m->rng, bound);
}

static uint64_t pick_offset(struct model *m)
{
    switch (pick(m, 5)) {
    case 0:
        return m->size < FILE_MAX ? m->size : 0;
    case 1:
        return pick(m, FILE_MAX / 4096) * 4096;
    case 2:
        return pick(m, FILE_MAX / CHUNK) * CHUNK;
    case 3:
        return pick(m, 2000);
    default:
        return pick(m, FILE_MAX);
    }
}

static uint64_t pick_size(struct model *m, uint64_t offset)
{
    uint64_t size;
    switch (pick(m, 5)) {
    case 0:
        size = 4096 * (1 + pick(m, 4));
        break;
    case 1:
        size = CHUNK * (1 + pick(m, 3));
        break;
    case 2:
        size = 1 + pick(m, 60000);
        break;
    default:
        size = 1 + pick(m, 300);
        break;
    }
    return offset + size > FILE_MAX ? FILE_MAX - offset : size;
}

static bool has_lost(const struct model *m, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to && i < m->size; i++) {
        if (m->bytes[i] == LOST) {
            return true;
        }
    }
    return false;
}

static void grow(struct model *m, uint64_t size)
{
    m->size = m->size > size ? m->size : size;
}

static void op_write(struct model *m)
{
    static uint8_t bytes[FILE_MAX];
    uint64_t offset = pick_offset(m);
    uint64_t size = pick_size(m, offset);
    bool random = pick(m, 2) == 0;
    uint8_t byte = (uint8_t)(1 + pick(m, 255));
    for (uint64_t i = 0; i < size; i++) {
        bytes[i] = random ? (uint8_t)(1 + pick(m, 255)) : byte;
        m->bytes[offset + i] = bytes[i];
    }
    ck_ok(kvfs_write(m->f.fs, m->ino, offset, kv_slice(bytes, size), false, false));
    grow(m, offset + size);
}

static void op_append(struct model *m)
{
    uint8_t bytes[700];
    uint64_t size = 1 + pick(m, sizeof bytes);
    if (m->size + size > FILE_MAX) {
        return;
    }
    for (uint64_t i = 0; i < size; i++) {
        m->bytes[m->size + i] = bytes[i] = (uint8_t)(1 + pick(m, 255));
    }
    ck_ok(kvfs_write(m->f.fs, m->ino, 3, kv_slice(bytes, size), true, false));
    m->size += size;
}

static void clear(struct model *m, uint64_t from, uint64_t to)
{
    memset(m->bytes + from, 0, (to - from) * sizeof m->bytes[0]);
}

static void op_truncate(struct model *m)
{
    uint64_t size = pick_offset(m);
    set_size(&m->f, m->ino, size);
    clear(m, size, FILE_MAX);
    m->size = size;
}

static void op_allocate(struct model *m)
{
    static const int modes[] = {0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
    int mode = modes[pick(m, 5)];
    uint64_t offset = pick_offset(m);
    uint64_t size = pick_size(m, offset);
    bool punches = (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0;
    bool refused = punches && offset + size < stored_inode(&m->f, NULL).lost_below;
    ck_assert_int_eq(kvfs_fallocate(m->f.fs, m->ino, mode, offset, size),
                     refused ? -EOPNOTSUPP : 0);
    m->refused += refused;
    if (refused) {
        return;
    }
    if (punches) {
        clear(m, offset, offset + size);
    }
    if ((mode & FALLOC_FL_KEEP_SIZE) == 0) {
        grow(m, offset + size);
    }
}

static void op_copy(struct model *m)
{
    struct kvfs_copy range = {.ino_in = m->ino,
                              .offset_in = pick_offset(m),
                              .ino_out = m->ino,
                              .offset_out = pick_offset(m)};
    uint64_t far = range.offset_in > range.offset_out ? range.offset_in : range.offset_out;
    uint64_t copied = 0;
    range.size = pick_size(m, far);
    uint64_t expected = m->size > range.offset_in ? m->size - range.offset_in : 0;
    expected = expected < range.size ? expected : range.size;
    int r = kvfs_copy_range(m->f.fs, &range, &copied);
    if (range.offset_in < range.offset_out + expected &&
        range.offset_out < range.offset_in + expected) {
        ck_fails(r, EINVAL);
        return;
    }
    if (has_lost(m, range.offset_in, range.offset_in + expected)) {
        ck_fails(r, EIO);
        return;
    }
    ck_ok(r);
    ck_assert_uint_eq(copied, expected);
    memcpy(m->bytes + range.offset_out, m->bytes + range.offset_in, copied * sizeof m->bytes[0]);
    if (copied > 0) {
        grow(m, range.offset_out + copied);
    }
}

/* What was read from `offset` on. (An assertion for each byte would take most of the time.) */
static void compare(const struct model *m, const struct kv_buf *buf, uint64_t offset)
{
    for (uint64_t i = 0; i < buf->size; i++) {
        if (buf->data[i] != m->bytes[offset + i]) {
            ck_abort_msg("byte %" PRIu64 " is %u, not %u (seed %" PRIu64 ")", offset + i,
                         buf->data[i], m->bytes[offset + i], test_seed());
        }
    }
}

static void op_read(struct model *m)
{
    struct kv_buf buf = {0};
    uint64_t offset = pick_offset(m);
    uint64_t size = pick_size(m, offset);
    int r = kvfs_read(m->f.fs, m->ino, offset, size, &buf);
    if (has_lost(m, offset, offset + size)) {
        ck_fails(r, EIO);
    } else {
        uint64_t left = m->size > offset ? m->size - offset : 0;
        ck_ok(r);
        ck_assert_uint_eq(buf.size, left < size ? left : size);
        compare(m, &buf, offset);
    }
    kv_buf_finish(&buf);
}

static void op_seek(struct model *m)
{
    uint64_t offset = pick_offset(m);
    uint64_t found = 0;
    bool data = pick(m, 2) == 0;
    int r = kvfs_seek(m->f.fs, m->ino, offset, data ? SEEK_DATA : SEEK_HOLE, &found);
    if (offset >= m->size) {
        ck_fails(r, ENXIO);
        return;
    }
    ck_assert(r == 0 || (data && r == -ENXIO));
    found = r == 0 ? found : m->size;
    ck_assert(found >= offset && found <= m->size);
    for (uint64_t i = offset; data && i < found; i++) {
        if (m->bytes[i] != 0) {
            ck_abort_msg("byte %" PRIu64 " is called a hole (seed %" PRIu64 ")", i, test_seed());
        }
    }
    ck_assert(data || found == m->size || m->bytes[found] == 0);
}

/* Lose the extent that covers a position or comes next; it takes the hole before it along. */
static void op_lose(struct model *m)
{
    struct kv_iter *iter = NULL;
    struct rowkey bounds[2];
    struct extent extent = {0};
    uint64_t at = pick_offset(m);
    if (!m->loses || pick(m, 30) != 0) {
        return;
    }
    ck_ok(extent_iter(m->f.fs, NULL, m->ino, 0, bounds, &iter));
    for (kv_iter_seek_first(iter); kv_iter_valid(iter) && extent.end <= at; kv_iter_next(iter)) {
        uint64_t floor = extent.end;
        ck_ok(extent_decode(m->f.fs, iter, m->ino, floor, &extent));
        extent.start = (extent.end - 1) / CHUNK * CHUNK;
        extent.start = extent.start > floor ? extent.start : floor;
    }
    kv_iter_destroy(iter);
    if (extent.end > at) {
        lose_row(&m->f, m->ino, extent.end);
        for (uint64_t i = extent.start; i < extent.end; i++) {
            m->bytes[i] = LOST;
        }
    }
}

/* All holes up to some offset. */
static void op_lose_holes(struct model *m)
{
    struct kv_iter *iter = NULL;
    struct rowkey bounds[2];
    struct extent extent = {0};
    uint64_t below = m->size > 0 ? 1 + pick(m, m->size) : 0;
    uint64_t at = 0;
    if (!m->loses || pick(m, 100) != 0) {
        return;
    }
    below = pick(m, 3) == 0 ? m->size : below;
    if (below < stored_inode(&m->f, NULL).lost_below) {
        return;
    }
    stored_inode(&m->f, &below);
    fixture_reopen(&m->f);
    ck_ok(extent_iter(m->f.fs, NULL, m->ino, 0, bounds, &iter));
    kv_iter_seek_first(iter);
    while (at < below) {
        extent.start = extent.end = m->size;
        if (kv_iter_valid(iter)) {
            ck_ok(extent_decode(m->f.fs, iter, m->ino, at, &extent));
            kv_iter_next(iter);
        }
        for (; at < extent.start && at < below; at++) {
            m->bytes[at] = LOST;
        }
        at = extent.end;
    }
    kv_iter_destroy(iter);
}

/* Overwrite what is lost; then every invariant holds. */
static void mend(struct model *m)
{
    for (uint64_t i = 0; i < m->size;) {
        uint64_t end = i;
        while (end < m->size && m->bytes[end] == LOST) {
            m->bytes[end++] = 'm';
        }
        if (end > i) {
            write_bytes(&m->f, m->ino, i, 'm', end - i);
        }
        i = end > i ? end : i + 1;
    }
}

/* A repair takes nothing for there that is not: no more bytes may be counted as lost than are, and
 * no fewer as kept. */
static void check_counts(struct model *m)
{
    struct inode inode = stored_inode(&m->f, NULL);
    uint64_t bytes, lost;
    ck_ok(extent_count(m->f.fs, m->ino, &bytes, &lost));
    ck_assert_uint_le(inode.lost_bytes, lost);
    ck_assert_uint_ge(inode.allocated - inode.lost_bytes, bytes - lost);
}

static void check_all(struct model *m)
{
    struct kv_buf buf = {0};
    check_counts(m);
    mend(m);
    fixture_reopen(&m->f);
    fs_check(m->f.fs);
    ck_ok(kvfs_read(m->f.fs, m->ino, 0, FILE_MAX, &buf));
    ck_assert_uint_eq(buf.size, m->size);
    compare(m, &buf, 0);
    kv_buf_finish(&buf);
}

static void run(bool loses, uint64_t steps)
{
    typedef void op_fn(struct model * m);
    static op_fn *const ops[] = {op_write, op_write,    op_write,    op_append,    op_append,
                                 op_read,  op_read,     op_truncate, op_copy,      op_copy,
                                 op_seek,  op_allocate, op_lose,     op_lose_holes};
    struct model *m = calloc(1, sizeof *m);
    m->rng.state = test_seed();
    m->loses = loses;
    fixture_open(&m->f);
    m->ino = fixture_file(&m->f, ROOT, "f");
    for (uint64_t i = 1; i <= steps; i++) {
        ops[pick(m, sizeof ops / sizeof ops[0])](m);
        if (i % 20 == 0) {
            check_counts(m);
        }
        if (i % 1000 == 0) {
            check_all(m);
        }
    }
    check_all(m);
    ck_assert(!loses || steps < 5000 || m->refused > 0);
    fixture_close(&m->f);
    free(m);
}

START_TEST(one_file_agrees_with_an_array_of_bytes)
{
    run(false, test_steps(20000));
}
END_TEST

START_TEST(one_file_agrees_while_extents_are_lost)
{
    run(true, test_steps(20000));
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("fs_extents");
    suite_add(suite, "golden", an_extent_is_its_bytes_under_the_offset_of_its_end);
    suite_add(suite, "cut", an_overwrite_cuts_the_extent_and_leaves_its_rest);
    suite_add(suite, "append", appends_make_few_extents_and_one_of_a_full_chunk);
    suite_add(suite, "pages", overwriting_pages_of_a_full_chunk_joins_nothing);
    suite_add(suite, "lost", a_lost_extent_is_an_error_to_read_and_nothing_else_is);
    suite_add(suite, "lost_write", overwriting_a_part_of_a_lost_extent_clears_that_part);
    suite_add(suite, "lost_punch", punching_a_part_of_a_lost_extent_clears_that_part_only);
    suite_add(suite, "lost_cut", truncating_a_lost_extent_keeps_what_is_before);
    suite_add(suite, "lost_list", lost_ranges_are_listed_with_a_name_of_their_file);
    suite_add(suite, "nonsense", a_row_that_makes_no_sense_can_be_overwritten);
    suite_add(suite, "copy", a_copied_range_is_equal_and_its_own);
    suite_add(suite, "copy_errors", copying_has_the_limits_and_errors_of_the_system_call);
    suite_add(suite, "random", one_file_agrees_with_an_array_of_bytes);
    suite_add(suite, "random_lost", one_file_agrees_while_extents_are_lost);
    return suite;
}
