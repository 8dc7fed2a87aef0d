/* SPDX-License-Identifier: Apache-2.0 */
/* A file that says up to where its holes are lost: what each operation makes of it. */
#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/core/chunk.h"
#include "tests/fs/fs_tree.h"

enum {
    ROOT = KVFS_ROOT_INO,
    CHUNK = FORMAT_CHUNK_BYTES,
    PUNCH = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
};

/* A file `f` of 20 chunks; in the third one are 3 bytes at its beginning, all else is a hole, of
 * which what lies in front of the tenth chunk is lost. */
struct holes {
    struct fs_tree t;
    struct kvfs *fs;
    uint64_t ino;
};

enum { SIZE = 20 * CHUNK, DATA = 2 * CHUNK, BELOW = 9 * CHUNK };

static uint64_t set_below;

static void lose(struct inode *inode)
{
    inode->lost_below = set_below;
}

static struct inode stored(struct holes *h)
{
    struct dir_entry entry;
    struct rowkey key;
    rowkey_dirent(&key, ROOT, kv_slice_str("f"));
    struct kv_buf value = fs_tree_get(&h->t, &key);
    ck_ok(dirent_decode(kv_buf_slice(&value), &entry));
    kv_buf_finish(&value);
    return entry.inode;
}

static void expect_below(struct holes *h, uint64_t wanted)
{
    ck_assert_uint_eq(stored(h).lost_below, wanted);
}

static void lose_holes(struct holes *h, const char *name, uint64_t below)
{
    set_below = below;
    fs_tree_change_entry(&h->t, ROOT, name, lose);
    fixture_reopen(&h->t.f);
    h->fs = h->t.f.fs;
}

static void set_size(struct holes *h, uint64_t ino, uint64_t size)
{
    const struct stat attr = {.st_size = (off_t)size};
    struct kvfs_entry entry;
    ck_ok(kvfs_setattr(h->fs, ino, &attr, KVFS_SET_SIZE, &entry));
}

static void make(struct holes *h)
{
    fixture_open(&h->t.f);
    h->fs = h->t.f.fs;
    h->ino = fixture_file(&h->t.f, ROOT, "f");
    fixture_write(&h->t.f, h->ino, DATA, "abc");
    set_size(h, h->ino, SIZE);
    fixture_put_lost_below(&h->t.f);
    lose_holes(h, "f", BELOW);
}

static void done(struct holes *h)
{
    fixture_close(&h->t.f);
}

/* `wanted`: the bytes, as many are asked for; NULL: it fails with EIO. */
static void expect(struct holes *h, uint64_t ino, uint64_t offset, const char *wanted, size_t size)
{
    struct kv_buf bytes = {0};
    int r = kvfs_read(h->fs, ino, offset, size, &bytes);
    ck_assert_int_eq(r, wanted == NULL ? -EIO : 0);
    if (wanted != NULL) {
        ck_assert(kv_slice_equal(kv_buf_slice(&bytes), kv_slice(wanted, size)));
    }
    kv_buf_finish(&bytes);
}

static void expect_lost(struct holes *h, uint64_t offset)
{
    expect(h, h->ino, offset, NULL, 1);
}

static void expect_zero(struct holes *h, uint64_t offset)
{
    expect(h, h->ino, offset, "", 1);
}

static void write_byte(struct holes *h, uint64_t offset, char byte, size_t size)
{
    char *bytes = malloc(size);
    memset(bytes, byte, size);
    ck_ok(kvfs_write(h->fs, h->ino, offset, kv_slice(bytes, size), false, false));
    free(bytes);
}

/* ---- reading ----------------------------------------------------------------------------------
 */

START_TEST(what_no_extent_has_is_an_error_to_read_up_to_the_number)
{
    struct holes h;
    make(&h);
    expect_lost(&h, 0);
    expect_lost(&h, DATA - 1);
    expect(&h, h.ino, DATA, "abc", 3);
    expect(&h, h.ino, DATA, NULL, 4);
    expect(&h, h.ino, DATA - 1, NULL, 4);
    expect_lost(&h, BELOW - 1);
    expect_zero(&h, BELOW);
    expect(&h, h.ino, BELOW - 1, NULL, 2);
    expect_zero(&h, SIZE - 1);
    ck_assert_uint_gt(h.t.f.damage_messages, 0);
    done(&h);
}
END_TEST

