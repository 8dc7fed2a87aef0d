/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/cmd.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/daemon.h"

enum {
    OPTION_CREATE = 256,
    EXIT_CANNOT_RUN = 126,
    EXIT_NO_COMMAND = 127,
    EXIT_SIGNAL_BASE = 128,
};

struct settings {
    struct words words;
    struct mount_plan plan;
};

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct settings *s = state->input;
    char fault[256] = "";
    switch (key) {
    case 'o':
        if (mount_options_parse(&s->plan.options, value, fault, sizeof fault) < 0) {
            complain("%s", fault);
            exit(EXIT_EXEC_FAILED);
        }
        return 0;
    case OPTION_CREATE:
        s->plan.create = true;
        return 0;
    default:
        return words_collect(&s->words, key, state);
    }
}

/* ---- the command ----------------------------------------------------------------------------- */

__attribute__((noreturn)) static void run_child(const char *directory, char **words,
                                                const sigset_t *mask)
{
    sigprocmask(SIG_SETMASK, mask, NULL);
    if (chdir(directory) != 0 || setenv("KVFS_MOUNTPOINT", directory, 1) != 0) {
        complain("cannot work in %s: %s", directory, kv_strerror(-errno));
        _exit(EXIT_EXEC_FAILED);
    }
    execvp(words[0], words);
    int error = errno;
    complain("cannot run %s: %s", words[0], kv_strerror(-error));
    _exit(error == ENOENT ? EXIT_NO_COMMAND : EXIT_CANNOT_RUN);
}

/* Wait for the command and hand signals on that were meant for it. What the terminal sends (ctrl-C)
 * reaches the whole group, the command included, by itself. */
static int wait_and_forward(pid_t pid, const sigset_t *signals)
{
    siginfo_t info;
    int status = 0;
    for (;;) {
        int number = sigwaitinfo(signals, &info);
        if (number > 0 && number != SIGCHLD && info.si_code != SI_KERNEL) {
            kill(pid, number);
        }
        if (waitpid(pid, &status, WNOHANG) == pid) {
            break;
        }
    }
    return WIFSIGNALED(status) ? EXIT_SIGNAL_BASE + WTERMSIG(status) : WEXITSTATUS(status);
}

static int run_command(const char *directory, char **words, const sigset_t *signals,
                       const sigset_t *old_mask)
{
    pid_t pid = fork();
    if (pid < 0) {
        complain("cannot start %s: %s", words[0], kv_strerror(-errno));
        return EXIT_EXEC_FAILED;
    }
    if (pid == 0) {
        run_child(directory, words, old_mask);
    }
    return wait_and_forward(pid, signals);
}

/* ---- the mount around it --------------------------------------------------------------------- */

/* The daemon unmounts when asked to end, even from programs that the command left behind. */
static int end_daemon(pid_t daemon, const char *store)
{
    int status = 0;
    kill(daemon, SIGTERM);
    while (waitpid(daemon, &status, 0) < 0) {
        if (errno != EINTR) {
            return EXIT_FAILED;
        }
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        complain("the daemon of %s did not end well; its log says more.", store);
        return EXIT_FAILED;
    }
    return EXIT_DONE;
}

static int mount_and_run(struct settings *s, const char *store, const char *directory)
{
    static const int forwarded[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGCHLD};
    struct fault fault = {0};
    sigset_t signals;
    sigset_t old_mask;
    pid_t daemon = 0;
    int r = mount_plan_prepare(&s->plan, store, directory, &fault);
    sigemptyset(&signals);
    for (size_t i = 0; i < sizeof forwarded / sizeof forwarded[0]; i++) {
        sigaddset(&signals, forwarded[i]);
    }
    sigprocmask(SIG_BLOCK, &signals, &old_mask);
    if (r == 0) {
        r = daemon_start(&s->plan, &daemon, &fault);
    }
    if (r < 0) {
        complain("%s", fault.text);
        return EXIT_EXEC_FAILED;
    }
    int code = run_command(s->plan.mountpoint, s->words.at, &signals, &old_mask);
    int ended = end_daemon(daemon, s->plan.store);
    return code == EXIT_DONE ? ended : code;
}

int cmd_exec(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"options", 'o', "OPTS", 0, "mount options, as for 'kvfs mount'", 0},
        {"create", OPTION_CREATE, NULL, 0, "make the store if it is missing", 0},
        {0}};
    static const struct argp argp = {
        options,
        parse,
        "STORE -- COMMAND [ARG...]",
        "Examples:\n  kvfs exec /srv/a -- ls -l\n  kvfs exec --create /srv/a -- tar xf "
        "/tmp/tree.tar\n\nMount the store on a directory of its own, run the command there, "
        "unmount, "
        "and exit with the command's status; 125 if it could not be mounted. KVFS_MOUNTPOINT holds "
        "the directory.",
        NULL,
        NULL,
        NULL};
    const char *tmp = getenv("TMPDIR");
    struct settings s = {0};
    const char *store;
    char *directory = NULL;
    mount_options_init(&s.plan.options, geteuid() == 0);
    cmd_parse(&argp, argc, argv, EXIT_EXEC_FAILED, ARGP_IN_ORDER, &s);
    if (words_take_store(&s.words, "exec", argp.args_doc, 1, 1 << 30, &store) != EXIT_DONE) {
        return EXIT_EXEC_FAILED;
    }
    if (strcmp(s.words.at[0], "--") == 0) {
        s.words.at++;
        s.words.count--;
    }
    if (s.words.count == 0) {
        complain("usage: kvfs exec %s. See 'kvfs exec --help'.", argp.args_doc);
        return EXIT_EXEC_FAILED;
    }
    if (asprintf(&directory, "%s/kvfs-exec-XXXXXX", tmp != NULL && *tmp != '\0' ? tmp : "/tmp") <
        0) {
        complain("out of memory");
        return EXIT_EXEC_FAILED;
    }
    if (mkdtemp(directory) == NULL) {
        complain("cannot make a directory like %s: %s", directory, kv_strerror(-errno));
        free(directory);
        return EXIT_EXEC_FAILED;
    }
    int code = mount_and_run(&s, store, directory);
    if (rmdir(directory) != 0) {
        complain("cannot remove %s: %s", directory, kv_strerror(-errno));
    }
    mount_plan_finish(&s.plan);
    free(directory);
    return code;
}
