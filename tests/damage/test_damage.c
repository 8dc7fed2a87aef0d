/* SPDX-License-Identifier: Apache-2.0 */
/* A store that holds every kind of row, and whose bytes are damaged in every way: nothing that it
 * shows is wrong, what it does not show is told, a repair loses no more than what lay in the
 * damage, a second one finds nothing to do, and taking the repair back gives every byte again. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "kvcore/util/rng.h"
#include "tests/damage/damage_map.h"
#include "tests/lib/check_main.h"

enum { SECTOR = 512, STRIDE = 16, PLACES_MAX = 4 };

struct reference {
    const char *name;
    struct image image;
    struct tree tree;
    struct damage_map map;
    uint64_t codes; /* told of the sound one: what a crash leaves */
};

static struct damage_dir dir;
static struct reference closed = {.name = "closed"}, torn = {.name = "not closed"};
static struct image older, foreign;

/* What is being tried, to be said if it fails. */
static char attempt[512];

static struct {
    uint64_t tried, told, refused, repaired, left, lost;
    uint64_t nameless, too_old; /* why something is left */
} counts;

/* Always the same damages, but with --slow. */
static uint64_t sweep_seed(void)
{
    return getenv("KV_SEED") != NULL || getenv("KV_SLOW") != NULL ? test_seed() : 1;
}

/* ---- the stores ------------------------------------------------------------------------------ */

static void write_store(struct tree *tree, struct image *ret_flushed, struct image *ret_torn,
                        struct image *ret_closed)
{
    const struct kvfs_options options = {.create = true, .index = tree_tag};
    struct kvfs *fs = NULL;

    image_clear(dir.path);
    ck_ok(damage_dir_open(&dir, &options, &fs));
    ck_ok(kvfs_index_build(fs));
    tree_write(tree, fs, TREE_MERGED);
    tree_write(tree, fs, TREE_FLUSHED);
    ck_ok(kvfs_sync(fs));
    image_take(dir.path, ret_flushed);
    tree_write(tree, fs, TREE_LOGGED);
    image_take(dir.path, ret_torn);
    ck_ok(kvfs_close(fs));
    image_take(dir.path, ret_closed);
}

static uint64_t codes_of(const struct image *image)
{
    struct damage_found found;
    image_lay_down(image, dir.path);
    damage_dir_check(&dir, KV_ADMIN_REPORT, &found);
    ck_assert_int_eq(found.error, 0);
    return found.codes;
}

static void setup(void)
{
    struct tree other = {.seed = 2};
    struct image unused[2];

    damage_dir_make(&dir);
    write_store(&other, &unused[0], &unused[1], &foreign);
    image_finish(&unused[0]);
    image_finish(&unused[1]);
    torn.tree.seed = 1;
    write_store(&torn.tree, &older, &torn.image, &closed.image);
    closed.tree = torn.tree;
    damage_map_make(&torn.map, &dir, &torn.image, &torn.tree);
    damage_map_make(&closed.map, &dir, &closed.image, &closed.tree);
    torn.codes = codes_of(&torn.image);
    closed.codes = codes_of(&closed.image);
}

static void teardown(void)
{
    image_finish(&older);
    image_finish(&foreign);
    image_finish(&torn.image);
    image_finish(&closed.image);
    damage_map_finish(&torn.map);
    damage_map_finish(&closed.map);
}

/* ---- damage ---------------------------------------------------------------------------------- */

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
    size_t size = strlen(attempt);
    va_list args;
    va_start(args, format);
    vsnprintf(attempt + size, sizeof attempt - size, format, args);
    va_end(args);
}

static void zero(struct image_file *file, uint64_t from, uint64_t size)
{
    uint64_t left = file->bytes.size - from;
    size = size < left ? size : left;
    memset(file->bytes.data + from, 0, (size_t)size);
    say(" %s: %" PRIu64 " zeros at %" PRIu64 ";", file->name, size, from);
}

static void cut(struct image_file *file, uint64_t at)
{
    file->bytes.size = (size_t)at;
    say(" %s: cut at %" PRIu64 ";", file->name, at);
}

static void remove_file(struct image_file *file)
{
    file->removed = true;
    say(" %s: removed;", file->name);
}

static void flip(struct image_file *file, uint64_t at, uint8_t mask)
{
    file->bytes.data[at] ^= mask;
    say(" %s: byte %" PRIu64 " ^ %02x;", file->name, at, mask);
}

