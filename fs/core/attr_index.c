/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/core/attr_index.h"

#include <kv/index_entry.h>

#include "fs/core/fs_internal.h"
#include "fs/core/xattr.h"
#include "kvcore/util/coding.h"

/* ---- entries ----------------------------------------------------------------------------------
 */

int attr_index_entry(struct kv_slice value, uint64_t ino, struct kv_buf *to)
{
    uint8_t row_key[8];
    coding_put_be64(row_key, ino);
    to->size = 0;
    return kv_index_entry_put(to, attr_index_key(value), kv_slice(row_key, sizeof row_key));
}

int attr_index_entry_get(struct kv_slice entry, struct kv_buf *value, uint64_t *ret_ino)
{
    struct kv_slice row_key;
    int r = kv_index_entry_get(entry, value, &row_key);
    if (r == 0 && (value->size > ATTR_INDEX_VALUE_SIZE_MAX || row_key.size != 8 ||
                   !rowkey_ino_is_valid(coding_get_be64(row_key.data)))) {
        r = -EBADMSG;
    }
    if (r == 0) {
        *ret_ino = coding_get_be64(row_key.data);
    }
    return r;
}

/* What the row said is not known any more: look for its entry, through the whole index. */
static int delete_entries_of(struct txn *txn, uint64_t ino)
{
    struct kv_iter_options options = {
        .lower = kv_index_entries_from(), .upper = kv_index_entries_to(), .keep_cache = true};
    struct kv_table *table = txn->fs->index.table;
    struct kv_iter *iter = NULL;
    struct kv_buf value = {0};
    uint64_t at = 0;
    int r = fs_result(kv_iter_create(table, &options, &iter));
    if (r < 0) {
        return r;
    }
    for (kv_iter_seek_first(iter); r == 0 && kv_iter_valid(iter); kv_iter_next(iter)) {
        r = attr_index_entry_get(kv_iter_key(iter), &value, &at);
        if (r == 0 && at == ino) {
            txn_delete_bytes(txn, table, kv_iter_key(iter));
        }
        r = r == -EBADMSG ? 0 : r; /* fsck tells */
    }
    r = r != 0 ? r : fs_iter_result(iter);
    kv_iter_destroy(iter);
    kv_buf_finish(&value);
    return r;
}

static int delete_old(struct txn *txn, uint64_t ino, struct kv_slice entry)
{
    struct kv_buf old_value = {0};
    struct kv_buf old = {0};
    int r = xattr_read(txn->fs, ino, attr_index_name(&txn->fs->index), &old_value);
    if (r == 0) {
        r = attr_index_entry(kv_buf_slice(&old_value), ino, &old);
        if (r == 0 && !kv_slice_equal(kv_buf_slice(&old), entry)) {
            txn_delete_bytes(txn, txn->fs->index.table, kv_buf_slice(&old));
        }
    } else if (r == -EIO) {
        r = delete_entries_of(txn, ino);
    } else if (r == -ENODATA) {
        r = 0;
    }
    kv_buf_finish(&old_value);
    kv_buf_finish(&old);
    return r;
}

int attr_index_change(struct txn *txn, uint64_t ino, const struct kv_slice *value)
{
    struct kv_buf entry = {0};
    int r = value != NULL ? attr_index_entry(*value, ino, &entry) : 0;
    r = r < 0 ? r : delete_old(txn, ino, kv_buf_slice(&entry));
    if (r == 0 && value != NULL) {
        txn_put_bytes(txn, txn->fs->index.table, kv_buf_slice(&entry), kv_slice(NULL, 0));
    }
    kv_buf_finish(&entry);
    return r;
}

/* ---- state ------------------------------------------------------------------------------------
 */

static int state_bytes(bool built, struct kv_slice done, struct kv_buf *to)
{
    const struct kv_index_state state = {
        .version = ATTR_INDEX_VERSION, .built = built, .done = done};
    return kv_index_state_put(to, &state);
}

