/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/root.h"

#include "kvcore/util/coding.h"

/* On disk, never renumber; odd ones must be understood. */
enum root_tag {
    ROOT_TAG_FORMAT = 1,
    ROOT_TAG_STORE_ID = 3,
    ROOT_TAG_SEED_ID = 5,
    ROOT_TAG_FEATURES = 7,
    ROOT_TAG_MANIFEST = 9,
    ROOT_TAG_EPOCH = 11,
    ROOT_TAG_CLEAN = 13,
    ROOT_TAG_ENDS = 15,
    ROOT_TAG_LABEL = 16,
    ROOT_TAG_COUNTERS = 18,
    ROOT_TAG_CHECK = 20,
    ROOT_TAG_SUSPECTS = 22,
    ROOT_TAG_ROWS_UNCHECKED = 23,
};

static const uint64_t required_tags =
    1 << ROOT_TAG_FORMAT | 1 << ROOT_TAG_STORE_ID | 1 << ROOT_TAG_SEED_ID | 1 << ROOT_TAG_FEATURES |
    1 << ROOT_TAG_MANIFEST | 1 << ROOT_TAG_EPOCH | 1 << ROOT_TAG_CLEAN;

static int append_u64s(struct kv_buf *to, uint64_t tag, const uint64_t *values, size_t count)
{
    uint8_t bytes[8 * ROOT_COUNTERS];
    for (size_t i = 0; i < count; i++) {
        coding_put_u64(bytes + 8 * i, values[i]);
    }
    return coding_append_field(to, tag, kv_slice(bytes, 8 * count));
}

static int append_ends(struct kv_buf *to, const struct root *root)
{
    uint8_t bytes[48];
    const struct log_end *ends[2] = {&root->last_log, &root->last_manifest};
    for (int i = 0; i < 2; i++) {
        coding_put_u64(bytes + 24 * i, ends[i]->number);
        coding_put_u64(bytes + 24 * i + 8, ends[i]->size);
        coding_put_u64(bytes + 24 * i + 16, ends[i]->chain);
    }
    return coding_append_field(to, ROOT_TAG_ENDS, kv_slice(bytes, sizeof bytes));
}

static int append_suspects(struct kv_buf *to, const struct kv_suspects *suspects)
{
    uint8_t bytes[KV_SUSPECTS_MAX * (1 + CODING_VARINT_MAX)];
    size_t size = 0;
    for (unsigned i = 0; i < suspects->count; i++) {
        bytes[size++] = (uint8_t)suspects->files[i].kind;
        size += coding_put_varint(bytes + size, suspects->files[i].number);
    }
    return size > 0 ? coding_append_field(to, ROOT_TAG_SUSPECTS, kv_slice(bytes, size)) : 0;
}

int root_encode(const struct root *root, struct kv_buf *to)
{
    uint64_t features[3] = {root->compat, root->ro_compat, root->incompat};
    uint8_t version[4];
    uint8_t clean = root->clean;
    uint8_t check = root->suspects.check_needed;
    int r = 0;

    coding_put_u32(version, root->format_version);
    to->size = 0;
    /* One failed append (out of memory) makes the record unusable; look once at the end. */
    r |= coding_append_field(to, ROOT_TAG_FORMAT, kv_slice(version, sizeof version));
    r |= coding_append_field(to, ROOT_TAG_STORE_ID, kv_slice(root->store_id, 16));
    r |= coding_append_field(to, ROOT_TAG_SEED_ID, kv_slice(root->seed_id, 16));
    r |= append_u64s(to, ROOT_TAG_FEATURES, features, 3);
    r |= coding_append_field_varint(to, ROOT_TAG_MANIFEST, root->manifest);
    r |= coding_append_field_varint(to, ROOT_TAG_EPOCH, root->lease_epoch);
    r |= coding_append_field(to, ROOT_TAG_CLEAN, kv_slice(&clean, 1));
    if (root->clean) {
        r |= append_ends(to, root);
    }
    r |= coding_append_field(to, ROOT_TAG_LABEL, kv_slice_str(root->label));
    r |= append_u64s(to, ROOT_TAG_COUNTERS, root->counters, ROOT_COUNTERS);
    r |= coding_append_field(to, ROOT_TAG_CHECK, kv_slice(&check, 1));
    r |= append_suspects(to, &root->suspects);
    if (root->rows_unchecked) {
        r |= coding_append_field_varint(to, ROOT_TAG_ROWS_UNCHECKED, 1);
    }
    return r < 0 ? -ENOMEM : 0;
}

