/* SPDX-License-Identifier: Apache-2.0 */
/* dump, load: keys and contents as the text of db_dump, by the daemon if the store is mounted. */
#include "tools/cmd.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/dump_format.h"
#include "tools/progress.h"
#include "tools/text.h"

/* ---- dump ------------------------------------------------------------------------------------ */

struct dumping {
    struct words words;
    enum dump_format format;
    struct kv_buf text;
};

static error_t parse_dump(int key, char *value, struct argp_state *state)
{
    struct dumping *d = state->input;
    if (key == 'f') {
        if (dump_format_parse(value, &d->format) < 0) {
            argp_error(state, "--format=%s: wanted is print or bytevalue", value);
        }
        return 0;
    }
    return words_collect(&d->words, key, state);
}

static int dump_row(void *arg, const struct control_reply *reply)
{
    struct dumping *d = arg;
    d->text.size = 0;
    int r = dump_append_line(&d->text, reply->key, d->format);
    r = r < 0 ? r : dump_append_line(&d->text, reply->bytes, d->format);
    if (r == 0 && fwrite(d->text.data, 1, d->text.size, stdout) != d->text.size) {
        return -ECANCELED; /* told at the end */
    }
    return r;
}

int cmd_dump(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"format", 'f', "FORMAT", 0, "print (bytes that print as they are; default) or bytevalue",
         0},
        {0}};
    static const struct argp argp = {
        options,
        parse_dump,
        "STORE",
        "Examples:\n  kvfs dump /srv/a > keys.txt\n  kvfs dump --format=bytevalue /srv/a | db_load "
        "a.db\n\nWrite all keys and values, in order of the keys, as the text that db_dump of "
        "Berkeley DB writes. Owners, modes, times and links are not in it: that is what export is "
        "for.",
        NULL,
        NULL,
        NULL};
    struct dumping d = {.format = DUMP_PRINT};
    struct control_request request = {.op = CONTROL_SCAN};
    struct target target;
    const char *store;
    cmd_parse(&argp, argc, argv, EXIT_USAGE, 0, &d);
    int code = words_take_store(&d.words, "dump", argp.args_doc, 0, 0, &store);
    code = code == EXIT_DONE ? target_begin(&target, store, TARGET_READ) : code;
    if (code != EXIT_DONE) {
        return code;
    }
    dump_write_header(stdout, d.format);
    int r = target_call(&target, &request, dump_row, &d);
    if (r == 0) {
        dump_write_end(stdout); /* else nobody may take it for complete */
    } else if (r != -ECANCELED) {
        code = target_complain(&target, "dump", kv_slice("", 0), "", r);
    }
    kv_buf_finish(&d.text);
    return target_end(&target, code);
}

/* ---- load ------------------------------------------------------------------------------------ */

struct loading {
    struct target *target;
    struct dump_reader reader;
    struct progress bar;
    uint64_t loaded, refused, size;
    struct kv_buf key, value;
    mode_t umask;
};

/* Puts one row; what cannot be a key is told and passed over. Returns an exit code that ends it. */
static int load_row(struct loading *l, int *ret_code)
{
    struct control_request request = {.op = CONTROL_PUT,
                                      .key = kv_buf_slice(&l->key),
                                      .value = kv_buf_slice(&l->value),
                                      .umask = l->umask};
    int r = target_call(l->target, &request, NULL, NULL);
    if (r == 0) {
        l->loaded++;
        progress_show(&l->bar, l->loaded, (uint64_t)ftello(stdin), l->size);
        return EXIT_DONE;
    }
    progress_clear(&l->bar);
    int code = target_complain(l->target, "load", request.key, "into", r);
    bool is_of_key =
        r == -EINVAL || r == -ENAMETOOLONG || r == -EISDIR || r == -ENOTDIR || r == -EPERM;
    l->refused += is_of_key;
    *ret_code = is_of_key ? EXIT_FAILED : code;
    return is_of_key ? EXIT_DONE : code;
}

static int complain_input(struct loading *l, int error)
{
    const char *why = error == -EINVAL ? l->reader.fault
                      : error == -E2BIG
                          ? "a key of more than 16 KiB, or a value of more than 64 MiB"
                          : kv_strerror(error);
    progress_clear(&l->bar);
    complain("cannot read what is to be loaded, line %" PRIu64 ": %s. The %" PRIu64
             " keys before it are in %s.",
             l->reader.line, why, l->loaded, l->target->store);
    return EXIT_FAILED;
}

static int load_rows(struct loading *l)
{
    int code = EXIT_DONE;
    int ended = EXIT_DONE;
    int r = 1;
    while (r > 0 && ended == EXIT_DONE) {
        r = dump_read(&l->reader, &l->key, &l->value);
        if (r > 0) {
            ended = load_row(l, &code);
        }
    }
    if (r < 0) {
        code = complain_input(l, r);
    }
    progress_clear(&l->bar);
    if (l->refused > 0) {
        complain("%" PRIu64 " keys were not loaded; %" PRIu64 " were.", l->refused, l->loaded);
    }
    return code;
}

int cmd_load(int argc, char **argv)
{
    static const struct argp argp = {
        NULL,
        json_settings_parse,
        "STORE",
        "Examples:\n  kvfs load /srv/a < keys.txt\n  db_dump -p a.db | kvfs load /srv/a\n\nSet the "
        "keys that stand on stdin in the text that 'kvfs dump' and db_dump of Berkeley DB write. "
        "Other keys stay. A key that is no path is told and passed over, and the exit status is 1. "
        "Into a store that is not mounted nothing is durable before the end.",
        NULL,
        NULL,
        NULL};
    struct json_settings s = {0};
    struct target target;
    struct stat st;
    const char *store;
    cmd_parse(&argp, argc, argv, EXIT_USAGE, 0, &s);
    int code = words_take_store(&s.words, "load", argp.args_doc, 0, 0, &store);
    code = code == EXIT_DONE ? target_begin(&target, store, TARGET_LOAD) : code;
    if (code != EXIT_DONE) {
        return code;
    }
    struct loading l = {.target = &target, .reader = {.from = stdin}, .umask = cmd_umask()};
    if (fstat(STDIN_FILENO, &st) == 0 && S_ISREG(st.st_mode)) {
        l.size = (uint64_t)st.st_size;
    }
    progress_begin(&l.bar, "keys");
    code = load_rows(&l);
    kv_buf_finish(&l.key);
    kv_buf_finish(&l.value);
    return target_end(&target, code);
}
