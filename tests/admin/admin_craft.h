/* SPDX-License-Identifier: Apache-2.0 */
/* Damage whose checksums are right: a manifest, log or table that says what cannot be. */
#ifndef TESTS_ADMIN_ADMIN_CRAFT_H
#define TESTS_ADMIN_ADMIN_CRAFT_H

#include "tests/admin/admin_store.h"

void craft_snapshot_ahead(const char *path);
void craft_manifest_senseless(const char *path);
void craft_manifest_newer(const char *path);
void craft_table_other(const char *path);
void craft_table_newer(const char *path);
void craft_table_sums(const char *path);
/* What the manifest repeats of range deletes: one range for each table that covers them; or
 * nothing, as of an earlier version. */
void craft_ranges_covered(const char *path);
void craft_ranges_unknown(const char *path);
void craft_blob_uses(const char *path);
void craft_blob_pointer(const char *path);
/* Of a store that was not closed. */
void craft_log_senseless(const char *path);
void craft_log_unknown_table(const char *path);
void craft_log_order(const char *path);
void craft_log_newer(const char *path);
void craft_log_torn(const char *path);
void craft_log_short(const char *path);
void craft_log_successor(const char *path);
void craft_root_old(const char *path);

#endif
