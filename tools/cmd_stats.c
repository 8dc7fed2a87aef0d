/* SPDX-License-Identifier: Apache-2.0 */
/* status, stats, sync: about a whole store, mounted or not. */
#include "tools/cmd.h"

#include <jansson.h>
#include <libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tools/prometheus.h"
#include "tools/report_json.h"
#include "tools/stats_live.h"
#include "tools/store_open.h"
#include "tools/store_url.h"
#include "tools/text.h"

static const struct argp_option json_option[] = {{"json", 'j', NULL, 0, "as one JSON object", 0},
                                                 {0}};

/* ---- asking ---------------------------------------------------------------------------------- */

static int collect(void *arg, const struct control_reply *reply)
{
    return kv_buf_append(arg, reply->bytes);
}

struct json_t *cmd_ask(struct target *target, enum control_op op, const char *verb, int *ret_code)
{
    struct control_request request = {.op = op};
    struct kv_buf text = {0};
    json_t *json = NULL;
    int r = target_call(target, &request, collect, &text);
    if (r == 0) {
        json = json_loadb((const char *)text.data, text.size, 0, NULL);
        r = json != NULL ? 0 : -EPROTO;
    }
    kv_buf_finish(&text);
    if (r < 0) {
        *ret_code = target_complain(target, verb, kv_slice("", 0), "of", r);
    }
    return json;
}

static void print_json(json_t *json)
{
    json_dumpf(json, stdout, JSON_COMPACT);
    putchar('\n');
}

/* ---- status ---------------------------------------------------------------------------------- */

static void print_field(json_t *json, const char *name, const char *title)
{
    json_t *value = json_object_get(json, name);
    if (json_is_string(value) && json_string_length(value) > 0) {
        printf("%-10s %s\n", title, json_string_value(value));
    } else if (json_is_integer(value)) {
        printf("%-10s %" JSON_INTEGER_FORMAT "\n", title, json_integer_value(value));
    }
}

static void print_index(const json_t *index)
{
    const char *attribute = json_string_value(json_object_get(index, "attribute"));
    const char *error = json_string_value(json_object_get(index, "error"));
    if (attribute == NULL) {
        return;
    }
    if (json_is_true(json_object_get(index, "built"))) {
        printf("%-10s %s\n", "index", attribute);
        return;
    }
    printf("%-10s %s, %" JSON_INTEGER_FORMAT " %% built%s%s\n", "index", attribute,
           json_integer_value(json_object_get(index, "percent")), error != NULL ? ": " : "",
           error != NULL ? error : "");
}

static void print_lease(const json_t *lease)
{
    if (!json_is_object(lease)) {
        return;
    }
    printf("%-10s %" JSON_INTEGER_FORMAT "\n", "epoch",
           json_integer_value(json_object_get(lease, "epoch")));
    json_int_t left_ms = json_integer_value(json_object_get(lease, "left_ms"));
    if (left_ms > 0) {
        printf("%-10s %.1f of %.1f s left\n", "lease", (double)left_ms / 1000,
               (double)json_integer_value(json_object_get(lease, "duration_ms")) / 1000);
    }
}

static void print_status(json_t *json)
{
    static const char *const fields[][2] = {
        {"state", "state"},     {"store", "store"},          {"mountpoint", "mounted on"},
        {"pid", "process"},     {"transport", "transport"},  {"transport_reason", "no io_uring"},
        {"sandbox", "sandbox"}, {"store_id", "store id"},    {"label", "label"},
        {"health", "health"},   {"health_reason", "reason"}, {"suspects", "suspects"},
        {"holder", "held by"},
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        print_field(json, fields[i][0], fields[i][1]);
    }
    print_lease(json_object_get(json, "lease"));
    print_index(json_object_get(json, "index"));
}

/* A damaged store does not open, but that is a state too. */
static json_t *damaged_json(const char *store, const char *reason)
{
    return json_pack("{s:i, s:s, s:n, s:n, s:n, s:s, s:s, s:s}", "format_version", 1, "state",
                     "damaged", "pid", "mountpoint", "transport", "store", store, "health_reason",
                     reason, "version", KVFS_VERSION);
}

