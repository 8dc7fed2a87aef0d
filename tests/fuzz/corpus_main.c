/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/corpus.h"

#include <stdio.h>
#include <sys/stat.h>

enum { PATH_SIZE = 4096 };

void corpus_put(const struct corpus *corpus, const char *path, struct kv_slice head,
                struct kv_slice bytes)
{
    char full[PATH_SIZE];
    int folder_size = (int)(strchr(path, '/') - path);

    snprintf(full, sizeof full, "%s/%.*s", corpus->folder, folder_size, path);
    mkdir(full, 0777); /* it may be there; if it cannot be made, opening fails */
    snprintf(full, sizeof full, "%s/%s", corpus->folder, path);
    FILE *file = fopen(full, "wb");
    if (file == NULL || (head.size > 0 && fwrite(head.data, 1, head.size, file) != head.size) ||
        fwrite(bytes.data, 1, bytes.size, file) != bytes.size || fclose(file) != 0) {
        perror(full);
        exit(EXIT_FAILURE);
    }
}

void corpus_put_flagged(const struct corpus *corpus, const char *path, uint8_t flags,
                        struct kv_slice bytes)
{
    corpus_put(corpus, path, kv_slice(&flags, 1), bytes);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return EXIT_FAILURE;
    }
    struct corpus corpus = {.folder = argv[1]};
    corpus_store(&corpus);
    corpus_table(&corpus);
    corpus_blob(&corpus);
    corpus_fs(&corpus);
    corpus_control(&corpus);
    corpus_admin(&corpus);
    corpus_pooled(&corpus);
    return EXIT_SUCCESS;
}
