/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/archive/archive_place.h"

void archive_place_cache_finish(struct archive_place_cache *cache)
{
    kv_buf_finish(&cache->path);
}

static int append_component(struct kv_buf *clean, struct kv_slice part)
{
    int r = clean->size > 0 ? kv_buf_append(clean, kv_slice_str("/")) : 0;
    return r < 0 ? r : kv_buf_append(clean, part);
}

int archive_place_clean(const char *path, struct kv_buf *clean, const char **ret_why)
{
    int r = 0;
    clean->size = 0;
    if (*path == '\0') {
        *ret_why = "it has no name";
        return -EINVAL;
    }
    if (*path == '/') {
        *ret_why = "its path is absolute. Make the archive with relative paths";
        return -EINVAL;
    }
    while (*path != '\0' && r == 0) {
        struct kv_slice part = kv_slice(path, strcspn(path, "/"));
        if (kv_slice_equal(part, kv_slice_str(".."))) {
            *ret_why = "there is .. in its path, which could lead anywhere";
            return -EINVAL;
        }
        if (part.size > 0 && !kv_slice_equal(part, kv_slice_str("."))) {
            r = append_component(clean, part);
        }
        path += part.size;
        path += *path == '/';
    }
    if (r == 0) {
        r = kv_buf_append(clean, kv_slice("", 1));
        clean->size -= r == 0;
    }
    return r;
}

/* The directory `name` in *ino, which becomes its number. */
static int descend(struct kvfs *fs, const struct kvfs_who *who, const char *name, uint64_t *ino)
{
    struct kvfs_entry entry;
    int r = kvfs_lookup(fs, *ino, name, &entry);
    if (r == -ENOENT) {
        r = kvfs_mkdir(fs, who, *ino, name, 0755, &entry);
    }
    if (r < 0) {
        return r;
    }
    kvfs_forget(fs, entry.ino, 1);
    *ino = entry.ino;
    return S_ISDIR(entry.stat.st_mode) ? 0 : -ENOTDIR;
}

static int walk_down(struct kvfs *fs, const struct kvfs_who *who, char *path, uint64_t *ret_ino)
{
    uint64_t ino = KVFS_ROOT_INO;
    int r = 0;
    while (*path != '\0' && r == 0) {
        size_t size = strcspn(path, "/");
        char end = path[size];
        path[size] = '\0';
        r = descend(fs, who, path, &ino);
        if (r == 0) { /* else the path stays cut behind the component at fault */
            path[size] = end;
        }
        path += size + (end != '\0');
    }
    if (r == 0) {
        *ret_ino = ino;
    }
    return r;
}

static int has_default_acl(struct kvfs *fs, uint64_t ino, bool *ret_has)
{
    struct kv_buf acl = {0};
    int r = kvfs_getxattr(fs, ino, "system.posix_acl_default", &acl);
    kv_buf_finish(&acl);
    *ret_has = r == 0;
    return r == -ENODATA ? 0 : r;
}

static int remember(struct kvfs *fs, const struct kvfs_who *who, struct archive_place_cache *cache,
                    char *directory)
{
    struct kv_slice path = kv_slice_str(directory);
    if (cache->ino != 0 && kv_slice_equal(kv_buf_slice(&cache->path), path)) {
        return 0;
    }
    cache->ino = 0;
    int r = kv_buf_assign(&cache->path, path);
    uint64_t ino = 0;
    r = r < 0 ? r : walk_down(fs, who, directory, &ino);
    r = r < 0 ? r : has_default_acl(fs, ino, &cache->gives_acl);
    if (r == 0) {
        cache->ino = ino;
    }
    return r;
}

int archive_place_find(struct kvfs *fs, const struct kvfs_who *who,
                       struct archive_place_cache *cache, struct kv_buf *clean,
                       struct archive_place *ret_place)
{
    static char root[1] = "";
    char *path = (char *)clean->data;
    char *slash = path != NULL ? memrchr(path, '/', clean->size) : NULL;
    if (slash != NULL) {
        *slash = '\0';
    }
    int r = remember(fs, who, cache, slash != NULL ? path : root);
    if (r == 0) {
        *ret_place = (struct archive_place){
            .parent = cache->ino,
            .name = slash != NULL ? slash + 1 : path,
            .gives_acl = cache->gives_acl,
        };
    }
    return r;
}
