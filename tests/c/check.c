/* check.c: counts of passed tests, and a watchdog, since a bug in a queue shows as a hang. */
#include "check.h"

#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECONDS_PER_TEST 120 /* generous: valgrind on a busy machine */

static atomic_int failed_checks; /* of the running test; threads of a test check too */
static int passed, failed;
static const char *running = "";

void check_that(bool holds, const char *condition, const char *file, int line) {
    if (holds) return;
    failed_checks++;
    printf("%s:%d: %s: check failed: %s\n", file, line, running, condition);
}

void check_int(int64_t expected, int64_t actual, const char *what, const char *file, int line) {
    if (expected == actual) return;
    failed_checks++;
    printf("%s:%d: %s: %s is %" PRId64 ", expected %" PRId64 "\n", file, line, running, what,
           actual, expected);
}

/* Calls only functions that are allowed in a signal handler. */
static void hung(int signal_number) {
    (void)signal_number;
    const char *parts[] = {"hung in ", running, "\n"};
    for (int i = 0; i < 3; i++)
        if (write(STDERR_FILENO, parts[i], strlen(parts[i])) < 0) break;
    abort();
}

void run_test(const char *name, void (*test)(void)) {
    setvbuf(stdout, NULL, _IOLBF, 0); /* keep the output of a test that hangs */
    running = name;
    failed_checks = 0;
    signal(SIGALRM, hung);
    alarm(SECONDS_PER_TEST);
    test();
    alarm(0);
    if (failed_checks == 0) passed++;
    else failed++;
}

int check_report(void) {
    printf("%d passed, %d failed\n", passed, failed);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
