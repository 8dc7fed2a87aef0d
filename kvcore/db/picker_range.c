/* SPDX-License-Identifier: Apache-2.0 */
/* The merge of a range that somebody asked for. */
#include "kvcore/db/picker.h"

struct span {
    struct kv_slice from, to; /* both are part of it; `to` means nothing if the span is open */
    bool open;                /* reaches to the last key */
};

static bool touches(const struct file_meta *file, const struct span *span)
{
    struct kv_slice to = span->open ? kv_buf_slice(&file->largest) : span->to;
    return file_overlaps(file, span->from, to);
}

/* Reach as far as the files that it touches. Returns whether it grew. */
static bool grow_span(const struct file_list *list, struct span *span)
{
    bool grew = false;
    for (size_t i = 0; i < list->count; i++) {
        struct kv_slice smallest = kv_buf_slice(&list->files[i]->smallest);
        struct kv_slice largest = kv_buf_slice(&list->files[i]->largest);
        if (!touches(list->files[i], span)) {
            continue;
        }
        if (kv_slice_compare(smallest, span->from) < 0) {
            span->from = smallest;
            grew = true;
        }
        if (!span->open && kv_slice_compare(largest, span->to) > 0) {
            span->to = largest;
            grew = true;
        }
    }
    return grew;
}

/* Until no file lies across its ends: then whatever is merged, nothing older stays above it. */
static void close_span(const struct table_files *files, struct span *span)
{
    bool grew = true;
    while (grew) {
        grew = false;
        for (int level = 0; level < KV_LEVEL_COUNT; level++) {
            grew = grow_span(&files->levels[level], span) || grew;
        }
    }
}

int compaction_pick_range(const struct table_files *files, uint32_t table_id, struct kv_slice from,
                          struct kv_slice to, struct compaction *ret_compaction)
{
    struct compaction c = {.table_id = table_id, .output_level = LEVEL_DEEPEST};
    struct span span = {.from = from, .to = to, .open = to.size == 0};
    int r = 0;

    close_span(files, &span);
    for (int level = 0; level < KV_LEVEL_COUNT && r == 0; level++) {
        const struct file_list *list = &files->levels[level];
        for (size_t i = 0; i < list->count && r == 0; i++) {
            if (touches(list->files[i], &span)) {
                r = list->files[i]->busy
                        ? -EBUSY
                        : compaction_add_input(&c, level == LEVEL_DEEPEST ? 1 : 0, list->files[i]);
            }
        }
    }
    if (r < 0 || c.input_counts[0] + c.input_counts[1] == 0) {
        compaction_finish(&c);
        return r;
    }
    *ret_compaction = c;
    return 1;
}
