/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/bench/bench_run.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kvcore/util/checksum.h"
#include "kvcore/util/clock.h"
#include "tools/bench/bench_gate.h"
#include "tools/bench/bench_options.h"
#include "tools/bench/bench_process.h"
#include "tools/bench/bench_workload.h"
#include "tools/report.h"

#define ZIPF_THETA 0.99 /* YCSB's */

/* ---- one measurement, in a process of its own ------------------------------------------------ */

struct worker {
    struct bench_thread work;
    struct thread thread;
    struct bench_gate *gate;
    uint64_t began_ns, ended_ns;
    bool is_companion;
};

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    struct bench_thread *work = &worker->work;
    const struct bench_run *run = work->run;
    int r = run->engine->session_open(run->store, &work->session);
    bench_gate_pass(worker->gate);
    worker->began_ns = clock_monotonic_ns();
    work->clock_ns = worker->began_ns;
    if (r == 0) {
        r = worker->is_companion ? bench_companion_run(work) : run->workload->run(work);
    }
    worker->ended_ns = clock_monotonic_ns();
    run->engine->session_close(work->session);
    work->error = r;
    return NULL;
}

static void worker_init(struct worker *worker, struct bench_run *run, struct bench_gate *gate,
                        unsigned index)
{
    const struct bench_config *config = run->config;
    uint64_t ops = bench_workload_ops(run->workload, config);
    uint64_t first = ops * index / config->threads;
    *worker = (struct worker){.gate = gate, .is_companion = index == config->threads};
    worker->work.run = run;
    worker->work.rng.state = hash_u64(run->seed + index);
    worker->work.first = first;
    worker->work.ops = worker->is_companion ? 0 : ops * (index + 1) / config->threads - first;
}

static void collect(struct bench_result *result, const struct worker *workers, unsigned count)
{
    uint64_t began = UINT64_MAX;
    uint64_t ended = 0;
    for (unsigned i = 0; i < count; i++) {
        const struct bench_thread *work = &workers[i].work;
        result->error = result->error == 0 ? work->error : result->error;
        result->written_bytes += work->written_bytes;
        if (workers[i].is_companion) {
            result->companion_ops += work->done;
            continue;
        }
        result->ops += work->done;
        result->found += work->found;
        result->user_bytes += work->read_bytes + work->written_bytes;
        histogram_merge(&result->latency_ns, &work->latency_ns);
        began = workers[i].began_ns < began ? workers[i].began_ns : began;
        ended = workers[i].ended_ns > ended ? workers[i].ended_ns : ended;
    }
    result->elapsed_ns = ended - began;
}

static int run_threads(struct bench_run *run, struct bench_result *result)
{
    unsigned threads = run->config->threads;
    unsigned count = threads + (run->workload->companion != BENCH_ALONE);
    struct worker *workers = calloc(count, sizeof *workers);
    struct bench_gate gate;
    unsigned started = 0;
    int r = workers != NULL ? 0 : -ENOMEM;

    bench_gate_init(&gate);
    for (; r == 0 && started < count; started++) {
        worker_init(&workers[started], run, &gate, started);
        r = thread_start(&workers[started].thread, "bench", worker_main, &workers[started]);
        if (r < 0) {
            break;
        }
    }
    bench_gate_open(&gate, started);
    for (unsigned i = 0; i < started; i++) {
        if (i == threads) { /* the companion comes last: all others have ended */
            atomic_store_explicit(&run->stop, true, memory_order_relaxed);
        }
        thread_join(&workers[i].thread);
    }
    if (r == 0) {
        collect(result, workers, count);
    }
    bench_gate_finish(&gate);
    free(workers);
    return r;
}

