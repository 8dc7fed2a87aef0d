/* SPDX-License-Identifier: Apache-2.0 */
/* The seeds of the fuzz targets are made by the encoders themselves: `fuzz_make_corpus FOLDER`
 * writes FOLDER/TARGET/NAME. Run it again, and commit what it wrote, when a format changes. */
#ifndef TESTS_FUZZ_CORPUS_H
#define TESTS_FUZZ_CORPUS_H

#include "tests/fuzz/fuzz.h"

struct corpus {
    const char *folder;
};

/* Write one seed: `head` (flags and the like), then `bytes`. Ends the program if it cannot. */
void corpus_put(const struct corpus *corpus, const char *path, struct kv_slice head,
                struct kv_slice bytes);
/* The same with a head of one byte. */
void corpus_put_flagged(const struct corpus *corpus, const char *path, uint8_t flags,
                        struct kv_slice bytes);

void corpus_store(const struct corpus *corpus); /* root, logs, batches, edits */
void corpus_table(const struct corpus *corpus);
void corpus_blob(const struct corpus *corpus);
void corpus_fs(const struct corpus *corpus);
void corpus_control(const struct corpus *corpus);
void corpus_admin(const struct corpus *corpus);  /* journals of repairs, indexes */
void corpus_pooled(const struct corpus *corpus); /* stores in a pool */

#endif
