/* SPDX-License-Identifier: Apache-2.0 */
/* The processes that make the steps on one side. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/posix/diff.h"

enum { STEP_END = -1, REPLY_MAX = 100000, ACTOR_TIME_MAX_S = 120, WATCHED = 6 };

struct actor {
    uint64_t seed;
    const struct known *known;
    int slots[SLOTS];
    uint8_t *buffer;
};

/* Who they are: each in groups of their own and some of others. */
static const struct {
    uid_t uid;
    gid_t gid, extra;
} users[] = {{0, 0, 0}, {50001, 50001, DIFF_TEAM}, {50002, 50002, 50003}, {50003, DIFF_TEAM, 0}};

static void become(unsigned user)
{
    gid_t extra = users[user].extra;
    if (setgroups(extra != 0, &extra) != 0 || setresgid(users[user].gid, users[user].gid, 0) != 0 ||
        setresuid(users[user].uid, users[user].uid, 0) != 0) {
        diff_die("cannot act as a user");
    }
}

static void become_root(void)
{
    if (setresuid(0, 0, 0) != 0 || setresgid(0, 0, 0) != 0 || setgroups(0, NULL) != 0) {
        diff_die("cannot be root again");
    }
}

int actor_fd(struct actor *actor, unsigned slot)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        int fd = actor->slots[(slot + i) % SLOTS];
        if (fd >= 0) {
            return fd;
        }
    }
    return -1;
}

/* Data in a FIFO moves the modification time on ext4; FUSE is not told of it. */
int actor_data_fd(struct actor *actor, unsigned slot)
{
    struct stat st;
    int fd = actor_fd(actor, slot);
    return fd >= 0 && fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode) ? -1 : fd;
}

int actor_at(struct actor *actor, unsigned at)
{
    struct stat st;
    int fd = at < SLOTS ? actor->slots[at] : -1;
    return fd >= 0 && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) ? fd : AT_FDCWD;
}

void actor_close(struct actor *actor, unsigned slot)
{
    if (actor->slots[slot] >= 0) {
        close(actor->slots[slot]);
        actor->slots[slot] = -1;
    }
}

void actor_keep(struct actor *actor, unsigned slot, int fd)
{
    int error = errno;
    if (fd >= 0) {
        actor_close(actor, slot);
        actor->slots[slot] = fd;
    }
    errno = error;
}

bool actor_avoids(const struct actor *actor, const char *what)
{
    return known_avoids(actor->known, what);
}

bool actor_fd_direct(int fd)
{
    return (fcntl(fd, F_GETFL) & O_DIRECT) != 0;
}

bool diff_setgid_file(int at, const char *path)
{
    struct stat st;
    return fstatat(at, path, &st, AT_EMPTY_PATH) == 0 && !S_ISDIR(st.st_mode) &&
           (st.st_mode & S_ISGID) != 0;
}

uint8_t *actor_buffer(struct actor *actor)
{
    return actor->buffer;
}

/* Half of it compresses, and some is zero. */
void actor_fill(struct actor *actor, struct diff_op *op, size_t size)
{
    uint64_t kind = diff_pick(op, 8);
    uint64_t bits = rng_next(&op->rng);
    for (size_t i = 0; i < size; i++) {
        bits = kind < 4 ? bits * 6364136223846793005U + 1442695040888963407U : bits;
        actor->buffer[i] = kind == 7 ? 0 : (uint8_t)(bits >> 33);
    }
}

struct watched {
    bool there;
    struct stat st;
};

/* The directory that holds the last component; "" if there is none to be named. */
static void parent_of(const char *path, char *ret_parent)
{
    const char *slash = strrchr(path, '/');
    size_t size = slash == NULL ? 0 : (size_t)(slash - path);
    memcpy(ret_parent, size == 0 ? "." : path, size == 0 ? 1 : size);
    ret_parent[size == 0 ? 1 : size] = '\0';
    if (slash == path) {
        memcpy(ret_parent, "/", 2);
    }
}