static void read_end(struct coding_cursor *c, struct log_end *end)
{
    end->number = coding_read_u64(c);
    end->size = coding_read_u64(c);
    end->chain = coding_read_u64(c);
}

static bool read_flag(struct coding_cursor *c)
{
    uint8_t v = coding_read_u8(c);
    c->bad |= v > 1;
    return v == 1;
}

static void read_id(struct coding_cursor *c, uint8_t id[16])
{
    struct kv_slice s = coding_read_bytes(c, 16);
    if (s.size == 16) {
        memcpy(id, s.data, 16);
    }
}

static void read_label(struct coding_cursor *c, char *label)
{
    struct kv_slice s = coding_read_bytes(c, coding_left(c));
    if (s.size > ROOT_LABEL_SIZE_MAX || memchr(s.data, 0, s.size) != NULL) {
        c->bad = true;
        return;
    }
    memcpy(label, s.data, s.size);
    label[s.size] = '\0';
}

static void read_suspects(struct coding_cursor *c, struct kv_suspects *suspects)
{
    c->bad |= coding_left(c) == 0;
    while (coding_left(c) > 0 && coding_ok(c)) {
        struct kv_file_id id = {.kind = (enum kv_file_kind)coding_read_u8(c)};
        id.number = coding_read_varint(c);
        c->bad |= suspects->count == KV_SUSPECTS_MAX || id.number == 0 ||
                  (id.kind != KV_FILE_TABLE && id.kind != KV_FILE_BLOB);
        if (coding_ok(c)) {
            suspects->files[suspects->count++] = id;
        }
    }
}

/* Decode one field; false for a tag that is not known. */
static bool decode_field(struct root *root, uint64_t tag, struct coding_cursor *c)
{
    switch (tag) {
    case ROOT_TAG_FORMAT:
        root->format_version = coding_read_u32(c);
        return true;
    case ROOT_TAG_STORE_ID:
        read_id(c, root->store_id);
        return true;
    case ROOT_TAG_SEED_ID:
        read_id(c, root->seed_id);
        return true;
    case ROOT_TAG_FEATURES:
        root->compat = coding_read_u64(c);
        root->ro_compat = coding_read_u64(c);
        root->incompat = coding_read_u64(c);
        return true;
    case ROOT_TAG_MANIFEST:
        root->manifest = coding_read_varint(c);
        return true;
    case ROOT_TAG_EPOCH:
        root->lease_epoch = coding_read_varint(c);
        return true;
    case ROOT_TAG_CLEAN:
        root->clean = read_flag(c);
        return true;
    case ROOT_TAG_ENDS:
        read_end(c, &root->last_log);
        read_end(c, &root->last_manifest);
        return true;
    case ROOT_TAG_LABEL:
        read_label(c, root->label);
        return true;
    case ROOT_TAG_COUNTERS:
        for (int i = 0; i < ROOT_COUNTERS; i++) {
            root->counters[i] = coding_read_u64(c);
        }
        return true;
    case ROOT_TAG_CHECK:
        root->suspects.check_needed = read_flag(c);
        return true;
    case ROOT_TAG_SUSPECTS:
        read_suspects(c, &root->suspects);
        return true;
    case ROOT_TAG_ROWS_UNCHECKED:
        root->rows_unchecked = read_flag(c);
        return true;
    default:
        return false;
    }
}

int root_decode(struct kv_slice from, struct root *ret_root)
{
    struct root root = {0};
    struct coding_cursor c = coding_cursor(from);
    uint64_t seen = 0;
    uint64_t tag;
    struct kv_slice value;

    while (coding_read_field(&c, &tag, &value)) {
        struct coding_cursor field = coding_cursor(value);
        if (!decode_field(&root, tag, &field)) {
            if (tag % 2 == 1) {
                return -KV_EFORMAT;
            }
            continue;
        }
        if (!coding_done(&field) || (seen & (uint64_t)1 << tag) != 0) {
            return -KV_EDAMAGED;
        }
        seen |= (uint64_t)1 << tag;
        if (tag == ROOT_TAG_FORMAT && root.format_version != ROOT_FORMAT_VERSION) {
            return -KV_EFORMAT;
        }
    }
    if (!coding_done(&c) || (seen & required_tags) != required_tags || root.manifest == 0 ||
        root.clean != ((seen & 1 << ROOT_TAG_ENDS) != 0) ||
        (root.suspects.count > 0 && !root.suspects.check_needed)) {
        return -KV_EDAMAGED;
    }
    *ret_root = root;
    return 0;
}
