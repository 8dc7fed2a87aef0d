/* SPDX-License-Identifier: Apache-2.0 */
/* Input: what happens to the files of a store that holds every kind of row, each
 *     u8 file, u8 what (enum damage), varint offset, varint argument
 * The store is checked, repaired, its rows mended, all of it read, and the repair taken back. A
 * check changes nothing, what was repaired is sound, no file has bytes that it never had, and
 * taking back gives every byte again. */
#include <stdio.h>

#include "tests/damage/damage_dir.h"
#include "tests/damage/image.h"
#include "tests/fuzz/fuzz.h"

enum { DAMAGES_MAX = 8, FILES = 8 };

enum damage {
    DAMAGE_BYTE = 0, /* changed by the argument */
    DAMAGE_ZEROS,    /* so many */
    DAMAGE_CUT,      /* the file ends here */
    DAMAGE_GROWN,    /* so many zeros at its end */
    DAMAGE_MOVED,    /* 64 bytes are those at the offset of the argument */
    DAMAGE_REMOVED,
    DAMAGE_SWAPPED, /* has the bytes of the file of the argument, and that one its */
    DAMAGE_COUNT,
};

static const struct kvfs_who who = {.uid = 1000, .gid = 100, .umask = 022};
static struct damage_dir dir;
static struct image sound;

/* ---- the store --------------------------------------------------------------------------------
 */

static struct kv_slice file_name(unsigned i, char to[16])
{
    return kv_slice(to, (size_t)snprintf(to, 16, i % 2 == 0 ? "f%u" : "d/f%u", i));
}

/* Small ones, one in several extents, and one that goes to a blob. */
static struct kv_slice file_bytes(unsigned i, uint8_t to[IMAGE_FILE_MAX])
{
    static const size_t sizes[FILES] = {10, 300, 40000, 0, 2000, 20000, 1, 700};
    uint64_t state = i + 1;
    for (size_t at = 0; at < sizes[i]; at++) {
        state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
        to[at] = (uint8_t)(state >> 56);
    }
    return kv_slice(to, sizes[i]);
}

static void put_files(struct kvfs *fs, unsigned from, unsigned to)
{
    static uint8_t bytes[IMAGE_FILE_MAX];
    char name[16];
    for (unsigned i = from; i < to; i++) {
        fuzz_need(kvfs_key_put(fs, &who, file_name(i, name), file_bytes(i, bytes)));
    }
}

static void fill(struct kvfs *fs)
{
    struct kvfs_entry entry;
    put_files(fs, 0, FILES / 2);
    fuzz_need(kvfs_symlink(fs, &who, KVFS_ROOT_INO, "link", "f0", &entry));
    kvfs_forget(fs, entry.ino, 1);
    fuzz_need(kvfs_lookup(fs, KVFS_ROOT_INO, "f2", &entry));
    fuzz_need(kvfs_setxattr(fs, entry.ino, "user.tag", kv_slice_str("red"), 0));
    fuzz_need(kvfs_link(fs, entry.ino, KVFS_ROOT_INO, "hard", &entry));
    kvfs_forget(fs, entry.ino, 2);
    fuzz_need(kv_compact(kvfs_store(fs)));
    put_files(fs, FILES / 2, FILES - 2);
    fuzz_need(kv_flush(kvfs_store(fs)));
    put_files(fs, FILES - 2, FILES); /* these are in the log only */
    fuzz_need(kvfs_key_delete(fs, kv_slice_str("f0")));
    fuzz_need(kvfs_sync(fs));
}

static void make_store(void)
{
    const struct kvfs_options options = {.create = true, .index = "user.tag"};
    struct kvfs *fs = NULL;

    damage_dir_make(&dir);
    fuzz_need(damage_dir_open(&dir, &options, &fs));
    fuzz_need(kvfs_index_build(fs));
    fill(fs);
    image_take(dir.path, &sound); /* not closed */
    kv_ignore(kvfs_close(fs));
}

/* ---- damage -----------------------------------------------------------------------------------
 */

static void cut_or_grow(struct kv_buf *bytes, size_t size)
{
    size_t before = bytes->size;
    size = size < IMAGE_FILE_MAX ? size : IMAGE_FILE_MAX;
    fuzz_need(kv_buf_reserve(bytes, size + 1));
    bytes->size = size;
    if (size > before) {
        memset(bytes->data + before, 0, size - before);
    }
}

