/* SPDX-License-Identifier: Apache-2.0 */
/* A store directory as bytes in memory: taken from a directory, damaged, laid down again, compared.
 * LOCK is left out, whose bytes are a message to people, and so are archives. What cannot be read
 * or written ends the program. */
#ifndef TESTS_DAMAGE_IMAGE_H
#define TESTS_DAMAGE_IMAGE_H

#include <kv/slice.h>

enum { IMAGE_FILES_MAX = 32, IMAGE_NAME_SIZE = 32, IMAGE_FILE_MAX = 1 << 16 };

struct image_file {
    char name[IMAGE_NAME_SIZE];
    bool removed;
    struct kv_buf bytes;
};

struct image {
    unsigned count;
    struct image_file files[IMAGE_FILES_MAX]; /* ascending by name */
};

void image_finish(struct image *image);
void image_copy(const struct image *from, struct image *to); /* to be finished */
void image_take(const char *path, struct image *ret_image);  /* to be finished */
/* Remove all that is in the directory. */
void image_clear(const char *path);
/* The directory holds the files of the image, an empty LOCK and nothing else. */
void image_lay_down(const struct image *image, const char *path);
/* Whether the directory holds the files of the image and no other. */
bool image_is_there(const struct image *image, const char *path);
/* -1: there is no such file. */
int image_find(const struct image *image, const char *name);

#endif
