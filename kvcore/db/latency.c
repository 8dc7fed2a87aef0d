/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/latency.h"

#include <stdlib.h>

#include "kvcore/util/histogram.h"

/* The first kinds are recorded at the place of the reader, the others in the store. */
enum { KINDS_OF_PLACE = KV_LATENCY_WRITE, KINDS_OF_STORE = KV_LATENCY_COUNT - KINDS_OF_PLACE };

struct latency_place {
    struct mutex mu;
    /* Made when first needed. Without memory for it there are no figures: no reason for a read to
     * fail. */
    struct histogram *kinds[KINDS_OF_PLACE] GUARDED_BY(&mu);
};

struct latencies {
    struct latency_place places[READER_PLACES];
    struct mutex mu;
    struct histogram kinds[KINDS_OF_STORE] GUARDED_BY(&mu);
};

int latency_create(struct kv_store *store)
{
    store->latencies = calloc(1, sizeof *store->latencies);
    if (store->latencies == NULL) {
        return -ENOMEM;
    }
    mutex_init(&store->latencies->mu, LOCK_RANK_LEAF, "latencies");
    for (size_t i = 0; i < READER_PLACES; i++) {
        mutex_init(&store->latencies->places[i].mu, LOCK_RANK_LEAF, "latencies of readers");
    }
    return 0;
}

void latency_destroy(struct kv_store *store) NO_LOCK_ANALYSIS
{
    struct latencies *latencies = store->latencies;

    if (latencies == NULL) {
        return;
    }
    for (size_t i = 0; i < READER_PLACES; i++) {
        for (size_t kind = 0; kind < KINDS_OF_PLACE; kind++) {
            free(latencies->places[i].kinds[kind]);
        }
        mutex_finish(&latencies->places[i].mu);
    }
    mutex_finish(&latencies->mu);
    free(latencies);
}

static void record_at_place(struct latency_place *place, enum kv_latency kind, uint64_t ns)
{
    struct histogram **histogram = &place->kinds[kind];

    if (!mutex_trylock(&place->mu)) {
        return;
    }
    if (*histogram == NULL) {
        *histogram = calloc(1, sizeof **histogram);
    }
    if (*histogram != NULL) {
        histogram_record(*histogram, ns);
    }
    mutex_unlock(&place->mu);
}

void latency_record(struct kv_store *store, const struct reader_place *place, enum kv_latency kind,
                    uint64_t ns)
{
    struct latencies *latencies = store->latencies;

    if ((int)kind < (int)KINDS_OF_PLACE) {
        record_at_place(&latencies->places[place - store->readers], kind, ns);
        return;
    }
    mutex_lock(&latencies->mu);
    histogram_record(&latencies->kinds[(int)kind - (int)KINDS_OF_PLACE], ns);
    mutex_unlock(&latencies->mu);
}

static void summarize(const struct histogram *histogram, struct kv_latency_stats *to)
{
    *to = (struct kv_latency_stats){
        .count = histogram->count,
        .sum_ns = histogram->sum,
        .max_ns = histogram->max,
        .p50_ns = histogram_percentile(histogram, 0.5),
        .p90_ns = histogram_percentile(histogram, 0.9),
        .p99_ns = histogram_percentile(histogram, 0.99),
        .p999_ns = histogram_percentile(histogram, 0.999),
    };
}

static void add_places(struct latencies *latencies, size_t kind, struct histogram *sum)
{
    for (size_t i = 0; i < READER_PLACES; i++) {
        struct latency_place *place = &latencies->places[i];
        mutex_lock(&place->mu);
        if (place->kinds[kind] != NULL) {
            histogram_merge(sum, place->kinds[kind]);
        }
        mutex_unlock(&place->mu);
    }
}

void kv_latencies(struct kv_store *store, struct kv_latency_stats ret_stats[KV_LATENCY_COUNT])
{
    struct latencies *latencies = store->latencies;

    for (size_t kind = 0; kind < KV_LATENCY_COUNT; kind++) {
        struct histogram sum = {0};
        if (kind < KINDS_OF_PLACE) {
            add_places(latencies, kind, &sum);
        } else {
            mutex_lock(&latencies->mu);
            histogram_merge(&sum, &latencies->kinds[kind - KINDS_OF_PLACE]);
            mutex_unlock(&latencies->mu);
        }
        summarize(&sum, &ret_stats[kind]);
    }
}
