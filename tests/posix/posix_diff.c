/* SPDX-License-Identifier: Apache-2.0 */
/* Random operations on two file systems, compared: see diff.h.
 *
 *   posix_diff [OPTION...] FIRST SECOND       two directories, on one file system each; as root
 *     --seed N            what the steps are; drawn and told if it is not given
 *     --steps LIST        which are made: 20000, or 300-700,812,990
 *     --remount COMMAND   what mounts the first file system anew; --crash COMMAND kills it before
 *     --known FILE, --target NAME     differences that are known (tests/posix/diff_known)
 *     --shrink            look for fewer steps that end in a difference of the same call
 *     --all               print every step
 *
 * Steps come in rounds of 5000, each in fresh directories; a list that begins inside of a round
 * begins with empty ones. In a round, every 500th step compares the trees, and three compare them
 * around a remount. Ends with status 1 at the first difference, and says how to replay it. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/posix/diff.h"

enum { TREE_EVERY = 500, REMOUNT_1 = 1700, CRASH = 3300, REMOUNT_2 = 4999 };

struct list {
    uint64_t *steps;
    size_t count;
};

struct run {
    uint64_t seed;
    const char *tops[2], *remount, *crash;
    struct known *known;
    bool all;
    /* Of the round that is under way. */
    unsigned attempt;
    char directories[2][DIFF_PATH_MAX];
    struct side_actor actors[2][ACTORS];
    /* Of the last step. */
    struct text texts[2];
    const char *call;
};

static void actors_start(struct run *run)
{
    for (int side = 0; side < 2; side++) {
        for (int i = 0; i < ACTORS; i++) {
            run->actors[side][i] = actor_start(run->directories[side], run->seed, run->known);
        }
    }
}

static void actors_end(struct run *run)
{
    for (int side = 0; side < 2; side++) {
        for (int i = 0; i < ACTORS; i++) {
            actor_end(&run->actors[side][i]);
        }
    }
}

static void round_begin(struct run *run)
{
    run->attempt++;
    for (int side = 0; side < 2; side++) {
        snprintf(run->directories[side], DIFF_PATH_MAX, "%s/%d.%u", run->tops[side], getpid(),
                 run->attempt);
        if (mkdir(run->directories[side], 0777) != 0 || chmod(run->directories[side], 0777) != 0) {
            diff_die(run->directories[side]);
        }
    }
    actors_start(run);
}

static void round_end(struct run *run)
{
    actors_end(run);
    for (int side = 0; side < 2; side++) {
        tree_remove(run->directories[side]);
    }
}

static bool differ(struct run *run)
{
    return strcmp(run->texts[0].bytes, run->texts[1].bytes) != 0 &&
           !known_explains(run->known, run->call, run->texts[0].bytes, run->texts[1].bytes);
}

static bool trees_differ(struct run *run, const char *call)
{
    run->call = call;
    for (int side = 0; side < 2; side++) {
        text_clear(&run->texts[side]);
        tree_describe(run->directories[side], &run->texts[side]);
    }
    return differ(run);
}

/* Nobody may hold on to the mount then. */
static bool remount(struct run *run, const char *command)
{
    if (trees_differ(run, "tree")) {
        return true;
    }
    actors_end(run);
    if (command != NULL && system(command) != 0) {
        diff_die(command);
    }
    bool differs = trees_differ(run, "tree_mounted_again");
    actors_start(run);
    return differs;
}

static bool step_differs(struct run *run, uint64_t step)
{
    static struct diff_op op;
    known_forbids(run->known, diff_forbids(step));
    switch (step % ROUND) {
    case REMOUNT_1:
    case REMOUNT_2:
        return remount(run, run->remount);
    case CRASH:
        return remount(run, run->crash);
    default:
        break;
    }
    if (step % TREE_EVERY == TREE_EVERY - 1) {
        return trees_differ(run, "tree");
    }
    diff_op_make(run->seed, step, run->known, &op);
    run->call = op.call->name;
    for (int side = 0; side < 2; side++) {
        actor_send(&run->actors[side][op.actor], step);
    }
    for (int side = 0; side < 2; side++) {
        actor_receive(&run->actors[side][op.actor], &run->texts[side]);
    }
    if (run->all) {
        printf("%" PRIu64 " %s\n", step, run->texts[0].bytes);
    }
    return differ(run);
}

