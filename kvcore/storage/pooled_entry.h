/* SPDX-License-Identifier: Apache-2.0 */
/* Names of the objects of a store in a pool, and what its root object says besides the root record:
 * the epoch, who writes, and of each file where its bytes are. See docs/format.md, "The store on
 * RADOS". */
#ifndef KVCORE_STORAGE_POOLED_ENTRY_H
#define KVCORE_STORAGE_POOLED_ENTRY_H

#include <kv/storage.h>

#define POOLED_ROOT  "root"
#define POOLED_LEASE "lease"

enum {
    POOLED_FILE_NAME_SIZE = 48, /* room for the name of any file, with its NUL */
    POOLED_NAME_SIZE = 80,      /* of any object */
};

/* What is kept for deletes on a full pool; a file that the seam does not know of. */
#define POOLED_RESERVE_ID                                                                          \
    {                                                                                              \
        .kind = (enum kv_file_kind)0, .number = 0                                                  \
    }

/* As in a directory: "00000042.table", "RESERVE". */
void pooled_file_name(struct kv_file_id id, char to[POOLED_FILE_NAME_SIZE]);
/* Whether it is the name of a file, which `ret_id` then is. */
bool pooled_file_name_parse(const char *name, struct kv_file_id *ret_id);
static inline bool pooled_is_reserve(struct kv_file_id id)
{
    return id.kind == 0;
}

/* The object that holds piece `piece` of a file that was made in `epoch`: "00000042.table.1f.0". */
void pooled_piece_name(struct kv_file_id id, uint64_t epoch, uint64_t piece,
                       char to[POOLED_NAME_SIZE]);

/* Counts the writers of a store, from any number on. As text of one width, so that bytes compare as
 * numbers. */
enum { POOLED_COUNT_SIZE = 16 };

struct pooled_count {
    char text[POOLED_COUNT_SIZE];
};

struct pooled_count pooled_count_encode(uint64_t value);
/* Errors: -KV_EDAMAGED it is none. */
KV_MUST_CHECK int pooled_count_decode(struct kv_slice bytes, uint64_t *ret_value);

static inline struct kv_slice pooled_count_slice(const struct pooled_count *count)
{
    return kv_slice(count->text, sizeof count->text);
}

/* On disk, never renumber. */
enum pooled_state {
    POOLED_MAKING = 1,   /* an object that is not finished */
    POOLED_OPEN = 2,     /* a log that its writer may append to: fenced by whoever takes over */
    POOLED_FINISHED = 3, /* has its size, and changes no more */
    POOLED_REMOVED = 4,  /* is no more; its pieces may still be there */
};

/* What a piece may be in size. */
#define POOLED_PIECE_MIN     ((uint64_t)4096)
#define POOLED_PIECE_MAX     ((uint64_t)64 << 20)
#define POOLED_PIECES_MAX    ((uint64_t)1 << 20)
#define POOLED_PIECE_DEFAULT ((uint64_t)32 << 20)

/* One file. */
struct pooled_entry {
    enum pooled_state state;
    uint64_t epoch;       /* in which it was made; part of the names of its pieces */
    uint64_t piece_bytes; /* a power of two; each piece but the last is as large */
    uint64_t pieces;      /* of which it is made; one more may exist, empty */
    uint64_t size;        /* when finished, else 0 */
};

KV_MUST_CHECK int pooled_entry_encode(const struct pooled_entry *entry, struct kv_buf *to);
/* Errors: -KV_EDAMAGED; -KV_EFORMAT an unknown state or field that must be understood. */
KV_MUST_CHECK int pooled_entry_decode(struct kv_slice bytes, struct pooled_entry *ret_entry);

/* The writer of the present epoch, as long as it has not closed the store. */
struct pooled_holder {
    struct kv_slice address; /* what others shut it out by */
    struct kv_slice line;    /* for people */
};

enum { POOLED_ADDRESS_MAX = 255, POOLED_LINE_MAX = 255 };

/* What is longer is cut off, and control characters of the line become spaces. */
KV_MUST_CHECK int pooled_holder_encode(struct pooled_holder holder, struct kv_buf *to);
/* `ret_holder` points into `bytes`. Errors: as above. */
KV_MUST_CHECK int pooled_holder_decode(struct kv_slice bytes, struct pooled_holder *ret_holder);

#endif