/* So does one that another machine has, as long as its cluster answers. */
static json_t *held_json(const char *store)
{
    struct kv_storage *storage = NULL;
    char holder[512];
    if (store_storage_open(store, false, &storage) < 0) {
        return NULL;
    }
    store_holder(store, holder, sizeof holder);
    json_t *json = json_pack(
        "{s:i, s:s, s:n, s:n, s:n, s:s, s:s, s:s, s:o}", "format_version", 1, "state", "in use",
        "pid", "mountpoint", "transport", "store", store, "version", KVFS_VERSION, "holder",
        holder[0] != '\0' ? holder : "readers", "lease", report_lease_json(storage));
    storage->ops->close(storage);
    return json;
}

/* A store that does not open, whose state is known all the same. Returns an exit code; NULL: it is
 * not. */
static int tell_closed(const char *store, const struct fault *fault, json_t **ret_json)
{
    *ret_json = fault->error == -KV_EDAMAGED ? damaged_json(store, fault->text)
                : fault->error == -EBUSY && kv_storage_is_url(store) == 1 ? held_json(store)
                                                                          : NULL;
    if (*ret_json == NULL) {
        return target_open_complain(fault);
    }
    return fault->error == -KV_EDAMAGED ? EXIT_DAMAGED : EXIT_DONE;
}

int cmd_status(int argc, char **argv)
{
    static const struct argp argp = {
        json_option,
        json_settings_parse,
        "STORE|MOUNTPOINT",
        "Examples:\n  kvfs status /srv/a\n  kvfs status /mnt/a --json\n\nSay whether a store is "
        "mounted, serving its keys without a mount, idle, needs recovery (which the next opening "
        "does by itself) or is damaged; of one in a pool that another machine has, that it is in "
        "use, and by whom.",
        NULL,
        NULL,
        NULL};
    struct json_settings s = {0};
    struct target target = {0};
    struct fault fault;
    const char *store;
    cmd_parse(&argp, argc, argv, EXIT_USAGE, 0, &s);
    int code = words_take_store(&s.words, "status", argp.args_doc, 0, 0, &store);
    if (code != EXIT_DONE) {
        return code;
    }
    json_t *json = NULL;
    int r = target_open(&target, store, TARGET_ENGINE, &fault);
    if (r < 0) {
        code = tell_closed(store, &fault, &json);
    } else {
        json = cmd_ask(&target, CONTROL_STATUS, "tell the status", &code);
    }
    if (json != NULL && s.json) {
        print_json(json);
    } else if (json != NULL) {
        print_status(json);
    }
    json_decref(json);
    return r == 0 ? target_end(&target, code) : finish_output(code);
}

/* ---- stats ----------------------------------------------------------------------------------- */

/* A table with right-aligned numbers behind the first column. */
static struct libscols_table *new_table(const char *const *titles, size_t count)
{
    struct libscols_table *table = scols_new_table();
    for (size_t i = 0; table != NULL && i < count; i++) {
        scols_table_new_column(table, titles[i], 0, i > 0 ? SCOLS_FL_RIGHT : 0);
    }
    return table;
}

static void set_number(struct libscols_line *line, size_t column, json_int_t number)
{
    char text[32];
    snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT, number);
    scols_line_set_data(line, column, text);
}

static void print_levels(json_t *levels)
{
    static const char *const titles[] = {"LEVEL", "FILES", "BYTES", "ROWS", "TOMBSTONES"};
    static const char *const names[] = {"level", "files", "bytes", "rows", "tombstones"};
    struct libscols_table *table = new_table(titles, 5);
    size_t i;
    json_t *level;
    json_array_foreach(levels, i, level)
    {
        struct libscols_line *line = table != NULL ? scols_table_new_line(table, NULL) : NULL;
        for (size_t column = 0; line != NULL && column < 5; column++) {
            set_number(line, column, json_integer_value(json_object_get(level, names[column])));
        }
    }
    if (table != NULL) {
        scols_print_table(table);
        scols_unref_table(table);
    }
}