START_TEST(it_is_no_fault_and_is_counted)
{
    struct holes h;
    make(&h);
    fs_tree_walk(&h.t);
    ck_assert_str_eq(h.t.faults, "");
    ck_assert_uint_eq(h.t.counts.lost_holes, 1);
    ck_assert_uint_eq(h.t.counts.lost_extents, 0);
    done(&h);
}
END_TEST

START_TEST(what_may_be_lost_is_data_to_who_looks_for_holes)
{
    struct holes h;
    uint64_t at;
    make(&h);
    ck_ok(kvfs_seek(h.fs, h.ino, 5, SEEK_DATA, &at));
    ck_assert_uint_eq(at, 5);
    ck_ok(kvfs_seek(h.fs, h.ino, 5, SEEK_HOLE, &at));
    ck_assert_uint_eq(at, BELOW);
    ck_fails(kvfs_seek(h.fs, h.ino, BELOW, SEEK_DATA, &at), ENXIO);
    write_byte(&h, BELOW, 'x', 10);
    ck_ok(kvfs_seek(h.fs, h.ino, 0, SEEK_HOLE, &at));
    ck_assert_uint_eq(at, BELOW + 10);
    write_byte(&h, BELOW + CHUNK, 'x', 10);
    ck_ok(kvfs_seek(h.fs, h.ino, BELOW + 10, SEEK_DATA, &at));
    ck_assert_uint_ge(at, BELOW + 10);
    ck_assert_uint_le(at, BELOW + CHUNK);
    /* Nor are there few blocks: GNU tar reads nothing of a file of none. */
    ck_assert_int_ge(fixture_stat(&h.t.f, h.ino).stat.st_blocks, BELOW / 512);
    done(&h);
}
END_TEST

START_TEST(a_file_without_any_extent_is_lost_and_not_zeros)
{
    struct holes h;
    struct kv_buf value = {0};
    uint64_t at;
    make(&h);
    uint64_t ino = fixture_file(&h.t.f, ROOT, "g");
    set_size(&h, ino, 100);
    lose_holes(&h, "g", 100);
    expect(&h, ino, 0, NULL, 1);
    ck_ok(kvfs_seek(h.fs, ino, 0, SEEK_DATA, &at));
    ck_assert_uint_eq(at, 0);
    ck_fails(kvfs_key_get(h.fs, kv_slice_str("g"), &value), EIO);
    kv_buf_finish(&value);
    done(&h);
}
END_TEST

START_TEST(an_unlinked_file_that_is_open_stays_an_error)
{
    struct holes h;
    struct kvfs_file *file = NULL;
    make(&h);
    uint64_t ino = fixture_file(&h.t.f, ROOT, "g");
    set_size(&h, ino, 100);
    lose_holes(&h, "g", 100);
    ck_ok(kvfs_file_open(h.fs, ino, O_RDWR, &file));
    ck_ok(kvfs_unlink(h.fs, ROOT, "g"));
    expect(&h, ino, 0, NULL, 1);
    ck_ok(kvfs_write(h.fs, ino, 50, kv_slice_str("x"), false, false));
    expect(&h, ino, 50, "x", 1);
    expect(&h, ino, 0, NULL, 1);
    kvfs_file_close(file);
    done(&h);
}
END_TEST

static int add_range(void *arg, const struct kvfs_lost_range *range)
{
    char *text = arg;
    size_t size = strlen(text);
    snprintf(text + size, 1000 - size, "%.*s %" PRIu64 " %" PRIu64 "\n", (int)range->path.size,
             (const char *)range->path.data, range->from, range->to);
    return 0;
}

static void expect_ranges(struct holes *h, const char *wanted)
{
    char text[1000] = "";
    ck_ok(kvfs_lost_ranges(h->fs, add_range, text));
    ck_assert_str_eq(text, wanted);
}

