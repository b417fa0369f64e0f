/* check.h: the checks of a test. A check that fails prints its file and line, marks the running
 * test as failed and lets it go on, so that one run shows all failures. */
#ifndef CHECK_H
#define CHECK_H

#include <stdbool.h>
#include <stdint.h>

#define CHECK(condition) check_that((condition), #condition, __FILE__, __LINE__)
#define CHECK_INT(expected, actual) \
    check_int((int64_t)(expected), (int64_t)(actual), #actual, __FILE__, __LINE__)
#define RUN(test) run_test(#test, test)

void check_that(bool holds, const char *condition, const char *file, int line);
void check_int(int64_t expected, int64_t actual, const char *what, const char *file, int line);
void run_test(const char *name, void (*test)(void));

/* Print the summary; returns the exit status of the program. */
int check_report(void);

#endif