static void print_numbers(json_t *numbers, const char *title, bool zeros)
{
    const char *const titles[] = {title, "VALUE"};
    struct libscols_table *table = new_table(titles, 2);
    const char *name;
    json_t *value;
    json_object_foreach(numbers, name, value)
    {
        bool shown = zeros || json_integer_value(value) != 0;
        struct libscols_line *line =
            table != NULL && shown ? scols_table_new_line(table, NULL) : NULL;
        if (line != NULL) {
            scols_line_set_data(line, 0, name);
            set_number(line, 1, json_integer_value(value));
        }
    }
    if (table != NULL && scols_table_get_nlines(table) > 0) {
        putchar('\n');
        scols_print_table(table);
    }
    scols_unref_table(table);
}

static void set_microseconds(struct libscols_line *line, size_t column, json_t *ns)
{
    char text[32];
    snprintf(text, sizeof text, "%.1f", (double)json_integer_value(ns) / 1000);
    scols_line_set_data(line, column, text);
}

static void print_latencies(json_t *latencies)
{
    static const char *const titles[] = {"LATENCY", "MEASURED", "P50 US",
                                         "P99 US",  "P999 US",  "MAX US"};
    static const char *const names[] = {"p50_ns", "p99_ns", "p999_ns", "max_ns"};
    struct libscols_table *table = new_table(titles, 6);
    const char *operation;
    json_t *values;
    json_object_foreach(latencies, operation, values)
    {
        json_int_t count = json_integer_value(json_object_get(values, "count"));
        struct libscols_line *line =
            table != NULL && count > 0 ? scols_table_new_line(table, NULL) : NULL;
        if (line != NULL) {
            scols_line_set_data(line, 0, operation);
            set_number(line, 1, count);
        }
        for (size_t i = 0; line != NULL && i < sizeof names / sizeof names[0]; i++) {
            set_microseconds(line, i + 2, json_object_get(values, names[i]));
        }
    }
    if (table != NULL && scols_table_get_nlines(table) > 0) {
        putchar('\n');
        scols_print_table(table);
    }
    scols_unref_table(table);
}

static void print_jobs(json_t *jobs)
{
    size_t i;
    json_t *job;
    json_array_foreach(jobs, i, job)
    {
        double all = (double)json_integer_value(json_object_get(job, "bytes"));
        double done = (double)json_integer_value(json_object_get(job, "bytes_done"));
        printf("%sRunning: %s to level %" JSON_INTEGER_FORMAT ", %.0f of %.0f MiB, for %.1f s\n",
               i == 0 ? "\n" : "", json_string_value(json_object_get(job, "kind")),
               json_integer_value(json_object_get(job, "level_to")), done / (1 << 20),
               all / (1 << 20),
               (double)json_integer_value(json_object_get(job, "running_ns")) / 1e9);
    }
}

static void print_stats(json_t *json)
{
    print_levels(json_object_get(json, "levels"));
    print_jobs(json_object_get(json, "jobs"));
    print_latencies(json_object_get(json, "latencies"));
    print_numbers(json_object_get(json, "counters"), "COUNTER", true);
    print_numbers(json_object_get(json, "space"), "SPACE", true);
    print_numbers(json_object_get(json, "requests"), "REQUEST", false);
    printf("\nWrite amplification: %.2f\n",
           json_number_value(json_object_get(json, "write_amplification")));
}

struct stats_settings {
    struct json_settings common; /* first: the parser of the others sees only this */
    bool prometheus;
    double interval_s; /* 0: once */
    uint64_t count;    /* rows; 0: until the end */
};

static error_t parse_stats(int key, char *value, struct argp_state *state)
{
    struct stats_settings *s = state->input;
    if (key == 'P') {
        s->prometheus = true;
        return 0;
    }
    if (key == 'i') {
        char *end;
        s->interval_s = strtod(value, &end);
        if (*end != '\0' || !(s->interval_s >= 0.01 && s->interval_s <= 86400)) {
            argp_error(state, "--interval=%s: wanted are seconds, 0.01 to 86400", value);
        }
        return 0;
    }
    if (key == 'c') {
        if (text_parse_number(value, UINT32_MAX, &s->count) < 0 || s->count == 0) {
            argp_error(state, "--count=%s: wanted is a number of rows", value);
        }
        return 0;
    }
    return json_settings_parse(key, value, state);
}