START_TEST(lost_holes_are_listed_with_lost_extents_in_the_order_of_files)
{
    struct holes h;
    struct rowkey key;
    struct kvfs_entry entry;
    make(&h);
    uint64_t empty = fixture_file(&h.t.f, ROOT, "empty");
    uint64_t small = fixture_file(&h.t.f, ROOT, "small");
    uint64_t linked = fixture_file(&h.t.f, ROOT, "linked");
    set_size(&h, empty, 100);
    lose_holes(&h, "empty", 70);
    fixture_write(&h.t.f, small, 0, "small");
    rowkey_extent(&key, small, 5);
    fs_tree_lose(&h.t, "data", &key);
    set_size(&h, linked, 10);
    lose_holes(&h, "linked", 10);
    ck_ok(kvfs_link(h.fs, linked, ROOT, "z", &entry));
    kvfs_forget(h.fs, entry.ino, 1);
    rowkey_extent(&key, h.ino, 5 * CHUNK + 10);
    fs_tree_lose(&h.t, "data", &key); /* in the middle of what is lost anyway */
    expect_ranges(&h, "f 0 65536\nf 65539 294912\nempty 0 70\nsmall 0 5\nlinked 0 10\n");
    fs_tree_change(&h.t, "data", &key, NULL);
    done(&h);
}
END_TEST

START_TEST(a_file_that_two_entries_hold_is_listed_once)
{
    struct rowkey key;
    struct holes h;
    make(&h);
    lose_holes(&h, "f", CHUNK);
    rowkey_dirent(&key, ROOT, kv_slice_str("f"));
    struct kv_buf value = fs_tree_get(&h.t, &key);
    struct kv_slice other = kv_buf_slice(&value);
    rowkey_dirent(&key, ROOT, kv_slice_str("other"));
    fs_tree_change(&h.t, "meta", &key, &other);
    kv_buf_finish(&value);
    expect_ranges(&h, "f 0 32768\n");
    fs_tree_drop(&h.t);
}
END_TEST

static void expect_part(struct holes *h, uint64_t offset, enum kvfs_part wanted, uint64_t end)
{
    enum kvfs_part part;
    uint64_t at;
    ck_ok(kvfs_part_at(h->fs, h->ino, offset, &part, &at));
    ck_assert_int_eq(part, wanted);
    ck_assert_uint_eq(at, end);
}

START_TEST(a_file_is_parts_of_data_of_holes_and_of_what_is_lost)
{
    enum kvfs_part part;
    uint64_t at;
    struct rowkey key;
    struct holes h;
    make(&h);
    expect_part(&h, 0, KVFS_PART_LOST, DATA);
    expect_part(&h, 5, KVFS_PART_LOST, DATA);
    expect_part(&h, DATA, KVFS_PART_DATA, DATA + 3);
    expect_part(&h, DATA + 2, KVFS_PART_DATA, DATA + 3);
    expect_part(&h, DATA + 3, KVFS_PART_LOST, BELOW);
    expect_part(&h, BELOW, KVFS_PART_HOLE, SIZE);
    write_byte(&h, BELOW + CHUNK, 'x', 2 * CHUNK);
    rowkey_extent(&key, h.ino, BELOW + 3 * CHUNK);
    fs_tree_lose(&h.t, "data", &key);
    expect_part(&h, BELOW + 1, KVFS_PART_HOLE, BELOW + CHUNK);
    expect_part(&h, BELOW + CHUNK, KVFS_PART_DATA, BELOW + 2 * CHUNK);
    expect_part(&h, BELOW + 2 * CHUNK, KVFS_PART_LOST, BELOW + 3 * CHUNK);
    rowkey_extent(&key, h.ino, BELOW + CHUNK);
    fs_tree_lose(&h.t, "data", &key); /* it lies behind what is lost anyway */
    expect_part(&h, DATA + 3, KVFS_PART_LOST, BELOW + CHUNK);
    ck_fails(kvfs_part_at(h.fs, h.ino, SIZE, &part, &at), ENXIO);
    ck_fails(kvfs_part_at(h.fs, ROOT, 0, &part, &at), EISDIR);
    fs_tree_drop(&h.t);
}
END_TEST

/* ---- changing ---------------------------------------------------------------------------------
 */

START_TEST(what_is_written_can_be_read_and_nothing_beside_it)
{
    struct holes h;
    make(&h);
    write_byte(&h, 100, 'w', 200);
    write_byte(&h, 500, 'w', 10);
    expect_lost(&h, 99);
    expect(&h, h.ino, 100, "www", 3);
    expect_lost(&h, 300);
    expect_lost(&h, 499);
    expect_lost(&h, 510);
    expect_below(&h, BELOW);
    fixture_reopen(&h.t.f);
    h.fs = h.t.f.fs;
    expect_lost(&h, 300);
    done(&h);
}
END_TEST

