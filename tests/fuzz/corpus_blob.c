/* SPDX-License-Identifier: Apache-2.0 */
/* Seeds of large values: pointers with their blobs, directories and footers. */
#include "tests/fuzz/corpus.h"

#include "kvcore/blob/blob_directory.h"
#include "kvcore/blob/blob_pack.h"

enum { BLOB = 7, OFFSET = 4096, FIX = 16 };

/* A pointer to `value` and the blob that holds nothing else. */
static void put_pointer(const struct corpus *corpus, const char *path, uint8_t flags,
                        struct kv_slice value)
{
    struct blob_place place = {.number = BLOB};
    struct blob_pack pack = {0};
    struct kv_buf pointer = {0}, bytes = {0};

    fuzz_need(blob_pack_add(&pack, FUZZ_STORE_SEED, CODEC_SNAPPY, value, &pointer));
    blob_pack_place(pointer.data, pointer.size, FUZZ_STORE_SEED, &place);
    fuzz_need(coding_append_u16(&bytes, (uint16_t)pointer.size));
    fuzz_need(kv_buf_append(&bytes, kv_buf_slice(&pointer)));
    fuzz_need(kv_buf_append(&bytes, kv_buf_slice(&pack.aligned)));
    fuzz_need(kv_buf_append(&bytes, kv_buf_slice(&pack.packed)));
    corpus_put_flagged(corpus, path, flags, kv_buf_slice(&bytes));
    kv_buf_finish(&bytes);
    kv_buf_finish(&pointer);
    blob_pack_finish(&pack);
}

static void put_pointers(const struct corpus *corpus)
{
    uint8_t *value = calloc(1, 70000);
    assert(value != NULL);
    put_pointer(corpus, "blob/text", 0, kv_slice(value, 70000));
    put_pointer(corpus, "blob/text_made_to_fit", FIX, kv_slice(value, 70000));
    for (uint32_t i = 0; i < 5000; i++) {
        value[i] = (uint8_t)(i * i * 2654435761U >> 13);
    }
    put_pointer(corpus, "blob/noise", 0, kv_slice(value, 5000));
    put_pointer(corpus, "blob/noise_made_to_fit", FIX, kv_slice(value, 4096));
    free(value);
}

static void put_directory(const struct corpus *corpus)
{
    static const char *const keys[] = {"name", "another", "a key that is longer than the others"};
    struct blob_directory directory = {0};
    struct blob_end end = {.number = BLOB, .offset = OFFSET, .data_bytes = 3000};
    struct kv_buf bytes = {0};

    for (uint32_t i = 0; i < 3; i++) {
        struct blob_entry entry = {.table_id = i + 1,
                                   .key = kv_slice_str(keys[i]),
                                   .offset = i * 1000,
                                   .stored_size = 1000,
                                   .length = 1000 + i * 4000,
                                   .codec = i == 0 ? CODEC_NONE : CODEC_SNAPPY};
        fuzz_need(blob_directory_add(&directory, &entry));
    }
    fuzz_need(blob_directory_encode(&directory, FUZZ_STORE_SEED, &end, &bytes));
    size_t size = bytes.size - BLOB_FOOTER_SIZE;
    corpus_put_flagged(corpus, "blob/directory", 2, kv_slice(bytes.data, size));
    corpus_put_flagged(corpus, "blob/directory_made_to_fit", 2 + FIX, kv_slice(bytes.data, size));
    bytes.size = 0;
    blob_directory_finish(&directory);
    end.offset = OFFSET; /* an empty directory: the footer stands where it begins */
    fuzz_need(blob_directory_encode(&directory, FUZZ_STORE_SEED, &end, &bytes));
    corpus_put_flagged(corpus, "blob/footer", 1, kv_buf_slice(&bytes));
    corpus_put_flagged(corpus, "blob/footer_made_to_fit", 1 + FIX, kv_buf_slice(&bytes));
    kv_buf_finish(&bytes);
}

void corpus_blob(const struct corpus *corpus)
{
    put_pointers(corpus);
    put_directory(corpus);
}
