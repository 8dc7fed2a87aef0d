/* SPDX-License-Identifier: Apache-2.0 */
/* What a cluster calls one of its clients: 192.0.2.7:0/1234567. */
#ifndef KVCORE_STORAGE_RADOS_ADDRESS_H
#define KVCORE_STORAGE_RADOS_ADDRESS_H

#include <stdbool.h>

/* Whether the text is the address of one client: HOST:PORT/NONCE, with v1:, v2: or any: before it
 * or not. A nonce of 0 is none: shutting that out would shut out every client of the host, as other
 * spellings would whole networks. */
bool rados_address_is_client(const char *text);

#endif
