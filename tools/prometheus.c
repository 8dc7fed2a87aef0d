/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/prometheus.h"

#include <stdbool.h>
#include <string.h>

/* The output, and the value of its label `store`, escaped. */
struct page {
    FILE *to;
    char store[8192];
};

static void page_begin(struct page *page, FILE *to, const char *store)
{
    size_t used = 0;
    page->to = to;
    for (const char *at = store; *at != '\0' && used + 3 < sizeof page->store; at++) {
        if (*at == '\\' || *at == '"' || *at == '\n') {
            page->store[used++] = '\\';
        }
        page->store[used++] = *at;
        if (*at == '\n') {
            page->store[used - 1] = 'n';
        }
    }
    page->store[used] = '\0';
}

static void print_type(struct page *page, const char *name, const char *type)
{
    fprintf(page->to, "# TYPE kvfs_%s %s\n", name, type);
}

static void print_integer(struct page *page, const char *name, json_int_t value)
{
    fprintf(page->to, "kvfs_%s{store=\"%s\"} %" JSON_INTEGER_FORMAT "\n", name, page->store, value);
}

static void print_labelled(struct page *page, const char *name, const char *label,
                           const char *label_value, double value)
{
    fprintf(page->to, "kvfs_%s{store=\"%s\",%s=\"%s\"} %.17g\n", name, page->store, label,
            label_value, value);
}

static const double ns_per_s = 1e9;

