/* SPDX-License-Identifier: Apache-2.0 */
/* Each test is a process of its own, which stays in the sandbox that it entered. */
#include "tests/lib/check_main.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "kvcore/util/thread.h"
#include "tests/lib/temp_dir.h"
#include "tools/sandbox.h"

enum { NOT_A_CALL = 100000, ABI_LANDLOCK = 444 };

struct place {
    struct temp_dir dir;
    char store[512], outside[512], secret[512];
};

static void make_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, "x", 1), 1);
    close(fd);
}

static void place_make(struct place *place)
{
    char name[512];
    temp_dir_make(&place->dir);
    temp_dir_name(&place->dir, "store", place->store);
    temp_dir_name(&place->dir, "outside", place->outside);
    temp_dir_name(&place->dir, "outside/secret", place->secret);
    ck_assert_int_eq(mkdir(place->store, 0700), 0);
    ck_assert_int_eq(mkdir(place->outside, 0700), 0);
    make_file(place->secret);
    make_file(temp_dir_name(&place->dir, "store/00000001.log", name));
}

static int landlock_version(void)
{
    return (int)syscall(ABI_LANDLOCK, NULL, 0, 1);
}

/* In a child: enter and `act`, which ends it with an assertion or not at all. What was made is
 * removed by the parent, who may. */
static void inside(const struct place *place, const struct sandbox_plan *plan,
                   void (*act)(const struct place *place))
{
    struct sandbox sandbox;
    int status = 0;
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        sandbox_enter(plan, &sandbox);
        if (strncmp(sandbox.text, "off", 3) != 0) {
            act(place);
        }
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(status == 0, "the child ended with %#x, and has said why", (unsigned)status);
}

/* Assertions of libcheck do not reach out of a child. */
#define NEED(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            dprintf(STDERR_FILENO, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition,             \
                    strerror(errno));                                                              \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)
#define REFUSED(call, code) NEED((errno = 0, (call) < 0) && errno == (code))

static void in_a_directory(void (*act)(const struct place *place))
{
    struct place place;
    place_make(&place);
    struct sandbox_plan plan = {.store = place.store};
    inside(&place, &plan, act);
    temp_dir_remove(&place.dir);
}

/* ---- files ----------------------------------------------------------------------------------- */