/* Bytes of another image at the same place of the file of that name, or any file of the kind. */
static void take_from(struct image_file *file, const struct image *image, uint64_t from,
                      uint64_t size, const char *which)
{
    int at = image_find(image, file->name);
    if (at < 0 || image->files[at].bytes.size <= from) {
        zero(file, from, size);
        return;
    }
    const struct kv_buf *bytes = &image->files[at].bytes;
    uint64_t mine = file->bytes.size - from, other = bytes->size - from;
    size = size < mine ? size : mine;
    size = size < other ? size : other;
    memcpy(file->bytes.data + from, bytes->data + from, (size_t)size);
    say(" %s: %" PRIu64 " bytes of %s store at %" PRIu64 ";", file->name, size, which, from);
}

static void swap(struct image_file *a, uint64_t at, struct image_file *b, uint64_t at_b,
                 uint64_t size)
{
    static uint8_t kept[IMAGE_FILE_MAX * 4];
    uint64_t left = a->bytes.size - at, left_b = b->bytes.size - at_b;
    size = size < left ? size : left;
    size = size < left_b ? size : left_b;
    ck_assert_uint_le(size, sizeof kept);
    memcpy(kept, a->bytes.data + at, (size_t)size);
    memmove(a->bytes.data + at, b->bytes.data + at_b, (size_t)size);
    memcpy(b->bytes.data + at_b, kept, (size_t)size);
    say(" %s at %" PRIu64 " and %s at %" PRIu64 ": %" PRIu64 " bytes swapped;", a->name, at,
        b->name, at_b, size);
}

static struct image_file *any_file(struct image *image, struct rng *rng)
{
    struct image_file *file;
    do { /* never all are empty */
        file = &image->files[rng_below(rng, image->count)];
    } while (file->bytes.size == 0);
    return file;
}

/* One place in one file. */
static void damage_any(struct image *image, struct rng *rng)
{
    static const uint64_t sizes[] = {1, 16, SECTOR, 4096, 8192, 20000};
    struct image_file *file = any_file(image, rng), *other = any_file(image, rng);
    uint64_t size = sizes[rng_below(rng, sizeof sizes / sizeof sizes[0])];
    uint64_t at = rng_below(rng, file->bytes.size);

    switch (rng_below(rng, 8)) {
    case 0:
        cut(file, at);
        break;
    case 1:
        remove_file(file);
        break;
    case 2:
        swap(file, at, other, rng_below(rng, other->bytes.size), size);
        break;
    case 3:
        take_from(file, &older, at - at % SECTOR, size, "the older");
        break;
    case 4:
        take_from(file, &foreign, at - at % SECTOR, size, "another");
        break;
    case 5:
        flip(file, at, (uint8_t)(1 << rng_below(rng, 8)));
        break;
    default:
        zero(file, at, size);
        break;
    }
}

/* ---- what must hold -------------------------------------------------------------------------- */

static void violated(const struct reference *store, const char *what)
{
    printf("%s", damage_dir_said());
    fflush(stdout);
    ck_abort_msg("%s store,%s %s (seed %" PRIu64 ")", store->name, attempt, what, sweep_seed());
}

static bool may_be(const struct tree *tree, enum tree_verdict verdict, unsigned path,
                   const struct damage_touched *touched, bool repaired)
{
    const struct tree_path *of = &tree->paths[path];
    bool is_away = !of->states[of->count - 1].there;
    bool may_be_older = touched->in_log[path] || (is_away && touched->log) || touched->earlier;
    bool may_be_stale = touched->earlier || (repaired && touched->unnamed);
    bool may_be_less = may_be_stale || (repaired && touched->in_table[path]);

    switch (verdict) {
    case TREE_RIGHT:
        return true;
    case TREE_ERROR:
        return !repaired || touched->in_table[path] || is_away || touched->earlier;
    case TREE_OLDER:
        return may_be_older || may_be_stale;
    case TREE_AWAY: /* a file is made in several steps, between which the log may end */
    case TREE_SHORT:
    case TREE_UNLIKE:
        return may_be_older || may_be_less;
    case TREE_GONE:
        return may_be_less;
    case TREE_STALE:
        return may_be_stale;
    case TREE_WRONG:
        break;
    }
    return false;
}