/* Those of the counters that tell the state of the moment; all others only grow. */
static bool is_gauge(const char *name)
{
    static const char *const gauges[] = {"memtable_bytes",
                                         "memtables_waiting",
                                         "cache_bytes",
                                         "resident_bytes",
                                         "writers_waiting",
                                         "merges_running",
                                         "merges_pending",
                                         "snapshots",
                                         "blobs",
                                         "blob_bytes",
                                         "blob_live_bytes",
                                         "blob_garbage_bytes",
                                         "open_ns",
                                         "blob_punched_bytes",
                                         "named_snapshots",
                                         "cache_budget_bytes",
                                         "cache_excess_bytes",
                                         "index_bytes",
                                         "filter_bytes",
                                         "lookup_bytes",
                                         "inode_bytes",
                                         "unlinked_bytes",
                                         "warm_running",
                                         "warm_files",
                                         "check_needed"};
    for (size_t i = 0; i < sizeof gauges / sizeof gauges[0]; i++) {
        if (strcmp(name, gauges[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void print_counters(struct page *page, json_t *counters)
{
    const char *name;
    json_t *value;
    json_object_foreach(counters, name, value)
    {
        const char *end = is_gauge(name) ? "" : "_total";
        size_t size = strlen(name);
        bool is_time = size > 3 && strcmp(name + size - 3, "_ns") == 0;
        char full[128];
        snprintf(full, sizeof full, "%.*s%s%s", (int)(is_time ? size - 3 : size), name,
                 is_time ? "_seconds" : "", end);
        print_type(page, full, is_gauge(name) ? "gauge" : "counter");
        if (is_time) {
            fprintf(page->to, "kvfs_%s{store=\"%s\"} %.9f\n", full, page->store,
                    (double)json_integer_value(value) / ns_per_s);
        } else {
            print_integer(page, full, json_integer_value(value));
        }
    }
}

static void print_levels(struct page *page, json_t *levels)
{
    static const char *const fields[] = {"files", "bytes", "rows", "tombstones", "range_deletes"};
    for (size_t field = 0; field < sizeof fields / sizeof fields[0]; field++) {
        char name[64];
        size_t i;
        json_t *level;
        snprintf(name, sizeof name, "level_%s", fields[field]);
        print_type(page, name, "gauge");
        json_array_foreach(levels, i, level)
        {
            char number[24];
            snprintf(number, sizeof number, "%zu", i);
            print_labelled(page, name, "level", number,
                           (double)json_integer_value(json_object_get(level, fields[field])));
        }
    }
}

/* As a summary for each operation. Its count is that of what was measured. */
static void print_latencies(struct page *page, json_t *latencies)
{
    static const char *const quantiles[][2] = {{"p50_ns", "0.5"},
                                               {"p90_ns", "0.9"},
                                               {"p99_ns", "0.99"},
                                               {"p999_ns", "0.999"},
                                               {"max_ns", "1"}};
    const char *operation;
    json_t *values;
    print_type(page, "latency_seconds", "summary");
    json_object_foreach(latencies, operation, values)
    {
        double sum = (double)json_integer_value(json_object_get(values, "sum_ns")) / ns_per_s;
        for (size_t i = 0; i < sizeof quantiles / sizeof quantiles[0]; i++) {
            json_int_t ns = json_integer_value(json_object_get(values, quantiles[i][0]));
            fprintf(page->to,
                    "kvfs_latency_seconds{store=\"%s\",operation=\"%s\",quantile=\"%s\"} %.9f\n",
                    page->store, operation, quantiles[i][1], (double)ns / ns_per_s);
        }
        print_labelled(page, "latency_seconds_sum", "operation", operation, sum);
        print_labelled(page, "latency_seconds_count", "operation", operation,
                       (double)json_integer_value(json_object_get(values, "count")));
    }
}

/* What all jobs of a kind have to read, and have read. */
static void print_jobs(struct page *page, json_t *jobs)
{
    static const char *const fields[] = {"bytes", "bytes_done"};
    static const char *const kinds[] = {"flush", "merge"};
    for (size_t field = 0; field < 2; field++) {
        char name[64];
        snprintf(name, sizeof name, "job_%s", fields[field]);
        print_type(page, name, "gauge");
        for (size_t kind = 0; kind < 2; kind++) {
            json_int_t sum = 0;
            size_t i;
            json_t *job;
            json_array_foreach(jobs, i, job)
            {
                const char *is = json_string_value(json_object_get(job, "kind"));
                json_int_t bytes = json_integer_value(json_object_get(job, fields[field]));
                sum += is != NULL && strcmp(is, kinds[kind]) == 0 ? bytes : 0;
            }
            print_labelled(page, name, "kind", kinds[kind], (double)sum);
        }
    }
}

static void print_requests(struct page *page, json_t *requests)
{
    const char *kind;
    json_t *count;
    if (json_object_size(requests) == 0) {
        return;
    }
    print_type(page, "requests_total", "counter");
    json_object_foreach(requests, kind, count)
    {
        print_labelled(page, "requests_total", "kind", kind, (double)json_integer_value(count));
    }
}

static void print_health(struct page *page, json_t *health)
{
    static const char *const states[] = {"ok", "degraded", "read-only"};
    const char *is = json_string_value(health);
    if (is == NULL) {
        return;
    }
    print_type(page, "health", "gauge");
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++) {
        print_labelled(page, "health", "state", states[i], strcmp(is, states[i]) == 0);
    }
}

void prometheus_print(FILE *to, json_t *stats)
{
    const char *store = json_string_value(json_object_get(stats, "store"));
    json_t *amplification = json_object_get(stats, "write_amplification");
    const char *name;
    json_t *value;
    struct page page;

    page_begin(&page, to, store != NULL ? store : "");
    print_health(&page, json_object_get(stats, "health"));
    print_counters(&page, json_object_get(stats, "counters"));
    if (amplification != NULL) {
        print_type(&page, "write_amplification", "gauge");
        fprintf(to, "kvfs_write_amplification{store=\"%s\"} %.6g\n", page.store,
                json_number_value(amplification));
    }
    print_levels(&page, json_object_get(stats, "levels"));
    print_latencies(&page, json_object_get(stats, "latencies"));
    print_jobs(&page, json_object_get(stats, "jobs"));
    print_requests(&page, json_object_get(stats, "requests"));
    json_object_foreach(json_object_get(stats, "space"), name, value)
    {
        char full[64];
        snprintf(full, sizeof full, "space_%s", name);
        print_type(&page, full, "gauge");
        print_integer(&page, full, json_integer_value(value));
    }
}
