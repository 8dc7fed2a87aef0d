/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/check_main.h"

#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/lib/temp_dir.h"
#include "tools/notify.h"

/* A receiver under `name`, as NOTIFY_SOCKET has it, which is set to it. */
static int listen_as(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t size = strlen(name);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_uint_lt(size, sizeof address.sun_path);
    memcpy(address.sun_path, name, size);
    if (*name == '@') {
        address.sun_path[0] = '\0';
    }
    ck_assert_int_eq(bind(fd, (const struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size)),
                     0);
    ck_assert_int_eq(setenv("NOTIFY_SOCKET", name, 1), 0);
    return fd;
}

static void receives(int fd, const char *wanted)
{
    char text[256];
    ssize_t size = recv(fd, text, sizeof text, MSG_DONTWAIT);
    ck_assert_int_eq(size, (ssize_t)strlen(wanted));
    ck_assert_mem_eq(text, wanted, strlen(wanted));
    ck_assert_int_lt(recv(fd, text, sizeof text, MSG_DONTWAIT), 0);
}

START_TEST(a_state_arrives_as_one_datagram_at_a_socket_with_a_path)
{
    struct temp_dir dir;
    char name[512];
    temp_dir_make(&dir);
    int fd = listen_as(temp_dir_name(&dir, "notify", name));
    ck_assert_int_eq(notify_send("READY=1\nSTATUS=mounted"), 1);
    receives(fd, "READY=1\nSTATUS=mounted");
    close(fd);
    ck_fails(notify_send("STOPPING=1"), ECONNREFUSED);
    temp_dir_remove(&dir);
}
END_TEST

START_TEST(a_state_arrives_at_an_abstract_socket)
{
    char name[64];
    snprintf(name, sizeof name, "@kvfs-test-notify-%d", (int)getpid());
    int fd = listen_as(name);
    ck_assert_int_eq(notify_send("STOPPING=1"), 1);
    receives(fd, "STOPPING=1");
    close(fd);
}
END_TEST

START_TEST(nothing_is_sent_where_nobody_asked)
{
    unsetenv("NOTIFY_SOCKET");
    ck_assert_int_eq(notify_send("READY=1"), 0);
    setenv("NOTIFY_SOCKET", "", 1);
    ck_assert_int_eq(notify_send("READY=1"), 0);
}
END_TEST

START_TEST(names_that_are_no_sockets_are_refused)
{
    char name[sizeof((struct sockaddr_un *)0)->sun_path + 1];
    setenv("NOTIFY_SOCKET", "relative/path", 1);
    ck_fails(notify_send("READY=1"), EINVAL);
    memset(name, 'x', sizeof name - 1);
    name[0] = '/';
    name[sizeof name - 1] = '\0';
    setenv("NOTIFY_SOCKET", name, 1);
    ck_fails(notify_send("READY=1"), EINVAL);
    setenv("NOTIFY_SOCKET", "/nowhere/at/all", 1);
    ck_fails(notify_send("READY=1"), ENOENT);
}
END_TEST

START_TEST(a_manager_that_does_not_read_stops_nobody)
{
    char name[64];
    int r = 1;
    snprintf(name, sizeof name, "@kvfs-test-notify-full-%d", (int)getpid());
    int fd = listen_as(name);
    for (int i = 0; i < 100000 && r == 1; i++) {
        r = notify_send("STATUS=again");
    }
    ck_fails(r, EAGAIN);
    close(fd);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("notify");
    suite_add(suite, "a_state_arrives_as_one_datagram_at_a_socket_with_a_path",
              a_state_arrives_as_one_datagram_at_a_socket_with_a_path);
    suite_add(suite, "a_state_arrives_at_an_abstract_socket",
              a_state_arrives_at_an_abstract_socket);
    suite_add(suite, "nothing_is_sent_where_nobody_asked", nothing_is_sent_where_nobody_asked);
    suite_add(suite, "names_that_are_no_sockets_are_refused",
              names_that_are_no_sockets_are_refused);
    suite_add(suite, "a_manager_that_does_not_read_stops_nobody",
              a_manager_that_does_not_read_stops_nobody);
    return suite;
}
