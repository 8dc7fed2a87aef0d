/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/picker.h"

#include <stdlib.h>

/* A file that overlaps more than this many times its own aimed size two levels down is merged
 * rather than moved, so that the next merge stays small. */
enum { MOVE_OVERLAP_FACTOR = 10 };

/* So many deletes side by side cost a scan about a tenth of a millisecond. */
enum { DELETE_RUN_MAX = 1000 };

/* A merge for the sake of tombstones writes at most so many times the bytes that they hide. When
 * nobody writes it may be more: what it saves are steps of scans then. */
enum { TOMBSTONES_COST = 2, TOMBSTONES_COST_IDLE = 64 };

/* Level 0 is merged early once it has at least these parts (4ths; 8ths when nobody writes) of what
 * lies in the base level, which is written anew as a whole. */
enum { L0_SHARE_4THS = 3, L0_SHARE_IDLE_8THS = 1, L0_FILES_IDLE = 2 };

/* Of the large values that the tables below refer to, upper levels may hide these parts; between
 * the two, so much that a merge gives back this many times what it writes. */
enum { HIDDEN_SHARE_MIN = 32, HIDDEN_SHARE_MAX = 10, MERGE_GAIN = 4 };

/* The base level is no smaller than this part of its largest size. */
enum { BASE_SHARE_MIN = 4 };

/* Keeps the score of a merge for the sake of hidden rows above 0. */
#define HIDING_SCORE 0.01

void level_targets(const struct table_files *files, uint64_t base_bytes,
                   struct level_targets *ret_targets)
{
    uint64_t largest = 0;
    uint64_t size;
    int first_used = LEVEL_DEEPEST;
    int base;

    *ret_targets = (struct level_targets){.base = LEVEL_DEEPEST};
    for (int level = LEVEL_DEEPEST; level >= 1; level--) {
        if (files->levels[level].count > 0) {
            first_used = level;
            if (files->levels[level].bytes > largest) {
                largest = files->levels[level].bytes;
            }
        }
    }
    /* What the first used level would hold if the deepest one held `largest`. */
    size = largest;
    for (int level = LEVEL_DEEPEST; level > first_used; level--) {
        size /= LEVEL_RATIO;
    }
    base = first_used;
    while (base > 1 && size > base_bytes) {
        base--;
        size /= LEVEL_RATIO;
    }
    if (base == LEVEL_DEEPEST) {
        size = base_bytes; /* one level below level 0: it may grow to the full base size */
    }
    ret_targets->base = base;
    for (int level = base; level <= LEVEL_DEEPEST; level++) {
        ret_targets->bytes[level] = size;
        size = size > UINT64_MAX / LEVEL_RATIO ? UINT64_MAX : size * LEVEL_RATIO;
    }
    /* The base level takes in level 0 again and again: smaller than a merge of that it would be no
     * more than a detour. */
    if (ret_targets->bytes[base] < base_bytes / BASE_SHARE_MIN + 1) {
        ret_targets->bytes[base] = base_bytes / BASE_SHARE_MIN + 1;
    }
}

void compaction_finish(struct compaction *compaction)
{
    free(compaction->inputs[0]);
    free(compaction->inputs[1]);
    *compaction = (struct compaction){0};
}

void compaction_set_busy(const struct compaction *compaction, bool busy)
{
    for (int which = 0; which < 2; which++) {
        for (size_t i = 0; i < compaction->input_counts[which]; i++) {
            compaction->inputs[which][i]->busy = busy;
        }
    }
}

static bool any_busy(const struct file_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->files[i]->busy) {
            return true;
        }
    }
    return false;
}

int compaction_add_input(struct compaction *c, int which, struct file_meta *file)
{
    struct file_meta **larger =
        realloc(c->inputs[which], (c->input_counts[which] + 1) * sizeof(struct file_meta *));
    if (larger == NULL) {
        return -ENOMEM;
    }
    c->inputs[which] = larger;
    larger[c->input_counts[which]++] = file;
    return 0;
}

