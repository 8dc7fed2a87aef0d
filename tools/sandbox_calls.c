/* SPDX-License-Identifier: Apache-2.0 */
/* The filter decides by the number of the call alone, but for a few that are rare, so that the
 * kernel can keep what it decided (Linux 5.11 on) and a call costs some 40 ns more and not the
 * whole filter. */
#include "tools/sandbox.h"

#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define OWN_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OWN_ARCH AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define OWN_ARCH AUDIT_ARCH_RISCV64
#endif

#ifndef OWN_ARCH

int sandbox_refuse_calls(const struct sandbox_plan *plan)
{
    (void)plan;
    return -ENOTSUP;
}

#else

/* Numbers above it are calls that this version knows nothing of. On these processors they have been
 * the same since 424; those of x32 are above, too. */
enum { NUMBER_KNOWN_MAX = 470 };

/* Those that are missing in headers have had the same number everywhere from the start. */
#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
#ifndef SYS_quotactl_fd
#define SYS_quotactl_fd 443
#endif

static const uint16_t refused[] = {
    /* other programs and processes */
    SYS_execve,
    SYS_execveat,
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_process_madvise,
    SYS_pidfd_getfd,
    SYS_pidfd_send_signal,
    SYS_rt_sigqueueinfo,
    SYS_rt_tgsigqueueinfo,
    SYS_kcmp,
    SYS_shmget,
    SYS_shmat,
    SYS_shmctl,
    SYS_msgget,
    SYS_msgsnd,
    SYS_msgrcv,
    SYS_msgctl,
    SYS_semget,
    SYS_semop,
    SYS_semtimedop,
    SYS_semctl,
    SYS_mq_open,
    SYS_mq_unlink,
    /* mounts and name spaces */
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_move_mount,
    SYS_open_tree,
    SYS_fsopen,
    SYS_fsconfig,
    SYS_fsmount,
    SYS_fspick,
    SYS_mount_setattr,
    467, /* open_tree_attr */
    SYS_unshare,
    SYS_setns,
    SYS_swapon,
    SYS_swapoff,
    SYS_quotactl,
    SYS_quotactl_fd,
    /* files by another way than their paths, and such as no store has */
    SYS_open_by_handle_at,
    SYS_mknodat,
    SYS_symlinkat,
    SYS_fanotify_init,
#ifdef SYS_mknod
    SYS_mknod,
    SYS_symlink,
#endif
    /* users and capabilities */
    SYS_setuid,
    SYS_setgid,
    SYS_setreuid,
    SYS_setregid,
    SYS_setresuid,
    SYS_setresgid,
    SYS_setgroups,
    SYS_setfsuid,
    SYS_setfsgid,
    SYS_capset,
    /* keys */
    SYS_add_key,
    SYS_request_key,
    SYS_keyctl,
    /* the machine and its kernel */
    SYS_reboot,
    SYS_kexec_load,
#ifdef SYS_kexec_file_load
    SYS_kexec_file_load,
#endif
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_userfaultfd,
    SYS_personality,
    SYS_acct,
    SYS_syslog,
    SYS_vhangup,
    SYS_sethostname,
    SYS_setdomainname,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_clock_adjtime,
    SYS_adjtimex,
#ifdef __x86_64__
    SYS_iopl,
    SYS_ioperm,
    SYS_modify_ldt,
    SYS_uselib,
#endif
};

/* Landlock says nothing of the modes, owners, attributes and times of files, nor of who watches
 * them. */
static const uint16_t refused_in_a_directory[] = {
    SYS_fchmodat,
    452, /* fchmodat2 */
    SYS_fchown,
    SYS_fchownat,
    SYS_setxattr,
    SYS_lsetxattr,
    SYS_fsetxattr,
    463, /* setxattrat */
    SYS_removexattr,
    SYS_lremovexattr,
    SYS_fremovexattr,
    466, /* removexattrat */
    469, /* file_setattr */
    SYS_utimensat,
    SYS_inotify_init1,
    SYS_inotify_add_watch,
#ifdef SYS_chmod
    SYS_chmod,
    SYS_chown,
    SYS_lchown,
    SYS_utime,
    SYS_utimes,
    SYS_futimesat,
    SYS_inotify_init,
#endif
};

static const uint16_t refused_without_uring[] = {
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register,
};

enum {
    REFUSED_COUNT = sizeof refused / sizeof refused[0],
    URING_COUNT = sizeof refused_without_uring / sizeof refused_without_uring[0],
    DIRECTORY_COUNT = sizeof refused_in_a_directory / sizeof refused_in_a_directory[0],
    FRAME_SIZE = 96, /* all that is not about a single number */
    PROGRAM_SIZE = 2 * (REFUSED_COUNT + URING_COUNT + DIRECTORY_COUNT) + FRAME_SIZE,
};

