/* SPDX-License-Identifier: Apache-2.0 */
/* sst, blob, wal, manifest: a file of a store is shown and its checksums are checked. One command
 * for each kind, so that a file of another kind is a mistake that is said. */
#include "tools/cmd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/inspect_print.h"
#include "tools/progress.h"
#include "tools/store_url.h"

enum { OPTION_KEY = 256, OPTION_VALUE, OPTION_STORE };

struct settings {
    struct words words;
    struct inspect_print print;
    struct kv_inspect_options options;
    struct progress bar;
    const char *store;
};

/* ---- the command line ------------------------------------------------------------------------ */

static void take_format(enum text_format *format, const char *value, struct argp_state *state)
{
    if (text_format_parse(value, format) < 0) {
        argp_error(state, "'%s' is none of auto, hex, utf8, len, none", value);
    }
}

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct settings *s = state->input;
    switch (key) {
    case 'r':
        s->options.rows = true;
        return 0;
    case 'p':
        s->options.parts = true;
        return 0;
    case 'j':
        s->print.json = true;
        return 0;
    case OPTION_KEY:
        take_format(&s->print.key_format, value, state);
        return 0;
    case OPTION_VALUE:
        take_format(&s->print.value_format, value, state);
        return 0;
    case OPTION_STORE:
        s->store = value;
        return 0;
    default:
        return words_collect(&s->words, key, state);
    }
}

static const struct argp_option options[] = {
    {"rows", 'r', NULL, 0, "list what it holds: rows, values, changes", 0},
    {"parts", 'p', NULL, 0, "list its blocks or records", 0},
    {"key", OPTION_KEY, "FORM", 0, "auto, hex, utf8, len or none", 0},
    {"value", OPTION_VALUE, "FORM", 0, "auto, hex, utf8, len or none", 0},
    {"store", OPTION_STORE, "DIR", 0, "the store it is of, if it lies elsewhere", 0},
    {"json", 'j', NULL, 0, "one JSON object a line", 0},
    {0}};

#define EXITS                                                                                      \
    " Nothing is written, and the store may be in use. Exits with 0 if the file is sound, 4 if "   \
    "it is damaged."

/* ---- running --------------------------------------------------------------------------------- */

static int show_progress(void *arg, uint64_t bytes, uint64_t bytes_all)
{
    struct settings *s = arg;
    progress_show(&s->bar, 0, bytes, bytes_all);
    return 0;
}

static int take_item(void *arg, const struct kv_inspect_item *item)
{
    struct settings *s = arg;
    progress_clear(&s->bar);
    return inspect_print_item(&s->print, item);
}

static int complain_of(const char *file, int error)
{
    if (error == -ENODATA) {
        complain("cannot look into %s: neither a root record beside it nor a log tells the "
                 "checksum seed. Name the store that it is of: --store=DIR.",
                 file);
    } else if (error == -ESTALE) {
        complain("%s was given to another use meanwhile, as logs of a store in use are", file);
    } else if (error == -KV_EFORMAT) {
        complain("%s holds something of a newer version of kvfs; use that version", file);
    } else {
        complain("cannot look into %s: %s", file, kv_strerror(error));
    }
    return error == -KV_EFORMAT || error == -ENOENT ? EXIT_FAILED : exit_code_of(error);
}

static int end(struct settings *s, int r)
{
    const char *file = s->print.file;
    int code = EXIT_DONE;

    progress_clear(&s->bar);
    if (r == -ECANCELED) {
        return s->print.error == -ENOMEM ? complain_of(file, -ENOMEM) : finish_output(EXIT_FAILED);
    }
    if (r == 0 || r == -KV_EDAMAGED) {
        inspect_print_end(&s->print, r == 0);
    }
    if (r == -KV_EDAMAGED) {
        complain("%s is damaged: %llu finding(s). 'kvfs fsck' on the store, which must not be in "
                 "use, says what that costs.",
                 file, (unsigned long long)s->print.damages);
        code = EXIT_DAMAGED;
    } else if (r < 0) {
        code = complain_of(file, r);
    }
    return finish_output(code);
}

