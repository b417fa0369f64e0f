/* histograms.c: how durations are distributed, over the queue's whole life and recently.
 *
 * Values below 16 have a bucket each; above, the leading bit chooses the octave and the next four
 * bits the bucket within it, as in HdrHistogram. A value is recorded once, in the current half.
 * Every ROLL_NS the current half becomes the previous one, and that is added to the older values.
 * "Recent" is the current and the previous half, that is, the last 30 to 60 seconds; "all" is
 * everything.
 */
#include "internal.h"

#include <string.h>

#define ROLL_NS 30000000000u

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

void record_duration(rolling_histogram *h, uint64_t ns) {
    assert(bucket_of(ns) < BB_BUCKETS);
    histogram *current = &h->current;
    current->count++;
    current->sum += ns;
    current->bucket[bucket_of(ns)]++;
    if (ns > current->max) current->max = ns;
}

static void add(uint64_t *count, uint64_t *max, uint64_t *sum, uint64_t *bucket,
                const histogram *h) {
    if (h->count == 0) return;
    *count += h->count;
    *sum += h->sum;
    if (h->max > *max) *max = h->max;
    for (int32_t b = 0; b < BB_BUCKETS; b++) bucket[b] += h->bucket[b];
}

static void roll(rolling_histogram *h) {
    histogram *older = &h->older;
    add(&older->count, &older->max, &older->sum, older->bucket, &h->previous);
    h->previous = h->current;
    memset(&h->current, 0, sizeof h->current);
}

/* Begin a new half if the current one is over; after a long pause both are. Called before a value
 * is recorded, which would otherwise go into a half that is over. */
void roll_histograms(bb_queue *q, uint64_t now) {
    ASSERT_LOCKED(q);
    uint64_t since = elapsed(q->rolled, now);
    if (since < ROLL_NS) return;
    for (int32_t times = since < 2 * (uint64_t)ROLL_NS ? 1 : 2; times > 0; times--) {
        roll(&q->queue_wait);
        roll(&q->processing);
    }
    q->rolled = now;
}

/* The middle of the lowest bucket that `share` of the values do not exceed. */
static uint64_t quantile(const bb_durations *d, double share) {
    if (d->count == 0) return 0;
    uint64_t rank = (uint64_t)(share * (double)d->count);
    if ((double)rank < share * (double)d->count) rank++;
    uint64_t below = 0;
    int32_t bucket = 0;
    while (bucket < BB_BUCKETS - 1 && (below += d->bucket[bucket]) < rank) bucket++;
    uint64_t middle = bucket_middle(bucket);
    return middle < d->max ? middle : d->max;
}

static void fill_quantiles(bb_durations *d) {
    d->p50 = quantile(d, 0.50);
    d->p95 = quantile(d, 0.95);
    d->p99 = quantile(d, 0.99);
}

void copy_durations(const rolling_histogram *h, bb_durations *all, bb_durations *recent) {
    memset(recent, 0, sizeof *recent);
    add(&recent->count, &recent->max, &recent->sum, recent->bucket, &h->current);
    add(&recent->count, &recent->max, &recent->sum, recent->bucket, &h->previous);
    *all = *recent;
    add(&all->count, &all->max, &all->sum, all->bucket, &h->older);
    fill_quantiles(recent);
    fill_quantiles(all);
}
