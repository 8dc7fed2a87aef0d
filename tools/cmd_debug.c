/* SPDX-License-Identifier: Apache-2.0 */
/* debug: what somebody who is to help wants to know of a store, as a tar archive. Nothing of what
 * users keep in it, neither keys nor values, goes in. */
#include "tools/cmd.h"

#include <archive.h>
#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tools/build_options.h"
#include "tools/bundle.h"
#include "tools/health_json.h"
#include "tools/store_open.h"
#include "tools/store_url.h"

enum {
    OPTION_FSCK = 256,
    FILES_MAX = 10000,          /* that are listed */
    PROBLEMS_MAX = 1000,        /* of fsck */
    FSCK_OUTPUT_MAX = 64 << 20, /* that is looked at */
    PATH_SIZE = 4096 + 64,
};

struct settings {
    struct words words;
    const char *output; /* NULL: stdout */
    bool fsck;
};

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct settings *s = state->input;
    switch (key) {
    case 'o':
        s->output = value;
        return 0;
    case OPTION_FSCK:
        s->fsck = true;
        return 0;
    default:
        return words_collect(&s->words, key, state);
    }
}

/* ---- program and machine --------------------------------------------------------------------- */

static void add_version(struct bundle *bundle)
{
    char text[1024];
    snprintf(text, sizeof text,
             "kvfs %s\ncompiler: %s\nbuild: %s\nlibfuse: %s when built\n%s\njansson %s\n",
             KVFS_VERSION, BUILD_COMPILER, BUILD_OPTIONS, BUILD_LIBFUSE, archive_version_details(),
             jansson_version_str());
    bundle_add(bundle, "version.txt", kv_slice_str(text));
}

/* Without the name of the machine. */
static void add_uname(struct bundle *bundle)
{
    struct utsname name;
    char text[512];
    if (uname(&name) != 0) {
        bundle_miss(bundle, "uname.txt", kv_strerror(-errno));
        return;
    }
    snprintf(text, sizeof text, "%s %s %s %s\nprocessors: %ld\nmemory: %ld MiB\n", name.sysname,
             name.release, name.version, name.machine, sysconf(_SC_NPROCESSORS_ONLN),
             sysconf(_SC_PHYS_PAGES) / ((1 << 20) / sysconf(_SC_PAGESIZE)));
    bundle_add(bundle, "uname.txt", kv_slice_str(text));
}

/* ---- the daemon ------------------------------------------------------------------------------ */

/* The command line, its words on lines of their own. That of exec ends in a command of the user's,
 * which is nobody's business. */
static void add_command_line(struct bundle *bundle, int pid)
{
    static const char name[] = "process/cmdline";
    char path[64];
    char text[8192];
    snprintf(path, sizeof path, "/proc/%d/cmdline", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd >= 0 ? read(fd, text, sizeof text) : -1;
    int error = size < 0 ? -errno : 0;
    for (ssize_t i = 0; i < size; i++) {
        text[i] = text[i] == '\0' ? '\n' : text[i];
    }
    if (size < 0) {
        bundle_miss(bundle, name, kv_strerror(error));
    } else if (memmem(text, (size_t)size, "\nexec\n", 6) != NULL) {
        bundle_miss(bundle, name, "kvfs exec, with a command that is not told");
    } else {
        bundle_add(bundle, name, kv_slice(text, (size_t)size));
    }
    if (fd >= 0) {
        close(fd);
    }
}

static void add_process(struct bundle *bundle, int pid)
{
    static const char *const names[] = {"status", "limits", "io"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[64];
        char name[32];
        snprintf(path, sizeof path, "/proc/%d/%s", pid, names[i]);
        snprintf(name, sizeof name, "process/%s", names[i]);
        bundle_add_file(bundle, name, path);
    }
    add_command_line(bundle, pid);
}

/* Lines of the log carry "kvfs[PID]"; those of an earlier daemon of the store are of use, too. */
static void add_log(struct bundle *bundle, const char *target, int pid)
{
    char path[64];
    if (target == NULL || strcmp(target, "syslog") == 0) {
        bundle_miss(bundle, "log.txt", "it goes to syslog: 'journalctl -t kvfs' shows it");
        return;
    }
    snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, STDERR_FILENO);
    bundle_add_log(bundle, "log.txt", strcmp(target, "stderr") == 0 ? path : target, " kvfs[");
}

