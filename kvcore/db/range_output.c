/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/range_output.h"

int range_output_init(struct range_output *ranges, const struct range_builder *builder,
                      const uint64_t *snapshots, size_t snapshot_count)
{
    *ranges = (struct range_output){.snapshots = snapshots, .snapshot_count = snapshot_count};
    if (builder->count == 0) {
        return 0;
    }
    return range_builder_make(builder, snapshots, snapshot_count, &ranges->dels);
}

void range_output_finish(struct range_output *ranges)
{
    range_dels_destroy(ranges->dels);
    kv_buf_finish(&ranges->given_to);
    *ranges = (struct range_output){0};
}

/* ---- what is hidden ---- */

/* A delete of the fragment that is newer than `newest` and visible at the same snapshots as
 * `oldest`. */
static bool hides(const struct range_output *ranges, const struct range_fragment *fragment,
                  uint64_t oldest, uint64_t newest)
{
    size_t stripe = snapshot_stripe(ranges->snapshots, ranges->snapshot_count, oldest);
    for (size_t i = 0; i < fragment->count && fragment->sequences[i] > newest; i++) {
        if (snapshot_stripe(ranges->snapshots, ranges->snapshot_count, fragment->sequences[i]) ==
            stripe) {
            return true;
        }
    }
    return false;
}

bool range_output_hides_row(struct range_output *ranges, struct kv_slice key, uint64_t sequence)
{
    const struct range_dels *dels = ranges->dels;
    if (dels == NULL) {
        return false;
    }
    while (ranges->row_index < dels->count &&
           kv_slice_compare(dels->fragments[ranges->row_index].to, key) <= 0) {
        ranges->row_index++;
    }
    return ranges->row_index < dels->count &&
           kv_slice_compare(dels->fragments[ranges->row_index].from, key) <= 0 &&
           hides(ranges, &dels->fragments[ranges->row_index], sequence, sequence);
}

bool range_output_hides_file(const struct range_output *ranges, const struct file_meta *file)
{
    const struct range_dels *dels = ranges->dels;
    struct kv_slice at = kv_buf_slice(&file->smallest);

    if (dels == NULL) {
        return false;
    }
    for (size_t i = range_dels_find(dels, at); i < dels->count; i++) {
        const struct range_fragment *f = &dels->fragments[i];
        if (kv_slice_compare(f->from, at) > 0 ||
            !hides(ranges, f, file->sequence_min, file->sequence_max)) {
            return false;
        }
        if (file_compare_end(file, f->to) < 0) {
            return true;
        }
        at = f->to;
    }
    return false;
}

/* ---- giving out ---- */

/* The part of the next fragment that is left. */
static struct kv_slice left_from(const struct range_output *ranges)
{
    return ranges->given_to.size > 0 ? kv_buf_slice(&ranges->given_to)
                                     : ranges->dels->fragments[ranges->next].from;
}

bool range_output_step(struct range_output *ranges, struct kv_slice limit,
                       struct kv_slice *ret_from)
{
    struct kv_slice from;

    if (ranges->dels == NULL || ranges->steps == ranges->dels->count) {
        return false;
    }
    from = ranges->dels->fragments[ranges->steps].from;
    if (limit.size > 0 && kv_slice_compare(from, limit) > 0) {
        return false;
    }
    ranges->steps++;
    *ret_from = from;
    return true;
}

int range_output_close(struct range_output *ranges, const struct range_sink *sink)
{
    int r = 0;
    for (size_t i = 0; i < ranges->open_count && r == 0; i++) {
        struct range_delete one = ranges->open;
        one.sequence = ranges->open_sequences[i];
        r = sink->add(sink->arg, &one);
    }
    ranges->open_count = 0;
    return r;
}

static bool same_sequences(const uint64_t *a, const uint64_t *b, size_t count)
{
    return memcmp(a, b, count * sizeof *a) == 0;
}

/* Give out the fragment between two keys, as the continuation of what is open if it is one. */
static int give_piece(struct range_output *ranges, const struct range_delete *piece,
                      const struct range_sink *sink)
{
    const struct range_fragment *f = &ranges->dels->fragments[ranges->next];
    size_t count = f->count;
    int r;

    if (snapshot_stripe(ranges->snapshots, ranges->snapshot_count, f->sequences[count - 1]) == 0 &&
        sink->is_deepest(sink->arg, piece->from, piece->to)) {
        count--;
    }
    if (count == 0) {
        return 0;
    }
    if (ranges->open_count == count && kv_slice_equal(ranges->open.to, piece->from) &&
        same_sequences(ranges->open_sequences, f->sequences, count)) {
        ranges->open.to = piece->to;
        return 0;
    }
    r = range_output_close(ranges, sink);
    ranges->open = *piece;
    ranges->open_sequences = f->sequences;
    ranges->open_count = count;
    return r;
}

int range_output_give(struct range_output *ranges, struct kv_slice to,
                      const struct range_sink *sink)
{
    int r = 0;

    while (r == 0 && ranges->dels != NULL && ranges->next < ranges->dels->count) {
        struct kv_slice end = ranges->dels->fragments[ranges->next].to;
        bool whole = to.size == 0 || kv_slice_compare(end, to) <= 0;
        struct range_delete piece = {.from = left_from(ranges), .to = whole ? end : to};

        if (kv_slice_compare(piece.from, piece.to) >= 0) {
            return 0; /* it begins at `to` or behind it */
        }
        r = give_piece(ranges, &piece, sink);
        if (!whole) {
            /* The output is cut here: nothing may point to the key that `to` lies in, nor to what
             * is replaced. */
            r = r < 0 ? r : range_output_close(ranges, sink);
            return r < 0 ? r : kv_buf_assign(&ranges->given_to, to);
        }
        ranges->given_to.size = 0;
        ranges->next++;
    }
    return r;
}
