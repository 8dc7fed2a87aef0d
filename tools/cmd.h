/* SPDX-License-Identifier: Apache-2.0 */
/* The subcommands, and what they share in reading their command lines. Each run function gets the
 * words from the subcommand's name on and returns the exit code. */
#ifndef KVFS_TOOLS_CMD_H
#define KVFS_TOOLS_CMD_H

#include <argp.h>
#include <stdbool.h>

#include "tools/control.h"
#include "tools/report.h"
#include "tools/target.h"

struct cmd {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary; /* one line of the list */
};

int cmd_batch(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_blob(int argc, char **argv);
int cmd_cat(int argc, char **argv);
int cmd_checkpoint(int argc, char **argv);
int cmd_compact(int argc, char **argv);
int cmd_copy(int argc, char **argv);
int cmd_debug(int argc, char **argv);
int cmd_del(int argc, char **argv);
int cmd_dump(int argc, char **argv);
int cmd_exec(int argc, char **argv);
int cmd_exists(int argc, char **argv);
int cmd_export(int argc, char **argv);
int cmd_find(int argc, char **argv);
int cmd_fsck(int argc, char **argv);
int cmd_get(int argc, char **argv);
int cmd_health(int argc, char **argv);
int cmd_import(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_load(int argc, char **argv);
int cmd_ls(int argc, char **argv);
int cmd_manifest(int argc, char **argv);
int cmd_mkfs(int argc, char **argv);
int cmd_mount(int argc, char **argv);
int cmd_mount_helper(int argc, char **argv); /* as mount(8) calls mount.kvfs */
int cmd_put(int argc, char **argv);
int cmd_recover(int argc, char **argv);
int cmd_scan(int argc, char **argv);
int cmd_serve(int argc, char **argv);
int cmd_snapshot(int argc, char **argv);
int cmd_sst(int argc, char **argv);
int cmd_stats(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_sync(int argc, char **argv);
int cmd_umount(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_version(int argc, char **argv);
int cmd_wal(int argc, char **argv);

/* Words that are not options. */
struct words {
    char **at; /* borrowed from the command line */
    int count;
};

/* Read the options of a subcommand with `argp`, whose parser hands every key on to words_collect()
 * that it does not know. Exits with `usage_code` on a bad option. `settings` is the parser's input.
 */
void cmd_parse(const struct argp *argp, int argc, char **argv, int usage_code, unsigned flags,
               void *settings);
error_t words_collect(struct words *words, int key, struct argp_state *state);

/* Settings and parser of a subcommand that has no option but --json, or none at all. */
struct json_settings {
    struct words words;
    bool json;
};
error_t json_settings_parse(int key, char *value, struct argp_state *state);

struct json_t; /* of jansson */
/* The JSON object that answers `op`, a new reference; NULL with the exit code set and the complaint
 * made. */
struct json_t *cmd_ask(struct target *target, enum control_op op, const char *verb, int *ret_code);

/* A control_reply_fn for answers that tell how far it is: `arg` is a struct progress. */
int cmd_show_progress(void *arg, const struct control_reply *reply);

/* Take STORE off the words: the first one, or KVFS_STORE if that is set and `min` to `max` words
 * make sense without it. `usage` (such as "STORE KEY") is for the complaint. Returns an exit code.
 */
int words_take_store(struct words *words, const char *command, const char *usage, int min, int max,
                     const char **ret_store);

mode_t cmd_umask(void);

/* Open what `store` names, or complain that it does not open. Returns an exit code; on EXIT_DONE
 * the counterpart is target_end(). */
int target_begin(struct target *target, const char *store, enum target_mode mode);
/* The same for what works on the filesystem itself: where a daemon has the store, `command` is
 * refused with the name of its mount. */
int target_begin_unmounted(struct target *target, const char *store, enum target_mode mode,
                           const char *command);
/* Complain that target_open() failed and return the exit code. */
int target_open_complain(const struct fault *fault);
/* Complain that `what` (such as "get users/42 from") failed on the target and return the exit code.
 */
int target_complain(const struct target *target, const char *verb, struct kv_slice key,
                    const char *preposition, int error);
/* Close after work that ended with `code`; a failure to close is a failure. */
int target_end(struct target *target, int code);

#endif
