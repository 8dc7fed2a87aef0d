/* SPDX-License-Identifier: Apache-2.0 */
/* The damage: one way for each code that can be told of a store. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvcore/db/root.h"
#include "kvcore/storage/posix_raw.h"
#include "kvcore/table/table_impl.h"
#include "kvcore/util/checksum.h"
#include "tests/admin/admin_craft.h"

enum { NAME_SIZE = 64, PATH_SIZE = 600 };

static const char *file_path(const char *path, const char *name, char to[PATH_SIZE])
{
    snprintf(to, PATH_SIZE, "%s/%s", path, name);
    return to;
}

/* The largest or smallest file whose name ends so. */
static void find_name(const char *path, const char *end, bool largest, char to[NAME_SIZE])
{
    char file[PATH_SIZE];
    struct dirent *entry;
    struct stat st;
    off_t best = -1;
    DIR *dir = opendir(path);
    to[0] = '\0';
    while ((entry = readdir(dir)) != NULL) {
        size_t size = strlen(entry->d_name);
        if (size >= strlen(end) && strcmp(entry->d_name + size - strlen(end), end) == 0) {
            ck_assert(stat(file_path(path, entry->d_name, file), &st) == 0);
            if (best < 0 || (largest ? st.st_size > best : st.st_size < best)) {
                best = st.st_size;
                snprintf(to, NAME_SIZE, "%s", entry->d_name);
            }
        }
    }
    closedir(dir);
    ck_assert_msg(to[0] != '\0', "no %s in %s", end, path);
}

static uint64_t size_of(const char *path, const char *name)
{
    char file[PATH_SIZE];
    struct stat st;
    ck_assert(stat(file_path(path, name, file), &st) == 0);
    return (uint64_t)st.st_size;
}

static void cut(const char *path, const char *end, uint64_t by)
{
    char name[NAME_SIZE], file[PATH_SIZE];
    find_name(path, end, true, name);
    ck_assert(truncate(file_path(path, name, file), (off_t)(size_of(path, name) - by)) == 0);
}

static void drop(const char *path, const char *end)
{
    char name[NAME_SIZE], file[PATH_SIZE];
    find_name(path, end, true, name);
    ck_assert(unlink(file_path(path, name, file)) == 0);
}