/* Key range of all files of inputs[0]. */
static void input_range(const struct compaction *c, struct kv_slice *ret_smallest,
                        struct kv_slice *ret_largest)
{
    *ret_smallest = kv_buf_slice(&c->inputs[0][0]->smallest);
    *ret_largest = kv_buf_slice(&c->inputs[0][0]->largest);
    for (size_t i = 1; i < c->input_counts[0]; i++) {
        struct kv_slice smallest = kv_buf_slice(&c->inputs[0][i]->smallest);
        struct kv_slice largest = kv_buf_slice(&c->inputs[0][i]->largest);
        if (kv_slice_compare(smallest, *ret_smallest) < 0) {
            *ret_smallest = smallest;
        }
        if (kv_slice_compare(largest, *ret_largest) > 0) {
            *ret_largest = largest;
        }
    }
}

static uint64_t overlap_bytes(const struct file_list *list, struct kv_slice smallest,
                              struct kv_slice largest, bool *ret_busy)
{
    uint64_t bytes = 0;
    for (size_t i = file_list_find(list, smallest);
         i < list->count && file_overlaps(list->files[i], smallest, largest); i++) {
        bytes += list->files[i]->size;
        *ret_busy = *ret_busy || list->files[i]->busy;
    }
    return bytes;
}

/* Tombstones end at the deepest level: there only rewriting drops them. */
static bool may_move(const struct compaction *c)
{
    const struct file_meta *file = c->inputs[0][0];
    return c->output_level < LEVEL_DEEPEST ||
           (file->tombstone_count == 0 && file->range_delete_count == 0);
}

/* Fill inputs[1] with what inputs[0] overlaps in the output level. 0: one of them is busy, and
 * nothing is left of what was gathered: the next attempt begins afresh. */
static int complete(const struct table_files *files, const struct picker_options *options,
                    struct compaction *c)
{
    const struct file_list *below = &files->levels[c->output_level];
    struct kv_slice smallest;
    struct kv_slice largest;
    bool busy = false;

    input_range(c, &smallest, &largest);
    overlap_bytes(below, smallest, largest, &busy);
    if (busy) {
        compaction_finish(c);
        return 0;
    }
    for (size_t i = file_list_find(below, smallest);
         i < below->count && file_overlaps(below->files[i], smallest, largest); i++) {
        int r = compaction_add_input(c, 1, below->files[i]);
        if (r < 0) {
            return r;
        }
    }
    if (c->input_counts[0] == 1 && c->input_counts[1] == 0 && may_move(c)) {
        c->trivial_move = c->output_level == LEVEL_DEEPEST ||
                          overlap_bytes(&files->levels[c->output_level + 1], smallest, largest,
                                        &busy) <= MOVE_OVERLAP_FACTOR * options->file_bytes;
    }
    return 1;
}

/* All of level 0 into the base level; on a full device the oldest table alone: it takes less room.
 */
static int pick_l0(const struct table_files *files, const struct picker_options *options, int base,
                   struct compaction *c)
{
    c->level = 0;
    c->output_level = base;
    if (any_busy(&files->levels[0])) {
        return 0;
    }
    size_t count = files->levels[0].count;
    size_t first = options->squeeze && count > 0 ? count - 1 : 0;
    for (size_t i = first; i < count; i++) {
        int r = compaction_add_input(c, 0, files->levels[0].files[i]);
        if (r < 0) {
            return r;
        }
    }
    return complete(files, options, c);
}

/* The oldest table of level 0 alone, if it overlaps nothing and so can be moved, as those of rows
 * that come in order do. */
