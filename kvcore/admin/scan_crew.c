/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/admin/scan_crew.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "kvcore/util/clock.h"
#include "kvcore/util/thread.h"

#define TELL_NS ((uint64_t)100 * 1000 * 1000) /* how often it is told how far it is */

/* A problem, with what its pointers point at behind it. */
struct kept {
    struct kept *next;
    struct kv_problem problem;
    uint8_t bytes[];
};

/* The work on one table. */
struct part {
    struct crew *crew;
    struct scan scan; /* the whole one, with results of its own */
    struct kv_admin_options options;
    struct kept *first, **last; /* problems, in their order */
    uint64_t told_bytes;
    int result;
};

struct crew {
    struct scan *scan; /* of the thread that asked */
    struct scan from;  /* as it was at first; constant */
    struct file_meta *const *files;
    size_t count;
    crew_fn *fn;
    struct part parts[CREW_WINDOW]; /* of table i: i modulo their number */
    _Atomic uint64_t bytes;         /* read, and not yet told of */
    _Atomic bool stopped;           /* nobody wants the rest */
    struct mutex mu;
    struct condvar room, done; /* a part is free; one is done */
    size_t taken, told;        /* tables; guarded by mu */
    bool is_done[CREW_WINDOW]; /* of parts; guarded by mu */
    struct thread threads[CREW_THREADS_MAX];
    unsigned thread_count;
};

/* ---- what a thread finds ---- */

static struct kv_slice copy_to(uint8_t **at, struct kv_slice bytes)
{
    struct kv_slice copy = kv_slice(*at, bytes.size);
    if (bytes.size > 0) {
        memcpy(*at, bytes.data, bytes.size);
    }
    *at += bytes.size;
    return copy;
}

/* A function of struct kv_admin_options. The rest of what a problem points at outlives the scan. */
static int keep_problem(void *arg, const struct kv_problem *problem)
{
    struct part *part = arg;
    size_t text_size = strlen(problem->text) + 1;
    struct kept *kept = malloc(sizeof *kept + problem->from.size + problem->to.size + text_size);
    uint8_t *at;

    if (kept == NULL) {
        part->result = -ENOMEM;
        return 1;
    }
    at = kept->bytes;
    kept->next = NULL;
    kept->problem = *problem;
    kept->problem.from = copy_to(&at, problem->from);
    kept->problem.to = copy_to(&at, problem->to);
    kept->problem.text = (const char *)copy_to(&at, kv_slice(problem->text, text_size)).data;
    *part->last = kept;
    part->last = &kept->next;
    return 0;
}

/* The same. */
static int count_bytes(void *arg, const struct kv_admin_progress *progress)
{
    struct part *part = arg;
    atomic_fetch_add(&part->crew->bytes, progress->bytes - part->told_bytes);
    part->told_bytes = progress->bytes;
    return atomic_load(&part->crew->stopped);
}

static void begin_part(struct part *part, struct crew *crew)
{
    *part = (struct part){.crew = crew, .scan = crew->from, .last = &part->first};
    part->options = *crew->from.options;
    part->options.problem_fn = keep_problem;
    part->options.progress_fn = count_bytes;
    part->options.arg = part;
    part->scan.options = &part->options;
    part->scan.result = (struct kv_admin_result){0};
    part->scan.progress.bytes = 0;
    part->scan.unsafe = part->scan.repairable = 0;
    part->scan.bad_tables = NULL;
    part->scan.bad_table_count = 0;
    scan_begin_sink(&part->scan);
}

static void finish_part(struct part *part)
{
    while (part->first != NULL) {
        struct kept *next = part->first->next;
        free(part->first);
        part->first = next;
    }
    for (size_t i = 0; i < part->scan.bad_table_count; i++) {
        file_meta_unref(part->scan.bad_tables[i].file);
    }
    free(part->scan.bad_tables);
    *part = (struct part){0};
}

/* ---- threads ---- */

/* The next table, once what was told is near enough; false: there is none. */
static bool take(struct crew *crew, size_t *ret_index)
{
    bool taken = false;
    mutex_lock(&crew->mu);
    while (crew->taken < crew->count && crew->taken - crew->told >= CREW_WINDOW &&
           !atomic_load(&crew->stopped)) {
        condvar_wait(&crew->room, &crew->mu);
    }
    if (crew->taken < crew->count && !atomic_load(&crew->stopped)) {
        *ret_index = crew->taken++;
        taken = true;
    }
    mutex_unlock(&crew->mu);
    return taken;
}

static void *work(void *arg)
{
    struct crew *crew = arg;
    size_t index = 0;
    while (take(crew, &index)) {
        struct part *part = &crew->parts[index % CREW_WINDOW];
        begin_part(part, crew);
        int r = crew->fn(&part->scan, crew->files[index]);
        mutex_lock(&crew->mu);
        part->result = part->result < 0 ? part->result : r;
        crew->is_done[index % CREW_WINDOW] = true;
        condvar_signal(&crew->done);
        mutex_unlock(&crew->mu);
    }
    return NULL;
}