struct program {
    struct sock_filter steps[PROGRAM_SIZE];
    unsigned short size;
};

static void add(struct program *program, struct sock_filter step)
{
    program->steps[program->size++] = step;
}

static void add_load(struct program *program, size_t offset)
{
    add(program, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset));
}

static void add_answer(struct program *program, int error)
{
    uint32_t answer = error != 0 ? SECCOMP_RET_ERRNO | (uint32_t)error : SECCOMP_RET_ALLOW;
    add(program, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, answer));
}

/* The next answer is for this value alone. */
static void add_if_equal(struct program *program, uint32_t value)
{
    add(program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1));
}

static void add_if_above(struct program *program, uint32_t value)
{
    add(program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, value, 0, 1));
}

static void add_numbers(struct program *program, const uint16_t *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        add_if_equal(program, numbers[i]);
        add_answer(program, EPERM);
    }
}

/* Until the end of the argument: for this call alone, whose argument is looked at. In the order of
 * bytes of all these processors its lower half comes first, and it has no more. Returns where it
 * begins. */
static unsigned short begin_argument(struct program *program, uint32_t number, unsigned argument)
{
    unsigned short begin = program->size;
    add_if_equal(program, number);
    add_load(program, offsetof(struct seccomp_data, args) + argument * sizeof(uint64_t));
    return begin;
}

/* Any other value has the answer `error`. */
static void end_argument(struct program *program, unsigned short begin, int error)
{
    add_answer(program, error);
    program->steps[begin].jf = (uint8_t)(program->size - begin - 1);
}

/* With this value of an argument alone. */
static void add_only(struct program *program, uint32_t number, unsigned argument, uint32_t value,
                     int error)
{
    unsigned short begin = begin_argument(program, number, argument);
    add_if_equal(program, value);
    add_answer(program, 0);
    end_argument(program, begin, error);
}

/* The modes that a store's directory and the socket in it get. */
static void add_modes(struct program *program)
{
    unsigned short begin = begin_argument(program, SYS_fchmod, 1);
    add_if_equal(program, 0600);
    add_answer(program, 0);
    add_if_equal(program, 0700);
    add_answer(program, 0);
    end_argument(program, begin, EPERM);
}

/* Threads, and none with a name space of its own. Where clone3(2) keeps its flags no filter sees,
 * and the C library does without. */
static void add_threads(struct program *program)
{
    static const uint32_t name_spaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS |
                                        CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
    unsigned short begin = begin_argument(program, SYS_clone, 0);
    add(program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, name_spaces, 0, 1));
    add_answer(program, EPERM);
    end_argument(program, begin, 0);
    add_if_equal(program, SYS_clone3);
    add_answer(program, ENOSYS);
}

/* Limits and priorities of the caller, whose number is 0 here, and of nobody else. */
static void add_own_limits(struct program *program)
{
    add_only(program, SYS_prlimit64, 0, 0, EPERM);
    add_only(program, SYS_setpriority, 1, 0, EPERM);
    add_only(program, SYS_ioprio_set, 1, 0, EPERM);
    add_only(program, SYS_sched_setaffinity, 0, 0, EPERM);
    add_only(program, SYS_sched_setparam, 0, 0, EPERM);
    add_only(program, SYS_sched_setscheduler, 0, 0, EPERM);
    add_only(program, SYS_sched_setattr, 0, 0, EPERM);
}

static void build(const struct sandbox_plan *plan, struct program *program)
{
    add_load(program, offsetof(struct seccomp_data, arch));
    add(program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OWN_ARCH, 1, 0));
    add_answer(program, ENOSYS);
    add_load(program, offsetof(struct seccomp_data, nr));
    add_if_above(program, NUMBER_KNOWN_MAX);
    add_answer(program, ENOSYS);
    add_numbers(program, refused, REFUSED_COUNT);
    if (!plan->uring) {
        add_numbers(program, refused_without_uring, URING_COUNT);
    }
    add_threads(program);
    add_own_limits(program);
    if (plan->store != NULL) {
        add_numbers(program, refused_in_a_directory, DIRECTORY_COUNT);
        add_modes(program);
        /* Sockets of one process of this machine with another, and nothing else. */
        add_only(program, SYS_socket, 0, AF_UNIX, EAFNOSUPPORT);
    }
    add_answer(program, 0);
}

int sandbox_refuse_calls(const struct sandbox_plan *plan)
{
    struct program program = {.size = 0};
    build(plan, &program);
    struct sock_fprog filter = {.len = program.size, .filter = program.steps};
    long r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter);
    /* A thread that could not follow is named by its number: there is none but this one. */
    return r < 0 ? -errno : r > 0 ? -EBUSY : 0;
}

#endif