/* How many steps were made without a difference: all, if there is none. */
static size_t run_list(struct run *run, const struct list *list)
{
    size_t done = 0;
    bool differs = false;
    while (done < list->count && !differs) {
        uint64_t round = list->steps[done] / ROUND;
        round_begin(run);
        while (done < list->count && list->steps[done] / ROUND == round && !differs) {
            differs = step_differs(run, list->steps[done]);
            done += differs ? 0 : 1;
        }
        round_end(run);
    }
    return done;
}

/* Each line that differs, of both. */
static void print_difference(const struct run *run)
{
    char *rests[2] = {run->texts[0].bytes, run->texts[1].bytes};
    bool tree = strncmp(run->call, "tree", 4) == 0;
    while (rests[0] != NULL && rests[1] != NULL) {
        const char *first = strsep(&rests[0], "\n");
        const char *second = strsep(&rests[1], "\n");
        bool same = strcmp(first, second) == 0;
        if (!tree || !same) {
            printf("  %s%s\n", same ? "  " : "1:", first);
        }
        if (!same) {
            printf("  2:%s\n", second);
        }
        if (tree && !same) {
            return;
        }
    }
}

static void print_list(const struct list *list)
{
    for (size_t i = 0, next; i < list->count; i = next) {
        next = i + 1;
        while (next < list->count && list->steps[next] == list->steps[i] + (next - i)) {
            next++;
        }
        printf("%s%" PRIu64, i == 0 ? "" : ",", list->steps[i]);
        if (next > i + 1) {
            printf("-%" PRIu64, list->steps[next - 1]);
        }
    }
    printf("\n");
}

/* One round only: what came before it does not matter. */
static void cut(struct list *list, size_t done)
{
    uint64_t round = list->steps[done] / ROUND;
    size_t first = done;
    while (first > 0 && list->steps[first - 1] / ROUND == round) {
        first--;
    }
    list->count = done + 1 - first;
    memmove(list->steps, list->steps + first, list->count * sizeof list->steps[0]);
}

/* Without `size` steps from `at`: whether the same call differs then; it is the last of the list
 * afterwards. */
static bool try_without(struct run *run, struct list *list, size_t at, size_t size)
{
    const char *call = run->call;
    struct list less = {.steps = malloc(list->count * sizeof list->steps[0])};
    if (less.steps == NULL) {
        diff_die("no memory");
    }
    for (size_t i = 0; i < list->count; i++) {
        if (i < at || i >= at + size) {
            less.steps[less.count++] = list->steps[i];
        }
    }
    size_t done = run_list(run, &less);
    bool smaller = done < less.count && strcmp(run->call, call) == 0;
    if (smaller) {
        list->count = done + 1;
        memcpy(list->steps, less.steps, list->count * sizeof list->steps[0]);
    }
    run->call = call;
    free(less.steps);
    return smaller;
}

static void shrink(struct run *run, struct list *list)
{
    for (size_t size = list->count / 2; size > 0; size /= 2) {
        for (size_t at = 0; at + size < list->count;) {
            at += try_without(run, list, at, size) ? 0 : size;
        }
    }
    run->all = true;
    printf("shrunk to %zu steps:\n", list->count);
    run_list(run, list);
}

/* Whether each change of a file moves its ctime, although it is asked for in between: so since
 * Linux 6.13 on ext4. */
static bool has_fine_times(const char *top)
{
    char path[DIFF_PATH_MAX];
    struct stat before;
    struct stat after;
    bool fine = true;
    snprintf(path, sizeof path, "%s/probe", top);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    for (mode_t i = 0; i < 20 && fine; i++) {
        fine = fstat(fd, &before) == 0 && fchmod(fd, 0600 + i % 2) == 0 && fstat(fd, &after) == 0 &&
               memcmp(&before.st_ctim, &after.st_ctim, sizeof after.st_ctim) != 0;
    }
    close(fd);
    unlink(path);
    return fine;
}