static void damage_bytes(struct kv_buf *bytes, enum damage what, size_t offset, size_t argument)
{
    enum { MOVED = 64 };
    size_t left = bytes->size - offset;
    size_t from = argument % bytes->size;
    size_t size = left < MOVED ? left : MOVED;

    if (what == DAMAGE_BYTE) {
        bytes->data[offset] ^= (uint8_t)argument;
    } else if (what == DAMAGE_ZEROS) {
        memset(bytes->data + offset, 0, argument < left ? argument : left);
    } else if (what == DAMAGE_MOVED) {
        size = size < bytes->size - from ? size : bytes->size - from;
        memmove(bytes->data + offset, bytes->data + from, size);
    }
}

static void damage_one(struct image *image, struct coding_cursor *c)
{
    struct image_file *file = &image->files[coding_read_u8(c) % image->count];
    enum damage what = (enum damage)(coding_read_u8(c) % DAMAGE_COUNT);
    uint64_t offset = coding_read_varint(c), argument = coding_read_varint(c);
    struct image_file *other = &image->files[argument % image->count];
    struct kv_buf *bytes = &file->bytes;

    if (!coding_ok(c)) {
        return;
    }
    if (what == DAMAGE_REMOVED) {
        file->removed = true;
    } else if (what == DAMAGE_SWAPPED) {
        struct kv_buf kept = *bytes;
        *bytes = other->bytes;
        other->bytes = kept;
    } else if (what == DAMAGE_CUT || bytes->size == 0) {
        cut_or_grow(bytes, bytes->size > 0 ? (size_t)(offset % bytes->size) : 0);
    } else if (what == DAMAGE_GROWN) {
        cut_or_grow(bytes, bytes->size + (size_t)(argument % IMAGE_FILE_MAX));
    } else {
        damage_bytes(bytes, what, (size_t)(offset % bytes->size), (size_t)argument);
    }
}

/* ---- check, repair, read, take back ------------------------------------------------------------
 */

/* A file that can be read has the bytes it had, or the first of them. */
static void read_all(bool read_only)
{
    static uint8_t bytes[IMAGE_FILE_MAX];
    const struct kvfs_options options = {.read_only = read_only};
    struct kvfs *fs = NULL;
    struct kv_buf value = {0};
    char name[16];

    if (damage_dir_open(&dir, &options, &fs) < 0) {
        return;
    }
    for (unsigned i = 0; i < FILES; i++) {
        if (kvfs_key_get(fs, file_name(i, name), &value) == 0) {
            assert(kv_slice_starts_with(file_bytes(i, bytes), kv_buf_slice(&value)));
        }
    }
    if (!read_only) {
        kv_ignore(kvfs_key_put(fs, &who, kv_slice_str("new"), kv_slice_str("new")));
        kv_ignore(kv_compact(kvfs_store(fs)));
    }
    kv_buf_finish(&value);
    kv_ignore(kvfs_close(fs));
}

/* Returns whether nothing is left. */
static bool repair(char archive[32])
{
    struct damage_found found, again;

    damage_dir_check(&dir, KV_ADMIN_REPAIR, &found);
    memcpy(archive, found.archive, sizeof found.archive);
    if (found.whole) {
        damage_dir_check(&dir, KV_ADMIN_REPORT, &again);
        assert(again.error == 0 && again.told == 0);
    }
    return found.whole;
}

static void use(const struct image *image)
{
    struct damage_found found;
    char archive[32] = "";

    damage_dir_check(&dir, KV_ADMIN_REPORT, &found);
    assert(image_is_there(image, dir.path));
    assert(found.error == 0 || found.error == -KV_EFORMAT || found.error == -ENOENT);
    bool whole = found.error == 0 && repair(archive);
    if (whole) {
        read_all(true);
    }
    if (archive[0] != '\0') {
        fuzz_need(damage_dir_undo(&dir, archive));
        assert(image_is_there(image, dir.path));
        assert(repair(archive) == whole);
    }
    if (whole) {
        read_all(false);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct coding_cursor c = coding_cursor(kv_slice(data, size));
    struct image image;

    if (dir.path[0] == '\0') {
        make_store();
    }
    image_copy(&sound, &image);
    for (int i = 0; i < DAMAGES_MAX && coding_left(&c) > 0 && coding_ok(&c); i++) {
        damage_one(&image, &c);
    }
    image_lay_down(&image, dir.path);
    use(&image);
    image_finish(&image);
    return 0;
}
