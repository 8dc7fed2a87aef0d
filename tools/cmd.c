/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/cmd.h"

#include <stdlib.h>

#include "tools/mount_table.h"
#include "tools/store_open.h"
#include "tools/text.h"

void cmd_parse(const struct argp *argp, int argc, char **argv, int usage_code, unsigned flags,
               void *settings)
{
    argp_err_exit_status = usage_code;
    if (argp_parse(argp, argc, argv, flags, NULL, settings) != 0) {
        complain("out of memory");
        exit(EXIT_FAILED);
    }
}

error_t words_collect(struct words *words, int key, struct argp_state *state)
{
    if (key != ARGP_KEY_ARGS) {
        return ARGP_ERR_UNKNOWN; /* single words too: argp then offers the rest in one piece */
    }
    words->at = state->argv + state->next;
    words->count = state->argc - state->next;
    return 0;
}

error_t json_settings_parse(int key, char *value, struct argp_state *state)
{
    struct json_settings *s = state->input;
    if (key == 'j') {
        s->json = true;
        return 0;
    }
    return words_collect(&s->words, key, state);
}

int words_take_store(struct words *words, const char *command, const char *usage, int min, int max,
                     const char **ret_store)
{
    const char *store = getenv("KVFS_STORE");
    if (store == NULL || *store == '\0' || words->count < min || words->count > max) {
        store = words->count > 0 ? words->at[0] : NULL;
        words->at += words->count > 0;
        words->count -= words->count > 0;
    }
    if (store == NULL || words->count < min || words->count > max) {
        complain("usage: kvfs %s %s. See 'kvfs %s --help'.", command, usage, command);
        return EXIT_USAGE;
    }
    *ret_store = store;
    return EXIT_DONE;
}

int target_open_complain(const struct fault *fault)
{
    complain("%s", fault->text);
    /* A missing store is a failure; "not found" is for keys. */
    return fault->error == -ENOENT ? EXIT_FAILED : (int)exit_code_of(fault->error);
}

int target_begin(struct target *target, const char *store, enum target_mode mode)
{
    struct fault fault;
    int r = target_open(target, store, mode, &fault);
    return r < 0 ? target_open_complain(&fault) : EXIT_DONE;
}

int target_begin_unmounted(struct target *target, const char *store, enum target_mode mode,
                           const char *command)
{
    struct mount_row row = {0};
    int code = target_begin(target, store, mode);
    if (code != EXIT_DONE || target->client == NULL) {
        return code;
    }
    char holder[512];
    store_holder(target->store, holder, sizeof holder);
    bool mounted = mount_table_find_source(target->store, &row) == 0;
    if (strstr(holder, STORE_HOLDER_SERVING) != NULL) {
        complain("%s works on stores that are not in use; %s is held by %s. End that with 'kvfs "
                 "umount %s'.",
                 command, target->store, holder, target->store);
    } else {
        complain("%s works on stores that are not mounted; %s is mounted%s%s. Look there.", command,
                 target->store, mounted ? " on " : "", mounted ? row.target : "");
    }
    mount_row_finish(&row);
    return target_end(target, EXIT_BUSY);
}

int target_complain(const struct target *target, const char *verb, struct kv_slice key,
                    const char *preposition, int error)
{
    struct kv_buf shown = {0};
    const char *reason = target->detail[0] != '\0' ? target->detail : key_reason_of(error);
    if (text_append(&shown, key, TEXT_AUTO) < 0) {
        shown.size = 0;
    }
    complain("cannot %s%s%.*s%s%s %s: %s", verb, shown.size > 0 ? " " : "", (int)shown.size,
             shown.size > 0 ? (const char *)shown.data : "", *preposition != '\0' ? " " : "",
             preposition, target->store, reason);
    kv_buf_finish(&shown);
    return exit_code_of(error);
}

int target_end(struct target *target, int code)
{
    struct fault fault;
    int r = target_close(target, &fault);
    if (r < 0) {
        complain("%s", fault.text);
        code = code == EXIT_DONE ? (int)exit_code_of(r) : code;
    }
    return finish_output(code);
}
