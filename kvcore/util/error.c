/* SPDX-License-Identifier: Apache-2.0 */
#include <kv/error.h>

#include <string.h>

const char *kv_strerror(int error)
{
    switch (-error) {
    case KV_EDAMAGED:
        return "stored data is damaged";
    case KV_EFORMAT:
        return "format or feature not supported by this version";
    default:
        return strerrordesc_np(-error) != NULL ? strerrordesc_np(-error) : "unknown error";
    }
}