START_TEST(joining_small_extents_fills_no_lost_hole_with_zeros)
{
    struct holes h;
    make(&h);
    for (unsigned i = 0; i < 3 * CHUNK_PIECES_MAX; i++) {
        write_byte(&h, i * 64, 'w', 10);
    }
    for (unsigned i = 0; i < 3 * CHUNK_PIECES_MAX; i++) {
        expect(&h, h.ino, i * 64, "wwwwwwwwww", 10);
        expect_lost(&h, i * 64 + 10);
        expect_lost(&h, i * 64 + 63);
    }
    done(&h);
}
END_TEST

START_TEST(growing_a_file_makes_holes_that_are_none_of_the_lost_ones)
{
    struct holes h;
    make(&h);
    lose_holes(&h, "f", SIZE);
    set_size(&h, h.ino, SIZE + CHUNK);
    expect_lost(&h, SIZE - 1);
    expect_zero(&h, SIZE);
    write_byte(&h, SIZE + 3 * CHUNK, 'w', 1);
    expect_zero(&h, SIZE + 3 * CHUNK - 1);
    ck_ok(kvfs_fallocate(h.fs, h.ino, 0, 0, SIZE + 5 * CHUNK));
    expect_zero(&h, SIZE + 5 * CHUNK - 1);
    expect_lost(&h, 0);
    expect_below(&h, SIZE);
    done(&h);
}
END_TEST

START_TEST(truncating_and_growing_again_shows_zeros)
{
    struct holes h;
    make(&h);
    set_size(&h, h.ino, 5 * CHUNK);
    expect_below(&h, 5 * CHUNK);
    set_size(&h, h.ino, SIZE);
    expect_lost(&h, 5 * CHUNK - 1);
    expect_zero(&h, 5 * CHUNK);
    set_size(&h, h.ino, CHUNK); /* nothing is stored of it any more */
    set_size(&h, h.ino, 10);
    set_size(&h, h.ino, SIZE);
    expect_lost(&h, 9);
    expect_zero(&h, 10);
    done(&h);
}
END_TEST

START_TEST(emptying_a_file_makes_it_sound)
{
    struct holes h;
    struct kvfs_file *file = NULL;
    make(&h);
    ck_ok(kvfs_file_open(h.fs, h.ino, O_RDWR | O_TRUNC, &file));
    kvfs_file_close(file);
    expect_below(&h, 0);
    set_size(&h, h.ino, SIZE);
    expect_zero(&h, 0);
    lose_holes(&h, "f", SIZE);
    ck_ok(kvfs_key_put(h.fs, &fixture_who, kv_slice_str("f"), kv_slice_str("put")));
    ck_assert_str_eq(fixture_text(&h.t.f, h.ino), "put");
    expect_below(&h, 0);
    done(&h);
}
END_TEST

START_TEST(lost_bytes_meet_no_condition_of_a_batch_and_are_replaced_by_one)
{
    struct holes h;
    struct kvfs_batch *batch = NULL;
    make(&h);
    uint64_t ino = fixture_file(&h.t.f, ROOT, "g");
    set_size(&h, ino, 3);
    lose_holes(&h, "g", 3);
    ck_ok(kvfs_batch_create(&batch));
    ck_ok(kvfs_batch_if_equal(batch, kv_slice_str("g"), kv_slice("\0\0\0", 3)));
    ck_ok(kvfs_batch_put(batch, kv_slice_str("g"), kv_slice_str("new")));
    ck_fails(kvfs_batch_commit(h.fs, &fixture_who, batch), EIO);
    kvfs_batch_destroy(batch);
    expect(&h, ino, 0, NULL, 1);
    ck_ok(kvfs_batch_create(&batch));
    ck_ok(kvfs_batch_put(batch, kv_slice_str("g"), kv_slice_str("n")));
    ck_ok(kvfs_batch_commit(h.fs, &fixture_who, batch));
    kvfs_batch_destroy(batch);
    set_size(&h, ino, 3);
    expect(&h, ino, 0, "n\0", 3);
    done(&h);
}
END_TEST

