/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/cmd.h"

#include <stdio.h>

int cmd_version(int argc, char **argv)
{
    static const struct argp_option options[] = {{"json", 'j', NULL, 0, "as a JSON object", 0},
                                                 {0}};
    static const struct argp argp = {
        options,
        json_settings_parse,
        "",
        "Examples:\n  kvfs version\n  kvfs version --json\n\nShow the version of this program.",
        NULL,
        NULL,
        NULL};
    struct json_settings s = {0};
    cmd_parse(&argp, argc, argv, EXIT_USAGE, 0, &s);
    if (s.words.count > 0) {
        complain("usage: kvfs version [--json]. See 'kvfs version --help'.");
        return EXIT_USAGE;
    }
    if (s.json) {
        printf("{\"format_version\":1,\"version\":\"%s\",\"store_format\":1}\n", KVFS_VERSION);
    } else {
        printf("kvfs %s\n", KVFS_VERSION);
    }
    return finish_output(EXIT_DONE);
}
