/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/admin/block_walk.h"

#include <stdlib.h>

#include "kvcore/util/checksum.h"
#include "kvcore/util/codec.h"
#include "kvcore/util/coding.h"

enum { SEARCH_BYTES = 64 * 1024, UNREADABLE_STEP = 4096 };

int block_walk_bytes(const struct block_walk *walk, uint64_t offset, void *to, size_t size)
{
    size_t got = 0;
    int r = walk->storage->ops->object_read(walk->object, offset, to, size, &got);
    return r == -ENOMEM ? r : r < 0 || got != size ? -KV_EDAMAGED : 0;
}

/* ---- one block ---- */

static int read_header(const struct block_walk *walk, uint64_t offset, uint64_t end,
                       struct block_header *ret_header)
{
    uint8_t bytes[BLOCK_HEADER_SIZE];
    int r = end - offset >= sizeof bytes ? block_walk_bytes(walk, offset, bytes, sizeof bytes)
                                         : -KV_EDAMAGED;

    r = r < 0 ? r : block_header_decode(bytes, walk->file_seed, offset, ret_header);
    if (r == 0 && ret_header->stored_size > end - offset - BLOCK_HEADER_SIZE) {
        r = -KV_EDAMAGED;
    }
    return r;
}

/* What the block holds, verified and unpacked. */
static int read_content(const struct block_walk *walk, uint64_t offset,
                        const struct block_header *header, struct cached_block **ret_block)
{
    struct cached_block *block = NULL;
    uint8_t *stored = malloc((size_t)header->stored_size + 1);
    struct kv_slice bytes = kv_slice(stored, header->stored_size);
    uint64_t at = offset + BLOCK_HEADER_SIZE;
    int r = stored != NULL ? block_walk_bytes(walk, at, stored, header->stored_size) : -ENOMEM;

    if (r == 0 && checksum_at(walk->file_seed, at, bytes) != header->payload_checksum) {
        r = -KV_EDAMAGED;
    }
    r = r < 0 ? r : cached_block_create(header->raw_size, &block);
    if (r == 0 && codec_decompress(header->codec, bytes, block->bytes, header->raw_size) < 0) {
        r = -KV_EDAMAGED;
    }
    free(stored);
    if (r < 0) {
        cached_block_unref(block);
        return r;
    }
    *ret_block = block;
    return 0;
}

int block_walk_read(const struct block_walk *walk, uint64_t offset, uint64_t end,
                    struct block_header *ret_header, struct cached_block **ret_content)
{
    struct block_header header = {0};
    int r = read_header(walk, offset, end, &header);

    r = r < 0 ? r : read_content(walk, offset, &header, ret_content);
    if (r == 0) {
        *ret_header = header;
    }
    return r;
}

/* ---- the walk ---- */

static uint64_t next_step(uint64_t offset)
{
    return (offset / UNREADABLE_STEP + 1) * UNREADABLE_STEP;
}

/* What can be read from `offset` on: a large piece, or, if the device cannot read one of its
 * sectors, as much as lies before the next step that a header fits before. Less than a header:
 * nothing can be found before the next step. */
static size_t read_piece(const struct block_walk *walk, uint8_t *piece, uint64_t offset)
{
    uint64_t left = walk->end - offset;
    uint64_t step = next_step(offset + BLOCK_HEADER_SIZE - 1) - offset;
    size_t size = left < SEARCH_BYTES ? (size_t)left : SEARCH_BYTES;
    size_t got = 0;
    int r = walk->storage->ops->object_read(walk->object, offset, piece, size, &got);

    if (r < 0 && step < size) {
        r = walk->storage->ops->object_read(walk->object, offset, piece, (size_t)step, &got);
    }
    return r < 0 ? 0 : got;
}

/* The next sound header behind `from`, or the end. */
static int search(const struct block_walk *walk, uint8_t *piece, uint64_t from,
                  uint64_t *ret_offset)
{
    uint64_t offset = from;

    while (offset + BLOCK_HEADER_SIZE <= walk->end) {
        size_t got = read_piece(walk, piece, offset);
        int r;
        if (got < BLOCK_HEADER_SIZE) {
            offset = next_step(offset);
            continue;
        }
        for (size_t i = 0; i + BLOCK_HEADER_SIZE <= got; i++) {
            struct block_header header;
            if (coding_get_u32(piece + i) == BLOCK_MAGIC &&
                block_header_decode(piece + i, walk->file_seed, offset + i, &header) == 0) {
                *ret_offset = offset + i;
                return 0;
            }
        }
        offset += got - BLOCK_HEADER_SIZE + 1;
        r = walk->read_fn != NULL ? walk->read_fn(walk->arg, got) : 0;
        if (r != 0) {
            return r;
        }
    }
    *ret_offset = walk->end;
    return 0;
}

/* What stands at `offset`: a block, sound or not, or a gap. */
static int find(const struct block_walk *walk, uint8_t *piece, uint64_t offset,
                struct walked_block *ret_block)
{
    struct walked_block block = {.offset = offset};
    int r = read_header(walk, offset, walk->end, &block.header);

    if (r == -KV_EDAMAGED) {
        uint64_t next;
        block.header = (struct block_header){0};
        r = search(walk, piece, offset + 1, &next);
        block.size = r == 0 ? next - offset : 0;
    } else if (r == 0) {
        block.type = (int)block.header.type;
        block.size = (uint64_t)block.header.stored_size + BLOCK_HEADER_SIZE;
        r = read_content(walk, offset, &block.header, &block.content);
        r = r == -KV_EDAMAGED ? 0 : r;
    }
    if (r == 0) {
        *ret_block = block;
    }
    return r;
}

int block_walk(const struct block_walk *walk)
{
    uint8_t *piece = malloc(SEARCH_BYTES);
    uint64_t offset = 0;
    int r = piece != NULL ? 0 : -ENOMEM;

    while (r == 0 && offset < walk->end) {
        struct walked_block block = {0};
        r = find(walk, piece, offset, &block);
        if (r != 0) {
            break;
        }
        offset += block.size;
        r = walk->block_fn(walk->arg, &block);
        cached_block_unref(block.content);
        if (r == 0 && block.type != 0 && walk->read_fn != NULL) {
            r = walk->read_fn(walk->arg, block.size);
        }
    }
    free(piece);
    return r;
}