static int pick_l0_move(const struct table_files *files, const struct picker_options *options,
                        int base, struct compaction *c)
{
    const struct file_list *l0 = &files->levels[0];
    int r;

    if (l0->count == 0 || any_busy(l0)) {
        return 0;
    }
    struct file_meta *oldest = l0->files[l0->count - 1];
    for (size_t i = 0; i + 1 < l0->count; i++) {
        if (file_overlaps(oldest, kv_buf_slice(&l0->files[i]->smallest),
                          kv_buf_slice(&l0->files[i]->largest))) {
            return 0;
        }
    }
    c->level = 0;
    c->output_level = base;
    r = compaction_add_input(c, 0, oldest);
    r = r < 0 ? r : complete(files, options, c);
    if (r == 1 && !c->trivial_move) {
        compaction_finish(c);
        r = 0;
    }
    return r;
}

/* How much of the file is there to hide what lies deeper. */
static double hiding_part(const struct file_meta *file)
{
    if (file->hidden_bytes >= file->size || file->row_count == 0) {
        return 1.0;
    }
    return (double)file->tombstone_count / (double)file->row_count;
}

/* The file of a level that drags the fewest bytes of the next level along, tombstones counting as
 * reasons to go first. */
static int pick_level(const struct table_files *files, const struct picker_options *options,
                      int level, struct compaction *c)
{
    const struct file_list *list = &files->levels[level];
    struct file_meta *best = NULL;
    double best_cost = 0;

    c->level = level;
    c->output_level = level + 1;
    for (size_t i = 0; i < list->count; i++) {
        struct file_meta *file = list->files[i];
        bool busy = file->busy;
        double cost =
            (double)overlap_bytes(&files->levels[level + 1], kv_buf_slice(&file->smallest),
                                  kv_buf_slice(&file->largest), &busy) /
            (double)(file->size + 1);
        cost *= 1.0 - 0.9 * hiding_part(file);
        if (!busy && (best == NULL || cost < best_cost)) {
            best = file;
            best_cost = cost;
        }
    }
    if (best == NULL) {
        return 0;
    }
    int r = compaction_add_input(c, 0, best);
    return r < 0 ? r : complete(files, options, c);
}

/* What a table of the keyspace takes for a row, with large values: that is what a tombstone hides.
 */
static uint64_t bytes_per_row(const struct table_files *files)
{
    uint64_t bytes = 0;
    uint64_t rows = 1;
    for (int level = 0; level < KV_LEVEL_COUNT; level++) {
        const struct file_list *list = &files->levels[level];
        bytes += list->bytes + list->blob_bytes;
        rows += list->row_count - list->tombstone_count;
    }
    return bytes / rows;
}

/* Bytes of `below` that merging the file takes along; a file of level 0 all of its level. */
static uint64_t dragged_bytes(const struct file_list *list, const struct file_list *below,
                              int level, const struct file_meta *file)
{
    uint64_t bytes = 0;
    bool busy = false;

    for (size_t i = 0; i < list->count; i++) {
        if (level == 0 || list->files[i] == file) {
            bytes += overlap_bytes(below, kv_buf_slice(&list->files[i]->smallest),
                                   kv_buf_slice(&list->files[i]->largest), &busy);
        }
    }
    return bytes < below->bytes ? bytes : below->bytes;
}

/* Are there enough tombstones for what merging them down would write? */
static bool tombstones_pay(const struct table_files *files, const struct picker_options *options,
                           int level, int base, const struct file_meta *file)
{
    const struct file_list *list = &files->levels[level];
    const struct file_list *below = &files->levels[level == 0 ? base : level + 1];
    uint64_t tombstones = level == 0 ? list->tombstone_count : file->tombstone_count;

    return dragged_bytes(list, below, level, file) /
               (options->idle ? TOMBSTONES_COST_IDLE : TOMBSTONES_COST) <=
           tombstones * bytes_per_row(files);
}

/* Below range deletes that a snapshot does not see, merging gives nothing back. */
static bool ranges_pay(const struct file_meta *file, const struct picker_options *options)
{
    return file->range_delete_count > 0 && file->sequence_max <= options->oldest_snapshot &&
           (file->row_count == 0 || 2 * file->hidden_bytes >= file->size);
}

/* Is it worth merging the file for the rows it hides below? Mostly tombstones, or very many side by
 * side: yes, if they pay. On a full device everything is that hides anything: a tombstone, or a
 * newer version of a row. */