/* As the kernel writes names in its tables. */
static void escape_name(const char *name, char *to, size_t size)
{
    size_t at = 0;
    for (; *name != '\0' && at + 5 < size; name++) {
        if (strchr(" \t\n\\", *name) != NULL) {
            at += (size_t)snprintf(to + at, size - at, "\\%03o", (unsigned)*name);
        } else {
            to[at++] = *name;
        }
    }
    to[at] = '\0';
}

/* Rows of the table of mounts: those of the store, and of what it lies on. */
static void add_mounts(struct bundle *bundle, const char *store)
{
    struct kv_buf text = {0};
    struct stat st;
    char source[PATH_SIZE] = " - fuse.kvfs ";
    char device[32] = "";
    char *line = NULL;
    size_t room = 0;
    int r = 0;
    FILE *table = fopen("/proc/self/mountinfo", "re");
    escape_name(store, source + strlen(source), sizeof source - strlen(source) - 1);
    strncat(source, " ", 2);
    if (stat(store, &st) == 0) {
        snprintf(device, sizeof device, " %u:%u ", major(st.st_dev), minor(st.st_dev));
    }
    while (r == 0 && table != NULL && getline(&line, &room, table) > 0) {
        if (strstr(line, source) != NULL || (device[0] != '\0' && strstr(line, device) != NULL)) {
            r = kv_buf_append(&text, kv_slice_str(line));
        }
    }
    bundle_add(bundle, "mounts.txt", kv_buf_slice(&text));
    if (r < 0 || table == NULL) {
        bundle_miss(bundle, "mounts.txt", "not all could be read");
    }
    if (table != NULL) {
        fclose(table);
    }
    free(line);
    kv_buf_finish(&text);
}

/* ---- the store ------------------------------------------------------------------------------- */

static int append_file(struct kv_buf *to, int dir_fd, const char *name)
{
    char line[512];
    char when[32];
    struct stat st;
    struct tm tm;
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno == ENOENT ? 0 : -errno;
    }
    gmtime_r(&st.st_mtime, &tm);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
    snprintf(line, sizeof line, "%06o %5u %14lld %14lld %s %s\n", st.st_mode, (unsigned)st.st_nlink,
             (long long)st.st_size, (long long)st.st_blocks * 512, when, name);
    return kv_buf_append(to, kv_slice_str(line));
}