int attr_index_put_state(struct txn *txn, bool built, struct kv_slice done)
{
    struct kv_buf bytes = {0};
    int r = state_bytes(built, done, &bytes);
    if (r == 0) {
        txn_put_bytes(txn, txn->fs->index.table, kv_index_state_key(), kv_buf_slice(&bytes));
    }
    kv_buf_finish(&bytes);
    return r;
}

/* -ENOENT there is none, or that of another version; -EIO it makes no sense. */
static int read_state(struct kvfs *fs, struct kv_buf *bytes, struct kv_index_state *ret_state)
{
    struct kv_index_state state;
    int r = fs_result(kv_get_copy(fs->index.table, NULL, kv_index_state_key(), bytes));
    if (r < 0) {
        return r;
    }
    if (kv_index_state_get(kv_buf_slice(bytes), &state) < 0) {
        return fs_row_damaged(fs, kv_index_state_key(), "it is no state of an index");
    }
    if (state.version != ATTR_INDEX_VERSION) {
        return -ENOENT;
    }
    *ret_state = state;
    return 0;
}

int attr_index_read_done(struct kvfs *fs, struct kv_buf *ret_done)
{
    struct kv_index_state state;
    struct kv_buf bytes = {0};
    int r = read_state(fs, &bytes, &state);
    if (r == 0) {
        r = kv_buf_assign(ret_done, state.done);
    }
    kv_buf_finish(&bytes);
    return r;
}

int attr_index_collect_reset(struct kvfs *fs, struct kv_batch *batch)
{
    struct kv_buf bytes = {0};
    int r = kv_batch_delete_range(batch, fs->index.table, kv_index_entries_from(),
                                  kv_index_entries_to());
    r = r < 0 ? r : state_bytes(false, kv_slice(NULL, 0), &bytes);
    r = r < 0 ? r
              : kv_batch_put(batch, fs->index.table, kv_index_state_key(), kv_buf_slice(&bytes));
    kv_buf_finish(&bytes);
    return r;
}

int attr_index_reset(struct kvfs *fs)
{
    struct kv_batch *batch = NULL;
    int r = kv_batch_create(&batch);
    if (r < 0) {
        return r;
    }
    r = attr_index_collect_reset(fs, batch);
    r = r < 0 ? r : fs_result(kv_write(fs->store, batch, KV_DURABLE_SYNC));
    kv_batch_destroy(batch);
    if (r == 0) {
        atomic_store(&fs->index.built, false);
        atomic_store(&fs->index.done_ino, 0);
    }
    return r;
}

/* ---- opening ----------------------------------------------------------------------------------
 */

/* The name in the fact; left empty if there is none, or nobody knows which: what is then wished for
 * is another name, and its index begins anew. */
static int read_name(struct kvfs *fs)
{
    struct attr_index *index = &fs->index;
    struct kv_pinned pinned;
    struct rowkey key;
    rowkey_fact(&key, FORMAT_FACT_INDEX);
    int r = fs_get(fs->meta, NULL, &key, &pinned);
    if (r < 0) {
        return r == -ENOENT || r == -EIO ? 0 : r;
    }
    if (pinned.value.size == 0 || pinned.value.size > KVFS_XATTR_NAME_SIZE_MAX ||
        memchr(pinned.value.data, 0, pinned.value.size) != NULL) {
        kv_ignore(fs_row_damaged(fs, rowkey_slice(&key), "it is no name of an attribute"));
    } else {
        memcpy(index->name, pinned.value.data, pinned.value.size);
        index->name_size = pinned.value.size;
    }
    kv_pinned_release(&pinned);
    return r;
}

