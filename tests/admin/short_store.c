/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/admin/short_store.h"

#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct short_store short_store;

const struct kv_options short_options = {.create = true,
                                         .file_bytes = 2048,
                                         .blob_commit_bytes = 1 << 20,
                                         .blob_flush_bytes = 1 << 20,
                                         .no_background = true};

void short_setup(void)
{
    struct kv_storage *storage = NULL;
    short_store = (struct short_store){.end = 0};
    temp_dir_make(&short_store.dir);
    temp_dir_name(&short_store.dir, "store", short_store.path);
    temp_dir_name(&short_store.dir, "image", short_store.image);
    ck_ok(kv_storage_posix_open(short_store.path, true, &storage));
    ck_ok(kv_open(storage, &short_options, &short_store.store));
    ck_ok(kv_table_open(short_store.store, "one", NULL, &short_store.table));
}

void short_teardown(void)
{
    temp_dir_remove(&short_store.dir);
}

/* ---- rows ---- */

struct kv_slice short_key(unsigned i, char to[16])
{
    return kv_slice(to, (size_t)snprintf(to, 16, "k%04u", i));
}

static struct kv_slice value_of(unsigned i, int version, char to[64])
{
    return kv_slice(to,
                    (size_t)snprintf(to, 64, "%d of key %u with a tail of some bytes", version, i));
}

void short_put_to(struct kv_table *table, unsigned from, unsigned to, unsigned step, int version)
{
    char key[16], value[64];
    for (unsigned i = from; i < to; i += step) {
        ck_ok(kv_put(table, short_key(i, key), value_of(i, version, value), KV_DURABLE_WRITE));
    }
}

void short_put(unsigned from, unsigned to, int version)
{
    short_put_to(short_store.table, from, to, 1, version);
}

void short_delete_even(unsigned to)
{
    char key[16];
    for (unsigned i = 0; i < to; i += 2) {
        ck_ok(kv_delete(short_store.table, short_key(i, key), KV_DURABLE_WRITE));
    }
}

int short_version_in(struct kv_table *table, unsigned i)
{
    char key[16], value[64];
    struct kv_pinned pinned = {0};
    int version, r = kv_get(table, NULL, short_key(i, key), &pinned);
    if (r == -ENOENT || r == -KV_EDAMAGED) {
        return r == -ENOENT ? SHORT_GONE : SHORT_UNREADABLE;
    }
    ck_ok(r);
    version = (int)strtol((const char *)pinned.value.data, NULL, 10);
    ck_assert(kv_slice_equal(pinned.value, value_of(i, version, value)));
    kv_pinned_release(&pinned);
    return version;
}

/* ---- files ---- */

/* There is one. */
static void manifest_name(const char *path, char to[600])
{
    char pattern[600];
    glob_t found;
    snprintf(pattern, sizeof pattern, "%s/*.manifest", path);
    ck_assert_int_eq(glob(pattern, 0, NULL, &found), 0);
    ck_assert_uint_eq(found.gl_pathc, 1);
    snprintf(to, 600, "%s", found.gl_pathv[0]);
    globfree(&found);
}

void short_lose_from_here(void)
{
    char name[600];
    struct stat st;
    manifest_name(short_store.path, name);
    ck_assert(stat(name, &st) == 0);
    short_store.end = st.st_size;
}

unsigned short_list_tables(const char *path, unsigned numbers[SHORT_TABLES_MAX])
{
    char name[600];
    unsigned count = 0;
    for (unsigned n = 1; n < 1000; n++) {
        snprintf(name, sizeof name, "%s/%08u.table", path, n);
        if (access(name, F_OK) == 0) {
            ck_assert_uint_lt(count, SHORT_TABLES_MAX);
            numbers[count++] = n;
        }
    }
    return count;
}

void short_remove_table(const char *path, unsigned number)
{
    char name[600];
    snprintf(name, sizeof name, "%s/%08u.table", path, number);
    ck_assert(unlink(name) == 0);
}

void short_copy_table(const char *from, const char *to, unsigned number)
{
    char command[1400];
    snprintf(command, sizeof command, "cp %s/%08u.table %s/", from, number, to);
    ck_assert_int_eq(system(command), 0);
}

void short_crash_while_reading(struct kv_iter *one, struct kv_iter *other)
{
    char name[600];

    copy_tree(short_store.path, short_store.image);
    kv_iter_destroy(one);
    kv_iter_destroy(other);
    ck_ok(kv_close(short_store.store));
    short_store.store = NULL;
    manifest_name(short_store.image, name);
    ck_assert(short_store.end == 0 || truncate(name, short_store.end) == 0);
}

void short_crash(void)
{
    short_crash_while_reading(NULL, NULL);
}

/* ---- judging ---- */

bool short_repair(int code)
{
    struct kv_admin_result result;
    char before[512];
    struct kv_storage *storage;
    int codes[64];
    bool told;

    copy_tree(short_store.image, temp_dir_name(&short_store.dir, "before", before));
    ck_ok(store_check(short_store.image, KV_ADMIN_REPAIR, false, codes, &result));
    told = has_code(codes, code);
    if (result.archive[0] != '\0') {
        storage = store_storage(short_store.image);
        ck_ok(kv_admin_undo(storage, result.archive));
        storage->ops->close(storage);
        ck_assert(same_tree(short_store.image, before, true));
        ck_ok(store_check(short_store.image, KV_ADMIN_REPAIR, false, codes, &result));
    }
    ck_assert_uint_eq(result.repaired, result.problems);
    ck_ok(store_check(short_store.image, KV_ADMIN_REPORT, true, codes, &result));
    ck_assert_uint_eq(result.problems, 0);
    return told;
}

struct kv_store *short_open_image(void)
{
    struct kv_options with = short_options;
    struct kv_store *store = NULL;
    with.create = false;
    ck_ok(kv_open(store_storage(short_store.image), &with, &store));
    return store;
}

void short_expect(int (*wanted)(unsigned key))
{
    struct kv_store *store = short_open_image();
    struct kv_table *table = NULL;
    ck_ok(kv_table_open(store, "one", NULL, &table));
    for (unsigned i = 0; i < SHORT_KEYS; i++) {
        int version = short_version_in(table, i);
        ck_assert_msg(version == wanted(i), "key %u is of version %d", i, version);
    }
    ck_ok(kv_close(store));
}

static int take_text(void *arg, const struct kv_problem *problem)
{
    char *text = arg;
    if (problem->kind->code == KV_PROBLEM_MANIFEST_SHORT) {
        snprintf(text, 512, "%s", problem->text);
    }
    return 0;
}

void short_expect_told(const char *words)
{
    char text[512] = "";
    const struct kv_admin_options with = {
        .mode = KV_ADMIN_REPORT, .problem_fn = take_text, .arg = text};
    struct kv_admin_result result;
    struct kv_storage *storage = store_storage(short_store.image);
    ck_ok(kv_admin_check(storage, &with, &result));
    storage->ops->close(storage);
    ck_assert_msg(strstr(text, words) != NULL, "told is: %s", text);
}

unsigned short_count_right(int (*wanted)(unsigned key))
{
    struct kv_store *store = short_open_image();
    struct kv_table *table = NULL;
    unsigned right = 0;
    ck_ok(kv_table_open(store, "one", NULL, &table));
    for (unsigned i = 0; i < SHORT_KEYS; i++) {
        int version = short_version_in(table, i);
        ck_assert_msg(version == wanted(i) || version <= SHORT_GONE, "key %u is of version %d", i,
                      version);
        right += version == wanted(i);
    }
    ck_ok(kv_close(store));
    return right;
}
