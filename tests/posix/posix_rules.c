/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the rules of a file system in a directory on it, and says in TAP which hold.
 *
 *   posix_rules [--target NAME --differences FILE] [--only TEXT] DIRECTORY
 *   posix_rules --keep ... DIRECTORY
 *   posix_rules --alone ... DIRECTORY
 *   posix_rules --look DIRECTORY
 *   posix_rules --list
 *
 * FILE has lines `TARGET RULE REASON...`: rules that are known not to hold there. Such a rule is
 * reported as skipped, with the reason; if it holds after all, the line is wrong and the rule
 * fails.
 * --only runs the rules whose name or file contains the text. --alone: nobody but root gets in
 * there. --keep leaves what the rules made, and --look says how it looks (look.h). */
#include <ftw.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "tests/posix/look.h"
#include "tests/posix/rule.h"

enum { RULE_TIME_MAX_S = 60, STATUS_SKIP = 77, OUTPUT_SIZE_MAX = 4096, LINE_SIZE_MAX = 1024 };

extern const struct rule *const __start_posix_rules[];
extern const struct rule *const __stop_posix_rules[];

struct run {
    const char *target, *differences, *only;
    bool keep;
    unsigned count, failed;
};

struct outcome {
    int status; /* of waitpid() */
    char output[OUTPUT_SIZE_MAX];
};

static _Noreturn void die(const char *what)
{
    printf("Bail out! %s: %s\n", what, strerror(errno));
    exit(1);
}

static _Noreturn void rule_child(const struct rule *rule, const char *directory, int output)
{
    if (dup2(output, STDOUT_FILENO) < 0 || chdir(directory) != 0) {
        _exit(1);
    }
    umask(022);
    signal(SIGXFSZ, SIG_IGN);
    alarm(RULE_TIME_MAX_S);
    rule->fn();
    fflush(NULL);
    _exit(0);
}

/* A file, not a pipe: the child never waits for us. */
static void rule_run(const struct rule *rule, const char *directory, struct outcome *ret_outcome)
{
    FILE *output = tmpfile();
    if (output == NULL) {
        die("cannot make a temporary file");
    }
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        rule_child(rule, directory, fileno(output));
    }
    if (pid < 0 || waitpid(pid, &ret_outcome->status, 0) != pid) {
        die("cannot run a rule");
    }
    ssize_t size = pread(fileno(output), ret_outcome->output, OUTPUT_SIZE_MAX - 1, 0);
    ret_outcome->output[size > 0 ? size : 0] = '\0';
    fclose(output);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

/* The reason why the rule does not hold on this target, or an empty text. */
static void known_difference(const struct run *run, const struct rule *rule, char *ret_reason)
{
    char line[LINE_SIZE_MAX];
    char target[64];
    char name[256];
    int at = 0;
    ret_reason[0] = '\0';
    FILE *file = run->differences != NULL ? fopen(run->differences, "re") : NULL;
    if (run->differences != NULL && file == NULL) {
        die(run->differences);
    }
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (sscanf(line, "%63s %255s %n", target, name, &at) == 2 && target[0] != '#' &&
            strcmp(name, rule->name) == 0 && strcmp(target, run->target) == 0) {
            snprintf(ret_reason, LINE_SIZE_MAX, "%s", line + at);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
}

static void print_title(const struct rule *rule)
{
    for (const char *c = rule->name; *c != '\0'; c++) {
        putchar(*c == '_' ? ' ' : *c);
    }
    printf(" [%s]", rule->basis);
}

static void print_remarks(char *output)
{
    char *rest = NULL;
    for (char *line = strtok_r(output, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        printf("#   %s\n", line);
    }
}

static void report(struct run *run, const struct rule *rule, struct outcome *outcome)
{
    char reason[LINE_SIZE_MAX];
    bool holds = WIFEXITED(outcome->status) && WEXITSTATUS(outcome->status) == 0;
    bool skipped = WIFEXITED(outcome->status) && WEXITSTATUS(outcome->status) == STATUS_SKIP;
    known_difference(run, rule, reason);
    bool differs = reason[0] != '\0';
    bool fine = skipped || holds != differs;
    run->count++;
    run->failed += fine ? 0 : 1;
    printf("%s %u - ", fine ? "ok" : "not ok", run->count);
    print_title(rule);
    outcome->output[skipped ? strcspn(outcome->output, "\n") : OUTPUT_SIZE_MAX - 1] = '\0';
    if (skipped || (fine && differs)) {
        printf(" # SKIP %s", skipped ? outcome->output : reason);
    }
    putchar('\n');
    if (!fine) {
        printf("#   %s, %s\n", rule->name, rule->file);
        print_remarks(outcome->output);
    }
    if (!fine && differs) {
        printf("#   it holds, but %s says that it does not: %s\n", run->differences, reason);
    }
    if (WIFSIGNALED(outcome->status)) {
        printf("#   ended by signal %d\n", WTERMSIG(outcome->status));
    }
}

static void run_rule(struct run *run, const struct rule *rule)
{
    char directory[32];
    struct outcome outcome;
    snprintf(directory, sizeof directory, "rule%u", run->count + 1);
    if (mkdir(directory, 0755) != 0 || chmod(directory, 0755) != 0) {
        die("cannot make a directory for a rule");
    }
    rule_run(rule, directory, &outcome);
    if (!run->keep && nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0) {
        outcome.status = W_EXITCODE(1, 0);
        snprintf(outcome.output, sizeof outcome.output, "cannot remove what it left: %s\n",
                 strerror(errno));
    }
    report(run, rule, &outcome);
}

static int usage(void)
{
    fprintf(stderr,
            "usage: posix_rules [--target NAME --differences FILE] [--only TEXT] DIRECTORY\n"
            "       posix_rules --keep ... DIRECTORY\n"
            "       posix_rules --alone ... DIRECTORY\n"
            "       posix_rules --look DIRECTORY\n"
            "       posix_rules --list\n");
    return 2;
}

static int list(void)
{
    for (const struct rule *const *rule = __start_posix_rules; rule < __stop_posix_rules; rule++) {
        printf("%s\n", (*rule)->name);
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"target", required_argument, NULL, 't'}, {"differences", required_argument, NULL, 'd'},
        {"only", required_argument, NULL, 'o'},   {"keep", no_argument, NULL, 'k'},
        {"alone", no_argument, NULL, 'a'},        {"look", required_argument, NULL, 'L'},
        {"list", no_argument, NULL, 'l'},         {0}};
    struct run run = {.target = "", .only = ""};
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 't':
            run.target = optarg;
            break;
        case 'd':
            run.differences = realpath(optarg, NULL);
            break;
        case 'o':
            run.only = optarg;
            break;
        case 'k':
            run.keep = true;
            break;
        case 'a':
            rule_alone = true;
            break;
        case 'L':
            return look_print(optarg);
        case 'l':
            return list();
        default:
            return usage();
        }
    }
    if (optind + 1 != argc) {
        return usage();
    }
    if (chdir(argv[optind]) != 0) {
        die(argv[optind]);
    }
    for (const struct rule *const *rule = __start_posix_rules; rule < __stop_posix_rules; rule++) {
        if (strstr((*rule)->name, run.only) != NULL || strstr((*rule)->file, run.only) != NULL) {
            run_rule(&run, *rule);
        }
    }
    printf("1..%u\n", run.count);
    return run.failed == 0 ? 0 : 1;
}
