/* SPDX-License-Identifier: Apache-2.0 */
/* Steps that change the contents of files. */
#include <linux/falloc.h>

#include "tests/crash/fs_rig_impl.h"
#include "tests/lib/check_main.h"

void fs_rig_fill(struct fs_rig *rig, uint8_t *to, size_t size)
{
    uint32_t number = rig->next_number++;
    bool compressible = fs_rig_pick(rig, 2) == 0;
    for (size_t i = 0; i < size; i++) {
        to[i] = compressible ? (uint8_t)(1 + (number + i / 50) % 255)
                             : (uint8_t)(1 + rng_next(&rig->rng) % 255);
    }
}

static size_t pick_offset(struct fs_rig *rig, const struct tree_node *node)
{
    enum { HALF_CHUNK = 16 * 1024 };
    switch (fs_rig_pick(rig, 6)) {
    case 0:
        return 0;
    case 1:
        return fs_rig_pick(rig, 5) * HALF_CHUNK;
    case 2:
        return node->size < TREE_FILE_MAX ? node->size : 0;
    default:
        return fs_rig_pick(rig, node->size + 1) % TREE_FILE_MAX;
    }
}

static size_t pick_size(struct fs_rig *rig, size_t offset, bool much)
{
    size_t limit = much ? TREE_FILE_MAX : fs_rig_pick(rig, 3) == 0 ? 6000 : 300;
    size_t size = much ? limit / 2 + fs_rig_pick(rig, limit / 2) : 1 + fs_rig_pick(rig, limit);
    return offset + size > TREE_FILE_MAX ? TREE_FILE_MAX - offset : size;
}

void fs_rig_step_write(struct fs_rig *rig, char step)
{
    static uint8_t bytes[TREE_FILE_MAX];
    int node = fs_rig_pick_node(rig, fs_rig_is_file);
    if (node < 0) {
        return;
    }
    struct tree_node *n = &rig->tree.nodes[node];
    size_t offset = step == 'a' ? n->size : pick_offset(rig, n);
    size_t size = pick_size(rig, offset, step == 'W');
    if (size == 0) {
        return;
    }
    fs_rig_fill(rig, bytes, size);
    fs_rig_issue(rig);
    ck_ok(kvfs_write(rig->fs, n->ino, step == 'a' ? 3 : offset, kv_slice(bytes, size), step == 'a',
                     false));
    tree_resize(n, n->size > offset + size ? n->size : offset + size);
    memcpy(n->bytes + offset, bytes, size);
    fs_rig_acknowledge(rig);
}

static void set_size(struct fs_rig *rig, int node, size_t size)
{
    struct tree_node *n = &rig->tree.nodes[node];
    struct stat attr = {.st_size = (off_t)size};
    struct kvfs_entry entry;
    fs_rig_issue(rig);
    ck_ok(kvfs_setattr(rig->fs, n->ino, &attr, KVFS_SET_SIZE, &entry));
    tree_resize(n, size);
    fs_rig_acknowledge(rig);
}

void fs_rig_step_truncate(struct fs_rig *rig, char step)
{
    int node = fs_rig_pick_node(rig, fs_rig_is_file);
    if (node < 0) {
        return;
    }
    size_t size = rig->tree.nodes[node].size;
    if (step != 'e') {
        set_size(rig, node, fs_rig_pick(rig, size + 1));
    }
    if (step != 't') {
        size_t wanted = size + fs_rig_pick(rig, 40000);
        set_size(rig, node, wanted < TREE_FILE_MAX ? wanted : TREE_FILE_MAX);
    }
}

void fs_rig_step_punch(struct fs_rig *rig)
{
    static const int modes[] = {FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE,
                                FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
    int mode = modes[fs_rig_pick(rig, 3)];
    int node = fs_rig_pick_node(rig, fs_rig_is_file);
    if (node < 0) {
        return;
    }
    struct tree_node *n = &rig->tree.nodes[node];
    size_t offset = pick_offset(rig, n);
    size_t size = pick_size(rig, offset, fs_rig_pick(rig, 4) == 0);
    bool grows = (mode & FALLOC_FL_KEEP_SIZE) == 0 && offset + size > n->size;
    fs_rig_issue(rig);
    ck_ok(kvfs_fallocate(rig->fs, n->ino, mode, offset, size));
    tree_resize(n, grows ? offset + size : n->size);
    memset(n->bytes + offset, 0, size);
    fs_rig_acknowledge(rig);
}

/* Pages of a chunk that is full, over and over: what stays of the old extent is kept by parts. */
void fs_rig_step_page(struct fs_rig *rig)
{
    enum { PAGE = 4096 };
    static uint8_t bytes[2 * PAGE];
    int node = fs_rig_pick_node(rig, fs_rig_is_file);
    struct tree_node *n = node >= 0 ? &rig->tree.nodes[node] : NULL;
    if (n == NULL || n->size < 3 * (size_t)PAGE) {
        return;
    }
    size_t offset = fs_rig_pick(rig, n->size / PAGE - 1) * PAGE;
    size_t size = fs_rig_pick(rig, 4) == 0 ? 2 * PAGE : PAGE;
    fs_rig_fill(rig, bytes, size);
    fs_rig_issue(rig);
    ck_ok(kvfs_write(rig->fs, n->ino, offset, kv_slice(bytes, size), false, false));
    memcpy(n->bytes + offset, bytes, size);
    fs_rig_acknowledge(rig);
}

/* Copy a range, mostly one whose extents can be shared, to another file or within the file. */
void fs_rig_step_copy(struct fs_rig *rig)
{
    int in = fs_rig_pick_node(rig, fs_rig_is_file);
    int out = fs_rig_pick_node(rig, fs_rig_is_file);
    uint64_t copied = 0;
    if (in < 0) {
        return;
    }
    struct tree_node *from = &rig->tree.nodes[in];
    struct tree_node *to = &rig->tree.nodes[out];
    size_t offset_in = pick_offset(rig, from);
    size_t offset_out = fs_rig_pick(rig, 4) == 0 ? pick_offset(rig, to) : offset_in;
    size_t far = offset_in > offset_out ? offset_in : offset_out;
    size_t size = pick_size(rig, far, fs_rig_pick(rig, 3) != 0);
    size = offset_in < from->size ? (from->size - offset_in < size ? from->size - offset_in : size)
                                  : 0;
    bool overlaps = in == out && offset_in < offset_out + size && offset_out < offset_in + size;
    if (size == 0 || overlaps) {
        return;
    }
    struct kvfs_copy copy = {.ino_in = from->ino,
                             .offset_in = offset_in,
                             .ino_out = to->ino,
                             .offset_out = offset_out,
                             .size = size};
    fs_rig_issue(rig);
    ck_ok(kvfs_copy_range(rig->fs, &copy, &copied));
    ck_assert_uint_eq(copied, size);
    tree_resize(to, to->size > offset_out + size ? to->size : offset_out + size);
    memcpy(to->bytes + offset_out, from->bytes + offset_in, size);
    fs_rig_acknowledge(rig);
}
