/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/bundle.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tools/redact.h"

enum { LOG_TAIL_SIZE = 256 << 10 };
static const char folder[] = "kvfs-debug";

struct bundle {
    struct archive *archive;
    struct kv_buf missing;
    time_t made;
    int error; /* the first */
};

static void fail(struct bundle *bundle, int error)
{
    bundle->error = bundle->error == 0 ? error : bundle->error;
}

/* ---- the archive ----------------------------------------------------------------------------- */

int bundle_create(int fd, struct bundle **ret_bundle)
{
    struct bundle *bundle = calloc(1, sizeof *bundle);
    if (bundle == NULL) {
        return -ENOMEM;
    }
    bundle->made = time(NULL);
    bundle->archive = archive_write_new();
    if (bundle->archive == NULL ||
        archive_write_set_format_pax_restricted(bundle->archive) != ARCHIVE_OK ||
        archive_write_open_fd(bundle->archive, fd) != ARCHIVE_OK) {
        int error = bundle->archive == NULL ? -ENOMEM : -EIO;
        archive_write_free(bundle->archive);
        free(bundle);
        return error;
    }
    *ret_bundle = bundle;
    return 0;
}

static void fail_archive(struct bundle *bundle)
{
    int error = archive_errno(bundle->archive);
    fail(bundle, error > 0 ? -error : -EIO);
}

void bundle_add(struct bundle *bundle, const char *name, struct kv_slice text)
{
    char path[128];
    size_t size = text.size < BUNDLE_TEXT_MAX ? text.size : BUNDLE_TEXT_MAX;
    struct archive_entry *entry = archive_entry_new();
    if (entry == NULL) {
        fail(bundle, -ENOMEM);
        return;
    }
    snprintf(path, sizeof path, "%s/%s", folder, name);
    archive_entry_set_pathname(entry, path);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0600);
    archive_entry_set_size(entry, (la_int64_t)size);
    archive_entry_set_mtime(entry, bundle->made, 0);
    if (bundle->error == 0 &&
        (archive_write_header(bundle->archive, entry) != ARCHIVE_OK ||
         (size > 0 && archive_write_data(bundle->archive, text.data, size) != (la_ssize_t)size))) {
        fail_archive(bundle);
    }
    archive_entry_free(entry);
}

void bundle_miss(struct bundle *bundle, const char *name, const char *why)
{
    char line[1200];
    snprintf(line, sizeof line, "%s: %s\n", name, why);
    int r = kv_buf_append(&bundle->missing, kv_slice_str(line));
    if (r < 0) {
        fail(bundle, r);
    }
}

int bundle_finish(struct bundle *bundle)
{
    if (bundle == NULL) {
        return 0;
    }
    if (bundle->missing.size > 0) {
        bundle_add(bundle, "missing.txt", kv_buf_slice(&bundle->missing));
    }
    if (bundle->error == 0 && archive_write_close(bundle->archive) != ARCHIVE_OK) {
        fail_archive(bundle);
    }
    int error = bundle->error;
    archive_write_free(bundle->archive);
    kv_buf_finish(&bundle->missing);
    free(bundle);
    return error;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static json_t *redacted_string(const json_t *string)
{
    struct kv_buf text = {0};
    json_t *json = NULL;
    struct kv_slice bytes = kv_slice(json_string_value(string), json_string_length(string));
    if (redact_rows(&text, bytes) == 0) {
        json = json_stringn(text.size > 0 ? (const char *)text.data : "", text.size);
    }
    kv_buf_finish(&text);
    return json;
}

/* A copy without rows in its strings. */
static json_t *redacted(json_t *json)
{
    json_t *copy = json_is_array(json) ? json_array() : json_object();
    const char *name;
    json_t *value;
    size_t i;
    if (json_is_string(json)) {
        json_decref(copy);
        return redacted_string(json);
    }
    if (!json_is_array(json) && !json_is_object(json)) {
        json_decref(copy);
        return json_incref(json);
    }
    json_array_foreach(json, i, value)
    {
        json_array_append_new(copy, redacted(value));
    }
    json_object_foreach(json, name, value)
    {
        json_object_set_new(copy, name, redacted(value));
    }
    return copy;
}

void bundle_add_json(struct bundle *bundle, const char *name, struct json_t *take_json)
{
    json_t *clean = take_json != NULL ? redacted(take_json) : NULL;
    char *text = clean != NULL ? json_dumps(clean, JSON_INDENT(1)) : NULL;
    if (text == NULL) {
        fail(bundle, -ENOMEM);
    } else {
        bundle_add(bundle, name, kv_slice_str(text));
    }
    free(text);
    json_decref(clean);
    json_decref(take_json);
}

/* ---- files ----------------------------------------------------------------------------------- */

/* At most `max` bytes, from the beginning or the end. What is no regular file (a terminal, a pipe)
 * is -EINVAL, and is not waited for. */
static int read_file(const char *path, size_t max, bool tail, struct kv_buf *to)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    int r = fd < 0 || fstat(fd, &st) != 0 ? -errno : S_ISREG(st.st_mode) ? 0 : -EINVAL;
    if (r == 0 && tail && st.st_size > (off_t)max && lseek(fd, -(off_t)max, SEEK_END) < 0) {
        r = -errno;
    }
    while (r == 0 && to->size < max) {
        uint8_t part[4096];
        ssize_t n = read(fd, part, sizeof part);
        if (n <= 0) {
            r = n < 0 ? -errno : 0;
            break;
        }
        r = kv_buf_append(to, kv_slice(part, (size_t)n));
    }
    if (fd >= 0) {
        close(fd);
    }
    return r;
}

void bundle_add_file(struct bundle *bundle, const char *name, const char *path)
{
    struct kv_buf text = {0};
    int r = read_file(path, BUNDLE_TEXT_MAX, false, &text);
    if (r == 0) {
        bundle_add(bundle, name, kv_buf_slice(&text));
    } else {
        bundle_miss(bundle, name, kv_strerror(r));
    }
    kv_buf_finish(&text);
}

/* A log may be shared with others: only lines with the mark are ours. */
static int keep_marked(struct kv_buf *to, struct kv_slice text, const char *mark)
{
    int r = 0;
    while (r == 0 && text.size > 0) {
        const uint8_t *newline = memchr(text.data, '\n', text.size);
        size_t size = newline != NULL ? (size_t)(newline - text.data) + 1 : text.size;
        if (memmem(text.data, size, mark, strlen(mark)) != NULL) {
            r = redact_rows(to, kv_slice(text.data, size));
        }
        text = kv_slice(text.data + size, text.size - size);
    }
    return r;
}

void bundle_add_log(struct bundle *bundle, const char *name, const char *path, const char *mark)
{
    struct kv_buf whole = {0};
    struct kv_buf text = {0};
    int r = read_file(path, LOG_TAIL_SIZE, true, &whole);
    r = r < 0 ? r : keep_marked(&text, kv_buf_slice(&whole), mark);
    if (r == 0) {
        bundle_add(bundle, name, kv_buf_slice(&text));
    } else {
        bundle_miss(bundle, name, kv_strerror(r));
    }
    kv_buf_finish(&text);
    kv_buf_finish(&whole);
}
