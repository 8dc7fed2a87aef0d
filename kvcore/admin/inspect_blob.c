/* SPDX-License-Identifier: Apache-2.0 */
/* A blob: its directory, block by block, with the keys that the values were born under, and what
 * the manifest knows of it. */
#include "kvcore/admin/inspect.h"
#include "kvcore/blob/blob_check.h"

struct looking {
    struct inspect *in;
    bool sealed;
    struct blob_footer footer;
};

static int take_footer(void *arg, const struct blob_footer *footer)
{
    struct looking *l = arg;
    l->sealed = true;
    l->footer = *footer;
    return 0;
}

static int take_entry(void *arg, const struct blob_entry *entry)
{
    const struct looking *l = arg;
    struct inspect *in = l->in;

    if (!in->options->rows) {
        return 0;
    }
    inspect_begin(in, KV_INSPECT_ROW, "value");
    inspect_number(in, "offset", entry->offset);
    inspect_number(in, "stored_bytes", entry->stored_size);
    inspect_number(in, "value_bytes", entry->length);
    inspect_number(in, "codec", entry->codec);
    inspect_keyspace(in, entry->table_id);
    inspect_bytes(in, "key", KV_INSPECT_KEY, entry->key);
    return inspect_end(in);
}

static int spend(void *arg, uint64_t bytes)
{
    const struct looking *l = arg;
    return inspect_spend(l->in, bytes);
}

/* What the manifest says of a sealed one; NULL: nothing. */
static const struct version_blob *known_blob(const struct inspect *in)
{
    const struct scan *known = &in->known;
    return known->has_state ? version_find_blob(known->state.version, in->id.number) : NULL;
}

static int check_end(struct looking *l)
{
    const struct version_blob *known = known_blob(l->in);
    struct inspect *in = l->in;
    struct blob_check check = {
        .store = {.storage = in->storage, .seed = in->seed, .sink = &in->sink},
        .read_fn = spend,
        .footer_fn = take_footer,
        .entry_fn = take_entry,
        .arg = l};
    int r = blob_check_end(&check, in->id.number,
                           known != NULL ? known->info.file_size : in->bytes_all);

    in->newer |= r == -KV_EFORMAT;
    if (r == -KV_EDAMAGED) {
        return inspect_damage(in, in->said_offset, "%s", in->said);
    }
    if (r == -EIO) {
        return inspect_damage(in, MESSAGE_NO_OFFSET, "it cannot be read: %s", kv_strerror(r));
    }
    return r == -KV_EFORMAT ? 0 : r;
}

static int tell(const struct looking *l)
{
    const struct version_blob *known = known_blob(l->in);
    struct inspect *in = l->in;

    inspect_begin(in, KV_INSPECT_FILE, "blob");
    inspect_number(in, "file_bytes", in->bytes_all);
    inspect_number(in, "number", in->id.number);
    inspect_number(in, "sealed", l->sealed);
    if (l->sealed) {
        inspect_number(in, "value_count", l->footer.value_count);
        inspect_number(in, "data_bytes", l->footer.data_bytes);
        inspect_number(in, "directory_offset", l->footer.directory_offset);
        inspect_number(in, "directory_bytes", l->footer.directory_size);
    }
    if (known != NULL) {
        inspect_number(in, "sealed_bytes", known->info.file_size);
        inspect_number(in, "referenced_bytes", known->referenced);
        inspect_number(in, "punched_bytes", known->info.punched_bytes);
    }
    return inspect_end(in);
}

int inspect_blob(struct inspect *in)
{
    const struct kv_storage_ops *ops = in->storage->ops;
    struct looking l = {.in = in};
    struct kv_object *object = NULL;
    int r = ops->object_open(in->storage, in->id, &object);

    if (r < 0) {
        return r;
    }
    in->bytes_all = ops->object_size(object);
    ops->object_close(object);
    r = check_end(&l);
    return r < 0 ? r : tell(&l);
}