static void watch_path(int at, const char *path, struct watched *ret_path,
                       struct watched *ret_parent)
{
    char parent[DIFF_PATH_MAX];
    parent_of(path, parent);
    ret_path->there = fstatat(at, path, &ret_path->st, AT_SYMLINK_NOFOLLOW) == 0;
    ret_parent->there = fstatat(at, parent, &ret_parent->st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void watch(struct actor *actor, const struct diff_op *op, struct watched *ret_watched)
{
    unsigned uses = op->call->uses;
    memset(ret_watched, 0, WATCHED * sizeof *ret_watched);
    if ((uses & USES_PATH1) != 0) {
        watch_path(actor_at(actor, op->at1), op->path1, &ret_watched[0], &ret_watched[1]);
    }
    if ((uses & USES_PATH2) != 0) {
        watch_path(actor_at(actor, op->at2), op->path2, &ret_watched[2], &ret_watched[3]);
    }
    for (unsigned i = 0; i < 2; i++) {
        int fd = (uses & (i == 0 ? USES_SLOT1 : USES_SLOT2)) != 0
                     ? actor_fd(actor, i == 0 ? op->slot1 : op->slot2)
                     : -1;
        ret_watched[4 + i].there = fd >= 0 && fstat(fd, &ret_watched[4 + i].st) == 0;
    }
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static void tell(const struct watched *before, const struct watched *after, bool moves,
                 struct text *out)
{
    static const char *const names[WATCHED] = {"path", "parent", "path2", "parent2", "fd", "fd2"};
    for (int i = 0; i < WATCHED; i++) {
        if (!after[i].there) {
            continue;
        }
        text_add(out, "\n    %s ", names[i]);
        stat_describe(&after[i].st, out);
        if (moves && before[i].there && before[i].st.st_ino == after[i].st.st_ino) {
            text_add(out, " moved:%s%s",
                     same_time(before[i].st.st_mtim, after[i].st.st_mtim) ? "" : "m",
                     same_time(before[i].st.st_ctim, after[i].st.st_ctim) ? "" : "c");
        }
    }
}

/* The next slot with a file that can be read or written as is wanted; `slot` if there is none. */
static unsigned better_slot(const struct actor *actor, unsigned slot, bool reads, bool writes)
{
    for (unsigned i = 0; i < SLOTS && (reads || writes); i++) {
        unsigned at = (slot + i) % SLOTS;
        struct stat st;
        int flags = actor->slots[at] >= 0 ? fcntl(actor->slots[at], F_GETFL) : O_PATH;
        bool fits = (flags & O_PATH) == 0 && (!reads || (flags & O_ACCMODE) != O_WRONLY) &&
                    (!writes || (flags & O_ACCMODE) != O_RDONLY);
        if (fits && fstat(actor->slots[at], &st) == 0 && S_ISREG(st.st_mode)) {
            return at;
        }
    }
    return slot;
}

static void choose_slots(const struct actor *actor, struct diff_op *op)
{
    unsigned uses = op->call->uses;
    if (!op->any_slot) {
        op->slot1 = better_slot(actor, op->slot1, (uses & READS1) != 0, (uses & WRITES1) != 0);
        op->slot2 = better_slot(actor, op->slot2, false, (uses & WRITES2) != 0);
    }
}

static void make_step(struct actor *actor, struct diff_op *op, struct text *out)
{
    struct watched before[WATCHED] = {0};
    struct watched after[WATCHED];
    choose_slots(actor, op);
    struct diff_op copy = *op;
    if (op->told == 2) {
        watch(actor, op, before);
    }
    text_add(out, "actor %u user %u:", op->actor, users[op->user].uid);
    become(op->user);
    umask(op->umask);
    op->call->fn(actor, &copy, out);
    become_root();
    if (op->told > 0) {
        watch(actor, op, after);
        tell(before, after, op->told == 2, out);
    }
}

static _Noreturn void serve(struct actor *actor, int socket)
{
    struct text out = {0};
    struct diff_op *op = malloc(sizeof *op);
    int64_t step;
    if (op == NULL) {
        diff_die("no memory");
    }
    while (recv(socket, &step, sizeof step, 0) == sizeof step && step != STEP_END) {
        text_clear(&out);
        diff_op_make(actor->seed, (uint64_t)step, actor->known, op);
        alarm(ACTOR_TIME_MAX_S);
        make_step(actor, op, &out);
        alarm(0);
        out.size = out.size < REPLY_MAX ? out.size : REPLY_MAX;
        if (send(socket, out.bytes, out.size, MSG_NOSIGNAL) != (ssize_t)out.size) {
            diff_die("cannot answer");
        }
    }
    _exit(0);
}

static void actor_setup(struct actor *actor, const char *directory)
{
    actor->buffer =
        mmap(NULL, DIFF_FILE_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < SLOTS; i++) {
        actor->slots[i] = -1;
    }
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (actor->buffer == MAP_FAILED || chdir(directory) != 0 || chroot(".") != 0) {
        diff_die(directory);
    }
}

struct side_actor actor_start(const char *directory, uint64_t seed, const struct known *known)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        diff_die("socketpair");
    }
    fflush(NULL);
    struct side_actor side = {.pid = fork(), .socket = pair[0]};
    if (side.pid < 0) {
        diff_die("fork");
    }
    if (side.pid == 0) {
        struct actor actor = {.seed = seed, .known = known};
        close(pair[0]);
        actor_setup(&actor, directory);
        serve(&actor, pair[1]);
    }
    close(pair[1]);
    return side;
}

void actor_send(const struct side_actor *side, uint64_t step)
{
    int64_t word = (int64_t)step;
    if (send(side->socket, &word, sizeof word, MSG_NOSIGNAL) != sizeof word) {
        diff_die("an actor has ended");
    }
}

void actor_receive(const struct side_actor *side, struct text *ret_text)
{
    static char bytes[REPLY_MAX + 1];
    ssize_t size = recv(side->socket, bytes, REPLY_MAX, 0);
    text_clear(ret_text);
    bytes[size > 0 ? size : 0] = '\0';
    text_add(ret_text, "%s", size > 0 ? bytes : "the process that made the step died");
}

/* Other actors hold copies of the socket, so closing it would not be seen. */
void actor_end(struct side_actor *side)
{
    int64_t word = STEP_END;
    if (send(side->socket, &word, sizeof word, MSG_NOSIGNAL) != sizeof word) {
        kill(side->pid, SIGKILL);
    }
    close(side->socket);
    waitpid(side->pid, NULL, 0);
}