static void show(const struct stats_settings *s, json_t *json)
{
    if (s->prometheus) {
        prometheus_print(stdout, json);
    } else if (s->common.json) {
        print_json(json);
    } else {
        print_stats(json);
    }
}

static void pause_for(double seconds)
{
    struct timespec t = {.tv_sec = (time_t)seconds};
    t.tv_nsec = (long)((seconds - (double)t.tv_sec) * 1e9);
    clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
}

/* A row for each interval, or with --json an object a line for each end of one. */
static int show_live(struct target *target, const struct stats_settings *s)
{
    int code = EXIT_DONE;
    json_t *before = cmd_ask(target, CONTROL_STATS, "tell the statistics", &code);
    for (uint64_t row = 0; before != NULL && (s->count == 0 || row < s->count); row++) {
        pause_for(s->interval_s);
        json_t *now = cmd_ask(target, CONTROL_STATS, "tell the statistics", &code);
        if (now != NULL && s->common.json) {
            print_json(now);
        } else if (now != NULL) {
            stats_live_print(before, now, row);
        }
        json_decref(before);
        before = now;
        if (fflush(stdout) != 0) {
            break; /* told at the end */
        }
    }
    json_decref(before);
    return code;
}

int cmd_stats(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"json", 'j', NULL, 0, "as one JSON object", 0},
        {"prometheus", 'P', NULL, 0, "in the text format of Prometheus", 0},
        {"interval", 'i', "S", 0, "a row every S seconds about what happened meanwhile", 0},
        {"count", 'c', "N", 0, "with --interval: end after N rows", 0},
        {0}};
    static const struct argp argp = {
        options,
        parse_stats,
        "STORE|MOUNTPOINT",
        "Examples:\n  kvfs stats /mnt/a\n  kvfs stats /srv/a --json\n  kvfs stats /mnt/a "
        "--prometheus > /var/lib/node_exporter/kvfs.prom\n  kvfs stats /mnt/a --interval=1\n\nShow "
        "the levels of the store, what its "
        "engine has done since it was opened and how long that took, what it is doing, and how "
        "many "
        "requests of each kind the mount served.",
        NULL,
        NULL,
        NULL};
    struct stats_settings s = {0};
    struct target target;
    const char *store;
    cmd_parse(&argp, argc, argv, EXIT_USAGE, 0, &s);
    int code = words_take_store(&s.common.words, "stats", argp.args_doc, 0, 0, &store);
    if (code == EXIT_DONE && (s.interval_s > 0 ? s.prometheus : s.count > 0)) {
        complain("--interval goes with --count and --json, and --count only with --interval");
        code = EXIT_USAGE;
    }
    code = code == EXIT_DONE ? target_begin(&target, store, TARGET_ENGINE) : code;
    if (code != EXIT_DONE) {
        return code;
    }
    if (s.interval_s > 0) {
        code = show_live(&target, &s);
        return target_end(&target, code);
    }
    json_t *json = cmd_ask(&target, CONTROL_STATS, "tell the statistics", &code);
    if (json != NULL) {
        show(&s, json);
    }
    json_decref(json);
    return target_end(&target, code);
}

/* ---- sync ------------------------------------------------------------------------------------ */

int cmd_sync(int argc, char **argv)
{
    static const struct argp argp = {
        NULL,
        json_settings_parse,
        "STORE|MOUNTPOINT",
        "Examples:\n  kvfs sync /mnt/a\n\nMake everything written so far durable. sync(1) does not "
        "reach filesystems like this one.",
        NULL,
        NULL,
        NULL};
    struct json_settings s = {0};
    struct target target;
    const char *store;
    cmd_parse(&argp, argc, argv, EXIT_USAGE, 0, &s);
    int code = words_take_store(&s.words, "sync", argp.args_doc, 0, 0, &store);
    code = code == EXIT_DONE ? target_begin(&target, store, TARGET_WRITE) : code;
    if (code != EXIT_DONE) {
        return code;
    }
    struct control_request sync = {.op = CONTROL_SYNC};
    int r = target_call(&target, &sync, NULL, NULL);
    if (r < 0) {
        code = target_complain(&target, "sync", kv_slice("", 0), "", r);
    }
    return target_end(&target, code);
}
