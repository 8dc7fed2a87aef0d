/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/damage/damage_map.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kv/inspect.h>

#include "fs/core/key.h"
#include "tests/lib/inspect_fact.h"

static void need(int r)
{
    if (r < 0) {
        fprintf(stderr, "%s\n", kv_strerror(r));
    }
    assert(r >= 0);
}

static void assign(struct kv_buf *to, struct kv_slice bytes)
{
    need(kv_buf_assign(to, bytes));
}

/* ---- what a path rests on -------------------------------------------------------------------- */

static void add_keys(struct damage_map *map, unsigned path, bool is_data, struct kv_slice first,
                     struct kv_slice last)
{
    map->keys = realloc(map->keys, (map->key_count + 1) * sizeof *map->keys);
    assert(map->keys != NULL);
    struct damage_key *key = &map->keys[map->key_count++];
    *key = (struct damage_key){.path = path, .is_data = is_data};
    assign(&key->first, first);
    assign(&key->last, last);
}

/* The entry of a directory stands for all paths below, and that of a path for it. */
static bool is_entry_of(const struct tree *tree, const struct tree_path *path, uint64_t parent,
                        struct kv_slice name)
{
    char text[TREE_PATH_SIZE];

    for (unsigned i = 0; i < TREE_DIRS; i++) {
        int size = snprintf(text, sizeof text, "%s%.*s", tree_dirs[i], (int)name.size,
                            (const char *)name.data);
        if (tree->dirs[i] == parent && strncmp(path->name, text, (size_t)size) == 0 &&
            (path->name[size] == '\0' || path->name[size] == '/')) {
            return true;
        }
    }
    return false;
}

static uint64_t ino_of(struct kv_slice key)
{
    struct kv_slice name;
    uint64_t ino = 0, other;

    if (rowkey_decode_ino(key, ROW_INODE, &ino) || rowkey_decode_extent(key, &ino, &other) ||
        rowkey_decode_xattr(key, &ino, &name) || rowkey_decode_backptr(key, &ino, &other, &name)) {
        return ino;
    }
    return 0;
}

static void take_key(struct damage_map *map, const struct tree *tree, bool is_data,
                     struct kv_slice key)
{
    struct kv_slice name;
    uint64_t parent = 0, ino = ino_of(key);
    bool is_entry = rowkey_decode_dirent(key, &parent, &name);

    for (unsigned i = 0; i < TREE_PATHS; i++) {
        const struct tree_path *path = &tree->paths[i];
        if ((ino != 0 && path->ino == ino) || (is_entry && is_entry_of(tree, path, parent, name))) {
            add_keys(map, i, is_data, key, key);
        }
    }
}

/* ---- what lies in a file --------------------------------------------------------------------- */

struct reading {
    struct damage_map *map;
    const struct tree *tree;
    unsigned file;
    size_t begun;        /* the pieces of this file begin here */
    size_t record_begun; /* those of the log record that is being told of */
    bool is_log, is_data, is_meta;
};

static struct damage_piece *add_piece(struct reading *reading, uint64_t from, uint64_t to)
{
    struct damage_map *map = reading->map;
    map->pieces = realloc(map->pieces, (map->count + 1) * sizeof *map->pieces);
    assert(map->pieces != NULL);
    struct damage_piece *piece = &map->pieces[map->count++];
    *piece = (struct damage_piece){.file = reading->file,
                                   .from = from,
                                   .to = to,
                                   .is_log = reading->is_log,
                                   .is_data = reading->is_data};
    return piece;
}

static uint64_t number(const struct kv_inspect_item *item, const char *name)
{
    const struct kv_inspect_fact *found = inspect_fact(item, name);
    assert(found != NULL);
    return found->number;
}

static bool is_text(const struct kv_inspect_item *item, const char *name, const char *text)
{
    const struct kv_inspect_fact *found = inspect_fact(item, name);
    return found != NULL && kv_slice_equal(found->bytes, kv_slice_str(text));
}

static void note_keyspace(struct reading *reading, const struct kv_inspect_item *item)
{
    if (inspect_fact(item, "keyspace") != NULL) {
        reading->is_data = is_text(item, "keyspace", FORMAT_TABLE_DATA);
        reading->is_meta = is_text(item, "keyspace", FORMAT_TABLE_META);
    }
}

