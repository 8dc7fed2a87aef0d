/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/bench/bench_fs_run.h"

#include <signal.h>
#include <stdlib.h>

#include "kvcore/util/clock.h"
#include "kvcore/util/rng.h"
#include "tools/bench/bench_fs_work.h"
#include "tools/bench/bench_gate.h"
#include "tools/bench/bench_options.h"
#include "tools/bench/bench_process.h"
#include "tools/report.h"

struct worker {
    struct bench_fs_thread work;
    struct thread thread;
    struct bench_gate *gate;
    const struct bench_fs_workload *workload;
    uint64_t began_ns, ended_ns;
    int error;
};

/* What there is in the directory, and what is needed to work on it. */
struct state {
    struct bench_fs_files files;
    struct bench_fs_run run;
    struct worker *workers;
    uint8_t *bytes; /* data, and a buffer for each thread */
    bool has_files, has_stream;
};

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    bench_gate_pass(worker->gate);
    worker->began_ns = clock_monotonic_ns();
    worker->work.clock_ns = worker->began_ns;
    worker->error = worker->workload->run(&worker->work);
    worker->ended_ns = clock_monotonic_ns();
    return NULL;
}

static size_t buffer_size(const struct bench_fs_config *config)
{
    return config->file_size > BENCH_FS_STREAM_STEP ? config->file_size : BENCH_FS_STREAM_STEP;
}

static void worker_init(struct state *s, unsigned index, const struct bench_fs_workload *workload,
                        struct bench_gate *gate)
{
    size_t size = buffer_size(s->files.config);
    s->workers[index] = (struct worker){
        .work = {.run = &s->run, .index = index, .buffer = s->bytes + size * (index + 1)},
        .gate = gate,
        .workload = workload};
}

/* Say why it ends. Returns an exit code. */
static int complain_of(const struct state *s, const char *verb, const char *name, int error)
{
    if (error == -EINTR) {
        complain("interrupted; %s is removed", s->files.path);
        return EXIT_INTERRUPTED;
    }
    complain("cannot %s %s/%s: %s. What the benchmark made is removed.", verb, s->files.path, name,
             error == -EIO ? "an error, or not what was written" : kv_strerror(error));
    return exit_code_of(error) == EXIT_NO_SPACE ? EXIT_NO_SPACE : EXIT_FAILED;
}

static int collect(const struct state *s, struct bench_result *result)
{
    uint64_t began = UINT64_MAX;
    uint64_t ended = 0;
    for (unsigned i = 0; i < s->files.config->threads; i++) {
        const struct worker *worker = &s->workers[i];
        if (worker->error < 0) {
            return complain_of(s, worker->work.verb, worker->work.name, worker->error);
        }
        result->ops += worker->work.done;
        result->written_bytes += worker->work.written_bytes;
        result->user_bytes += worker->work.written_bytes + worker->work.read_bytes;
        histogram_merge(&result->latency_ns, &worker->work.latency_ns);
        for (unsigned part = 0; part < BENCH_PARTS; part++) {
            result->part_ops[part] += worker->work.part_done[part];
            result->part_resident_bytes[part] += worker->work.part_resident_bytes[part];
        }
        began = worker->began_ns < began ? worker->began_ns : began;
        ended = worker->ended_ns > ended ? worker->ended_ns : ended;
    }
    result->elapsed_ns = ended - began;
    return EXIT_DONE;
}

/* Run the workload by all threads. Returns an exit code. */
static int run_threads(struct state *s, const struct bench_fs_workload *workload,
                       struct bench_result *result)
{
    unsigned threads = s->files.config->threads;
    struct bench_gate gate;
    unsigned started = 0;
    int r = 0;
    bench_gate_init(&gate);
    while (r == 0 && started < threads) {
        worker_init(s, started, workload, &gate);
        r = thread_start(&s->workers[started].thread, "bench", worker_main, &s->workers[started]);
        started += r == 0;
    }
    bench_gate_open(&gate, started);
    for (unsigned i = 0; i < started; i++) {
        thread_join(&s->workers[i].thread);
    }
    bench_gate_finish(&gate);
    if (r < 0) {
        complain("cannot start %u threads: %s", threads, kv_strerror(r));
        return EXIT_FAILED;
    }
    return collect(s, result);
}

