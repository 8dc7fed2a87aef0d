/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "kvcore/util/clock.h"

static const uint64_t interval_ns = (uint64_t)200 * 1000 * 1000;

void progress_begin(struct progress *progress, const char *what)
{
    uint64_t now = clock_monotonic_ns();
    *progress = (struct progress){.shown = isatty(STDERR_FILENO) != 0,
                                  .what = what,
                                  .began_ns = now,
                                  .told_ns = now - interval_ns};
}

static void show_share(double done, double all, double passed_s)
{
    double share = all > 0 && done < all ? done / all : 1;
    char cells[] = "                    ";
    for (size_t i = 0; i < (size_t)(share * (double)(sizeof cells - 1)); i++) {
        cells[i] = '#';
    }
    fprintf(stderr, "[%s] %3.0f %% of %.0f MiB", cells, share * 100, all / (1 << 20));
    if (share > 0.01) {
        fprintf(stderr, ", about %.0f s left", passed_s / share * (1 - share));
    }
}

void progress_show(struct progress *progress, uint64_t count, uint64_t done, uint64_t all)
{
    uint64_t now = progress->shown ? clock_monotonic_ns() : 0;
    double passed_s = (double)(now - progress->began_ns) / 1e9;
    if (!progress->shown || (now - progress->told_ns < interval_ns && done != all)) {
        return;
    }
    progress->told_ns = now;
    fputs("\r\033[K", stderr);
    if (all > 0) {
        show_share((double)done, (double)all, passed_s);
    } else {
        fprintf(stderr, "%.0f MiB in %.0f s", (double)done / (1 << 20), passed_s);
    }
    if (progress->what != NULL) {
        fprintf(stderr, ", %" PRIu64 " %s", count, progress->what);
    }
    fflush(stderr);
}

void progress_clear(struct progress *progress)
{
    if (progress->shown) {
        fputs("\r\033[K", stderr);
    }
}
