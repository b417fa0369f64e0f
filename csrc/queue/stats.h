/* stats.h: what a queue counts and measures. Like queue.h, it is read by the C compiler and by
 * cffi, and has no preprocessor lines; include api.h instead. */

enum {
    BB_HISTORY = 512, /* depth samples that are kept */
    BB_BUCKETS = 976  /* of a histogram: 16 per octave, for all of 64 bits */
};

/* Deliveries, counted. */
typedef struct {
    uint64_t published;
    uint64_t taken;
    uint64_t processed;
    uint64_t failed; /* part of processed */
    uint64_t dropped;
    uint64_t retried; /* failures that were queued again; not part of failed */
} bb_tally;

/* Durations of finished deliveries, summed up; ns. */
typedef struct {
    uint64_t deliveries;
    uint64_t wall;
    uint64_t cpu;        /* of the thread's own clock */
    double wall_squared; /* sums of squares, for the variance */
    double cpu_squared;
} bb_timer;

/* One for each subscription, zeroed by its owner before the first use and again after a fork;
 * it belongs to one queue, whose mutex guards it. */
typedef struct {
    bb_tally tally;
    bb_timer timer;
} bb_recipient;

/* Deliveries, as the statistics count them. At every moment
 * published = processed + dropped + queued + running. */
typedef struct {
    uint64_t published;
    uint64_t processed;
    uint64_t failed;
    uint64_t dropped;
    uint64_t queued;
    uint64_t running;
    uint64_t retried;
} bb_counts;

/* A histogram of durations in nanoseconds: values below 16 have a bucket each, above that each
 * octave has 16. Quantiles are at most 3.2 % off; max is exact. */
typedef struct {
    uint64_t p50;
    uint64_t p95;
    uint64_t p99;
    uint64_t max;
    uint64_t count;
    uint64_t sum;
    uint64_t bucket[976];
} bb_durations;

/* A snapshot of a queue. */
typedef struct {
    bb_counts total; /* queued and running are counted at the slots, not derived */
    bb_counts level[8];
    uint64_t dropped_by[4][8]; /* reason, level */
    uint64_t unrouted;         /* events that no subscription matched */
    double processing_average; /* ns; moving average, alpha 0.1, seeded by the first sample */
    bb_timer timer;            /* of all deliveries together */
    uint64_t age;              /* ns since the queue was made */
    uint64_t oldest;           /* ns that the oldest queued delivery has waited; 0 if not timed */
    uint64_t busy; /* ns that workers spent in deliveries, those that have left included */
    int32_t state;
    int32_t workers;      /* in their loops now */
    int32_t busy_workers; /* that run a delivery now */
    int32_t wanted;       /* as set by bb_resize */
    int32_t types;        /* seen so far */
    int32_t waiting;      /* publishers that wait */
    int32_t reserve_used;
    int32_t history_length;
    int32_t history[512]; /* queued deliveries, oldest sample first, at least 10 ms apart */
} bb_stats;

/* Histograms of the whole life of a queue, and of its last 30 to 60 seconds. */
typedef struct {
    bb_durations queue_wait; /* accepted to taken */
    bb_durations processing; /* taken to finished */
    bb_durations recent_queue_wait;
    bb_durations recent_processing;
} bb_histograms;

/* For how long a worker has existed, and for how long of that it ran deliveries; ns. */
typedef struct {
    uint64_t busy;
    uint64_t age;
} bb_worker_time;

/* Deliveries that arrived, counted in windows of one length, for the variance over the mean. */
typedef struct {
    uint64_t windows;
    double counted;
    double counted_squared;
} bb_windows;

/* How deliveries arrived in the queue, from the first to the last, in ns since the queue was made;
 * and the CPU time that the process used from the first until `cpu_read`. */
typedef struct {
    uint64_t deliveries;
    uint64_t first;
    uint64_t last;
    uint64_t process_cpu;
    uint64_t cpu_read;
    bb_windows windows[3]; /* of 10 ms, 100 ms and 1 s */
} bb_arrivals;
