/* SPDX-License-Identifier: Apache-2.0 */
/* The table of problems. docs/operations.md, "Problem codes", says it to people; lint
 * compares the two. */
#include <kv/admin.h>

#define NOTE  KV_SEVERITY_NOTE
#define MINOR KV_SEVERITY_MINOR
#define LOSS  KV_SEVERITY_LOSS
#define FATAL KV_SEVERITY_FATAL

static const char opening[] = "the next opening sees to it";
static const char unvalued[] = "reading the keys whose values are lost is an error from then on";
static const char found[] = "another is made, if a log or manifest tells the seed";
static const char rebuilt[] =
    "the tables tell what belongs; their rows go to new ones, named snapshots are dropped";
static const char remade[] = "the manifest is written anew without it";
static const char prefix[] = "the rows before it are kept, what follows is archived";
static const char reindexed[] = "the index is emptied, the next mount builds it anew";
static const char rescued[] = "its readable rows go to a new table, the file is archived";

static const struct kv_problem_kind kinds[] = {
    {KV_PROBLEM_ROOT_MISSING, "ROOT_MISSING", FATAL, false, found},
    {KV_PROBLEM_ROOT_DAMAGED, "ROOT_DAMAGED", FATAL, false, found},
    {KV_PROBLEM_ROOT_COPY_DAMAGED, "ROOT_COPY_DAMAGED", MINOR, true,
     "the root record is written anew"},
    {KV_PROBLEM_ROOT_SENSELESS, "ROOT_SENSELESS", FATAL, false, found},
    {KV_PROBLEM_ROOT_NEWER, "ROOT_NEWER", FATAL, false, NULL},
    {KV_PROBLEM_ROOT_CHECK_NEEDED, "ROOT_CHECK_NEEDED", MINOR, true, "the mark is taken away"},
    {KV_PROBLEM_ROOT_ERRORS_SEEN, "ROOT_ERRORS_SEEN", NOTE, true, NULL},
    {KV_PROBLEM_ROOT_OLD, "ROOT_OLD", LOSS, false, prefix},
    {KV_PROBLEM_ROOT_NOT_A_FILE, "ROOT_NOT_A_FILE", FATAL, false, NULL},
    {KV_PROBLEM_ROOT_SIZE, "ROOT_SIZE", MINOR, true, "the root record is written anew"},

    {KV_PROBLEM_FILE_FOREIGN, "FILE_FOREIGN", NOTE, true, NULL},
    {KV_PROBLEM_FILE_LEFTOVER, "FILE_LEFTOVER", NOTE, true, opening},
    {KV_PROBLEM_FILE_OBSOLETE, "FILE_OBSOLETE", NOTE, true, opening},
    {KV_PROBLEM_FILE_NOT_A_FILE, "FILE_NOT_A_FILE", MINOR, false, NULL},
    {KV_PROBLEM_FILE_UNREADABLE, "FILE_UNREADABLE", LOSS, false, NULL},
    {KV_PROBLEM_LOCK_MISSING, "LOCK_MISSING", MINOR, true, "it is made anew"},
    {KV_PROBLEM_FILE_OPEN, "FILE_OPEN", MINOR, false, NULL},
    {KV_PROBLEM_FILE_NOT_COPIED, "FILE_NOT_COPIED", LOSS, false, "the copy goes on without"},

    {KV_PROBLEM_MANIFEST_MISSING, "MANIFEST_MISSING", LOSS, false, rebuilt},
    {KV_PROBLEM_MANIFEST_DAMAGED, "MANIFEST_DAMAGED", LOSS, false, rebuilt},
    {KV_PROBLEM_MANIFEST_SENSELESS, "MANIFEST_SENSELESS", LOSS, false, rebuilt},
    {KV_PROBLEM_MANIFEST_SHORT, "MANIFEST_SHORT", LOSS, false, rebuilt},
    {KV_PROBLEM_MANIFEST_TORN, "MANIFEST_TORN", NOTE, true, opening},
    {KV_PROBLEM_SNAPSHOT_AHEAD, "SNAPSHOT_AHEAD", LOSS, false, "the snapshot is dropped"},
    {KV_PROBLEM_MANIFEST_NEWER, "MANIFEST_NEWER", FATAL, false, NULL},
    {KV_PROBLEM_MANIFEST_HEAD, "MANIFEST_HEAD", LOSS, false, rebuilt},

    {KV_PROBLEM_LOG_MISSING, "LOG_MISSING", LOSS, false, prefix},
    {KV_PROBLEM_LOG_DAMAGED, "LOG_DAMAGED", LOSS, false, prefix},
    {KV_PROBLEM_LOG_HEAD, "LOG_HEAD", LOSS, false, prefix},
    {KV_PROBLEM_LOG_SHORT, "LOG_SHORT", LOSS, false, prefix},
    {KV_PROBLEM_LOG_SUCCESSOR, "LOG_SUCCESSOR", LOSS, false, prefix},
    {KV_PROBLEM_LOG_SENSELESS, "LOG_SENSELESS", LOSS, false, prefix},
    {KV_PROBLEM_LOG_TORN, "LOG_TORN", NOTE, true, opening},
    {KV_PROBLEM_LOG_UNKNOWN_TABLE, "LOG_UNKNOWN_TABLE", LOSS, false, prefix},
    {KV_PROBLEM_LOG_ORDER, "LOG_ORDER", LOSS, false, prefix},
    {KV_PROBLEM_LOG_REPLAY, "LOG_REPLAY", NOTE, true, opening},
    {KV_PROBLEM_LOG_NEWER, "LOG_NEWER", FATAL, false, NULL},

    {KV_PROBLEM_TABLE_MISSING, "TABLE_MISSING", LOSS, false, remade},
    {KV_PROBLEM_TABLE_SIZE, "TABLE_SIZE", LOSS, false, rescued},
    {KV_PROBLEM_TABLE_FOOTER, "TABLE_FOOTER", MINOR, true, rescued},
    {KV_PROBLEM_TABLE_PROPERTIES, "TABLE_PROPERTIES", MINOR, true, rescued},
    {KV_PROBLEM_TABLE_INDEX, "TABLE_INDEX", MINOR, true, rescued},
    {KV_PROBLEM_TABLE_FILTER, "TABLE_FILTER", MINOR, true, rescued},
    {KV_PROBLEM_TABLE_RANGE_DELETES, "TABLE_RANGE_DELETES", LOSS, false, rescued},
    {KV_PROBLEM_TABLE_BLOCK, "TABLE_BLOCK", LOSS, false, rescued},
    {KV_PROBLEM_TABLE_OTHER, "TABLE_OTHER", LOSS, false, rescued},
    {KV_PROBLEM_TABLE_SUMS, "TABLE_SUMS", MINOR, true, rescued},
    {KV_PROBLEM_TABLE_NEWER, "TABLE_NEWER", FATAL, false, NULL},

    {KV_PROBLEM_BLOB_MISSING, "BLOB_MISSING", LOSS, false, unvalued},
    {KV_PROBLEM_BLOB_SHORT, "BLOB_SHORT", LOSS, false, unvalued},
    {KV_PROBLEM_BLOB_DIRECTORY, "BLOB_DIRECTORY", MINOR, true, "the blob is named without it"},
    {KV_PROBLEM_BLOB_VALUE, "BLOB_VALUE", LOSS, false, unvalued},
    {KV_PROBLEM_BLOB_POINTER, "BLOB_POINTER", LOSS, false, unvalued},
    {KV_PROBLEM_BLOB_USES, "BLOB_USES", MINOR, true, rescued},

    {KV_PROBLEM_FS_NO_ROOT, "FS_NO_ROOT", LOSS, false, "it is made anew, with what is in it"},
    {KV_PROBLEM_FS_FACT, "FS_FACT", MINOR, true, "it is said anew"},
    {KV_PROBLEM_FS_ROW_UNKNOWN, "FS_ROW_UNKNOWN", MINOR, false, "the row is removed"},
    {KV_PROBLEM_FS_ROW_LOST, "FS_ROW_LOST", LOSS, false,
     "it is made anew from what others say of it, or else is absent"},
    {KV_PROBLEM_FS_NO_INODE, "FS_NO_INODE", LOSS, false,
     "it is made anew from what is left of it, perhaps in lost+found"},
    {KV_PROBLEM_FS_INODE, "FS_INODE", LOSS, false,
     "it is made anew from what is left of it, perhaps in lost+found"},
    {KV_PROBLEM_FS_INODE_NUMBER, "FS_INODE_NUMBER", MINOR, true, "the next number is a larger one"},
    {KV_PROBLEM_FS_ENTRY, "FS_ENTRY", LOSS, false,
     "it is made anew from what others say of it, or else is absent"},
    {KV_PROBLEM_FS_ENTRY_UNNAMED, "FS_ENTRY_UNNAMED", MINOR, false,
     "it gets a back-pointer, or goes if there is no inode"},
    {KV_PROBLEM_FS_BACK_POINTER, "FS_BACK_POINTER", MINOR, false, "the entry gets another"},
    {KV_PROBLEM_FS_BACK_POINTER_ENTRY, "FS_BACK_POINTER_ENTRY", MINOR, false,
     "the entry is made anew from it, or it goes"},
    {KV_PROBLEM_FS_BACK_POINTER_SUMMARY, "FS_BACK_POINTER_SUMMARY", MINOR, true,
     "it says what the inode does"},
    {KV_PROBLEM_FS_EXTENT, "FS_EXTENT", LOSS, false, "reading it is an error from then on"},
    {KV_PROBLEM_FS_EXTENT_OVERLAP, "FS_EXTENT_OVERLAP", LOSS, false,
     "reading it is an error from then on"},
    {KV_PROBLEM_FS_EXTENT_BEYOND, "FS_EXTENT_BEYOND", MINOR, false, "the file ends behind it"},
    {KV_PROBLEM_FS_XATTR, "FS_XATTR", LOSS, false, "the attribute goes"},
    {KV_PROBLEM_FS_XATTR_HINT, "FS_XATTR_HINT", MINOR, true, "the inode says so"},
    {KV_PROBLEM_FS_ACL, "FS_ACL", MINOR, false, "the ACL goes"},
    {KV_PROBLEM_FS_COUNT, "FS_COUNT", MINOR, false,
     "it is counted anew; where bytes are missing, reading holes is an error"},
    {KV_PROBLEM_FS_ORPHAN, "FS_ORPHAN", MINOR, false, "the mark goes"},
    {KV_PROBLEM_FS_NO_LINKS, "FS_NO_LINKS", MINOR, false, "it gets a name in lost+found"},
    {KV_PROBLEM_FS_DISCONNECTED, "FS_DISCONNECTED", LOSS, false, "it goes to lost+found"},
    {KV_PROBLEM_FS_TYPE, "FS_TYPE", LOSS, false, "the entry tells the inode's"},
    {KV_PROBLEM_FS_LOST_EXTENTS, "FS_LOST_EXTENTS", NOTE, true, NULL},
    {KV_PROBLEM_FS_UNREADABLE, "FS_UNREADABLE", LOSS, false,
     "a table that is lost is made anew: reading what only it had is an error from then on"},
    {KV_PROBLEM_FS_INDEX_MISSING, "FS_INDEX_MISSING", MINOR, true, reindexed},
    {KV_PROBLEM_FS_INDEX_SURPLUS, "FS_INDEX_SURPLUS", MINOR, true, reindexed},
    {KV_PROBLEM_FS_INDEX_UNREADABLE, "FS_INDEX_UNREADABLE", MINOR, true, reindexed},
    {KV_PROBLEM_FS_INDEX_UNBUILT, "FS_INDEX_UNBUILT", NOTE, true, NULL},
    {KV_PROBLEM_FS_UNCHECKED, "FS_UNCHECKED", LOSS, false,
     "the files are looked at: what was lost is an error to read"},
};

const struct kv_problem_kind *kv_problem_kinds(size_t *ret_count)
{
    *ret_count = sizeof kinds / sizeof kinds[0];
    return kinds;
}

const struct kv_problem_kind *kv_problem_kind(int code)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (kinds[i].code == code) {
            return &kinds[i];
        }
    }
    return NULL;
}