static void end_record(struct reading *reading, uint64_t at)
{
    struct damage_map *map = reading->map;
    for (size_t i = reading->record_begun; i < map->count; i++) {
        map->pieces[i].to = at;
    }
    reading->record_begun = map->count;
}

static void take_part(struct reading *reading, const struct kv_inspect_item *item)
{
    uint64_t offset = number(item, "offset");

    if (strcmp(item->type, "record") == 0) {
        end_record(reading, offset);
    } else if (is_text(item, "holds", "data")) {
        add_piece(reading, offset, offset + number(item, "bytes"));
    }
}

static void take_row(struct reading *reading, const struct kv_inspect_item *item)
{
    const struct kv_inspect_fact *key = inspect_fact(item, "key");
    struct damage_map *map = reading->map;
    struct damage_piece *piece;

    note_keyspace(reading, item);
    if (key == NULL || !(reading->is_data || reading->is_meta)) {
        return;
    }
    if (reading->is_log) {
        piece = add_piece(reading, 0, 0);
    } else if (strcmp(item->type, "value") == 0) { /* of a blob */
        uint64_t offset = number(item, "offset");
        piece = add_piece(reading, offset, offset + number(item, "stored_bytes"));
    } else {
        piece = &map->pieces[map->count - 1];
    }
    take_key(map, reading->tree, reading->is_data, key->bytes);
    if (piece->first.size == 0) {
        assign(&piece->first, key->bytes);
    }
    assign(&piece->last, key->bytes);
}

static int take_item(void *arg, const struct kv_inspect_item *item)
{
    struct reading *reading = arg;

    assert(item->level != KV_INSPECT_DAMAGE);
    if (item->level == KV_INSPECT_FILE) {
        note_keyspace(reading, item);
    } else if (item->level == KV_INSPECT_PART) {
        take_part(reading, item);
    } else if (item->level == KV_INSPECT_ROW) {
        take_row(reading, item);
    }
    return 0;
}

/* What lies between two blocks may have been in either. */
static void widen_blocks(struct damage_map *map, size_t begun)
{
    for (size_t i = map->count; i-- > begun + 1;) {
        struct damage_piece *piece = &map->pieces[i], *before = piece - 1;
        struct kv_buf first = {0};
        assign(&first, kv_buf_slice(&piece->first));
        assign(&piece->first, kv_buf_slice(&before->last));
        piece->behind = true;
        assign(&before->last, kv_buf_slice(&first));
        kv_buf_finish(&first);
    }
}

static bool ends_with(const char *name, const char *end)
{
    size_t size = strlen(name), end_size = strlen(end);
    return size >= end_size && strcmp(name + size - end_size, end) == 0;
}

static void read_file(struct damage_map *map, const struct damage_dir *dir,
                      const struct image *image, const struct tree *tree, unsigned file)
{
    const struct image_file *of = &image->files[file];
    bool is_table = ends_with(of->name, ".table"), is_log = ends_with(of->name, ".log");
    struct reading reading = {.map = map,
                              .tree = tree,
                              .file = file,
                              .begun = map->count,
                              .record_begun = map->count,
                              .is_log = is_log};
    const struct kv_inspect_options options = {
        .parts = true, .rows = true, .item_fn = take_item, .arg = &reading};
    struct kv_file_id id;

    if (!is_table && !is_log && !ends_with(of->name, ".blob")) {
        return;
    }
    struct kv_storage *storage = damage_dir_storage(dir, false);
    need(kv_inspect_id(of->name, &id));
    need(kv_inspect(storage, id, &options));
    storage->ops->close(storage);
    if (is_log) {
        end_record(&reading, of->bytes.size);
    } else if (is_table) {
        widen_blocks(map, reading.begun);
    }
}