static bool is_worth_merging(const struct table_files *files, const struct picker_options *options,
                             int level, int base, const struct file_meta *file)
{
    bool dense = file->longest_delete_run >= DELETE_RUN_MAX ||
                 (file->row_count > 0 && 2 * file->tombstone_count >= file->row_count);
    if (file->busy) {
        return false;
    }
    return options->squeeze || ranges_pay(file, options) ||
           (dense && tombstones_pay(files, options, level, base, file));
}

static bool hides_more(const struct file_meta *a, const struct file_meta *b)
{
    return a->hidden_bytes != b->hidden_bytes ? a->hidden_bytes > b->hidden_bytes
                                              : a->tombstone_count > b->tombstone_count;
}

/* Range deletes of the deepest level waited there for a snapshot to go. */
static int pick_settled(const struct table_files *files, const struct picker_options *options,
                        struct compaction *c)
{
    const struct file_list *list = &files->levels[LEVEL_DEEPEST];

    for (size_t i = 0; list->has_range_deletes && i < list->count; i++) {
        struct file_meta *file = list->files[i];
        if (!file->busy && file->range_delete_count > 0 &&
            file->sequence_max <= options->oldest_snapshot) {
            int r = compaction_add_input(c, 0, file);
            c->level = LEVEL_DEEPEST;
            c->output_level = LEVEL_DEEPEST;
            return r < 0 ? r : 1;
        }
    }
    return 0;
}

static bool is_flagged(const struct picker_options *options, const struct file_meta *file)
{
    for (size_t i = 0; options->flagged != NULL && i < options->flagged->count; i++) {
        if (blob_uses_have(&file->blobs, options->flagged->items[i].number)) {
            return true;
        }
    }
    return false;
}

/* When nothing else is due: a file that names a blob which is to be emptied is written anew where
 * it is. */
static int pick_flagged(const struct table_files *files, const struct picker_options *options,
                        int base, struct compaction *c)
{
    for (int level = 0; level < KV_LEVEL_COUNT; level++) {
        for (size_t i = 0; i < files->levels[level].count; i++) {
            struct file_meta *file = files->levels[level].files[i];
            if (file->busy || !is_flagged(options, file)) {
                continue;
            }
            if (level == 0) {
                return pick_l0(files, options, base, c);
            }
            c->level = level;
            c->output_level = level;
            int r = compaction_add_input(c, 0, file);
            return r < 0 ? r : 1;
        }
    }
    return 0;
}

static uint64_t clamp(uint64_t v, uint64_t low, uint64_t high)
{
    return v < low ? low : v > high ? high : v;
}

/* Large values that rows of the level may hide in the levels below: as many bytes as it refers to
 * itself, and for each tombstone those of an average row below. */
static double hidden_blob_bytes(const struct file_list *list, const struct file_list *below)
{
    double row_bytes = (double)below->blob_bytes / (double)(below->row_count + 1);
    return (double)list->blob_bytes + row_bytes * (double)list->tombstone_count;
}

/* The space of hidden large values comes back with a merge only. Tables of pointers are small
 * beside what they point at, so that merging early costs little; how little tells the size of the
 * tables below. 1.0: due. */
static double hiding_score(const struct table_files *files, const struct picker_options *options,
                           int level)
{
    const struct file_list *deepest = NULL;
    uint64_t due;

    for (int below = LEVEL_DEEPEST; below > level && deepest == NULL; below--) {
        deepest = files->levels[below].count > 0 ? &files->levels[below] : NULL;
    }
    if (deepest == NULL || deepest->blob_bytes == 0) {
        return 0;
    }
    due = clamp(MERGE_GAIN * deepest->bytes, deepest->blob_bytes / HIDDEN_SHARE_MIN,
                deepest->blob_bytes / HIDDEN_SHARE_MAX);
    due = due > options->blob_slack_bytes ? due : options->blob_slack_bytes;
    return hidden_blob_bytes(&files->levels[level], deepest) / (double)(due + 1);
}

