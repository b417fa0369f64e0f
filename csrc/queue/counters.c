/* counters.c: what is counted, and the snapshot. */
#include "internal.h"

#include <string.h>

#define SAMPLE_NS 10000000u

void count_published(bb_queue *q, int32_t level, int32_t type, int32_t n) {
    ASSERT_LOCKED(q);
    assert(level >= 0 && level < q->levels && type >= 0 && type < BB_MAX_TYPES);
    q->by_level[level].published += (uint64_t)n;
    q->by_type[type].published += (uint64_t)n;
    if (type >= q->types) q->types = type + 1;
}

void count_dropped(bb_queue *q, int32_t level, int32_t type, bb_recipient *r, bb_reason reason) {
    ASSERT_LOCKED(q);
    q->by_level[level].dropped++;
    q->by_type[type].dropped++;
    r->tally.dropped++;
    q->dropped_by[reason][level]++;
}

void count_processed(bb_queue *q, int32_t level, int32_t type, bb_recipient *r, bool failed) {
    ASSERT_LOCKED(q);
    assert(q->running > 0);
    q->running--;
    q->by_level[level].processed++;
    q->by_type[type].processed++;
    r->tally.processed++;
    q->by_level[level].failed += failed;
    q->by_type[type].failed += failed;
    r->tally.failed += failed;
}

/* What was running has not been handled, and is to be dropped. */
void count_untaken(bb_queue *q, int32_t level, int32_t type, bb_recipient *r) {
    ASSERT_LOCKED(q);
    assert(q->running > 0);
    q->running--;
    q->by_level[level].taken--;
    q->by_type[type].taken--;
    r->tally.taken--;
}

/* What was running is queued again. */
void count_retried(bb_queue *q, int32_t level, int32_t type, bb_recipient *r) {
    ASSERT_LOCKED(q);
    assert(q->running > 0);
    q->running--;
    q->queued++;
    bb_tally *tallies[] = {&q->by_level[level], &q->by_type[type], &r->tally};
    for (int32_t i = 0; i < 3; i++) {
        tallies[i]->taken--;
        tallies[i]->retried++;
    }
}

void sample_depth(bb_queue *q, uint64_t now) {
    ASSERT_LOCKED(q);
    if (elapsed(q->last_sample, now) < SAMPLE_NS) return;
    q->last_sample = now;
    q->history[q->samples++ % BB_HISTORY] = q->queued;
}

/* ---- the snapshot ------------------------------------------------------------------------ */

static bb_counts counts(const bb_tally *t) {
    return (bb_counts){
        .published = t->published,
        .processed = t->processed,
        .failed = t->failed,
        .dropped = t->dropped,
        .queued = t->published - t->dropped - t->taken,
        .running = t->taken - t->processed,
        .retried = t->retried,
    };
}

/* Queued and running of the total are not derived from the tallies but counted at the slots and the
 * open deliveries: that all counts agree is then a check, not a definition. */
static void fill_totals(const bb_queue *q, bb_stats *out) {
    for (int32_t l = 0; l < BB_LEVELS; l++) {
        out->level[l] = counts(&q->by_level[l]);
        out->total.published += out->level[l].published;
        out->total.processed += out->level[l].processed;
        out->total.failed += out->level[l].failed;
        out->total.dropped += out->level[l].dropped;
        out->total.retried += out->level[l].retried;
    }
    out->total.queued = (uint64_t)q->queued;
    for (int32_t w = 0; w < q->present; w++) {
        const open_delivery *open = &q->workers[w]->open;
        if (open->open) out->total.running += 1 + (uint64_t)open->more_count;
    }
    for (const bb_worker *d = q->detached; d != NULL; d = d->next)
        out->total.running += d->open.open;
    for (const bb_caller *c = q->callers; c != NULL; c = c->next)
        out->total.running += (uint64_t)c->remaining;
    assert(out->total.running == (uint64_t)q->running);
}

static void fill_history(const bb_queue *q, bb_stats *out) {
    uint64_t kept = q->samples < BB_HISTORY ? q->samples : BB_HISTORY;
    uint64_t first = q->samples - kept;
    for (uint64_t i = 0; i < kept; i++) out->history[i] = q->history[(first + i) % BB_HISTORY];
    out->history_length = (int32_t)kept;
}

