/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/cmd.h"

#include <stdio.h>

struct settings {
    struct words words;
    bool json;
};

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct settings *s = state->input;
    if (key == 'j') {
        s->json = true;
        return 0;
    }
    return words_collect(&s->words, key, state);
}

int cmd_version(int argc, char **argv)
{
    static const struct argp_option options[] = {{"json", 'j', NULL, 0, "as a JSON object", 0},
                                                 {0}};
    static const struct argp argp = {
        options,
        parse,
        "",
        "Examples:\n  kvfs version\n  kvfs version --json\n\nShow the version of this program.",
        NULL,
        NULL,
        NULL};
    struct settings s = {0};
    cmd_parse(&argp, argc, argv, EXIT_USAGE, 0, &s);
    if (s.json) {
        printf("{\"format_version\":1,\"version\":\"%s\",\"store_format\":1}\n", KVFS_VERSION);
    } else {
        printf("kvfs %s\n", KVFS_VERSION);
    }
    return finish_output(EXIT_DONE);
}