/* Run it, and note what that leaves. */
static int run_one(struct state *s, const struct bench_fs_workload *workload,
                   struct bench_result *result)
{
    int code = run_threads(s, workload, result);
    if (code == EXIT_DONE) {
        s->has_files =
            (s->has_files || workload->before == BENCH_FS_NO_FILES) && !workload->leaves_no_files;
        s->run.letter = workload->renames ? bench_fs_other_letter(s->run.letter) : s->run.letter;
        s->has_stream = s->has_stream || workload == bench_fs_workload_find("seqwrite");
    }
    return code;
}

/* Make or remove what the workload wants to be there or not, unmeasured. */
static int prepare(struct state *s, const struct bench_fs_workload *workload)
{
    const char *name = NULL;
    struct bench_result *unused = NULL;
    if (workload->before == BENCH_FS_FILES && !s->has_files) {
        name = "create";
    } else if (workload->before == BENCH_FS_NO_FILES && s->has_files) {
        name = "unlink";
    } else if (workload->before == BENCH_FS_STREAM && !s->has_stream) {
        name = "seqwrite";
    }
    if (name == NULL) {
        return EXIT_DONE;
    }
    unused = calloc(1, sizeof *unused);
    int code = unused != NULL ? run_one(s, bench_fs_workload_find(name), unused) : EXIT_FAILED;
    free(unused);
    return code;
}

static int measure(struct state *s, const struct bench_fs_workload *workload,
                   struct bench_result *result)
{
    unsigned daemon = s->files.config->daemon;
    int code = prepare(s, workload);
    if (code != EXIT_DONE) {
        return code;
    }
    int r = bench_fs_drop_caches(&s->files);
    if (r < 0) {
        complain("cannot drop the kernel's caches: %s", kv_strerror(r));
        return EXIT_FAILED;
    }
    uint64_t before = bench_process_written_bytes(daemon);
    code = run_one(s, workload, result);
    result->storage_bytes = bench_process_written_bytes(daemon) - before;
    result->peak_bytes = bench_process_peak_bytes(daemon);
    result->space_bytes = bench_fs_space(&s->files);
    return code;
}

static int state_init(struct state *s, const struct bench_fs_config *config)
{
    size_t size = buffer_size(config);
    struct rng rng = {.state = 1};
    s->workers = calloc(config->threads, sizeof *s->workers);
    s->bytes = calloc(config->threads + 1, size);
    if (s->workers == NULL || s->bytes == NULL) {
        complain("out of memory");
        return EXIT_FAILED;
    }
    for (size_t i = 0; i < size; i++) {
        s->bytes[i] = (uint8_t)rng_next(&rng);
    }
    int code = bench_fs_files_begin(config, &s->files);
    s->run = (struct bench_fs_run){.files = &s->files, .data = s->bytes, .letter = 'f'};
    return code;
}

static int run_all(struct state *s, struct bench_result *results)
{
    const struct bench_fs_config *config = s->files.config;
    uint64_t began = clock_monotonic_ns();
    int r = bench_fs_make_directories(&s->files);
    int code = r < 0 ? complain_of(s, "make", "its directories", r) : EXIT_DONE;
    for (unsigned i = 0; code == EXIT_DONE && i < config->workload_count; i++) {
        if (!config->quiet) {
            bench_progress(i, config->workload_count, began);
        }
        code = measure(s, config->workloads[i], &results[i]);
    }
    if (!config->quiet) {
        bench_progress(config->workload_count, config->workload_count, began);
    }
    return code;
}

int bench_fs_run(const struct bench_fs_config *config, struct bench_result *results,
                 bool *ret_measured)
{
    struct state s = {.has_files = false};
    sigset_t ending, before;
    sigemptyset(&ending);
    sigaddset(&ending, SIGINT);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGHUP);
    sigprocmask(SIG_BLOCK, &ending, &before); /* they are looked for between operations */
    int code = state_init(&s, config);
    if (code == EXIT_DONE) {
        code = run_all(&s, results);
        *ret_measured = code == EXIT_DONE;
        int removed = bench_fs_files_end(&s.files);
        code = code == EXIT_DONE ? removed : code;
    }
    free(s.workers);
    free(s.bytes);
    if (code != EXIT_INTERRUPTED) {
        sigprocmask(SIG_SETMASK, &before, NULL);
    }
    return code;
}