/* Returns how many paths are not what they were; before a repair, how many cannot be read. */
static unsigned read_all(const struct reference *store, const struct damage_touched *touched,
                         bool repaired)
{
    const struct kvfs_options options = {.read_only = true};
    struct kvfs *fs = NULL;
    unsigned unlike = 0;
    int r = damage_dir_open(&dir, &options, &fs);

    if (r < 0) {
        counts.refused += !repaired;
        if (repaired && !touched->earlier) { /* then it may be older than the filesystem in it */
            violated(store, "what was repaired does not open");
        }
        return 0;
    }
    for (unsigned i = 0; i < TREE_PATHS; i++) {
        enum tree_verdict verdict = tree_judge(&store->tree, fs, i);
        unlike += repaired ? verdict != TREE_RIGHT : verdict == TREE_ERROR;
        if (!may_be(&store->tree, verdict, i, touched, repaired)) {
            say(" %s is %s%s", store->tree.paths[i].name, tree_verdict_name(verdict),
                repaired ? " after repair" : "");
            violated(store, "");
        }
    }
    kv_ignore(kvfs_close(fs));
    return unlike;
}

/* Check and read, which change nothing. Returns what was found. */
static struct damage_found look(const struct reference *store, const struct image *image,
                                const struct damage_touched *touched)
{
    struct damage_found found;

    counts.tried++;
    image_lay_down(image, dir.path);
    damage_dir_check(&dir, KV_ADMIN_REPORT, &found);
    counts.told += found.told > 0 || found.error < 0;
    unsigned unlike = read_all(store, touched, false);
    if (unlike > 0 && found.error == 0 && found.codes == store->codes) {
        violated(store, "is met by who reads, and not told by a check");
    }
    if (!image_is_there(image, dir.path)) {
        violated(store, "was changed by looking");
    }
    return found;
}

/* What is known not to be repaired, and nothing else: of a table that does not say what it is, and
 * no manifest either, nobody knows whose rows it holds; a store that went back to before there was
 * a filesystem in it. */
static void judge_left(const struct reference *store, const struct damage_touched *touched)
{
    struct damage_found left;

    damage_dir_forget_said();
    damage_dir_check(&dir, KV_ADMIN_REPORT, &left);
    counts.left++;
    if (damage_dir_told(KV_PROBLEM_FILE_UNREADABLE)) {
        counts.nameless++;
    } else if (damage_dir_told(KV_PROBLEM_FS_UNREADABLE) && touched->earlier) {
        counts.too_old++;
    } else {
        violated(store, "is not repaired");
    }
}

static void repair(const struct reference *store, const struct image *image,
                   const struct damage_touched *touched)
{
    struct damage_found found, again;

    damage_dir_check(&dir, KV_ADMIN_REPAIR, &found);
    counts.repaired += found.whole && found.told > 0;
    if (!found.whole) {
        judge_left(store, touched);
    } else {
        damage_dir_check(&dir, KV_ADMIN_REPORT, &again);
        if (again.error < 0 || again.told > 0) {
            violated(store, "leaves problems behind a repair that was whole");
        }
        counts.lost += read_all(store, touched, true);
    }
    if (found.archive[0] != '\0' && damage_dir_undo(&dir, found.archive) < 0) {
        violated(store, "cannot be taken back");
    }
    if (found.archive[0] != '\0' && !image_is_there(image, dir.path)) {
        violated(store, "is not what it was when the repair is taken back");
    }
}

static void try_image(const struct reference *store, const struct image *image, bool with_repair)
{
    struct damage_touched touched;
    damage_map_compare(&store->map, &store->image, image, &touched);
    damage_dir_forget_said();
    struct damage_found found = look(store, image, &touched);
    if (with_repair && found.error == 0) {
        repair(store, image, &touched);
    }
}

static void print_counts(void)
{
    printf("# tried: %" PRIu64 " damages, %" PRIu64 " told, %" PRIu64 " do not open; %" PRIu64
           " repaired, %" PRIu64 " of which something is left, %" PRIu64 " paths lost or older\n",
           counts.tried, counts.told, counts.refused, counts.repaired, counts.left, counts.lost);
    printf("# left: %" PRIu64 " with a table that nobody names, %" PRIu64
           " before the filesystem\n",
           counts.nameless, counts.too_old);
}

/* ---- sweeps ---------------------------------------------------------------------------------- */

