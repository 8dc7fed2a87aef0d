/* SPDX-License-Identifier: Apache-2.0 */
/* The root record: both copies, and what the newest says. */
#include <inttypes.h>
#include <stdio.h>

#include "kvcore/admin/scan.h"
#include "kvcore/util/checksum.h"

enum { NONE = -1 };

static const struct scan_place at_root = {.name = "ROOT", .offset = MESSAGE_NO_OFFSET};

static struct scan_place place(int code)
{
    struct scan_place at = at_root;
    at.code = code;
    return at;
}

/* What reading ROOT failed with. Anything but these ends the run. */
static int tell_unreadable(struct scan *scan, int error)
{
    struct scan_place at = place(error == -ENOENT ? KV_PROBLEM_ROOT_MISSING
                                 : error == -EIO  ? KV_PROBLEM_ROOT_DAMAGED
                                                  : KV_PROBLEM_ROOT_NOT_A_FILE);
    if (error != -ENOENT && error != -ELOOP && error != -KV_EDAMAGED && error != -EIO) {
        return error;
    }
    at.error = error;
    scan->root_lost = error == -ENOENT;
    scan_tell(scan, &at, "ROOT %s",
              error == -ENOENT ? "is missing"
              : error == -EIO  ? "cannot be read"
                               : "is no regular file of the store's owner");
    return 0;
}

static int newest_slot(const struct raw_root *raw)
{
    int newest = NONE;
    for (int i = 0; i < RAW_ROOT_SLOTS; i++) {
        if (raw->slots[i].valid &&
            (newest == NONE || raw->slots[i].version > raw->slots[newest].version)) {
            newest = i;
        }
    }
    return newest;
}

/* A copy that was never written is zeros: then the other one is the first version. */
static void check_copies(struct scan *scan, int newest)
{
    const struct raw_root *raw = &scan->raw_root;
    struct scan_place at = place(KV_PROBLEM_ROOT_COPY_DAMAGED);
    int other = 1 - newest;
    bool may_be_empty = raw->slots[other].empty;

    if (!raw->slots[other].valid && !may_be_empty) {
        at.offset = (uint64_t)other * (RAW_ROOT_SIZE / RAW_ROOT_SLOTS);
        scan_tell(scan, &at,
                  "copy %d of the root record is damaged; version %" PRIu64 " of it counts", other,
                  raw->slots[newest].version);
        scan->root_bad = true;
    } else if (raw->slots[other].valid &&
               raw->slots[other].version + 1 != raw->slots[newest].version) {
        scan_tell(scan, &at,
                  "the copies of the root record are versions %" PRIu64 " and %" PRIu64
                  ", which do not follow each other",
                  raw->slots[other].version, raw->slots[newest].version);
        scan->root_bad = true;
    }
    if (raw->size != RAW_ROOT_SIZE || raw->is_longer) {
        at = place(KV_PROBLEM_ROOT_SIZE);
        scan_tell(scan, &at, "ROOT has %s bytes than %d", raw->is_longer ? "more" : "fewer",
                  RAW_ROOT_SIZE);
        scan->root_bad = true;
    }
}

static int judge_content(struct scan *scan, int decoded)
{
    const struct root *root = &scan->root;
    struct scan_place at = place(KV_PROBLEM_ROOT_NEWER);
    bool newer = decoded == -KV_EFORMAT ||
                 (decoded == 0 && ((root->incompat & ~ROOT_INCOMPAT_KNOWN) != 0 ||
                                   (root->ro_compat & ~ROOT_RO_COMPAT_KNOWN) != 0));
    if (newer) {
        scan_tell(scan, &at,
                  "the store uses a format or features that this version does not know; "
                  "check it with a newer version");
        return -KV_EFORMAT;
    }
    if (decoded < 0) {
        at = place(KV_PROBLEM_ROOT_SENSELESS);
        scan->root_lost = decoded == -KV_EDAMAGED;
        scan_tell(scan, &at, "the root record is intact, but what it says makes no sense");
        return decoded == -KV_EDAMAGED ? 0 : decoded;
    }
    scan->has_root = true;
    scan->seed = checksum_store_seed(root->seed_id);
    scan->result.needs_replay = !root->clean;
    scan->result.rows_unchecked = root->rows_unchecked;
    return 0;
}

/* The mark goes with what the repair finds sound: so a suspected blob is read, too. */
static void check_suspects(struct scan *scan)
{
    const struct kv_suspects *suspects = &scan->root.suspects;
    struct scan_place at = place(KV_PROBLEM_ROOT_CHECK_NEEDED);
    char names[KV_SUSPECTS_MAX * 48] = "";
    size_t used = 0;

    if (!suspects->check_needed) {
        return;
    }
    scan->deep |= suspects->count == 0;
    for (unsigned i = 0; i < suspects->count; i++) {
        char name[48];
        scan_file_name(suspects->files[i], name);
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i > 0 ? ", " : " in ",
                                 name);
        scan->deep |= suspects->files[i].kind == KV_FILE_BLOB;
    }
    scan_tell(scan, &at, "damage was seen while the store was open%s", names);
    scan->root_bad = true;
}

static void check_marks(struct scan *scan)
{
    const struct root *root = &scan->root;
    struct scan_place at = place(KV_PROBLEM_ROOT_ERRORS_SEEN);
    check_suspects(scan);
    if ((root->counters[0] | root->counters[1] | root->counters[2] | root->counters[3]) != 0) {
        scan_tell(scan, &at,
                  "errors were seen so far: %" PRIu64 " damaged reads, %" PRIu64
                  " failed reads, %" PRIu64 " failed writes, %" PRIu64 " failed syncs",
                  root->counters[0], root->counters[1], root->counters[2], root->counters[3]);
    }
}

int scan_root(struct scan *scan)
{
    struct scan_place at = place(KV_PROBLEM_ROOT_DAMAGED);
    int newest;
    int r = raw_root_read(scan->storage, &scan->raw_root);

    if (r < 0) {
        return tell_unreadable(scan, r);
    }
    scan->has_raw_root = true;
    newest = newest_slot(&scan->raw_root);
    if (newest == NONE) {
        scan->root_lost = true;
        scan_tell(scan, &at,
                  "both copies of the root record are damaged: without it no checksum "
                  "can be verified");
        return 0;
    }
    scan->root_version = scan->raw_root.slots[newest].version;
    r = judge_content(scan, root_decode(scan->raw_root.slots[newest].content, &scan->root));
    if (r == 0 && scan->has_root) {
        check_copies(scan, newest);
        check_marks(scan);
    }
    return r;
}
