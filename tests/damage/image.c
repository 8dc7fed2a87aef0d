/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/damage/image.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void image_finish(struct image *image)
{
    for (unsigned i = 0; i < image->count; i++) {
        kv_buf_finish(&image->files[i].bytes);
    }
    *image = (struct image){0};
}

void image_copy(const struct image *from, struct image *to)
{
    *to = *from;
    for (unsigned i = 0; i < from->count; i++) {
        to->files[i].bytes = (struct kv_buf){0};
        int r = kv_buf_assign(&to->files[i].bytes, kv_buf_slice(&from->files[i].bytes));
        assert(r == 0);
    }
}

static int is_file(const struct dirent *entry)
{
    return entry->d_type == DT_REG && strcmp(entry->d_name, "LOCK") != 0;
}

static void read_file(int dir, const char *name, struct image_file *file)
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    struct stat st;
    assert(fd >= 0 && fstat(fd, &st) == 0);
    int r = kv_buf_reserve(&file->bytes, (size_t)st.st_size + 1);
    assert(r == 0 && read(fd, file->bytes.data, (size_t)st.st_size) == st.st_size);
    file->bytes.size = (size_t)st.st_size;
    snprintf(file->name, sizeof file->name, "%.*s", IMAGE_NAME_SIZE - 1, name);
    close(fd);
}

void image_take(const char *path, struct image *ret_image)
{
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, is_file, alphasort);
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert(dir >= 0 && count >= 0 && count <= IMAGE_FILES_MAX);
    *ret_image = (struct image){.count = (unsigned)count};
    for (int i = 0; i < count; i++) {
        read_file(dir, entries[i]->d_name, &ret_image->files[i]);
        free(entries[i]);
    }
    free(entries);
    close(dir);
}

static int remove_name(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    return ftw->level > 0 ? remove(path) : 0;
}

void image_clear(const char *path)
{
    int r = nftw(path, remove_name, 8, FTW_DEPTH | FTW_PHYS);
    assert(r == 0);
}

static void write_file(int dir, const char *name, struct kv_slice bytes)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert(fd >= 0);
    assert(write(fd, bytes.data, bytes.size) == (ssize_t)bytes.size);
    close(fd);
}

void image_lay_down(const struct image *image, const char *path)
{
    image_clear(path);
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert(dir >= 0);
    write_file(dir, "LOCK", kv_slice(NULL, 0));
    for (unsigned i = 0; i < image->count; i++) {
        const struct image_file *file = &image->files[i];
        if (!file->removed) {
            write_file(dir, file->name, kv_buf_slice(&file->bytes));
        }
    }
    close(dir);
}

bool image_is_there(const struct image *image, const char *path)
{
    struct image now;
    unsigned at = 0;
    bool same = true;
    image_take(path, &now);
    for (unsigned i = 0; i < image->count; i++) {
        const struct image_file *file = &image->files[i];
        if (!file->removed) {
            same &= at < now.count && strcmp(now.files[at].name, file->name) == 0 &&
                    kv_slice_equal(kv_buf_slice(&now.files[at].bytes), kv_buf_slice(&file->bytes));
            at++;
        }
    }
    same &= at == now.count;
    image_finish(&now);
    return same;
}

int image_find(const struct image *image, const char *name)
{
    for (unsigned i = 0; i < image->count; i++) {
        if (strcmp(image->files[i].name, name) == 0) {
            return (int)i;
        }
    }
    return -1;
}