/* A hole is no row: where rows of the file may be missing, it may be none. */
static void add_holes(struct damage_map *map, const struct tree *tree)
{
    struct rowkey first, last;

    for (unsigned i = 0; i < TREE_PATHS; i++) {
        if (tree->paths[i].sparse && tree->paths[i].ino != 0) {
            rowkey_extent(&first, tree->paths[i].ino, 1);
            rowkey_kind_end(&last, ROW_EXTENT, tree->paths[i].ino);
            add_keys(map, i, true, rowkey_slice(&first), rowkey_slice(&last));
        }
    }
}

void damage_map_make(struct damage_map *map, const struct damage_dir *dir,
                     const struct image *image, const struct tree *tree)
{
    *map = (struct damage_map){0};
    image_lay_down(image, dir->path);
    for (unsigned i = 0; i < image->count; i++) {
        read_file(map, dir, image, tree, i);
    }
    add_holes(map, tree);
}

void damage_map_finish(struct damage_map *map)
{
    for (size_t i = 0; i < map->count; i++) {
        kv_buf_finish(&map->pieces[i].first);
        kv_buf_finish(&map->pieces[i].last);
    }
    for (size_t i = 0; i < map->key_count; i++) {
        kv_buf_finish(&map->keys[i].first);
        kv_buf_finish(&map->keys[i].last);
    }
    free(map->pieces);
    free(map->keys);
    *map = (struct damage_map){0};
}

/* ---- what changed ---------------------------------------------------------------------------- */

static bool has_changed(const struct image_file *sound, const struct image_file *damaged,
                        uint64_t from, uint64_t to)
{
    return damaged->removed || damaged->bytes.size < to ||
           memcmp(sound->bytes.data + from, damaged->bytes.data + from, (size_t)(to - from)) != 0;
}

static bool has_key(const struct damage_piece *piece, const struct damage_key *key)
{
    if (piece->first.size == 0 || piece->is_data != key->is_data) {
        return false;
    }
    int low = kv_slice_compare(kv_buf_slice(&piece->first), kv_buf_slice(&key->last));
    int high = kv_slice_compare(kv_buf_slice(&key->first), kv_buf_slice(&piece->last));
    return (piece->behind ? low < 0 : low <= 0) && high <= 0;
}

/* An earlier log's end is what a later one goes on from. */
static bool is_behind_damaged_log(const struct damage_map *map, const struct image *sound,
                                  const struct image *damaged, const struct damage_piece *piece)
{
    for (unsigned i = 0; piece->is_log && i < piece->file; i++) {
        if (ends_with(sound->files[i].name, ".log") &&
            has_changed(&sound->files[i], &damaged->files[i], 0, sound->files[i].bytes.size)) {
            return true;
        }
    }
    return false;
}

void damage_map_compare(const struct damage_map *map, const struct image *sound,
                        const struct image *damaged, struct damage_touched *ret_touched)
{
    bool table = false, table_gone = false, manifest = false, root = false, open = false;

    *ret_touched = (struct damage_touched){0};
    for (unsigned i = 0; i < sound->count; i++) {
        const struct image_file *was = &sound->files[i], *is = &damaged->files[i];
        bool changed = has_changed(was, is, 0, was->bytes.size);
        ret_touched->log |= changed && ends_with(was->name, ".log");
        manifest |= changed && ends_with(was->name, ".manifest");
        root |= changed && strcmp(was->name, "ROOT") == 0;
        table |= changed && ends_with(was->name, ".table");
        table_gone |= is->removed && ends_with(was->name, ".table");
    }
    for (size_t i = 0; i < map->count; i++) {
        open |= map->pieces[i].is_log;
    }
    ret_touched->earlier = manifest && table && (root || ret_touched->log || open);
    ret_touched->unnamed = manifest && table_gone;
    for (size_t i = 0; i < map->count; i++) {
        const struct damage_piece *piece = &map->pieces[i];
        const struct image_file *was = &sound->files[piece->file],
                                *is = &damaged->files[piece->file];
        if (!has_changed(was, is, piece->from, piece->to) &&
            !is_behind_damaged_log(map, sound, damaged, piece)) {
            continue;
        }
        bool *touched = piece->is_log ? ret_touched->in_log : ret_touched->in_table;
        for (size_t at = 0; at < map->key_count; at++) {
            touched[map->keys[at].path] |= has_key(piece, &map->keys[at]);
        }
    }
}