static void add(const char *path, const char *name, const char *text)
{
    char file[PATH_SIZE];
    int fd = open(file_path(path, name, file), O_WRONLY | O_CREAT | O_APPEND, 0600);
    ck_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

/* ---- root record ---- */

static void root_missing(const char *path)
{
    drop(path, "ROOT");
}

static unsigned newest_slot(const struct raw_root *root)
{
    return root->slots[1].valid &&
           (!root->slots[0].valid || root->slots[1].version > root->slots[0].version);
}

static void read_root(const char *path, struct raw_root *root)
{
    struct kv_storage *storage = store_storage(path);
    ck_ok(raw_root_read(storage, root));
    storage->ops->close(storage);
}

static void root_copy(const char *path)
{
    struct raw_root root;
    read_root(path, &root);
    flip(path, "ROOT", newest_slot(&root) == 0 ? 4096 + 40 : 40);
}

static void root_both(const char *path)
{
    flip(path, "ROOT", 50);
    flip(path, "ROOT", 4096 + 50);
}

static void root_size(const char *path)
{
    add(path, "ROOT", "x");
}

static void root_link(const char *path)
{
    char file[PATH_SIZE];
    root_missing(path);
    ck_assert(symlink("/dev/null", file_path(path, "ROOT", file)) == 0);
}

static void write_content(const char *path, uint64_t version, struct kv_slice content)
{
    uint8_t bytes[RAW_ROOT_SIZE];
    char file[PATH_SIZE];
    int fd = open(file_path(path, "ROOT", file), O_WRONLY);
    raw_root_encode(version, content, bytes);
    ck_assert(fd >= 0 && write(fd, bytes, sizeof bytes) == (ssize_t)sizeof bytes);
    close(fd);
}

static void root_senseless(const char *path)
{
    write_content(path, 9, kv_slice_str("no fields"));
}

static void change_root(const char *path, void (*change)(struct root *root))
{
    struct raw_root raw;
    struct root root;
    struct kv_buf content = {0};
    read_root(path, &raw);
    ck_ok(root_decode(raw.slots[newest_slot(&raw)].content, &root));
    change(&root);
    ck_ok(root_encode(&root, &content));
    write_content(path, raw.slots[newest_slot(&raw)].version + 2, kv_buf_slice(&content));
    kv_buf_finish(&content);
}

static void set_incompat(struct root *root)
{
    root->incompat = 1;
}

static void set_check(struct root *root)
{
    root->suspects.check_needed = true;
}

static void set_counters(struct root *root)
{
    root->counters[1] = 3;
}

static void root_newer(const char *path)
{
    change_root(path, set_incompat);
}

static void root_check(const char *path)
{
    change_root(path, set_check);
}

static void root_counters(const char *path)
{
    change_root(path, set_counters);
}

/* ---- names ---- */

static void foreign(const char *path)
{
    add(path, "notes.txt", "x");
}

static void leftover(const char *path)
{
    add(path, "00009999.table.tmp", "x");
}

static void obsolete(const char *path)
{
    add(path, "00009999.table", "x");
}

static void lock_missing(const char *path)
{
    drop(path, "LOCK");
}

static void table_writable(const char *path)
{
    char name[NAME_SIZE], file[PATH_SIZE];
    find_name(path, ".table", true, name);
    ck_assert(chmod(file_path(path, name, file), 0666) == 0);
}

static void table_link(const char *path)
{
    char name[NAME_SIZE], file[PATH_SIZE];
    find_name(path, ".table", false, name);
    ck_assert(unlink(file_path(path, name, file)) == 0);
    ck_assert(symlink("/dev/null", file) == 0);
}

/* ---- manifest and logs ---- */

static void manifest_missing(const char *path)
{
    drop(path, ".manifest");
}

static void root_and_manifest(const char *path)
{
    drop(path, "ROOT");
    drop(path, ".manifest");
}

static void manifest_flip(const char *path)
{
    char name[NAME_SIZE];
    find_name(path, ".manifest", true, name);
    flip(path, name, 200);
}

static void manifest_short(const char *path)
{
    cut(path, ".manifest", 50);
}

static void manifest_head(const char *path)
{
    cut(path, ".manifest", 0);
    char name[NAME_SIZE], file[PATH_SIZE];
    find_name(path, ".manifest", true, name);
    ck_assert(truncate(file_path(path, name, file), 0) == 0);
}

static void manifest_torn(const char *path)
{
    char name[NAME_SIZE];
    find_name(path, ".manifest", true, name);
    add(path, name, "the beginning of an edit that was not finished");
}

static void log_missing(const char *path)
{
    drop(path, ".log");
}

static void logs_missing(const char *path)
{
    char name[NAME_SIZE], file[PATH_SIZE];
    for (unsigned number = 1; number < 100; number++) {
        snprintf(name, sizeof name, "%08u.log", number);
        unlink(file_path(path, name, file));
    }
}

static void log_flip(const char *path)
{
    char name[NAME_SIZE];
    find_name(path, ".log", true, name);
    flip(path, name, 1500);
}

static void log_head(const char *path)
{
    char name[NAME_SIZE];
    find_name(path, ".log", true, name);
    flip(path, name, 50);
}

/* ---- tables ---- */

enum part { PART_BLOCK = 1, PART_FILTER, PART_RANGES, PART_INDEX, PART_PROPERTIES, PART_FOOTER };

static uint64_t part_offset(const struct table *table, enum part part)
{
    const struct table_properties *p = table_properties(table);
    switch (part) {
    case PART_BLOCK:
        return table->index.handles[table->index.rows.count / 2].offset + 60;
    case PART_FILTER:
        return p->filter.offset + 60;
    case PART_RANGES:
        return p->range_deletes.offset + 60;
    case PART_INDEX:
        return table->footer.index.offset + 60;
    case PART_PROPERTIES:
        return table->footer.properties.offset + 60;
    case PART_FOOTER:
        break;
    }
    return table->file_bytes - 40;
}

/* A table of the newer rows, which has range deletes, or one of the deepest level. */
static uint64_t find_table(struct kv_storage *storage, uint64_t seed, bool newer, enum part part,
                           uint64_t *ret_offset)
{
    static const struct message_sink silent = {0};
    uint64_t found = 0;
    for (uint64_t number = 1; number < 200; number++) {
        struct table *table = NULL;
        if (table_open(storage, seed, number, NULL, &silent, &table) == 0) {
            const struct table_properties *p = table_properties(table);
            bool is_newer = p->range_delete_count > 0;
            if (is_newer == newer && p->row_count > 50) {
                found = number;
                *ret_offset = part_offset(table, part);
            }
        }
        table_close(table);
    }
    return found;
}

static void flip_table(const char *path, bool newer, enum part part)
{
    struct kv_storage *storage = store_storage(path);
    struct raw_root raw;
    struct root root;
    char name[NAME_SIZE];
    uint64_t offset = 0;
    uint64_t number;
    read_root(path, &raw);
    ck_ok(root_decode(raw.slots[newest_slot(&raw)].content, &root));
    number = find_table(storage, checksum_store_seed(root.seed_id), newer, part, &offset);
    storage->ops->close(storage);
    ck_assert_msg(number != 0, "no such table");
    snprintf(name, sizeof name, "%08llu.table", (unsigned long long)number);
    flip(path, name, offset);
}

static void table_missing(const char *path)
{
    drop(path, ".table");
}

static void table_short(const char *path)
{
    cut(path, ".table", 700);
}

static void table_footer(const char *path)
{
    flip_table(path, true, PART_FOOTER);
}

static void table_props(const char *path)
{
    flip_table(path, true, PART_PROPERTIES);
}

static void table_index(const char *path)
{
    flip_table(path, true, PART_INDEX);
}

static void table_filter(const char *path)
{
    flip_table(path, true, PART_FILTER);
}

static void table_ranges(const char *path)
{
    flip_table(path, true, PART_RANGES);
}

static void newer_block(const char *path)
{
    flip_table(path, true, PART_BLOCK);
}

static void older_block(const char *path)
{
    flip_table(path, false, PART_BLOCK);
}

/* ---- blobs ---- */

static void blob_missing(const char *path)
{
    drop(path, ".blob");
}

static void blob_short(const char *path)
{
    cut(path, ".blob", 3000);
}

static void blob_directory(const char *path)
{
    char name[NAME_SIZE];
    find_name(path, ".blob", true, name);
    flip(path, name, size_of(path, name) - 80);
}

static void blob_value(const char *path)
{
    char name[NAME_SIZE];
    find_name(path, ".blob", true, name);
    flip(path, name, 100);
}

const struct damage damages[] = {
    {"the root record is missing", KV_PROBLEM_ROOT_MISSING, false, true, 0, false, root_missing},
    {"no root and no manifest", KV_PROBLEM_ROOT_MISSING, false, true, 0, false, root_and_manifest},
    {"both root copies", KV_PROBLEM_ROOT_DAMAGED, false, true, 0, false, root_both},
    {"one root copy", KV_PROBLEM_ROOT_COPY_DAMAGED, false, true, 0, false, root_copy},
    {"a senseless root", KV_PROBLEM_ROOT_SENSELESS, false, true, 0, false, root_senseless},
    {"a newer root", KV_PROBLEM_ROOT_NEWER, false, false, 0, false, root_newer},
    {"a marked root", KV_PROBLEM_ROOT_CHECK_NEEDED, false, true, 0, false, root_check},
    {"a root with counters", KV_PROBLEM_ROOT_ERRORS_SEEN, false, true, 0, false, root_counters},
    {"a root that is a link", KV_PROBLEM_ROOT_NOT_A_FILE, false, false, 0, false, root_link},
    {"a longer root", KV_PROBLEM_ROOT_SIZE, false, true, 0, false, root_size},
    {"a foreign file", KV_PROBLEM_FILE_FOREIGN, false, true, 0, false, foreign},
    {"a leftover", KV_PROBLEM_FILE_LEFTOVER, false, true, 0, false, leftover},
    {"an obsolete table", KV_PROBLEM_FILE_OBSOLETE, false, true, 0, false, obsolete},
    {"a table that is a link", KV_PROBLEM_FILE_NOT_A_FILE, false, false, 0, false, table_link},
    {"no lock", KV_PROBLEM_LOCK_MISSING, false, true, 0, false, lock_missing},
    {"a table all may write", KV_PROBLEM_FILE_OPEN, false, false, 0, false, table_writable},
    {"no manifest", KV_PROBLEM_MANIFEST_MISSING, false, true, 0, false, manifest_missing},
    {"a damaged manifest", KV_PROBLEM_MANIFEST_DAMAGED, false, true, 0, false, manifest_flip},
    {"a short manifest", KV_PROBLEM_MANIFEST_SHORT, false, true, 0, false, manifest_short},
    {"an empty manifest", KV_PROBLEM_MANIFEST_HEAD, true, true, 0, false, manifest_head},
    {"a torn manifest", KV_PROBLEM_MANIFEST_TORN, true, true, 0, false, manifest_torn},
    {"no log", KV_PROBLEM_LOG_MISSING, true, true, 40, false, log_missing},
    {"no log is left", KV_PROBLEM_LOG_MISSING, false, true, 40, false, logs_missing},
    {"a damaged log", KV_PROBLEM_LOG_DAMAGED, true, true, 40, false, log_flip},
    {"a log without head", KV_PROBLEM_LOG_HEAD, true, true, 40, false, log_head},
    {"a missing table", KV_PROBLEM_TABLE_MISSING, false, true, 600, false, table_missing},
    {"a short table", KV_PROBLEM_TABLE_SIZE, false, true, 600, false, table_short},
    {"a damaged footer", KV_PROBLEM_TABLE_FOOTER, false, true, 0, false, table_footer},
    {"damaged properties", KV_PROBLEM_TABLE_PROPERTIES, false, true, 0, false, table_props},
    {"a damaged index", KV_PROBLEM_TABLE_INDEX, false, true, 0, false, table_index},
    {"a damaged filter", KV_PROBLEM_TABLE_FILTER, false, true, 0, false, table_filter},
    {"damaged range deletes", KV_PROBLEM_TABLE_RANGE_DELETES, false, true, 0, false, table_ranges},
    {"a damaged block of newer rows", KV_PROBLEM_TABLE_BLOCK, false, true, 205, false, newer_block},
    {"a damaged block of the oldest rows", KV_PROBLEM_TABLE_BLOCK, false, true, 200, false,
     older_block},
    {"a missing blob", KV_PROBLEM_BLOB_MISSING, false, true, 14, false, blob_missing},
    {"a short blob", KV_PROBLEM_BLOB_SHORT, false, true, 14, false, blob_short},
    {"a damaged directory", KV_PROBLEM_BLOB_DIRECTORY, false, true, 0, false, blob_directory},
    {"a damaged value", KV_PROBLEM_BLOB_VALUE, false, true, 1, true, blob_value},
    {"a root older than its logs", KV_PROBLEM_ROOT_OLD, true, true, 0, false, craft_root_old},
    {"a table that cannot be opened", KV_PROBLEM_FILE_UNREADABLE, false, false, 0, false,
     table_link},
    {"a senseless manifest", KV_PROBLEM_MANIFEST_SENSELESS, false, true, 0, false,
     craft_manifest_senseless},
    {"a snapshot of what is not there", KV_PROBLEM_SNAPSHOT_AHEAD, false, true, 0, false,
     craft_snapshot_ahead},
    {"a newer manifest", KV_PROBLEM_MANIFEST_NEWER, false, false, 0, false, craft_manifest_newer},
    {"a short log", KV_PROBLEM_LOG_SHORT, true, true, 40, false, craft_log_short},
    {"a log of another successor", KV_PROBLEM_LOG_SUCCESSOR, true, true, 0, false,
     craft_log_successor},
    {"a senseless log", KV_PROBLEM_LOG_SENSELESS, true, true, 0, false, craft_log_senseless},
    {"a torn log", KV_PROBLEM_LOG_TORN, true, true, 0, false, craft_log_torn},
    {"a log with rows of no table", KV_PROBLEM_LOG_UNKNOWN_TABLE, true, true, 0, false,
     craft_log_unknown_table},
    {"a log out of order", KV_PROBLEM_LOG_ORDER, true, true, 0, false, craft_log_order},
    {"a newer log", KV_PROBLEM_LOG_NEWER, true, false, 0, false, craft_log_newer},
    {"another table", KV_PROBLEM_TABLE_OTHER, false, true, 600, false, craft_table_other},
    {"a table with wrong sums", KV_PROBLEM_TABLE_SUMS, false, true, 0, false, craft_table_sums},
    {"a newer table", KV_PROBLEM_TABLE_NEWER, false, false, 0, false, craft_table_newer},
    {"a pointer to nowhere", KV_PROBLEM_BLOB_POINTER, false, true, 0, false, craft_blob_pointer},
    {"wrong uses of a blob", KV_PROBLEM_BLOB_USES, false, true, 0, false, craft_blob_uses},
};
const size_t damage_count = sizeof damages / sizeof damages[0];

const struct damage *find_damage(const char *name)
{
    for (size_t i = 0; i < damage_count; i++) {
        if (strcmp(damages[i].name, name) == 0) {
            return &damages[i];
        }
    }
    ck_abort_msg("no such damage: %s", name);
    return NULL;
}