static void add_listing(struct bundle *bundle, const char *store)
{
    static const char head[] =
        "mode   links          bytes         stored modified             name\n";
    struct kv_buf text = {0};
    struct dirent **entries = NULL;
    int count = scandir(store, &entries, NULL, alphasort);
    int dir_fd = open(store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = count < 0 || dir_fd < 0 ? -errno : kv_buf_append(&text, kv_slice_str(head));
    for (int i = 0; i < count; i++) {
        bool shown = r == 0 && i < FILES_MAX && strcmp(entries[i]->d_name, "..") != 0;
        r = shown ? append_file(&text, dir_fd, entries[i]->d_name) : r;
        free(entries[i]);
    }
    free(entries);
    if (dir_fd >= 0) {
        close(dir_fd);
    }
    bundle_add(bundle, "store.txt", kv_buf_slice(&text));
    if (r < 0 || count > FILES_MAX) {
        bundle_miss(bundle, "store.txt", r < 0 ? kv_strerror(r) : "there are more files");
    }
    kv_buf_finish(&text);
}

/* Status, statistics and health as whoever holds the store says, or the store itself. */
static void add_reports(struct bundle *bundle, struct target *target)
{
    int code = EXIT_DONE;
    json_t *status = cmd_ask(target, CONTROL_STATUS, "tell the status", &code);
    json_t *stats = cmd_ask(target, CONTROL_STATS, "tell the statistics", &code);
    int pid = (int)json_integer_value(json_object_get(status, "pid"));
    if (pid != 0) {
        add_process(bundle, pid);
        add_log(bundle, json_string_value(json_object_get(status, "log")), pid);
    }
    if (status == NULL || stats == NULL) {
        bundle_miss(bundle, "status.json, stats.json", "see what the command said");
    } else {
        bundle_add_json(bundle, "health.json", health_json(status, stats));
        bundle_add_json(bundle, "status.json", json_incref(status));
        bundle_add_json(bundle, "stats.json", json_incref(stats));
    }
    json_decref(status);
    json_decref(stats);
}

/* ---- fsck ------------------------------------------------------------------------------------ */

/* In a child: its output goes to `to`. */
__attribute__((noreturn)) static void run_fsck(const char *store, int to)
{
    char name[] = "kvfs fsck";
    char check[] = "-n";
    char as_json[] = "--json";
    char *path = strdup(store);
    char *words[] = {name, check, as_json, path, NULL};
    if (path == NULL || dup2(to, STDOUT_FILENO) < 0) {
        _exit(EXIT_FAILED);
    }
    int code = cmd_fsck(4, words);
    fflush(stdout);
    _exit(code);
}

/* What it prints; -E2BIG if that is too much to look at. */
static int fsck_output(const char *store, struct kv_buf *to)
{
    int ends[2];
    int r = 0;
    ssize_t n = 1;
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return -errno;
    }
    pid_t child = fork();
    if (child == 0) {
        run_fsck(store, ends[1]);
    }
    r = child < 0 ? -errno : 0;
    close(ends[1]);
    while (r == 0 && n > 0) {
        uint8_t part[4096];
        n = read(ends[0], part, sizeof part);
        r = n < 0 ? -errno : kv_buf_append(to, kv_slice(part, (size_t)n));
        r = r == 0 && to->size > FSCK_OUTPUT_MAX ? -E2BIG : r;
    }
    close(ends[0]);
    while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR) {
    }
    return r;
}

/* The first problems, without the keys between which they lie. */
static void bound_problems(json_t *problems)
{
    size_t i;
    json_t *problem;
    while (json_array_size(problems) > PROBLEMS_MAX) {
        json_array_remove(problems, json_array_size(problems) - 1);
    }
    json_array_foreach(problems, i, problem)
    {
        json_object_del(problem, "from");
        json_object_del(problem, "to");
    }
}

static void add_fsck(struct bundle *bundle, const char *store)
{
    struct kv_buf text = {0};
    int r = fsck_output(store, &text);
    json_t *json = r == 0 ? json_loadb((const char *)text.data, text.size, 0, NULL) : NULL;
    if (json != NULL) {
        bound_problems(json_object_get(json, "problems"));
        bundle_add_json(bundle, "fsck.json", json);
    } else {
        bundle_miss(bundle, "fsck.json", r < 0 ? kv_strerror(r) : "see what the command said");
    }
    kv_buf_finish(&text);
}

/* ---- all of it ------------------------------------------------------------------------------- */