START_TEST(undamaged_both_are_right)
{
    struct reference *stores[] = {&closed, &torn};
    for (int i = 0; i < 2; i++) {
        struct damage_touched none = {0};
        attempt[0] = '\0';
        struct damage_found found = look(stores[i], &stores[i]->image, &none);
        ck_assert_int_eq(found.error, 0);
        ck_assert_uint_eq(found.told, 0);
    }
}
END_TEST

static uint64_t all_bytes(const struct image *image)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < image->count; i++) {
        bytes += image->files[i].bytes.size;
    }
    return bytes;
}

/* Every sixteenth byte; with --slow every one. */
static void flip_all(struct reference *store, struct rng *rng)
{
    uint64_t bytes = all_bytes(&store->image), tries = test_steps(bytes / STRIDE);
    uint64_t stride = tries < bytes ? bytes / tries : 1;
    uint64_t phase = rng_below(rng, stride);
    struct image image;

    image_copy(&store->image, &image);
    for (unsigned i = 0; i < image.count; i++) {
        struct image_file *file = &image.files[i];
        for (uint64_t at = phase; at < file->bytes.size; at += stride) {
            uint8_t mask = (uint8_t)(1 << rng_below(rng, 8));
            attempt[0] = '\0';
            flip(file, at, mask);
            try_image(store, &image, false);
            file->bytes.data[at] ^= mask;
        }
    }
    image_finish(&image);
}

START_TEST(a_flipped_bit_is_told_and_shows_nothing_wrong)
{
    struct rng rng = {sweep_seed()};
    flip_all(_i == 0 ? &closed : &torn, &rng);
    print_counts();
}
END_TEST

/* Sector after sector of file after file, in three ways; and each file taken away. */
static bool damage_next(struct image *image, unsigned *file, uint64_t *at, int *way)
{
    if (*file == image->count) {
        return false;
    }
    struct image_file *of = &image->files[*file];
    if (*at >= of->bytes.size) {
        remove_file(of);
        *file += 1;
        *at = 0;
        *way = 0;
        return true;
    }
    if (*way == 0) {
        zero(of, *at, SECTOR);
    } else if (*way == 1) {
        take_from(of, &foreign, *at, SECTOR, "another");
    } else {
        cut(of, *at);
    }
    *at += *way == 2 ? SECTOR : 0;
    *way = (*way + 1) % 3;
    return true;
}

START_TEST(damaged_blocks_are_repaired)
{
    struct reference *store = _i == 0 ? &closed : &torn;
    struct rng rng = {sweep_seed()};
    uint64_t steps = test_steps(1250), at = 0;
    unsigned file = 0;
    int way = 0;

    for (uint64_t i = 0; i < steps; i++) {
        struct image image;
        attempt[0] = '\0';
        image_copy(&store->image, &image);
        if (!damage_next(&image, &file, &at, &way)) {
            damage_any(&image, &rng);
        }
        try_image(store, &image, true);
        image_finish(&image);
    }
    print_counts();
    ck_assert_uint_le(counts.left * 50, counts.tried);
}
END_TEST

START_TEST(random_damage_is_repaired)
{
    struct reference *store = _i == 0 ? &closed : &torn;
    struct rng rng = {sweep_seed()};
    uint64_t steps = test_steps(250);

    for (uint64_t i = 0; i < steps; i++) {
        struct image image;
        unsigned places = 1 + (unsigned)rng_below(&rng, PLACES_MAX);
        attempt[0] = '\0';
        image_copy(&store->image, &image);
        for (unsigned place = 0; place < places; place++) {
            damage_any(&image, &rng);
        }
        try_image(store, &image, true);
        image_finish(&image);
    }
    print_counts();
    ck_assert_uint_le(counts.left * 5, counts.tried);
}
END_TEST

static void add(Suite *suite, const char *name, const TTest *test, int rounds)
{
    TCase *tcase = tcase_create(name);
    tcase_add_unchecked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 0);
    tcase_add_loop_test(tcase, test, 0, rounds);
    suite_add_tcase(suite, tcase);
}

Suite *test_suite(void)
{
    Suite *suite = suite_create("damage");
    add(suite, "sound", undamaged_both_are_right, 1);
    add(suite, "flips", a_flipped_bit_is_told_and_shows_nothing_wrong, 2);
    add(suite, "blocks", damaged_blocks_are_repaired, 2);
    add(suite, "random", random_damage_is_repaired, 2);
    return suite;
}
