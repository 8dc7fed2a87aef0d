/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/fuse/tune.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

void tune_readahead(const char *mountpoint, unsigned kib)
{
    char text[16];
    char path[64];
    struct stat st;
    if (stat(mountpoint, &st) != 0) {
        return;
    }
    snprintf(path, sizeof path, "/sys/class/bdi/%u:%u/read_ahead_kb", major(st.st_dev),
             minor(st.st_dev));
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    snprintf(text, sizeof text, "%u", kib);
    if (write(fd, text, strlen(text)) < 0) {
        /* An ordinary user's mount keeps the default. */
    }
    close(fd);
}