static int collect(struct bundle *bundle, const char *store, bool with_fsck)
{
    struct target target;
    struct fault fault = {0};
    int code = EXIT_DONE;
    add_version(bundle);
    add_uname(bundle);
    if (store_is_url(store)) {
        bundle_miss(bundle, "store.txt", "the store is in a pool");
    } else {
        add_listing(bundle, store);
    }
    add_mounts(bundle, store);
    int r = target_open(&target, store, TARGET_ENGINE, &fault);
    bool in_use = r == -EBUSY || (r == 0 && target.client != NULL);
    if (r < 0) {
        bundle_miss(bundle, "status.json, stats.json, health.json", fault.text);
    } else {
        add_reports(bundle, &target);
        code = target_end(&target, EXIT_DONE);
    }
    if (with_fsck && in_use) {
        complain("the store is in use, so that it cannot be checked; the rest is written");
        bundle_miss(bundle, "fsck.json", "the store is in use");
        return EXIT_BUSY;
    }
    if (with_fsck && store_is_url(store)) {
        bundle_miss(bundle, "fsck.json", "the store is in a pool: see 'kvfs fsck --json'");
    } else if (with_fsck) {
        add_fsck(bundle, store);
    }
    return code;
}

static int write_bundle(const char *store, const struct settings *s)
{
    const char *name = s->output != NULL ? s->output : "stdout";
    struct bundle *bundle = NULL;
    int fd = s->output != NULL ? open(s->output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)
                               : dup(STDOUT_FILENO);
    int r = fd < 0 ? -errno : bundle_create(fd, &bundle);
    int code = r == 0 ? collect(bundle, store, s->fsck) : EXIT_DONE;
    int written = bundle_finish(bundle);
    r = r == 0 ? written : r;
    if (fd >= 0 && close(fd) != 0 && r == 0) {
        r = -errno;
    }
    if (r < 0) {
        complain("cannot write the bundle to %s: %s", name, kv_strerror(r));
        code = r == -ENOENT ? EXIT_FAILED : (int)exit_code_of(r);
    }
    return code;
}

/* Somebody's other directory is not to be listed. */
static int find_store(const char *argument, char **ret_store)
{
    struct fault fault;
    char *store = NULL;
    if (target_find(argument, &store, &fault) < 0) {
        complain("%s", fault.text);
        return EXIT_FAILED;
    }
    enum store_directory kind = store_is_url(store) ? STORE_COMPLETE : store_directory_judge(store);
    if (kind != STORE_COMPLETE && kind != STORE_HALF_MADE) {
        complain("cannot tell of %s: it is not a store", store);
        free(store);
        return EXIT_FAILED;
    }
    *ret_store = store;
    return EXIT_DONE;
}

int cmd_debug(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"output", 'o', "FILE", 0, "write the archive to FILE, not to stdout", 0},
        {"fsck", OPTION_FSCK, NULL, 0, "also check the store, which must not be in use", 0},
        {0}};
    static const struct argp argp = {
        options,
        parse,
        "STORE|MOUNTPOINT",
        "Examples:\n  kvfs debug /srv/a -o kvfs-debug.tar\n  kvfs debug /mnt/a | tar -tv\n\nWrite "
        "a "
        "tar archive for those who are to help: versions of kvfs and Linux, what status, stats "
        "and health say, the options of the mount, the last lines of the daemon's log if that is "
        "a file, its limits and what it uses (/proc/PID), and names, sizes and times of the files "
        "that the store is made of. Keys and values of the store are never in it, nor are names "
        "of files in a mount; paths of the store and the mount point, and the label, are. It is "
        "text: look at it before you send it.",
        NULL,
        NULL,
        NULL};
    struct settings s = {0};
    const char *argument;
    char *store = NULL;
    cmd_parse(&argp, argc, argv, EXIT_USAGE, 0, &s);
    int code = words_take_store(&s.words, "debug", argp.args_doc, 0, 0, &argument);
    if (code == EXIT_DONE && s.output == NULL && isatty(STDOUT_FILENO)) {
        complain("not writing an archive to a terminal: say 'kvfs debug %s -o FILE.tar'", argument);
        code = EXIT_USAGE;
    }
    code = code == EXIT_DONE ? find_store(argument, &store) : code;
    code = code == EXIT_DONE ? write_bundle(store, &s) : code;
    free(store);
    return code;
}