static int run_in(struct settings *s, const char *directory, struct kv_file_id id)
{
    struct kv_storage *storage = NULL;
    struct kv_storage *store = NULL;
    int r = kv_storage_posix_open(directory, false, &storage);

    if (r == 0 && s->store != NULL) {
        r = kv_storage_posix_open(s->store, false, &store);
    }
    if (r == 0) {
        s->options.store = store;
        s->options.item_fn = take_item;
        s->options.progress_fn = show_progress;
        s->options.arg = s;
        progress_begin(&s->bar, NULL);
        r = kv_inspect(storage, id, &s->options);
    }
    if (store != NULL) {
        store->ops->close(store);
    }
    if (storage != NULL) {
        storage->ops->close(storage);
    }
    return end(s, r);
}

static int refuse_url(const char *url)
{
    struct fault fault;
    store_url_refuse(
        "looking into a file", url,
        "'kvfs verify' checks all files of a store, and 'kvfs copy' brings them into a "
        "directory.",
        &fault);
    complain("%s", fault.text);
    return EXIT_FAILED;
}

static int run(struct settings *s, enum kv_file_kind kind, const char *what)
{
    const char *file = s->words.at[0];
    const char *slash = strrchr(file, '/');
    const char *name = slash != NULL ? slash + 1 : file;
    struct kv_file_id id = {0};
    char *directory;
    int code;

    if (kv_inspect_id(name, &id) < 0 || id.kind != kind) {
        complain("%s is not the name of %s, such as 00000012.%s", file, what,
                 strchr(what, ' ') + 1);
        return EXIT_USAGE;
    }
    directory = slash == NULL ? strdup(".") : strndup(file, (size_t)(name - file));
    if (directory == NULL) {
        return complain_of(file, -ENOMEM);
    }
    s->print.file = file;
    code = run_in(s, directory, id);
    inspect_print_finish(&s->print);
    free(directory);
    return code;
}

static int inspect(const struct argp *argp, int argc, char **argv, enum kv_file_kind kind)
{
    static const char *const whats[] = {"", "a log", "a manifest", "a table", "a blob"};
    struct settings s = {.print = {.key_format = TEXT_AUTO, .value_format = TEXT_AUTO}};

    cmd_parse(argp, argc, argv, EXIT_USAGE, 0, &s);
    if (s.words.count != 1) {
        complain("usage: %s FILE. See '%s --help'.", argv[0], argv[0]);
        return EXIT_USAGE;
    }
    if (store_is_url(s.words.at[0]) || (s.store != NULL && store_is_url(s.store))) {
        return refuse_url(store_is_url(s.words.at[0]) ? s.words.at[0] : s.store);
    }
    return run(&s, kind, whats[kind]);
}

int cmd_sst(int argc, char **argv)
{
    static const struct argp argp = {
        options,
        parse,
        "FILE",
        "Examples:\n  kvfs sst /srv/a/00000005.table\n  kvfs sst --rows --value=len "
        "/srv/a/00000005.table\n\nShow what a sorted table says of itself, and check every "
        "block of it." EXITS,
        NULL,
        NULL,
        NULL};
    return inspect(&argp, argc, argv, KV_FILE_TABLE);
}

int cmd_blob(int argc, char **argv)
{
    static const struct argp argp = {
        options,
        parse,
        "FILE",
        "Examples:\n  kvfs blob /srv/a/00000003.blob\n  kvfs blob --rows /srv/a/00000003.blob\n\n"
        "Show what a file of large values says of itself, with --rows each value with the key it "
        "was born under, and check its directory. The checksums of the values stand in the rows "
        "that point at them: 'kvfs verify' and 'kvfs fsck --deep' check those." EXITS,
        NULL,
        NULL,
        NULL};
    return inspect(&argp, argc, argv, KV_FILE_BLOB);
}

int cmd_wal(int argc, char **argv)
{
    static const struct argp argp = {
        options,
        parse,
        "FILE",
        "Examples:\n  kvfs wal /srv/a/00000007.log\n  kvfs wal --rows /srv/a/00000007.log\n\nShow "
        "the records of a write-ahead log, how far it was synced, and why it ends where it "
        "does, and check them." EXITS,
        NULL,
        NULL,
        NULL};
    return inspect(&argp, argc, argv, KV_FILE_LOG);
}

int cmd_manifest(int argc, char **argv)
{
    static const struct argp argp = {
        options,
        parse,
        "FILE",
        "Examples:\n  kvfs manifest /srv/a/00000002.manifest\n  kvfs manifest --rows "
        "/srv/a/00000002.manifest\n\nShow the state that a manifest comes to, tables by level, "
        "snapshots, with --rows each change, and check its records." EXITS,
        NULL,
        NULL,
        NULL};
    return inspect(&argp, argc, argv, KV_FILE_MANIFEST);
}