/* Versions that know of no index do not keep it, and have to stay away. */
static int collect_facts(struct kvfs *fs, struct kv_slice name, struct kv_batch *batch)
{
    struct rowkey key;
    uint8_t schema[4];
    rowkey_fact(&key, FORMAT_FACT_SCHEMA);
    coding_put_u32(schema, name.size > 0 ? FORMAT_SCHEMA_INDEX : FORMAT_SCHEMA);
    int r = kv_batch_put(batch, fs->meta, rowkey_slice(&key), kv_slice(schema, sizeof schema));
    rowkey_fact(&key, FORMAT_FACT_INDEX);
    if (r == 0 && name.size > 0) {
        r = kv_batch_put(batch, fs->meta, rowkey_slice(&key), name);
    } else if (r == 0) {
        r = kv_batch_delete(batch, fs->meta, rowkey_slice(&key));
    }
    return r;
}

/* The index becomes that of `name`, without entries; or goes, if that is empty. */
static int change_name(struct kvfs *fs, struct kv_slice name)
{
    struct kv_batch *batch = NULL;
    int r = kv_batch_create(&batch);
    r = r < 0 ? r : collect_facts(fs, name, batch);
    r = r < 0 ? r : kv_table_open(fs->store, FORMAT_TABLE_INDEX, NULL, &fs->index.table);
    r = r < 0 ? r : attr_index_collect_reset(fs, batch);
    r = r < 0 ? r : kv_write(fs->store, batch, KV_DURABLE_SYNC);
    kv_batch_destroy(batch);
    fs->index.table = NULL;
    if (r == 0) {
        memcpy(fs->index.name, name.data, name.size);
        fs->index.name[name.size] = '\0';
        fs->index.name_size = name.size;
    }
    return fs_result(r);
}

static int follow_wish(struct kvfs *fs, const char *wanted)
{
    struct kv_slice name = kv_slice_str(wanted);
    if (kv_slice_equal(name, attr_index_name(&fs->index))) {
        return 0;
    }
    if (name.size > 0 && !kvfs_index_name_is_valid(wanted)) {
        message(&fs->sink, KV_MESSAGE_ERROR,
                "no index can be kept of '%s': wanted is the name of an attribute in the space "
                "'user.', of at most %d bytes, without '='.",
                wanted, KVFS_XATTR_NAME_SIZE_MAX);
        return -EINVAL;
    }
    if (fs->read_only) {
        message(&fs->sink, KV_MESSAGE_ERROR,
                "a store that is opened for reading only keeps the index that it has.");
        return -EROFS;
    }
    return change_name(fs, name);
}

/* An index whose state is lost or of another version begins anew. */
static int take_up(struct kvfs *fs)
{
    struct kv_index_state state = {0};
    struct kv_buf bytes = {0};
    int r = read_state(fs, &bytes, &state);
    if (r == -ENOENT || r == -EIO) {
        state.built = false;
        r = fs->read_only ? 0 : attr_index_reset(fs);
    }
    atomic_store(&fs->index.built, state.built);
    kv_buf_finish(&bytes);
    return r;
}

int attr_index_open(struct kvfs *fs, const char *wanted)
{
    int r = read_name(fs);
    if (r == 0 && wanted != NULL) {
        r = follow_wish(fs, wanted);
    }
    if (r < 0 || fs->index.name_size == 0) {
        return r;
    }
    r = kv_table_open(fs->store, FORMAT_TABLE_INDEX, NULL, &fs->index.table);
    if (r == -ENOENT) {
        return 0; /* opened for reading only, and lost: there is none until it is built */
    }
    return r < 0 ? fs_result(r) : take_up(fs);
}

bool kvfs_index_status(struct kvfs *fs, struct kvfs_index_status *ret_status)
{
    const struct attr_index *index = &fs->index;
    uint64_t next = ino_next(fs);
    if (index->name_size == 0) {
        return false;
    }
    *ret_status = (struct kvfs_index_status){.attribute = index->name,
                                             .built = atomic_load(&index->built),
                                             .error = atomic_load(&index->error)};
    uint64_t done = atomic_load(&index->done_ino);
    ret_status->percent = ret_status->built || done >= next ? 100 : (unsigned)(done * 100 / next);
    return true;
}