/* ---- the whole ---- */

static int tell_bytes(struct crew *crew)
{
    return scan_spend(crew->scan, atomic_exchange(&crew->bytes, 0));
}

/* Wait for the part of that table. */
static int await(struct crew *crew, size_t place)
{
    bool done = false;
    int r = 0;
    while (!done && r == 0) {
        uint64_t until = clock_monotonic_ns() + TELL_NS;
        mutex_lock(&crew->mu);
        while (!crew->is_done[place] && condvar_wait_until(&crew->done, &crew->mu, until)) {
        }
        done = crew->is_done[place];
        mutex_unlock(&crew->mu);
        r = tell_bytes(crew);
    }
    return r;
}

static int move_tables(struct scan *scan, struct part *part)
{
    struct scan *from = &part->scan;
    size_t count = scan->bad_table_count + from->bad_table_count;
    struct scan_table *larger;

    if (from->bad_table_count == 0) {
        return 0;
    }
    larger = realloc(scan->bad_tables, count * sizeof *larger);
    if (larger == NULL) {
        return -ENOMEM;
    }
    memcpy(larger + scan->bad_table_count, from->bad_tables,
           from->bad_table_count * sizeof *larger);
    scan->bad_tables = larger;
    scan->bad_table_count = count;
    from->bad_table_count = 0; /* their references have moved */
    return 0;
}

/* Add what was found in the table to the whole. */
static int tell_part(struct crew *crew, struct part *part)
{
    struct scan *scan = crew->scan;
    const struct kv_admin_options *options = scan->options;

    scan->result.problems += part->scan.result.problems;
    scan->result.notes += part->scan.result.notes;
    scan->unsafe += part->scan.unsafe;
    scan->repairable += part->scan.repairable;
    for (const struct kept *k = part->first; k != NULL && !scan->stopped; k = k->next) {
        scan->stopped =
            options->problem_fn != NULL && options->problem_fn(options->arg, &k->problem) != 0;
    }
    int r = move_tables(scan, part);
    return r < 0 ? r : part->result;
}

static int tell_all(struct crew *crew)
{
    int r = 0;
    for (size_t i = 0; i < crew->count && r == 0; i++) {
        size_t place = i % CREW_WINDOW;
        r = await(crew, place);
        if (r < 0) {
            break;
        }
        r = tell_part(crew, &crew->parts[place]);
        finish_part(&crew->parts[place]);
        mutex_lock(&crew->mu);
        crew->is_done[place] = false;
        crew->told++;
        condvar_broadcast(&crew->room);
        mutex_unlock(&crew->mu);
        r = r < 0 ? r : scan_spend(crew->scan, 0);
    }
    return r;
}

static void end(struct crew *crew)
{
    mutex_lock(&crew->mu);
    atomic_store(&crew->stopped, true);
    condvar_broadcast(&crew->room);
    mutex_unlock(&crew->mu);
    for (unsigned i = 0; i < crew->thread_count; i++) {
        thread_join(&crew->threads[i]);
    }
    for (size_t i = 0; i < CREW_WINDOW; i++) {
        finish_part(&crew->parts[i]);
    }
    condvar_finish(&crew->done);
    condvar_finish(&crew->room);
    mutex_finish(&crew->mu);
}

static unsigned wanted_threads(const struct scan *scan)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned wanted = scan->options->threads;
    if (wanted == 0) {
        wanted = processors > 1 ? (unsigned)processors : 1;
    }
    return wanted < CREW_THREADS_MAX ? wanted : CREW_THREADS_MAX;
}

static int run_alone(struct scan *scan, struct file_meta *const *files, size_t count, crew_fn *fn)
{
    int r = 0;
    for (size_t i = 0; i < count && r == 0; i++) {
        r = fn(scan, files[i]);
    }
    return r;
}

static int run_with(struct crew *crew, unsigned threads)
{
    int r = 0;
    mutex_init(&crew->mu, LOCK_RANK_LEAF, "tables that are read");
    condvar_init(&crew->room);
    condvar_init(&crew->done);
    while (crew->thread_count < threads && r == 0) {
        r = thread_start(&crew->threads[crew->thread_count], "kvfs-scan", work, crew);
        crew->thread_count += r == 0;
    }
    r = crew->thread_count > 0 ? tell_all(crew) : r; /* fewer are enough */
    end(crew);
    return r;
}

int crew_run(struct scan *scan, struct file_meta *const *files, size_t count, crew_fn *fn)
{
    unsigned threads = wanted_threads(scan);
    struct crew *crew;
    int r;

    if (threads < 2 || count < 2) {
        return run_alone(scan, files, count, fn);
    }
    crew = calloc(1, sizeof *crew);
    if (crew == NULL) {
        return -ENOMEM;
    }
    crew->scan = scan;
    crew->from = *scan;
    crew->files = files;
    crew->count = count;
    crew->fn = fn;
    r = run_with(crew, threads);
    free(crew);
    return r;
}
