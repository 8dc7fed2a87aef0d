/* SPDX-License-Identifier: Apache-2.0 */
/* What each step is: chosen by a generator that starts afresh from the seed and the step. */
#include <string.h>

#include "kvcore/util/checksum.h"
#include "tests/posix/diff.h"

static const struct diff_call *const all_calls[] = {
    diff_calls_names, diff_calls_open,   diff_calls_data, diff_calls_space,
    diff_calls_attrs, diff_calls_xattrs, diff_calls_locks};

uint64_t diff_pick(struct diff_op *op, uint64_t bound)
{
    return rng_below(&op->rng, bound);
}

bool diff_one_in(struct diff_op *op, uint64_t bound)
{
    return diff_pick(op, bound) == 0;
}

int diff_word(struct diff_op *op, struct text *out, const struct diff_word *words, size_t count)
{
    const struct diff_word *word = &words[diff_pick(op, count)];
    text_add(out, " %s", word->name);
    return word->value;
}

unsigned diff_id(struct diff_op *op)
{
    static const unsigned ids[] = {0, 50001, 50002, 50003, DIFF_TEAM, 50001};
    return ids[diff_pick(op, sizeof ids / sizeof ids[0])];
}

bool diff_forbids(uint64_t step)
{
    return step / ROUND % 4 == 1;
}

static unsigned weight_of(const struct diff_call *call, const struct known *known)
{
    return known_avoids(known, call->name) ? 0 : call->weight;
}

static const struct diff_call *choose_call(struct diff_op *op, const struct known *known)
{
    const size_t lists = sizeof all_calls / sizeof all_calls[0];
    unsigned sum = 0;
    for (size_t i = 0; i < lists; i++) {
        for (const struct diff_call *call = all_calls[i]; call->name != NULL; call++) {
            sum += weight_of(call, known);
        }
    }
    unsigned left = (unsigned)diff_pick(op, sum);
    for (size_t i = 0; i < lists; i++) {
        for (const struct diff_call *call = all_calls[i]; call->name != NULL; call++) {
            unsigned weight = weight_of(call, known);
            if (left < weight) {
                return call;
            }
            left -= weight;
        }
    }
    return &diff_calls_names[0];
}

/* A few short names, so that operations meet; now and then a name at or beyond the limit. */
static void add_component(struct diff_op *op, char *path)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "\xff\xfe ", "..", "."};
    size_t size = strlen(path);
    uint64_t kind = diff_pick(op, 64);
    if (kind < 2) {
        size_t length = kind == 0 ? 255 : 250 + diff_pick(op, 10);
        memset(path + size, 'L', length);
        path[size + length] = '\0';
        return;
    }
    const char *name = names[kind < 58 ? kind % 7 : diff_pick(op, 10)];
    memcpy(path + size, name, strlen(name) + 1);
}

static void make_path(struct diff_op *op, char *path)
{
    static const unsigned depths[] = {1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 4};
    unsigned depth = depths[diff_pick(op, sizeof depths / sizeof depths[0])];
    path[0] = '\0';
    if (diff_one_in(op, 300)) {
        /* As long as a path may be, and one longer. */
        size_t length = 4090 + diff_pick(op, 10);
        for (size_t i = 0; i < length; i++) {
            path[i] = (char)(i % 2 == 0 ? '.' : '/');
        }
        path[length] = '\0';
        return;
    }
    if (diff_one_in(op, 30)) {
        strncat(path, "/", 2);
    }
    for (unsigned i = 0; i < depth; i++) {
        if (i > 0) {
            strncat(path, "/", 2);
        }
        add_component(op, path);
    }
    if (diff_one_in(op, 40)) {
        strncat(path, "/", 2);
    }
}

void diff_op_make(uint64_t seed, uint64_t step, const struct known *known, struct diff_op *ret_op)
{
    static const mode_t masks[] = {022, 022, 0, 077};
    struct diff_op *op = ret_op;
    op->rng.state = hash_u64(seed + hash_u64(step + 1));
    do {
        op->call = choose_call(op, known);
    } while (strcmp(op->call->name, "chattr_forbid") == 0 && !diff_forbids(step));
    op->actor = (unsigned)diff_pick(op, ACTORS);
    op->user = diff_pick(op, 5) < 3 ? 0 : 1 + (unsigned)diff_pick(op, 3);
    op->told = (unsigned)diff_pick(op, known_avoids(known, "moved") ? 2 : 3);
    op->umask = masks[diff_pick(op, 4)];
    op->slot1 = (unsigned)diff_pick(op, SLOTS);
    op->slot2 = (unsigned)diff_pick(op, SLOTS);
    op->any_slot = diff_one_in(op, 8);
    op->at1 = (unsigned)diff_pick(op, 3 * SLOTS);
    op->at2 = (unsigned)diff_pick(op, 3 * SLOTS);
    make_path(op, op->path1);
    make_path(op, op->path2);
}