START_TEST(a_file_that_has_all_of_its_bytes_again_is_sound)
{
    struct holes h;
    make(&h);
    set_size(&h, h.ino, 3 * CHUNK);
    for (uint64_t at = 0; at < 3 * CHUNK; at += CHUNK) {
        expect_below(&h, 3 * CHUNK);
        write_byte(&h, at, 'w', CHUNK);
    }
    expect_below(&h, 0);
    ck_ok(kvfs_fallocate(h.fs, h.ino, PUNCH, 10, 100));
    expect_zero(&h, 10);
    done(&h);
}
END_TEST

START_TEST(no_hole_is_made_in_front_of_what_is_lost)
{
    static const int modes[] = {PUNCH, FALLOC_FL_ZERO_RANGE,
                                FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
    struct holes h;
    make(&h);
    for (unsigned i = 0; i < 3; i++) {
        ck_fails(kvfs_fallocate(h.fs, h.ino, modes[i], DATA, 3), EOPNOTSUPP);
        ck_fails(kvfs_fallocate(h.fs, h.ino, modes[i], 0, BELOW - 1), EOPNOTSUPP);
    }
    expect(&h, h.ino, DATA, "abc", 3);
    ck_ok(kvfs_fallocate(h.fs, h.ino, PUNCH, BELOW, CHUNK));
    expect_below(&h, BELOW);
    ck_ok(kvfs_fallocate(h.fs, h.ino, PUNCH, DATA + 1, BELOW - DATA - 1)); /* up to its end */
    expect_below(&h, DATA + 1);
    expect_lost(&h, DATA - 1);
    expect(&h, h.ino, DATA, "a\0\0\0", 4);
    expect_zero(&h, BELOW - 1);
    ck_ok(kvfs_fallocate(h.fs, h.ino, PUNCH, 0, SIZE));
    expect_below(&h, 0);
    expect_zero(&h, 0);
    done(&h);
}
END_TEST

static void count_all(struct inode *inode)
{
    inode->allocated = inode->size;
}

START_TEST(what_is_counted_wrongly_makes_no_file_sound_that_nobody_wrote_to)
{
    const struct stat attr = {.st_mode = 0600};
    struct kvfs_entry entry;
    struct holes h;
    make(&h);
    lose_holes(&h, "f", SIZE);
    fs_tree_change_entry(&h.t, ROOT, "f", count_all);
    fixture_reopen(&h.t.f);
    h.fs = h.t.f.fs;
    ck_ok(kvfs_setattr(h.fs, h.ino, &attr, KVFS_SET_MODE, &entry));
    expect_below(&h, SIZE);
    fixture_write(&h.t.f, h.ino, DATA, "xyz"); /* of what there is */
    expect_below(&h, SIZE);
    expect_lost(&h, 0);
    fs_tree_drop(&h.t);
}
END_TEST

START_TEST(a_file_of_which_the_lost_part_is_cut_off_is_sound)
{
    struct holes h;
    uint64_t size;
    make(&h);
    for (uint64_t at = 0; at < 3 * CHUNK; at += CHUNK) {
        write_byte(&h, at, 'w', CHUNK);
    }
    expect_below(&h, BELOW);
    set_size(&h, h.ino, 3 * CHUNK);
    expect_below(&h, 0);
    /* And one whose last bytes are copied to it. */
    lose_holes(&h, "f", 0);
    set_size(&h, h.ino, 5 * CHUNK);
    lose_holes(&h, "f", 4 * CHUNK);
    write_byte(&h, 3 * CHUNK, 'w', CHUNK);
    expect_below(&h, 4 * CHUNK);
    struct kvfs_copy range = {
        .ino_in = h.ino, .ino_out = h.ino, .offset_out = 4 * CHUNK, .size = CHUNK};
    ck_ok(kvfs_copy_range(h.fs, &range, &size));
    expect_below(&h, 0);
    done(&h);
}
END_TEST

/* ---- copying ----------------------------------------------------------------------------------
 */

static int copy(struct holes *h, const struct kvfs_copy *range, uint64_t *ret_size)
{
    *ret_size = 0;
    return kvfs_copy_range(h->fs, range, ret_size);
}

START_TEST(what_is_lost_is_not_copied)
{
    struct holes h;
    uint64_t size;
    make(&h);
    uint64_t to = fixture_file(&h.t.f, ROOT, "to");
    struct kvfs_copy range = {.ino_in = h.ino, .ino_out = to, .size = SIZE};
    ck_fails(copy(&h, &range, &size), EIO);
    range.offset_in = BELOW - 1;
    range.size = 2;
    ck_fails(copy(&h, &range, &size), EIO);
    range.offset_in = DATA;
    range.size = 3;
    ck_ok(copy(&h, &range, &size));
    ck_assert_str_eq(fixture_text(&h.t.f, to), "abc");
    range = (struct kvfs_copy){.ino_in = h.ino, .offset_in = BELOW, .ino_out = to, .size = SIZE};
    ck_ok(copy(&h, &range, &size));
    ck_assert_uint_eq(size, SIZE - BELOW);
    expect(&h, to, 0, "", 1);
    done(&h);
}
END_TEST

START_TEST(holes_that_are_copied_onto_what_is_lost_are_zeros)
{
    struct holes h;
    uint64_t size;
    make(&h);
    uint64_t from = fixture_file(&h.t.f, ROOT, "from");
    set_size(&h, from, 3 * CHUNK);
    fixture_write(&h.t.f, from, CHUNK, "data");
    struct kvfs_copy range = {.ino_in = from, .ino_out = h.ino, .offset_out = CHUNK, .size = SIZE};
    ck_ok(copy(&h, &range, &size));
    ck_assert_uint_eq(size, 3 * CHUNK);
    expect_lost(&h, CHUNK - 1);
    expect_zero(&h, CHUNK);
    expect(&h, h.ino, 2 * CHUNK, "data", 5);
    expect_zero(&h, 4 * CHUNK - 1);
    expect_lost(&h, 4 * CHUNK);
    expect_below(&h, BELOW);
    set_size(&h, from, 10); /* the same of less than a chunk, all of it a hole */
    range = (struct kvfs_copy){.ino_in = from, .ino_out = h.ino, .offset_out = 1, .size = 10};
    ck_ok(copy(&h, &range, &size));
    expect_lost(&h, 0);
    expect_zero(&h, 10);
    expect_lost(&h, 11);
    done(&h);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("fs_holes");
    suite_add(suite, "read", what_no_extent_has_is_an_error_to_read_up_to_the_number);
    suite_add(suite, "check", it_is_no_fault_and_is_counted);
    suite_add(suite, "seek", what_may_be_lost_is_data_to_who_looks_for_holes);
    suite_add(suite, "none", a_file_without_any_extent_is_lost_and_not_zeros);
    suite_add(suite, "unlinked", an_unlinked_file_that_is_open_stays_an_error);
    suite_add(suite, "list", lost_holes_are_listed_with_lost_extents_in_the_order_of_files);
    suite_add(suite, "twice", a_file_that_two_entries_hold_is_listed_once);
    suite_add(suite, "parts", a_file_is_parts_of_data_of_holes_and_of_what_is_lost);
    suite_add(suite, "write", what_is_written_can_be_read_and_nothing_beside_it);
    suite_add(suite, "join", joining_small_extents_fills_no_lost_hole_with_zeros);
    suite_add(suite, "grow", growing_a_file_makes_holes_that_are_none_of_the_lost_ones);
    suite_add(suite, "cut", truncating_and_growing_again_shows_zeros);
    suite_add(suite, "empty", emptying_a_file_makes_it_sound);
    suite_add(suite, "batch", lost_bytes_meet_no_condition_of_a_batch_and_are_replaced_by_one);
    suite_add(suite, "whole", a_file_that_has_all_of_its_bytes_again_is_sound);
    suite_add(suite, "wrong", what_is_counted_wrongly_makes_no_file_sound_that_nobody_wrote_to);
    suite_add(suite, "cut_off", a_file_of_which_the_lost_part_is_cut_off_is_sound);
    suite_add(suite, "punch", no_hole_is_made_in_front_of_what_is_lost);
    suite_add(suite, "copy_from", what_is_lost_is_not_copied);
    suite_add(suite, "copy_onto", holes_that_are_copied_onto_what_is_lost_are_zeros);
    return suite;
}
