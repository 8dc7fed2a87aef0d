/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/admin/inspect.h"

#include <assert.h>
#include <stdio.h>

#include "kvcore/admin/seed.h"
#include "kvcore/blob/blob_pointer.h"
#include "kvcore/util/checksum.h"

/* ---- items ---- */

void inspect_begin(struct inspect *in, enum kv_inspect_level level, const char *type)
{
    in->item = (struct kv_inspect_item){.level = level, .type = type, .facts = in->facts};
}

static struct kv_inspect_fact *add(struct inspect *in, const char *name, enum kv_inspect_form form)
{
    struct kv_inspect_fact *fact = &in->facts[in->item.fact_count];
    assert(in->item.fact_count < INSPECT_FACTS_MAX);
    in->item.fact_count++;
    *fact = (struct kv_inspect_fact){.name = name, .form = form};
    return fact;
}

void inspect_number(struct inspect *in, const char *name, uint64_t number)
{
    add(in, name, KV_INSPECT_NUMBER)->number = number;
}

void inspect_text(struct inspect *in, const char *name, const char *text)
{
    add(in, name, KV_INSPECT_TEXT)->bytes = kv_slice_str(text);
}

void inspect_bytes(struct inspect *in, const char *name, enum kv_inspect_form form,
                   struct kv_slice bytes)
{
    add(in, name, form)->bytes = bytes;
}

void inspect_keyspace(struct inspect *in, uint32_t table_id)
{
    const char *name = admin_state_table_name(&in->known.state, table_id);
    inspect_number(in, "keyspace_id", table_id);
    if (name != NULL) {
        inspect_text(in, "keyspace", name);
    }
}

int inspect_end(struct inspect *in)
{
    return in->options->item_fn(in->options->arg, &in->item) != 0 ? -ECANCELED : 0;
}

int inspect_damage(struct inspect *in, uint64_t offset, const char *format, ...)
{
    char text[SCAN_TEXT_SIZE];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    in->damages++;
    inspect_begin(in, KV_INSPECT_DAMAGE, "damage");
    if (offset != MESSAGE_NO_OFFSET) {
        inspect_number(in, "offset", offset);
    }
    inspect_text(in, "text", text);
    return inspect_end(in);
}

int inspect_spend(void *arg, uint64_t bytes)
{
    struct inspect *in = arg;
    const struct kv_inspect_options *options = in->options;
    in->bytes += bytes;
    return options->progress_fn != NULL &&
                   options->progress_fn(options->arg, in->bytes, in->bytes_all) != 0
               ? -ECANCELED
               : 0;
}

/* ---- rows ---- */

const char *inspect_kind(uint8_t row_kind)
{
    switch (row_kind) {
    case ROW_PUT:
        return "put";
    case ROW_DELETE:
        return "delete";
    case ROW_RANGE_DELETE:
        return "delete_range";
    case ROW_BLOB:
        return "blob";
    case ROW_DAMAGED:
        return "damaged";
    default:
        return "unknown";
    }
}

static void add_pointer(struct inspect *in, struct kv_slice value)
{
    struct blob_pointer pointer;
    if (blob_pointer_decode(value, &pointer) < 0) {
        inspect_text(in, "pointer", "makes no sense");
        return;
    }
    inspect_number(in, "blob", pointer.number);
    inspect_number(in, "blob_offset", pointer.offset);
    inspect_number(in, "stored_bytes", pointer.stored_size);
    inspect_number(in, "skipped_bytes", pointer.skip);
    inspect_number(in, "value_bytes", pointer.length);
}

void inspect_row(struct inspect *in, const struct inspect_row *row)
{
    inspect_number(in, "sequence", row->sequence);
    inspect_bytes(in, "key", KV_INSPECT_KEY, row->key);
    if (row->kind == ROW_PUT) {
        inspect_bytes(in, "value", KV_INSPECT_VALUE, row->value);
    } else if (row->kind == ROW_RANGE_DELETE) {
        inspect_bytes(in, "to", KV_INSPECT_KEY, row->value);
    } else if (row->kind == ROW_BLOB) {
        add_pointer(in, row->value);
    }
}

/* ---- the store around it ---- */

static void take_damage(void *arg, const struct message_place *place, const char *text)
{
    struct inspect *in = arg;
    in->said_offset = place->offset;
    snprintf(in->said, sizeof in->said, "%s", text);
}

/* The manifest is good to know: names of keyspaces, ends of logs. Of a store in use it may be gone
 * by now, and of a damaged one it may be damaged. */
static int know_state(struct scan *known)
{
    int r = scan_state(known);
    return r == -ENOMEM ? r : 0;
}

/* The seed, with which alone anything can be verified. */
static int know_store(struct inspect *in)
{
    struct scan *known = &in->known;
    int r = scan_root(known);

    r = r < 0 ? r : scan_files(known);
    if (r == 0 && known->has_root) {
        in->seed = known->seed;
        return know_state(known);
    }
    r = r < 0 ? r : seed_search(known, &in->seed);
    return r == 0 ? -ENODATA : r == 1 ? 0 : r;
}

static int look(struct inspect *in)
{
    switch (in->id.kind) {
    case KV_FILE_LOG:
        return inspect_log(in);
    case KV_FILE_MANIFEST:
        return inspect_manifest(in);
    case KV_FILE_TABLE:
        return inspect_table(in);
    case KV_FILE_BLOB:
        break;
    }
    return inspect_blob(in);
}

int kv_inspect_id(const char *name, struct kv_file_id *ret_id)
{
    return raw_name_is_file(name, ret_id) ? 0 : -EINVAL;
}

int kv_inspect(struct kv_storage *storage, struct kv_file_id id,
               const struct kv_inspect_options *options)
{
    struct kv_admin_options report = {.mode = KV_ADMIN_REPORT};
    struct inspect in = {
        .storage = storage,
        .id = id,
        .options = options,
        .known = {.storage = options->store != NULL ? options->store : storage, .options = &report},
    };
    int r;

    in.sink = (struct message_sink){.damage_fn = take_damage, .damage_arg = &in};
    in.known.sink = in.sink;
    r = know_store(&in);
    if (r == 0) {
        in.file_seed = checksum_file_seed(in.seed, id.kind, id.number);
        r = look(&in);
    }
    scan_finish(&in.known);
    if (r == 0) {
        r = in.newer ? -KV_EFORMAT : in.damages > 0 ? -KV_EDAMAGED : 0;
    } else if (r == -KV_EDAMAGED) {
        r = -ELOOP; /* what is there is no file that the store would open */
    }
    return r;
}