/* Within a level no delivery has waited longer than the head. */
static uint64_t oldest_wait(const bb_queue *q, uint64_t now) {
    uint64_t oldest = 0;
    for (int32_t l = 0; q->timed && l < q->levels; l++) {
        uint64_t waited = 0, parked = 0;
        if (q->nonempty >> l & 1) waited = elapsed(q->slots[q->level[l].head].accepted, now);
        if (q->oldest_parked[l] != NULL) parked = elapsed(q->oldest_parked[l]->accepted, now);
        if (waited > oldest) oldest = waited;
        if (parked > oldest) oldest = parked;
    }
    return oldest;
}

/* Time in deliveries, including the open one. */
static bb_worker_time worker_time(const bb_worker *worker, uint64_t now) {
    bool timed = worker->open.open && worker->q->monitoring;
    return (bb_worker_time){
        .busy = worker->busy + (timed ? elapsed(worker->open.began, now) : 0),
        .age = elapsed(worker->since, now),
    };
}

static void fill_workers(const bb_queue *q, bb_stats *out, uint64_t now) {
    out->workers = q->present;
    out->wanted = q->wanted;
    out->busy = q->busy_of_left;
    for (int32_t w = 0; w < q->present; w++) {
        out->busy_workers += q->workers[w]->open.open;
        out->busy += worker_time(q->workers[w], now).busy;
    }
}

static void fill_state(const bb_queue *q, bb_stats *out, uint64_t now) {
    memcpy(out->dropped_by, q->dropped_by, sizeof out->dropped_by);
    out->unrouted = q->unrouted;
    out->processing_average = q->processing_average;
    out->timer = q->timer;
    out->age = now - q->created;
    out->oldest = oldest_wait(q, now);
    out->state = (int32_t)q->state;
    out->types = q->types;
    out->waiting = q->waiting;
    out->reserve_used = q->queued > q->capacity ? q->queued - q->capacity : 0;
}

int32_t bb_snapshot(bb_queue *q, bb_stats *out, bb_counts *types, int32_t n_types,
                    bb_recipient *const *which, bb_counts *recipients, int32_t n_recipients,
                    bb_worker_time *workers, int32_t n_workers, bb_histograms *histograms) {
    *out = (bb_stats){0};
    if (is_gone(q)) return BB_GONE;
    void *token = queue_lock(q);
    uint64_t now = clock_of(q);
    fill_totals(q, out);
    fill_history(q, out);
    fill_state(q, out, now);
    fill_workers(q, out, now);
    for (int32_t t = 0; t < n_types && t < q->types; t++) types[t] = counts(&q->by_type[t]);
    for (int32_t r = 0; r < n_recipients; r++) recipients[r] = counts(&which[r]->tally);
    for (int32_t w = 0; w < q->present && w < n_workers; w++)
        workers[w] = worker_time(q->workers[w], now);
    if (histograms != NULL) {
        if (q->monitoring) roll_histograms(q, now);
        copy_durations(&q->queue_wait, &histograms->queue_wait, &histograms->recent_queue_wait);
        copy_durations(&q->processing, &histograms->processing, &histograms->recent_processing);
    }
    queue_unlock(q, token);
    return 0;
}

/* ---- single figures ---------------------------------------------------------------------- */

int32_t bb_depth(bb_queue *q) {
    if (is_gone(q)) return 0;
    void *token = queue_lock(q);
    int32_t depth = q->queued;
    queue_unlock(q, token);
    return depth;
}

uint64_t bb_published(bb_queue *q) {
    if (is_gone(q)) return 0;
    uint64_t published = 0;
    void *token = queue_lock(q);
    for (int32_t l = 0; l < q->levels; l++) published += q->by_level[l].published;
    queue_unlock(q, token);
    return published;
}

uint64_t bb_ended(bb_queue *q) {
    if (is_gone(q)) return 0;
    uint64_t ended = 0;
    void *token = queue_lock(q);
    for (int32_t l = 0; l < q->levels; l++)
        ended += q->by_level[l].processed + q->by_level[l].dropped;
    queue_unlock(q, token);
    return ended;
}
