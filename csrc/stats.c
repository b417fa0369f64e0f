/* stats.c: counters, histograms and the snapshot. The mutex is held throughout, except where a
 * snapshot works on its own copy. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define ALPHA 0.1 /* of the moving average, from the study */
#define SAMPLE_NS 10000000u

void count_published(ring *ring, const route *route, int32_t n) {
    ring->by_level[route->level].published += (uint64_t)n;
    ring->by_kind[route->kind].published += (uint64_t)n;
}

void count_dropped(ring *ring, const route *route, int32_t reason, int32_t n) {
    ring->by_level[route->level].dropped += (uint64_t)n;
    ring->by_kind[route->kind].dropped += (uint64_t)n;
    ring->dropped_by[reason][route->level] += (uint64_t)n;
}

void count_taken(ring *ring, const route *route) {
    ring->running++;
    ring->by_level[route->level].taken++;
    ring->by_kind[route->kind].taken++;
}

void count_processed(ring *ring, const route *route, bool failed) {
    ring->running--;
    ring->by_level[route->level].processed++;
    ring->by_kind[route->kind].processed++;
    ring->by_level[route->level].failed += failed;
    ring->by_kind[route->kind].failed += failed;
}

/* Values below 16 have a bucket each; above, the leading bit chooses the octave and the next four
 * bits the bucket within it, as in HdrHistogram. */
static int32_t bucket_of(uint64_t value) {
    if (value < 16) return (int32_t)value;
    int32_t octave = bb_highest_bit(value);
    return (octave - 3) * 16 + (int32_t)(value >> (octave - 4) & 15);
}

static uint64_t bucket_middle(int32_t bucket) {
    if (bucket < 16) return (uint64_t)bucket;
    int32_t shift = bucket / 16 - 1;
    uint64_t low = (uint64_t)(16 + bucket % 16) << shift;
    return low + ((uint64_t)1 << shift) / 2;
}

static void record(histogram *histogram, uint64_t value) {
    histogram->count++;
    histogram->bucket[bucket_of(value)]++;
    if (value > histogram->max) histogram->max = value;
}

void record_wait(ring *ring, uint64_t ns) { record(&ring->queue_wait, ns); }

void record_processing(ring *ring, uint64_t ns) {
    double sample = (double)ns;
    if (ring->processing.count == 0) ring->processing_average = sample;
    ring->processing_average += ALPHA * (sample - ring->processing_average);
    record(&ring->processing, ns);
}

void sample_depth(ring *ring, uint64_t now) {
    if (elapsed(ring->last_sample, now) < SAMPLE_NS) return;
    ring->last_sample = now;
    ring->history[ring->samples++ % BB_HISTORY] = ring->queued;
}

/* ---- the snapshot ------------------------------------------------------------------------ */

/* The smallest bucket that `share` of the values do not exceed. */
static uint64_t quantile(const histogram *histogram, double share) {
    if (histogram->count == 0) return 0;
    uint64_t rank = (uint64_t)(share * (double)histogram->count);
    if ((double)rank < share * (double)histogram->count) rank++;
    uint64_t seen = 0;
    int32_t bucket = 0;
    while (bucket < BUCKETS - 1 && (seen += histogram->bucket[bucket]) < rank) bucket++;
    uint64_t middle = bucket_middle(bucket);
    return middle < histogram->max ? middle : histogram->max;
}

static bb_quantiles quantiles(const histogram *histogram) {
    return (bb_quantiles){
        .p50 = quantile(histogram, 0.50),
        .p95 = quantile(histogram, 0.95),
        .p99 = quantile(histogram, 0.99),
        .max = histogram->max,
    };
}

static bb_counts counts(const tally *t) {
    return (bb_counts){
        .published = t->published,
        .processed = t->processed,
        .failed = t->failed,
        .dropped = t->dropped,
        .queued = t->published - t->dropped - t->taken,
        .running = t->taken - t->processed,
    };
}

/* Queued and running of the total are not summed up from the tallies but counted at the slots
 * and the open deliveries: that the books balance is then a fact, not a definition. */
static void fill_totals(const ring *ring, bb_stats *out) {
    for (int32_t l = 0; l < BB_LEVELS; l++) {
        out->level[l] = counts(&ring->by_level[l]);
        out->total.published += out->level[l].published;
        out->total.processed += out->level[l].processed;
        out->total.failed += out->level[l].failed;
        out->total.dropped += out->level[l].dropped;
    }
    out->total.queued = (uint64_t)ring->queued;
    for (int32_t w = 0; w < ring->worker_count; w++)
        out->total.running += (uint64_t)ring->workers[w]->depth;
    for (const waiter *w = ring->callers.head; w != NULL; w = w->next)
        out->total.running += (uint64_t)w->remaining;
}

static void fill_history(const ring *ring, bb_stats *out) {
    uint64_t kept = ring->samples < BB_HISTORY ? ring->samples : BB_HISTORY;
    uint64_t first = ring->samples - kept;
    for (uint64_t i = 0; i < kept; i++) out->history[i] = ring->history[(first + i) % BB_HISTORY];
    out->history_length = (int32_t)kept;
}

/* Time in deliveries, the one that is open included. */
static bb_worker_time time_of(const worker *worker, uint64_t now) {
    bool open = worker->depth > 0 && worker->open[0].began > 0;
    return (bb_worker_time){
        .busy = worker->busy + (open ? elapsed(worker->open[0].began, now) : 0),
        .age = elapsed(worker->added, now),
    };
}

static void fill_workers(const ring *ring, bb_worker_time *out, int32_t n, uint64_t now) {
    for (int32_t w = 0, i = 0; w < ring->worker_count && i < n; w++)
        if (!ring->workers[w]->left) out[i++] = time_of(ring->workers[w], now);
}

int32_t bb_snapshot(int64_t handle, bb_stats *out, bb_counts *kinds, int32_t n_kinds,
                    bb_worker_time *workers, int32_t n_workers) {
    ring *ring = ring_of(handle);
    *out = (bb_stats){0};
    if (ring == NULL) return BB_GONE;
    histogram queue_wait, processing;
    void *token = ring_lock(ring);
    uint64_t now = bb_clock();
    fill_totals(ring, out);
    fill_history(ring, out);
    memcpy(out->dropped_by, ring->dropped_by, sizeof out->dropped_by);
    out->unrouted = ring->unrouted;
    out->processing_average = ring->processing_average;
    out->age = now - ring->made;
    out->state = ring->state;
    out->workers = ring->present;
    out->kinds = ring->kinds;
    for (int32_t k = 0; k < n_kinds && k < ring->kinds; k++) kinds[k] = counts(&ring->by_kind[k]);
    fill_workers(ring, workers, n_workers, now);
    queue_wait = ring->queue_wait;
    processing = ring->processing;
    ring_unlock(ring, token);
    out->queue_wait = quantiles(&queue_wait);
    out->processing = quantiles(&processing);
    return 0;
}

int32_t bb_depth(int64_t handle) {
    ring *ring = ring_of(handle);
    if (ring == NULL) return 0;
    void *token = ring_lock(ring);
    int32_t depth = ring->queued;
    ring_unlock(ring, token);
    return depth;
}

void bb_unrouted(int64_t handle, int32_t n) {
    ring *ring = ring_of(handle);
    if (ring == NULL) return;
    void *token = ring_lock(ring);
    ring->unrouted += (uint64_t)n;
    ring_unlock(ring, token);
}
