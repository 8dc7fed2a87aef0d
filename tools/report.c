/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/report.h"

#include <stdarg.h>
#include <stdio.h>

int fault_set(struct fault *fault, int error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(fault->text, sizeof fault->text, format, args);
    va_end(args);
    fault->error = error;
    return error;
}

void complain(const char *format, ...)
{
    va_list args;
    fflush(stdout);
    va_start(args, format);
    fputs("kvfs: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

enum exit_code exit_code_of(int error)
{
    switch (-error) {
    case 0:
        return EXIT_DONE;
    case ENOENT:
        return EXIT_NOT_FOUND;
    case KV_EDAMAGED:
        return EXIT_DAMAGED;
    case EBUSY:
    case EINPROGRESS:
        return EXIT_BUSY;
    case ENOSPC:
    case EDQUOT:
        return EXIT_NO_SPACE;
    case ESHUTDOWN:
        return EXIT_LOST;
    case EINTR:
        return EXIT_INTERRUPTED;
    default:
        return EXIT_FAILED;
    }
}

const char *key_reason_of(int error)
{
    switch (-error) {
    case ENOENT:
        return "there is no such key";
    case EISDIR:
        return "it is a directory";
    case ENOTDIR:
        return "a component of the key is a file";
    case EINVAL:
        return "not a regular file";
    case E2BIG:
        return "the value is larger than 64 MiB. Mount the store and copy the file";
    case ENOSPC:
        return "no space left on the store's file system. Delete something, or make room there";
    case EROFS:
        return "the store is mounted read-only";
    default:
        return kv_strerror(error);
    }
}

int finish_output(int code)
{
    if (fflush(stdout) == 0 && !ferror(stdout)) {
        return code;
    }
    int error = -errno;
    if (error != -EPIPE) {
        complain("cannot write the output: %s", kv_strerror(error));
    }
    return code != EXIT_DONE ? code : (int)exit_code_of(error == 0 ? -EIO : error);
}