static void work_in_the_store(const struct place *place)
{
    char name[512], other[512];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int dir = open(place->store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    NEED(dir >= 0);
    int fd = openat(dir, "00000002.table.tmp", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    NEED(fd >= 0 && write(fd, "bytes", 5) == 5 && ftruncate(fd, 3) == 0 && fsync(fd) == 0);
    NEED(renameat(dir, "00000002.table.tmp", dir, "00000002.table") == 0 && fsync(dir) == 0);
    NEED(unlinkat(dir, "00000001.log", 0) == 0);
    NEED(truncate(temp_dir_name(&place->dir, "store/00000002.table", name), 1) == 0);
    /* The control socket, by the name that it is reached by. */
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/control", dir);
    NEED(listener >= 0 && bind(listener, (const struct sockaddr *)&address, sizeof address) == 0 &&
         listen(listener, 1) == 0);
    NEED(unlinkat(dir, "control", 0) == 0);
    NEED(access(temp_dir_name(&place->dir, "store/00000002.table", other), F_OK) == 0);
}

START_TEST(files_of_the_store_are_made_changed_and_removed)
{
    in_a_directory(work_in_the_store);
}
END_TEST

static void reach_outside(const struct place *place)
{
    char name[512], target[512];
    int dir;
    REFUSED(open(place->secret, O_RDONLY), EACCES);
    REFUSED(open(place->secret, O_WRONLY), EACCES);
    REFUSED(open(place->outside, O_RDONLY | O_DIRECTORY), EACCES);
    REFUSED(open("/etc/passwd", O_RDONLY), EACCES);
    REFUSED(open(temp_dir_name(&place->dir, "outside/new", name), O_WRONLY | O_CREAT, 0600),
            EACCES);
    REFUSED(unlink(place->secret), EACCES);
    REFUSED(mkdir(temp_dir_name(&place->dir, "outside/dir", name), 0700), EACCES);
    temp_dir_name(&place->dir, "store/secret", target);
    NEED(link(place->secret, target) < 0 && rename(place->secret, target) < 0);
    /* A directory that was opened for its path alone leads nowhere either. */
    dir = open(place->outside, O_PATH | O_DIRECTORY | O_CLOEXEC);
    REFUSED(openat(dir, "secret", O_RDONLY), EACCES);
    /* Nor does what root may ask the kernel to find by its number. */
    REFUSED((int)syscall(SYS_open_by_handle_at, AT_FDCWD, NULL, O_RDONLY), EPERM);
    if (landlock_version() >= 3) {
        REFUSED(truncate(place->secret, 0), EACCES);
    }
}

START_TEST(nothing_outside_is_opened_made_or_removed)
{
    if (landlock_version() > 0) {
        in_a_directory(reach_outside);
    }
}
END_TEST

static void make_odd_things(const struct place *place)
{
    char name[512];
    temp_dir_name(&place->dir, "store/odd", name);
    NEED(mkdir(name, 0700) < 0 && mkfifo(name, 0600) < 0 && symlink("/etc", name) < 0);
    NEED(mknod(name, S_IFCHR | 0600, 0x0103) < 0 && mknod(name, S_IFBLK | 0600, 0x0700) < 0);
}

START_TEST(the_store_gets_no_directories_links_pipes_or_devices)
{
    if (landlock_version() > 0) {
        in_a_directory(make_odd_things);
    }
}
END_TEST

static void read_what_the_library_reads(const struct place *place)
{
    char text[64];
    (void)place;
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    NEED(fd >= 0 && read(fd, text, sizeof text) > 0);
    NEED(open("/proc/self/mounts", O_RDONLY | O_CLOEXEC) >= 0);
    NEED(open("/dev/null", O_RDWR | O_CLOEXEC) >= 0);
    NEED(open("/proc/self/comm", O_RDWR | O_CLOEXEC) >= 0); /* a thread's name, of that thread */
    NEED(open("/usr", O_RDONLY | O_DIRECTORY | O_CLOEXEC) >= 0);
    if (landlock_version() > 0) {
        REFUSED(open("/usr/new", O_WRONLY | O_CREAT, 0600), EACCES);
    }
}

START_TEST(what_the_c_library_needs_can_be_read)
{
    in_a_directory(read_what_the_library_reads);
}
END_TEST

/* The parent has the same user, and would be traced. */
static void look_at_another_process(const struct place *place)
{
    char name[64];
    char line[256] = "";
    (void)place;
    snprintf(name, sizeof name, "/proc/%d/task/%d/status", (int)getppid(), (int)getppid());
    FILE *file = fopen(name, "re");
    bool found = false;
    NEED(file != NULL);
    while (!found && fgets(line, sizeof line, file) != NULL) {
        found = strncmp(line, "Groups:", 7) == 0;
    }
    NEED(found);
    if (landlock_version() <= 0) {
        return;
    }
    snprintf(name, sizeof name, "/proc/%d/environ", (int)getppid());
    NEED(open(name, O_RDONLY | O_CLOEXEC) < 0);
    snprintf(name, sizeof name, "/proc/%d/mem", (int)getppid());
    NEED(open(name, O_RDONLY | O_CLOEXEC) < 0);
    snprintf(name, sizeof name, "/proc/%d/root/etc", (int)getppid());
    NEED(open(name, O_PATH | O_CLOEXEC) < 0);
    snprintf(name, sizeof name, "/proc/%d/comm", (int)getppid());
    REFUSED(open(name, O_WRONLY | O_CLOEXEC), EACCES);
    REFUSED(open("/proc/sys/kernel/core_pattern", O_WRONLY | O_CLOEXEC), EACCES);
}

START_TEST(groups_of_callers_can_be_read_and_no_more_of_them)
{
    in_a_directory(look_at_another_process);
}
END_TEST

/* ---- calls ----------------------------------------------------------------------------------- */

static void start_programs(const struct place *place)
{
    char program[] = "/bin/true";
    char *const words[] = {program, NULL};
    (void)place;
    NEED(execv(words[0], words) < 0 && errno == EPERM);
    REFUSED((int)syscall(SYS_execveat, AT_FDCWD, words[0], words, NULL, 0), EPERM);
    NEED(ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 && errno == EPERM);
}

START_TEST(no_program_is_started)
{
    in_a_directory(start_programs);
}
END_TEST

static void change_the_machine(const struct place *place)
{
    (void)place;
    REFUSED(mount("none", "/mnt", "tmpfs", 0, NULL), EPERM);
    REFUSED(umount2("/proc", MNT_DETACH), EPERM);
    REFUSED(unshare(CLONE_NEWUSER), EPERM);
    REFUSED(setuid(0), EPERM);
    REFUSED((int)syscall(SYS_bpf, 0, NULL, 0), EPERM);
    REFUSED((int)syscall(SYS_keyctl, 0, 0, 0), EPERM);
    REFUSED((int)syscall(SYS_init_module, NULL, 0, ""), EPERM);
    REFUSED((int)syscall(SYS_perf_event_open, NULL, 0, 0, -1, 0), EPERM);
    REFUSED((int)syscall(SYS_clock_settime, 0, NULL), EPERM);
    REFUSED((int)syscall(NOT_A_CALL), ENOSYS);
#ifdef __x86_64__
    REFUSED((int)syscall(0x40000000 | SYS_getpid), ENOSYS); /* as of x32 */
#endif
}

START_TEST(calls_that_change_the_machine_are_refused)
{
    in_a_directory(change_the_machine);
}
END_TEST

static void change_files(const struct place *place)
{
    static const struct timespec times[2];
    char name[512];
    REFUSED(chmod(place->secret, 0666), EPERM);
    REFUSED(fchmodat(AT_FDCWD, place->outside, 0777, 0), EPERM);
    REFUSED((int)syscall(452, AT_FDCWD, place->secret, 0666, 0), EPERM);
    REFUSED(chown(place->secret, getuid(), getgid()), EPERM);
    REFUSED(lchown(place->secret, getuid(), getgid()), EPERM);
    REFUSED(fchownat(AT_FDCWD, place->secret, getuid(), getgid(), 0), EPERM);
    REFUSED(setxattr(place->secret, "user.a", "b", 1, 0), EPERM);
    REFUSED(lsetxattr(place->secret, "user.a", "b", 1, 0), EPERM);
    REFUSED(removexattr(place->secret, "user.a"), EPERM);
    REFUSED(utimensat(AT_FDCWD, place->secret, times, 0), EPERM);
    REFUSED(inotify_init1(0), EPERM);
    int fd = open(temp_dir_name(&place->dir, "store/00000001.log", name), O_RDWR | O_CLOEXEC);
    NEED(fd >= 0 && fchmod(fd, 0600) == 0 && fchmod(fd, 0700) == 0);
    REFUSED(fchmod(fd, 04755), EPERM);
    REFUSED(fchown(fd, getuid(), getgid()), EPERM);
    REFUSED(fsetxattr(fd, "user.a", "b", 1, 0), EPERM);
    REFUSED(futimens(fd, times), EPERM);
}

START_TEST(modes_owners_attributes_and_times_stay)
{
    in_a_directory(change_files);
}
END_TEST

static void change_others(const struct place *place)
{
    struct rlimit limit = {0, 0};
    struct sched_param param = {0};
    cpu_set_t set;
    pid_t other = getppid();
    (void)place;
    NEED(sched_getaffinity(0, sizeof set, &set) == 0);
    NEED(prlimit(0, RLIMIT_CORE, NULL, &limit) == 0 && sched_setaffinity(0, sizeof set, &set) == 0);
    REFUSED(prlimit(other, RLIMIT_CORE, NULL, &limit), EPERM);
    REFUSED(setpriority(PRIO_PROCESS, (id_t)other, 0), EPERM);
    REFUSED((int)syscall(SYS_ioprio_set, 1, other, 0), EPERM);
    REFUSED(sched_setaffinity(other, sizeof set, &set), EPERM);
    REFUSED(sched_setscheduler(other, SCHED_OTHER, &param), EPERM);
    REFUSED((int)syscall(SYS_shmget, 1, 4096, 0600), EPERM);
    REFUSED((int)syscall(SYS_msgget, 1, 0600), EPERM);
    REFUSED((int)syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL), EPERM);
    REFUSED((int)syscall(SYS_clone, CLONE_NEWNET | SIGCHLD, NULL, NULL, NULL, NULL), EPERM);
    REFUSED((int)syscall(435, NULL, 0), ENOSYS); /* clone3 */
}

START_TEST(other_processes_stay_as_they_are)
{
    in_a_directory(change_others);
}
END_TEST

static void use_sockets(const struct place *place)
{
    int pair[2];
    (void)place;
    NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    NEED(socket(AF_UNIX, SOCK_DGRAM, 0) >= 0);
    REFUSED(socket(AF_INET, SOCK_STREAM, 0), EAFNOSUPPORT);
    REFUSED(socket(AF_INET6, SOCK_DGRAM, 0), EAFNOSUPPORT);
    REFUSED(socket(AF_NETLINK, SOCK_RAW, 0), EAFNOSUPPORT);
}

START_TEST(a_store_in_a_directory_has_no_network)
{
    in_a_directory(use_sockets);
}
END_TEST

static void use_the_network(const struct place *place)
{
    NEED(socket(AF_INET, SOCK_STREAM, 0) >= 0);
    NEED(open(place->secret, O_RDONLY) >= 0);
    start_programs(place);
    NEED(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 && prctl(PR_GET_DUMPABLE) == 0);
}

START_TEST(a_store_in_a_pool_has_files_and_network_and_no_programs)
{
    struct place place;
    place_make(&place);
    struct sandbox_plan plan = {.store = NULL};
    inside(&place, &plan, use_the_network);
    temp_dir_remove(&place.dir);
}
END_TEST

/* Without its arguments, or because nobody may. */
static int rings_error(void)
{
    errno = 0;
    return syscall(SYS_io_uring_setup, 1, NULL) < 0 ? errno : 0;
}

static int rings_error_before;

static void use_rings(const struct place *place)
{
    (void)place;
    NEED(rings_error() == rings_error_before);
}

static void use_no_rings(const struct place *place)
{
    (void)place;
    NEED(rings_error() == EPERM);
}

START_TEST(io_uring_is_for_mounts_over_it)
{
    struct place place;
    place_make(&place);
    struct sandbox_plan plan = {.store = place.store, .uring = true};
    rings_error_before = rings_error();
    inside(&place, &plan, use_rings);
    temp_dir_remove(&place.dir);
    in_a_directory(use_no_rings);
}
END_TEST

/* ---- the process ----------------------------------------------------------------------------- */

static void look_at_the_process(const struct place *place)
{
    struct rlimit core;
    (void)place;
    NEED(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
    NEED(prctl(PR_GET_DUMPABLE) == 0);
    NEED(getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_cur == 0 && core.rlim_max == 0);
}

static void look_at_capabilities(const struct place *place)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[2];
    (void)place;
    NEED(syscall(SYS_capget, &header, sets) == 0);
    NEED((sets[0].permitted & (1U << CAP_SYS_ADMIN | 1U << CAP_SETUID | 1U << CAP_MKNOD |
                               1U << CAP_NET_ADMIN | 1U << CAP_SYS_PTRACE)) == 0);
    NEED(sets[1].permitted == 0 && sets[0].inheritable == 0);
    /* A store of another user is root's all the same. */
    NEED(geteuid() != 0 || (sets[0].effective & 1U << CAP_DAC_OVERRIDE) != 0);
}

START_TEST(root_keeps_no_capabilities_but_those_of_files)
{
    in_a_directory(look_at_capabilities);
}
END_TEST

START_TEST(it_leaves_no_core_dump_and_gains_no_privileges)
{
    in_a_directory(look_at_the_process);
}
END_TEST

static void *reach_out_of_a_thread(void *arg)
{
    const struct place *place = arg;
    if (landlock_version() > 0) {
        REFUSED(open(place->secret, O_RDONLY), EACCES);
    }
    start_programs(place);
    return NULL;
}

static void start_a_thread(const struct place *place)
{
    struct thread thread;
    NEED(thread_start(&thread, "other", reach_out_of_a_thread, (void *)(uintptr_t)place) == 0);
    thread_join(&thread); /* which takes what the library reads when a thread ends */
}

START_TEST(threads_that_start_later_are_in_it)
{
    in_a_directory(start_a_thread);
}
END_TEST

static void signal_others(const struct place *place)
{
    (void)place;
    NEED(kill(getpid(), 0) == 0);
    if (landlock_version() >= 6) {
        REFUSED(kill(getppid(), 0), EPERM);
    }
}

START_TEST(signals_go_to_the_process_itself_alone)
{
    in_a_directory(signal_others);
}
END_TEST

START_TEST(it_says_what_is_in_force)
{
    struct place place;
    struct sandbox sandbox;
    char wanted[64];
    place_make(&place);
    struct sandbox_plan plan = {.store = place.store};
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        sandbox_enter(&plan, &sandbox);
        snprintf(wanted, sizeof wanted, ", landlock %d, seccomp", landlock_version());
        NEED(strncmp(sandbox.text, "off", 3) == 0 || landlock_version() <= 0 ||
             (sandbox.complete && strstr(sandbox.text, wanted) != NULL &&
              strstr(sandbox.text, "no core dumps, no new privileges") != NULL));
        _exit(0);
    }
    int status = 0;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    temp_dir_remove(&place.dir);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("sandbox");
    suite_add(suite, "files", files_of_the_store_are_made_changed_and_removed);
    suite_add(suite, "files", nothing_outside_is_opened_made_or_removed);
    suite_add(suite, "files", the_store_gets_no_directories_links_pipes_or_devices);
    suite_add(suite, "files", what_the_c_library_needs_can_be_read);
    suite_add(suite, "files", groups_of_callers_can_be_read_and_no_more_of_them);
    suite_add(suite, "calls", no_program_is_started);
    suite_add(suite, "calls", calls_that_change_the_machine_are_refused);
    suite_add(suite, "calls", modes_owners_attributes_and_times_stay);
    suite_add(suite, "calls", other_processes_stay_as_they_are);
    suite_add(suite, "calls", a_store_in_a_directory_has_no_network);
    suite_add(suite, "calls", a_store_in_a_pool_has_files_and_network_and_no_programs);
    suite_add(suite, "calls", io_uring_is_for_mounts_over_it);
    suite_add(suite, "process", it_leaves_no_core_dump_and_gains_no_privileges);
    suite_add(suite, "process", root_keeps_no_capabilities_but_those_of_files);
    suite_add(suite, "process", threads_that_start_later_are_in_it);
    suite_add(suite, "process", signals_go_to_the_process_itself_alone);
    suite_add(suite, "process", it_says_what_is_in_force);
    return suite;
}
