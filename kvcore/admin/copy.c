/* SPDX-License-Identifier: Apache-2.0 */
/* A copy of a store that may be damaged, to be repaired in the place of the original. */
#include <assert.h>

#include "kvcore/admin/scan.h"

static const char root_name[] = "ROOT";

struct copying {
    struct scan scan; /* of the original: for telling */
    struct kv_storage *to;
    bool is_store;    /* there is some file of one */
    bool has_root;    /* something of that name */
    const char *name; /* that is being copied */
    /* The range of it that cannot be read and was not told yet; size 0: none. */
    uint64_t lost_offset, lost_size;
    int lost_error;
};

/* ---- what is lost ---- */

static void tell_lost(struct copying *c)
{
    struct scan_place place = {.code = KV_PROBLEM_FILE_NOT_COPIED,
                               .name = c->name,
                               .offset = c->lost_offset,
                               .error = c->lost_error};
    if (c->lost_size == UINT64_MAX) {
        place.offset = MESSAGE_NO_OFFSET;
        scan_tell(&c->scan, &place, "%s cannot be opened: %s", c->name, kv_strerror(c->lost_error));
    } else if (c->lost_size > 0) {
        scan_tell(&c->scan, &place, "%llu bytes of %s at offset %llu cannot be read: %s",
                  (unsigned long long)c->lost_size, c->name, (unsigned long long)c->lost_offset,
                  kv_strerror(c->lost_error));
    }
    c->lost_size = 0;
}

/* Neighbours are told as one. */
static int take_lost(void *arg, uint64_t offset, uint64_t size, int error)
{
    struct copying *c = arg;
    if (c->lost_size > 0 && c->lost_offset + c->lost_size == offset && c->lost_error == error) {
        c->lost_size += size;
        return 0;
    }
    tell_lost(c);
    c->lost_offset = offset;
    c->lost_size = size;
    c->lost_error = error;
    return scan_spend(&c->scan, 0);
}

/* ---- one name after the other ---- */

static int copy_file(struct copying *c, const char *name)
{
    struct raw_copy_watch watch = {.read_fn = scan_read_fn, .lost_fn = take_lost, .arg = c};
    int r;

    static_assert(offsetof(struct copying, scan) == 0, "scan_read_fn gets the watch's argument");
    c->name = name;
    r = raw_copy(c->scan.storage, c->to, name, &watch);
    tell_lost(c);
    return r;
}

static bool is_root(const struct raw_name *name)
{
    return name->kind == RAW_FIXED && strcmp(name->name, root_name) == 0;
}

static int look_at(void *arg, const struct raw_name *name)
{
    struct copying *c = arg;
    if (is_root(name) || name->kind == RAW_FILE) {
        c->is_store = true;
        c->has_root |= is_root(name);
        c->scan.progress.bytes_all += name->is_ours ? (uint64_t)name->stat.st_size : 0;
    }
    return 0;
}

static int copy_one(void *arg, const struct raw_name *name)
{
    struct copying *c = arg;
    struct scan_place place = {
        .code = KV_PROBLEM_FILE_FOREIGN, .name = name->name, .offset = MESSAGE_NO_OFFSET};
    if (name->kind == RAW_FOREIGN) {
        scan_tell(&c->scan, &place, "%.200s is no file of a store: it is not copied", name->name);
    }
    return name->kind == RAW_FILE ? copy_file(c, name->name) : scan_spend(&c->scan, 0);
}

static int copy_all(struct copying *c)
{
    int r = raw_list(c->scan.storage, copy_one, c);

    r = r != 0 ? r : raw_sync(c->to);
    if (r == 0 && c->has_root) {
        r = copy_file(c, root_name);
        r = r != 0 ? r : raw_sync(c->to);
    }
    return r;
}

/* ---- both ends ---- */

static const char *holder(const struct copying *c)
{
    return c->scan.options->holder != NULL ? c->scan.options->holder : "a copy of a store";
}

/* As a report does: it is enough that nobody writes, and without LOCK nobody can. */
static int take_source(struct copying *c)
{
    struct kv_storage *from = c->scan.storage;
    int r = from->ops->lease_acquire(from, KV_LEASE_SHARED, holder(c));

    r = r == -ENOLCK || r == -ENOENT ? 0 : r;
    r = r < 0 ? r : raw_list(from, look_at, c);
    return r == 0 && !c->is_store ? -ENOENT : r;
}

static int is_lock_alone(void *arg, const struct raw_name *name)
{
    (void)arg;
    return name->kind == RAW_FIXED && strcmp(name->name, "LOCK") == 0 ? 0 : -EEXIST;
}

static int take_target(struct copying *c, const char *path)
{
    int r = kv_storage_posix_open(path, true, &c->to);

    r = r < 0 ? r : raw_list(c->to, is_lock_alone, NULL);
    r = r < 0 ? r : c->to->ops->lease_acquire(c->to, KV_LEASE_EXCLUSIVE, holder(c));
    return r == -ENOTEMPTY || r == -EBUSY ? -EEXIST : r;
}

int kv_admin_copy(struct kv_storage *from, const char *path, const struct kv_admin_options *options,
                  struct kv_admin_result *ret_result)
{
    struct copying c = {.scan = {.storage = from, .options = options}};
    int r;

    assert(options->mode == KV_ADMIN_REPAIR);
    c.scan.progress.pass = "copy";
    r = take_source(&c);
    r = r < 0 ? r : take_target(&c, path);
    r = r < 0 ? r : copy_all(&c);
    if (c.to != NULL) {
        c.to->ops->close(c.to);
    }
    c.scan.result.repaired = c.scan.result.problems;
    *ret_result = c.scan.result;
    return r == 0 && c.scan.stopped ? -ECANCELED : r;
}