static bool has_tmpfile(const char *top)
{
    int fd = open(top, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

static void probe(struct run *run)
{
    for (int side = 0; side < 2; side++) {
        if (!has_fine_times(run->tops[side])) {
            known_avoid(run->known, "moved", "times are counted in ticks here");
        }
        if (!has_tmpfile(run->tops[side])) {
            known_avoid(run->known, "tmpfile", "needs Linux 6.2 and a libfuse that lets it pass");
        }
    }
}

static struct list list_read(const char *words)
{
    struct list list = {0};
    char *end = NULL;
    bool single = strchr(words, '-') == NULL && strchr(words, ',') == NULL;
    for (const char *at = words; *at != '\0'; at = *end == ',' ? end + 1 : end) {
        uint64_t first = single ? 0 : strtoull(at, &end, 10);
        uint64_t last = single ? strtoull(at, &end, 10) - 1 : first;
        last = !single && *end == '-' ? strtoull(end + 1, &end, 10) : last;
        if (end == at || (*end != ',' && *end != '\0') || last < first) {
            errno = EINVAL;
            diff_die(words);
        }
        list.steps = realloc(list.steps, (list.count + last - first + 1) * sizeof list.steps[0]);
        if (list.steps == NULL) {
            diff_die("no memory");
        }
        while (first <= last) {
            list.steps[list.count++] = first++;
        }
    }
    return list;
}

static int report(struct run *run, struct list *list, size_t done, bool shrinks)
{
    if (done == list->count) {
        printf("%zu steps, seed %" PRIu64 ": the same\n", list->count, run->seed);
        known_print(run->known);
        return 0;
    }
    cut(list, done);
    printf("step %" PRIu64 " (%s), seed %" PRIu64 " differs:\n", list->steps[list->count - 1],
           run->call, run->seed);
    print_difference(run);
    if (shrinks) {
        shrink(run, list);
        print_difference(run);
    }
    printf("replay with: --seed %" PRIu64 " --steps ", run->seed);
    print_list(list);
    return 1;
}

static int usage(void)
{
    fprintf(stderr, "usage: posix_diff [--seed N] [--steps LIST] [--remount COMMAND] [--crash "
                    "COMMAND]\n                  [--known FILE --target NAME] [--shrink] [--all] "
                    "FIRST SECOND\n");
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"seed", required_argument, NULL, 's'},
                                            {"steps", required_argument, NULL, 'n'},
                                            {"remount", required_argument, NULL, 'r'},
                                            {"crash", required_argument, NULL, 'c'},
                                            {"known", required_argument, NULL, 'k'},
                                            {"target", required_argument, NULL, 't'},
                                            {"shrink", no_argument, NULL, 'm'},
                                            {"all", no_argument, NULL, 'a'},
                                            {0}};
    static struct run run;
    const char *steps = "20000";
    const char *known = NULL;
    const char *target = "";
    bool shrinks = false;
    int option;
    run.seed = rng_entropy() % 1000000000;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 's':
            run.seed = strtoull(optarg, NULL, 10);
            break;
        case 'n':
            steps = optarg;
            break;
        case 'r':
            run.remount = optarg;
            break;
        case 'c':
            run.crash = optarg;
            break;
        case 'k':
            known = optarg;
            break;
        case 't':
            target = optarg;
            break;
        case 'm':
            shrinks = true;
            break;
        case 'a':
            run.all = true;
            break;
        default:
            return usage();
        }
    }
    if (optind + 2 != argc) {
        return usage();
    }
    run.known = known_read(known, target);
    run.tops[0] = argv[optind];
    run.tops[1] = argv[optind + 1];
    probe(&run);
    struct list list = list_read(steps);
    int status = report(&run, &list, run_list(&run, &list), shrinks);
    free(list.steps);
    free(run.known);
    return status;
}
