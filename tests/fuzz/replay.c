/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target over its corpus, without libFuzzer: `replay_NAME CORPUS_FOLDER`. Speaks TAP:
 * one point for all seeds together and one for each input that once broke something, whose file is
 * named after the symptom, "bug-...". A target that fails dies; the last line names the input. */
#include <dirent.h>
#include <stdio.h>

#include "tests/fuzz/fuzz.h"

enum { PATH_SIZE = 4096, INPUT_SIZE_MAX = 1 << 20 };

static bool is_bug(const char *name)
{
    return strncmp(name, "bug-", 4) == 0;
}

static int is_input(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static bool run_file(const char *folder, const char *name)
{
    static uint8_t input[INPUT_SIZE_MAX];
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return false;
    }
    size_t size = fread(input, 1, sizeof input, file);
    bool read = !ferror(file) && feof(file);
    fclose(file);
    if (read) {
        printf("# %s, %zu bytes\n", path, size);
        fflush(stdout);
        uint8_t *exact = fuzz_copy(kv_slice(input, size));
        LLVMFuzzerTestOneInput(exact, size);
        free(exact);
    }
    return read;
}

int main(int argc, char **argv)
{
    struct dirent **entries = NULL;
    int seeds = 0, read = 0, points = 0;
    int count = argc == 2 ? scandir(argv[1], &entries, is_input, alphasort) : -1;

    if (count < 0) {
        fprintf(stderr, "usage: %s CORPUS_FOLDER\n", argv[0]);
        return EXIT_FAILURE;
    }
    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name;
        bool done = run_file(argv[1], name);
        if (is_bug(name)) {
            printf("%s %d - input %s is taken\n", done ? "ok" : "not ok", ++points, name);
        } else {
            seeds++;
            read += done;
        }
        free(entries[i]);
    }
    free(entries);
    printf("%s %d - %d of %d seeds are taken\n", seeds > 0 && read == seeds ? "ok" : "not ok",
           ++points, read, seeds);
    printf("# tried: %d inputs\n1..%d\n", seeds, points);
    return EXIT_SUCCESS;
}
