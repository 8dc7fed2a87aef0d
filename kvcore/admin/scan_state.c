/* SPDX-License-Identifier: Apache-2.0 */
/* The manifest, and whether the files that it names are there. */
#include <inttypes.h>

#include "kvcore/admin/scan.h"
#include "kvcore/log/log_reader.h"

struct reading {
    struct scan *scan;
    struct kv_file_id id;
    uint64_t size; /* of the file */
    uint64_t edits;
};

static struct scan_place place(const struct reading *reading, int code, uint64_t offset)
{
    return (struct scan_place){.code = code, .id = reading->id, .offset = offset};
}

static int tell_senseless(const struct reading *reading, const struct log_record *record, int error)
{
    struct scan_place at = place(reading, KV_PROBLEM_MANIFEST_SENSELESS, record->offset);
    if (error == -KV_EFORMAT) {
        at.code = KV_PROBLEM_MANIFEST_NEWER;
        scan_tell(reading->scan, &at,
                  "manifest %08" PRIu64 " says something at offset %" PRIu64
                  " that this version does not know",
                  reading->id.number, record->offset);
        return -KV_EFORMAT;
    }
    if (error == -KV_EDAMAGED) {
        scan_tell(reading->scan, &at,
                  "edit %" PRIu64 " of manifest %08" PRIu64
                  " is intact, but does not fit what the ones before it say",
                  reading->edits, reading->id.number);
    }
    return error;
}

static int apply_record(struct reading *reading, const struct log_record *record)
{
    struct edit edit = {0};
    int r = -KV_EDAMAGED;

    if (record->sequence == reading->edits &&
        record->type == (reading->edits == 1 ? LOG_RECORD_SNAPSHOT : LOG_RECORD_EDIT)) {
        r = edit_decode(record->payload, &edit);
    }
    if (r == 0) {
        r = admin_state_apply(&reading->scan->state, &edit);
        edit_finish(&edit);
    }
    return r < 0 ? tell_senseless(reading, record, r) : 0;
}

/* What is wrong with a manifest that cannot be read on. */
static int tell_damaged(const struct reading *reading, int error)
{
    struct scan *scan = reading->scan;
    const struct log_end *expected = scan->root.clean ? &scan->root.last_manifest : NULL;
    struct scan_place at = place(reading, KV_PROBLEM_MANIFEST_DAMAGED, scan->said_offset);

    if (error == -EIO) {
        at.code = KV_PROBLEM_FILE_UNREADABLE;
        at.error = error;
        scan_tell(scan, &at, "manifest %08" PRIu64 " cannot be read", reading->id.number);
    } else if (expected != NULL && reading->size < expected->size) {
        at.code = KV_PROBLEM_MANIFEST_SHORT;
        scan_tell(scan, &at,
                  "manifest %08" PRIu64 " has %" PRIu64 " bytes and was closed with %" PRIu64,
                  reading->id.number, reading->size, expected->size);
    } else {
        scan_tell(scan, &at,
                  "manifest %08" PRIu64 " is damaged at offset %" PRIu64 ", behind edit %" PRIu64,
                  reading->id.number, scan->said_offset, reading->edits);
    }
    return error;
}

static int read_records(struct reading *reading, struct log_reader *reader)
{
    struct scan *scan = reading->scan;
    struct log_record record;
    uint64_t before = 0;
    int r = 0;

    while (r == 0 && (r = log_reader_next(reader, &record)) == 1) {
        uint64_t end = log_reader_end(reader).size;
        reading->edits++;
        r = apply_record(reading, &record);
        if (r == -KV_EDAMAGED) {
            return -KV_EDAMAGED; /* told */
        }
        r = r < 0 ? r : scan_spend(scan, end - before);
        before = end;
    }
    if (r == -KV_EDAMAGED || r == -EIO) {
        kv_ignore(tell_damaged(reading, r)); /* the caller needs to know the one thing */
        return -KV_EDAMAGED;
    }
    return r;
}

static int check_end(const struct reading *reading, struct log_reader *reader)
{
    struct scan_place at = place(reading, KV_PROBLEM_MANIFEST_HEAD, 0);
    if (reading->edits == 0) {
        scan_tell(reading->scan, &at, "manifest %08" PRIu64 " has no %s", reading->id.number,
                  log_reader_has_head(reader) ? "snapshot" : "head");
        return -KV_EDAMAGED;
    }
    if (log_reader_was_torn(reader)) {
        at = place(reading, KV_PROBLEM_MANIFEST_TORN, log_reader_end(reader).size);
        scan_tell(reading->scan, &at,
                  "the last edit of manifest %08" PRIu64 " was not finished and did not happen",
                  reading->id.number);
    }
    return 0;
}

static int read_manifest(struct reading *reading)
{
    struct scan *scan = reading->scan;
    struct log_reader *reader = NULL;
    int r =
        log_reader_open(scan->storage, reading->id, scan->seed,
                        scan->root.clean ? &scan->root.last_manifest : NULL, &scan->sink, &reader);
    if (r == -KV_EDAMAGED || r == -EIO || r == -ELOOP) {
        kv_ignore(tell_damaged(reading, r)); /* the caller needs to know the one thing */
        return -KV_EDAMAGED;
    }
    r = r < 0 ? r : read_records(reading, reader);
    r = r < 0 ? r : check_end(reading, reader);
    log_reader_close(reader);
    return r;
}

int scan_state(struct scan *scan)
{
    struct reading reading = {.scan = scan, .id = {KV_FILE_MANIFEST, scan->root.manifest}};
    struct scan_place at = place(&reading, KV_PROBLEM_MANIFEST_MISSING, MESSAGE_NO_OFFSET);
    struct scan_file *file = scan_find(scan, KV_FILE_MANIFEST, scan->root.manifest);
    int r = admin_state_init(&scan->state);

    if (r < 0) {
        return r;
    }
    if (file == NULL) {
        scan_tell(scan, &at, "manifest %08" PRIu64 ", which the root record names, is missing",
                  scan->root.manifest);
        return 0;
    }
    file->wanted = true;
    reading.size = file->size;
    r = read_manifest(&reading);
    scan->has_state = r == 0;
    return r == -KV_EDAMAGED ? 0 : r; /* as far as it was read it stays in scan->state */
}