static int store_path(const struct bench_config *config, const struct bench_engine_ops *engine,
                      char to[PATH_MAX])
{
    int size = snprintf(to, PATH_MAX, "%s/%s", config->dir, engine->name);
    return size < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int measure_open(struct bench_run *run, struct bench_result *result)
{
    bench_process_settle();
    uint64_t before = bench_process_written_bytes(0);
    uint64_t used = bench_process_processor_ns();
    int r = run_threads(run, result);
    if (run->workload->writes) {
        bench_process_settle();
    }
    result->processor_ns = bench_process_processor_ns() - used;
    result->storage_bytes = bench_process_written_bytes(0) - before;
    result->peak_bytes = bench_process_peak_bytes(0);
    return r < 0 ? r : result->error;
}

static int measure(struct bench_run *run, struct bench_result *result)
{
    const struct bench_config *config = run->config;
    char path[PATH_MAX];
    int r = store_path(config, run->engine, path);
    if (r == 0 && run->workload->fresh) {
        r = bench_dir_remove(path);
    }
    if (r == 0) {
        r = bench_values_init(&run->values, config->value_size, config->compressible,
                              hash_u64(config->seed));
    }
    if (r == 0) {
        r = run->engine->open(path, config, run->workload->txn, &run->store);
    }
    if (r == 0) {
        r = measure_open(run, result);
        int closed = run->engine->close(run->store);
        r = r < 0 ? r : closed;
    }
    if (r == 0) {
        r = bench_dir_space(path, &result->space_bytes);
    }
    bench_values_finish(&run->values);
    return r;
}

static void run_init(struct bench_run *run, const struct bench_config *config, unsigned round)
{
    const struct bench_workload *workload = run->workload;
    run->config = config;
    run->durability = workload->sync ? BENCH_DURABLE_SYNC : config->durability;
    run->seed = hash_bytes(kv_slice_str(workload->name), hash_u64(config->seed + round));
    /* The order belongs to the rows, not to the workload: the last ones written are the latest. */
    bench_permutation_init(&run->order, config->rows, hash_u64(config->seed));
    if (workload->zipf || config->distribution != BENCH_UNIFORM) {
        bench_zipf_init(&run->zipf, config->rows, ZIPF_THETA);
    }
}

/* Fork, measure, and wait. What the process finds out is in `result`, which is shared. */
static int measure_apart(const struct bench_config *config, const struct bench_workload *workload,
                         const struct bench_engine_ops *engine, unsigned round,
                         struct bench_result *result)
{
    int status = 0;
    fflush(NULL); /* or both processes write what is buffered */
    result->error = -ECHILD;
    pid_t pid = fork();
    if (pid == 0) {
        struct bench_run run = {.workload = workload, .engine = engine};
        result->error = 0;
        run_init(&run, config, round);
        result->error = measure(&run, result);
        fflush(NULL);
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        result->error = -errno;
    } else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        complain("the process that ran %s on %s died, status %d", workload->name, engine->name,
                 status);
        result->error = -ECHILD;
        return result->error;
    }
    if (result->error < 0 && result->error != -EOPNOTSUPP) {
        complain("%s on %s in %s failed: %s", workload->name, engine->name, config->dir,
                 kv_strerror(result->error));
        return result->error;
    }
    return 0;
}

/* ---- all of them ----------------------------------------------------------------------------- */

struct bench_result *bench_result_of(const struct bench_results *results, unsigned round,
                                     unsigned workload, unsigned engine)
{
    const struct bench_config *c = results->config;
    return &results->at[((size_t)round * c->workload_count + workload) * c->engine_count + engine];
}

static void show_progress(const struct bench_config *config, size_t done, size_t count,
                          uint64_t began_ns)
{
    if (!config->quiet) {
        bench_progress(done, count, began_ns);
    }
}

static bool store_exists(const struct bench_config *config, const struct bench_engine_ops *engine)
{
    char path[PATH_MAX];
    struct stat info;
    return store_path(config, engine, path) == 0 && stat(path, &info) == 0;
}

/* Stores from which the first workload can start: none if it starts afresh or old ones are not
 * wanted, else filled ones. */
static int prepare_stores(const struct bench_config *config, struct bench_result *scratch)
{
    int r = bench_dir_prepare(config->dir);
    for (unsigned e = 0; r == 0 && e < config->engine_count; e++) {
        const struct bench_engine_ops *engine = config->engines[e];
        bool fill = !config->workloads[0]->fresh;
        if (fill && !(config->existing && store_exists(config, engine))) {
            r = measure_apart(config, bench_workload_filler(), engine, 0, scratch);
        }
    }
    return r;
}

static int run_round(const struct bench_results *results, unsigned round, uint64_t began_ns)
{
    const struct bench_config *config = results->config;
    for (unsigned w = 0; w < config->workload_count; w++) {
        for (unsigned i = 0; i < config->engine_count; i++) {
            unsigned e = (i + round + w) % config->engine_count;
            size_t done = ((size_t)round * config->workload_count + w) * config->engine_count + i;
            show_progress(config, done, results->count - 1, began_ns);
            int r = measure_apart(config, config->workloads[w], config->engines[e], round,
                                  bench_result_of(results, round, w, e));
            if (r < 0) {
                return r;
            }
        }
    }
    return 0;
}

int bench_run_all(const struct bench_config *config, struct bench_results *ret_results)
{
    /* One more, for the filling that is not reported. */
    struct bench_results results = {
        .config = config,
        .count = (size_t)config->rounds * config->workload_count * config->engine_count + 1};
    results.at = mmap(NULL, results.count * sizeof *results.at, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (results.at == MAP_FAILED) {
        return -errno;
    }
    int r = prepare_stores(config, &results.at[results.count - 1]);
    uint64_t began = clock_monotonic_ns();
    for (unsigned round = 0; r == 0 && round < config->rounds; round++) {
        r = run_round(&results, round, began);
    }
    show_progress(config, results.count - 1, results.count - 1, began);
    if (r < 0) {
        bench_results_finish(&results);
        return r;
    }
    *ret_results = results;
    return 0;
}

void bench_results_finish(struct bench_results *results)
{
    if (results->at != NULL) {
        munmap(results->at, results->count * sizeof *results->at);
        results->at = NULL;
    }
}
