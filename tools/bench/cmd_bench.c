/* SPDX-License-Identifier: Apache-2.0 */
/* bench: which of the two. */
#include <stdio.h>
#include <string.h>

#include "tools/bench/bench_commands.h"
#include "tools/cmd.h"

static const char help[] =
    "Usage: kvfs bench kv|fs [OPTION...] DIR\n"
    "Examples:\n"
    "  kvfs bench kv /srv/tmp/bench       measure the engine, in a store of its own\n"
    "  kvfs bench fs /mnt/a               measure the file system that the directory lies on\n"
    "\n"
    "'kvfs bench kv --help' and 'kvfs bench fs --help' list workloads and options.\n";

int cmd_bench(int argc, char **argv)
{
    static const struct cmd kinds[] = {{"kv", cmd_bench_kv, NULL}, {"fs", cmd_bench_fs, NULL}};
    for (int i = 1; i < argc; i++) {
        for (unsigned k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
            if (strcmp(argv[i], kinds[k].name) == 0) {
                return kinds[k].run(argc, argv);
            }
        }
    }
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-?") == 0)) {
        fputs(help, stdout);
        return finish_output(EXIT_DONE);
    }
    complain("usage: kvfs bench kv|fs DIR. See 'kvfs bench --help'.");
    return EXIT_USAGE;
}