/* When no level is too large: of the files that hide rows below them, whose space only a merge
 * gives back, the one with most tombstones. */
static int pick_hiding(const struct table_files *files, const struct picker_options *options,
                       int base, struct compaction *c)
{
    struct file_meta *best = NULL;
    int r;

    for (int level = 0; level < LEVEL_DEEPEST; level++) {
        for (size_t i = 0; i < files->levels[level].count; i++) {
            struct file_meta *file = files->levels[level].files[i];
            if (is_worth_merging(files, options, level, base, file) &&
                (best == NULL || hides_more(file, best))) {
                best = file;
                c->level = level;
            }
        }
    }
    if (best == NULL) {
        return pick_settled(files, options, c);
    }
    if (c->level == 0) {
        return pick_l0(files, options, base, c);
    }
    c->output_level = c->level + 1;
    r = compaction_add_input(c, 0, best);
    return r < 0 ? r : complete(files, options, c);
}

static uint64_t idle_bytes(const struct file_list *list)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < list->count; i++) {
        bytes += list->files[i]->busy ? 0 : list->files[i]->size;
    }
    return bytes;
}

/* Merging level 0 writes the base level anew: it is put off, within bounds, until level 0 holds
 * enough for that. 1.0: due. */
static double l0_score(const struct table_files *files, const struct picker_options *options,
                       int base)
{
    const struct file_list *l0 = &files->levels[0];
    uint64_t below = files->levels[base].bytes;
    size_t due = options->l0_files_max;

    if (l0->bytes >= below / 4 * L0_SHARE_4THS) {
        due = options->l0_files;
    }
    if (options->idle && l0->bytes >= below / 8 * L0_SHARE_IDLE_8THS && due > L0_FILES_IDLE) {
        due = L0_FILES_IDLE;
    }
    return (double)l0->count / (double)due;
}

int compaction_pick(const struct table_files *files, uint32_t table_id,
                    const struct picker_options *options, struct compaction *ret_compaction,
                    double *ret_score)
{
    struct level_targets targets;
    double scores[KV_LEVEL_COUNT] = {0};

    level_targets(files, options->level_base_bytes, &targets);
    scores[0] = l0_score(files, options, targets.base);
    for (int level = 1; level < LEVEL_DEEPEST; level++) {
        uint64_t bytes = idle_bytes(&files->levels[level]);
        if (targets.bytes[level] == 0) {
            scores[level] = bytes > 0 ? 1.5 : 0; /* above the base level: move it down */
        } else {
            scores[level] = (double)bytes / (double)targets.bytes[level];
        }
    }
    for (int level = 0; level < LEVEL_DEEPEST; level++) {
        double score = hiding_score(files, options, level);
        scores[level] = score > scores[level] ? score : scores[level];
    }
    for (;;) {
        struct compaction c = {0};
        int best = 0;
        int r = 0;
        for (int level = 1; level < LEVEL_DEEPEST; level++) {
            best = scores[level] > scores[best] ? level : best;
        }
        if (files->levels[0].count >= options->l0_files) {
            r = pick_l0_move(files, options, targets.base, &c);
        }
        if (r != 0) {
            /* That is all for now: it costs nothing. */
        } else if (scores[best] < 1.0) {
            r = pick_hiding(files, options, targets.base, &c);
            r = r == 0 ? pick_flagged(files, options, targets.base, &c) : r;
        } else if (best == 0) {
            r = pick_l0(files, options, targets.base, &c);
        } else {
            r = pick_level(files, options, best, &c);
        }
        if (r == 1) {
            c.table_id = table_id;
            *ret_compaction = c;
            *ret_score = scores[best] + HIDING_SCORE;
            return 1;
        }
        compaction_finish(&c);
        if (r < 0 || scores[best] < 1.0) {
            return r;
        }
        scores[best] = 0; /* its files are busy: the next best */
    }
}
