/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/core/mend.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "fs/core/mend_holes.h"
#include "kvcore/util/coding.h"

enum {
    BATCH_BYTES = 16 << 20, /* what is not in it is mended by the next walk */
    ROW_BYTES = 64,         /* that a row takes besides key and value, at most */
    NAMES_MAX = 1000,       /* in lost+found that are tried for an inode */
};

static const char lost_found_name[] = "lost+found";

/* ---- single rows ------------------------------------------------------------------------------
 */

static void note(struct mend *m, int r)
{
    m->error = m->error < 0 ? m->error : r;
    m->rows += r == 0;
}

/* From the first row on that finds none. */
static bool has_no_room(struct mend *m, size_t bytes)
{
    m->bytes += bytes + ROW_BYTES;
    return m->bytes > BATCH_BYTES;
}

bool mend_has_room(struct mend *m, size_t extents)
{
    size_t wanted = extents * (ROWKEY_SIZE_MAX + ROW_BYTES) + 2 * DIRENT_SIZE_MAX;
    bool has_room = m->bytes + wanted <= BATCH_BYTES;
    m->bytes = has_room ? m->bytes : BATCH_BYTES + 1;
    return has_room;
}

static void put(struct check *c, const struct rowkey *key, struct kv_slice value)
{
    struct mend *m = c->mend;
    if (!has_no_room(m, key->size + value.size)) {
        note(m, kv_batch_put(m->batch, c->fs->meta, rowkey_slice(key), value));
    }
}

static void put_lost(struct check *c, struct kv_slice key)
{
    struct mend *m = c->mend;
    if (!has_no_room(m, key.size)) {
        note(m, kv_batch_put_lost(m->batch, c->fs->data, key));
    }
}

void mend_delete_row(struct check *c, struct kv_table *table, struct kv_slice key)
{
    struct mend *m = c->mend;
    if (m != NULL && !has_no_room(m, key.size)) {
        note(m, kv_batch_delete(m->batch, table, key));
    }
}

static void delete_key(struct check *c, const struct rowkey *key)
{
    mend_delete_row(c, c->fs->meta, rowkey_slice(key));
}

/* All rows of one kind of the inode. */
static void delete_kind(struct check *c, enum row_kind kind, uint64_t ino)
{
    struct mend *m = c->mend;
    struct rowkey from, to;
    rowkey_kind_end(&from, kind, ino - 1);
    rowkey_kind_end(&to, kind, ino);
    if (!has_no_room(m, from.size + to.size)) {
        note(m,
             kv_batch_delete_range(m->batch, c->fs->meta, rowkey_slice(&from), rowkey_slice(&to)));
    }
}

void mend_lost_row(struct check *c, enum cursor_id id, struct kv_slice key)
{
    if (c->mend == NULL) {
        return;
    }
    if (id == ENTRIES) {
        c->mend->entries_lost++;
    } else if (id == EXTENTS) {
        put_lost(c, key);
    } else {
        mend_delete_row(c, c->fs->meta, key);
    }
}

void mend_lost_extent(struct check *c, struct kv_slice key)
{
    if (c->mend != NULL) {
        put_lost(c, key);
    }
}

/* ---- inodes and their names -------------------------------------------------------------------
 */

static void put_inode(struct check *c, uint64_t ino, const struct inode *inode)
{
    uint8_t value[INODE_SIZE_MAX];
    struct rowkey key;
    if (!inode_is_sound(inode)) {
        return; /* rows that make no sense add up to it: they are told again */
    }
    rowkey_inode(&key, ino);
    put(c, &key, kv_slice(value, inode_encode(value, inode)));
}

static void put_home(struct check *c, const struct rowkey *entry, uint64_t ino,
                     const struct inode *inode)
{
    uint8_t value[DIRENT_SIZE_MAX];
    if (!inode_is_sound(inode)) {
        return; /* as above */
    }
    put(c, entry, kv_slice(value, dirent_encode_inode(value, ino, inode)));
}

static void put_reference(struct check *c, const struct rowkey *entry, uint64_t ino, uint32_t mode)
{
    uint8_t value[DIRENT_SIZE_MAX];
    put(c, entry, kv_slice(value, dirent_encode_reference(value, ino, (uint8_t)IFTODT(mode))));
}

/* The back-pointer to an inode that lives in its entry. */
static void put_home_pointer(struct check *c, uint64_t ino, uint64_t parent, struct kv_slice name,
                             const struct inode *inode)
{
    uint8_t value[BACKPTR_SIZE_MAX];
    struct rowkey key;
    rowkey_backptr(&key, ino);
    put(c, &key, kv_slice(value, backptr_encode(value, parent, name, inode)));
}

static void put_link_pointer(struct check *c, uint64_t ino, uint64_t parent, struct kv_slice name,
                             const struct inode *inode)
{
    uint8_t value[SUMMARY_SIZE];
    struct rowkey key;
    rowkey_backlink(&key, ino, parent, name);
    put(c, &key, kv_slice(value, summary_encode(value, inode)));
}

static uint64_t at_most(uint64_t v, uint64_t limit)
{
    return v < limit ? v : limit;
}

/* What is left of an inode that is lost: what a back-pointer summed up, and what its rows add up
 * to. The times are those of the repair. */
static struct inode rebuilt(const struct check *c, const struct subject *s,
                            const struct summary *summary)
{
    struct inode inode = {.mode = summary->mode,
                          .uid = summary->uid,
                          .gid = summary->gid,
                          .nlink = 1,
                          .mtime = c->mend->now,
                          .ctime = c->mend->now,
                          .atime = c->mend->now,
                          .btime = c->mend->now,
                          .hints = s->hints};
    if (S_ISDIR(inode.mode)) {
        inode.nlink = (uint32_t)(2 + s->subdirectories);
        inode.size = s->entries;
        inode.allocated = s->entries;
    } else if (S_ISREG(inode.mode)) {
        inode.size = s->extent_end;
        inode.allocated = at_most(s->extent_bytes, inode.size);
        inode.lost_bytes = at_most(s->lost_bytes, inode.allocated);
    }
    return inode;
}

/* A name by the number that nobody has in lost+found, and the key of its entry. */
static struct kv_slice number_name(const struct check *c, uint64_t ino, char to[32],
                                   struct rowkey *ret_entry)
{
    struct kv_slice name = kv_slice(to, (size_t)snprintf(to, 32, "#%" PRIu64, ino));
    rowkey_dirent(ret_entry, c->mend->lost_found, name);
    for (unsigned i = 1;
         kv_exists(c->fs->meta, c->snapshot, rowkey_slice(ret_entry)) == 0 && i < NAMES_MAX; i++) {
        name = kv_slice(to, (size_t)snprintf(to, 32, "#%" PRIu64 ".%u", ino, i));
        rowkey_dirent(ret_entry, c->mend->lost_found, name);
    }
    return name;
}

/* It has no name: it gets one in lost+found, which is made by this walk if there is none. */
static void adopt(struct check *c, const struct subject *s, struct inode *inode)
{
    struct mend *m = c->mend;
    struct rowkey entry;
    struct kv_slice name;
    char text[32];
    if (!m->last_resort) {
        return;
    }
    if (m->lost_found == 0) {
        m->wants_lost_found = true;
        return;
    }
    name = number_name(c, s->ino, text, &entry);
    if (s->own_row && !S_ISDIR(inode->mode)) {
        put_reference(c, &entry, s->ino, inode->mode);
        put_link_pointer(c, s->ino, m->lost_found, name, inode);
    } else {
        put_home(c, &entry, s->ino, inode);
        put_home_pointer(c, s->ino, m->lost_found, name, inode);
    }
}

/* ---- back-pointers ----------------------------------------------------------------------------
 */

void mend_missing_entry(struct check *c, struct subject *s, const struct rowkey *entry,
                        struct kv_slice backptr, bool is_link)
{
    if (c->mend == NULL) {
        return;
    }
    if (is_link) {
        put_reference(c, entry, s->ino, s->summary.mode);
        s->links++;
    } else if (s->own_row) {
        mend_delete_row(c, c->fs->meta, backptr);
    } else {
        s->lost_home = *entry;
    }
}

void mend_type(struct check *c, const struct subject *s, const struct rowkey *entry)
{
    if (c->mend != NULL && s->own_row) {
        put_reference(c, entry, s->ino, s->inode.mode);
    }
}

void mend_summary(struct check *c, const struct subject *s, uint64_t parent, struct kv_slice name,
                  bool is_link)
{
    if (c->mend == NULL) {
        return;
    }
    if (is_link) {
        put_link_pointer(c, s->ino, parent, name, &s->inode);
    } else {
        put_home_pointer(c, s->ino, parent, name, &s->inode);
    }
}

/* Whether the row is there, and its value, to be released. */
static bool get(const struct check *c, const struct rowkey *key, struct kv_pinned *ret_pinned)
{
    int r = fs_get(c->fs->meta, c->snapshot, key, ret_pinned);
    if (r < 0 && r != -ENOENT && !check_is_lost(r)) {
        note(c->mend, r);
    }
    return r == 0;
}

/* What the one entry of an inode says that lives in it. */
struct home {
    struct rowkey key;
    struct kv_pinned backptr, value; /* to be released */
    struct dir_entry entry;          /* points into `value` */
};

static void release_home(struct home *home)
{
    kv_pinned_release(&home->backptr);
    kv_pinned_release(&home->value);
}

static bool find_home(const struct check *c, uint64_t ino, struct home *ret_home)
{
    struct home home = {.key = {.size = 0}};
    struct summary summary;
    struct kv_slice name;
    struct rowkey key;
    uint64_t parent;
    rowkey_backptr(&key, ino);
    if (!get(c, &key, &home.backptr)) {
        return false;
    }
    if (backptr_decode(home.backptr.value, &parent, &name, &summary) < 0) {
        kv_pinned_release(&home.backptr);
        return false;
    }
    rowkey_dirent(&home.key, parent, name);
    if (!get(c, &home.key, &home.value)) {
        kv_pinned_release(&home.backptr);
        return false;
    }
    if (dirent_decode(home.value.value, &home.entry) < 0 || home.entry.ino != ino ||
        !home.entry.has_inode) {
        release_home(&home);
        return false;
    }
    *ret_home = home;
    return true;
}

/* Whether another entry holds the inode, and its back-pointer says so. */
static bool has_other_home(const struct check *c, uint64_t ino)
{
    struct home home;
    bool has = find_home(c, ino, &home);
    if (has) {
        release_home(&home);
    }
    return has;
}

/* Permissions of something of which no more is known than its type: its owner may use it. */
static uint32_t guessed_mode(uint8_t type)
{
    return (uint32_t)DTTOIF(type) | (type == DT_DIR ? 0700 : 0600);
}

/* An entry that refers to an I row. */
static void name_reference(struct check *c, const struct rowkey *key, const struct dir_entry *to,
                           uint64_t parent, struct kv_slice name)
{
    uint64_t ino = to->ino;
    uint8_t type = to->type;
    struct kv_pinned pinned;
    struct inode inode;
    struct rowkey row;
    rowkey_inode(&row, ino);
    if (get(c, &row, &pinned)) {
        if (inode_decode(pinned.value, &inode) == 0) {
            put_link_pointer(c, ino, parent, name, &inode);
        }
        kv_pinned_release(&pinned);
    } else if (type != DT_LNK) {
        struct inode guess = {
            .mode = guessed_mode(type), .uid = c->mend->owner.uid, .gid = c->mend->owner.gid};
        put_link_pointer(c, ino, parent, name, &guess); /* it is made anew by that */
    } else if (c->mend->last_resort) {
        delete_key(c, key);
    }
}

void mend_unnamed_entry(struct check *c, struct kv_slice key, const struct dir_entry *entry)
{
    struct kv_pinned pinned;
    struct kv_slice name;
    struct rowkey copy, row;
    uint64_t parent;
    if (c->mend == NULL || !rowkey_decode_dirent(key, &parent, &name)) {
        return;
    }
    rowkey_dirent(&copy, parent, name);
    rowkey_inode(&row, entry->ino);
    if (!entry->has_inode) {
        name_reference(c, &copy, entry, parent, name);
    } else if (has_other_home(c, entry->ino)) {
        delete_key(c, &copy);
    } else if (get(c, &row, &pinned)) {
        kv_pinned_release(&pinned);
        put_reference(c, &copy, entry->ino, entry->inode.mode);
        put_link_pointer(c, entry->ino, parent, name, &entry->inode);
    } else {
        put_home_pointer(c, entry->ino, parent, name, &entry->inode);
    }
}

/* ---- inodes -----------------------------------------------------------------------------------
 */

/* Numbers and hints as they should be; what else the inode says stays. */
static void rewrite(struct check *c, const struct subject *s, const struct inode *want)
{
    struct kv_pinned pinned;
    struct dir_entry entry = {.ino = s->ino};
    int r;
    if (!get(c, &s->home, &pinned)) {
        return;
    }
    r = s->own_row ? inode_decode(pinned.value, &entry.inode) : dirent_decode(pinned.value, &entry);
    if (r == 0) {
        entry.inode.nlink = want->nlink;
        entry.inode.size = want->size;
        entry.inode.allocated = want->allocated;
        entry.inode.lost_below = want->lost_below;
        entry.inode.lost_bytes = want->lost_bytes;
        entry.inode.hints = want->hints;
    }
    if (r == 0 && s->own_row && inode_is_sound(&entry.inode)) {
        put_inode(c, s->ino, &entry.inode);
    } else if (r == 0 && inode_is_sound(&entry.inode)) {
        put_home(c, &s->home, s->ino, &entry.inode);
    }
    kv_pinned_release(&pinned);
}

static bool is_orphan(const struct subject *s)
{
    return s->orphan && s->own_row && s->inode.nlink == 0 && s->links == 0;
}

/* Sets what a regular file should say of its extents; false: the next walk does. */
static bool settle_extents(struct check *c, const struct subject *s, struct inode *want)
{
    want->size = s->extent_end > want->size ? s->extent_end : want->size;
    want->allocated = at_most(s->extent_bytes, want->size);
    want->lost_bytes = at_most(s->lost_bytes, want->allocated);
    return mend_holes_lose(c, s, want);
}

static bool differs(const struct check *c, const struct subject *s, const struct inode *want)
{
    bool notes = c->mend->notes_lost && want->lost_bytes != s->inode.lost_bytes;
    return want->nlink != s->inode.nlink || want->size != s->inode.size ||
           want->allocated != s->inode.allocated || want->lost_below != s->inode.lost_below ||
           want->hints != s->inode.hints || notes;
}

void mend_totals(struct check *c, const struct subject *s)
{
    struct inode want = s->inode;
    struct rowkey mark;
    if (c->mend == NULL) {
        return;
    }
    if (s->orphan && !is_orphan(s)) {
        rowkey_orphan(&mark, s->ino);
        delete_key(c, &mark);
    }
    want.hints |= s->hints;
    if (S_ISDIR(want.mode)) {
        want.nlink = is_orphan(s) ? want.nlink : (uint32_t)(2 + s->subdirectories);
        want.size = s->entries;
        want.allocated = s->entries;
    } else {
        want.nlink = (uint32_t)s->links;
    }
    if (S_ISREG(want.mode) && !settle_extents(c, s, &want)) {
        return;
    }
    if (!S_ISDIR(want.mode) && s->links == 0 && !is_orphan(s)) {
        adopt(c, s, &want);
    } else if (s->home.size > 0 && differs(c, s, &want)) {
        rewrite(c, s, &want);
    }
}

static void make_root(struct check *c, const struct subject *s)
{
    struct summary summary = {
        .mode = S_IFDIR | 0755, .uid = c->mend->owner.uid, .gid = c->mend->owner.gid};
    struct inode inode = rebuilt(c, s, &summary);
    put_inode(c, KVFS_ROOT_INO, &inode);
    c->mend->made_root = true;
}

void mend_no_root(struct check *c)
{
    struct subject none = {.ino = KVFS_ROOT_INO};
    if (c->mend != NULL && !c->mend->made_root) {
        make_root(c, &none);
    }
}

void mend_ring(struct check *c, const struct directory *directory)
{
    struct home home;
    if (c->mend == NULL || directory == NULL || !find_home(c, directory->ino, &home)) {
        return;
    }
    if (c->mend->lost_found != 0 && c->mend->last_resort) {
        delete_key(c, &home.key);
    }
    struct subject s = {.ino = directory->ino};
    adopt(c, &s, &home.entry.inode);
    release_home(&home);
}

void mend_note_number(struct check *c, uint64_t ino)
{
    struct mend *m = c->mend;
    if (m != NULL) {
        m->highest_ino = ino > m->highest_ino ? ino : m->highest_ino;
        m->bad_facts |= ino >= c->ino_limit;
    }
}

void mend_facts(struct check *c)
{
    if (c->mend != NULL) {
        c->mend->bad_facts = true;
        mend_note_lost_below(c); /* who knows which others there were */
    }
}

void mend_note_lost_below(struct check *c)
{
    const uint8_t zero = 0;
    struct rowkey key;
    if (c->mend != NULL && !c->has_lost_below_fact) {
        c->has_lost_below_fact = true;
        rowkey_fact(&key, FORMAT_FACT_LOST_BELOW);
        put(c, &key, kv_slice(&zero, 1));
    }
}

/* It says nothing that rows do not say: the next mount builds it. */
void mend_index(struct check *c)
{
    struct mend *m = c->mend;
    if (m != NULL && !m->index_emptied) {
        m->index_emptied = true;
        note(m, attr_index_collect_reset(c->fs, m->batch));
    }
}

/* Of a file that is made anew. False: the next walk does. */
static bool lose_holes_of(struct check *c, const struct subject *s, struct inode *inode)
{
    return !S_ISREG(inode->mode) || mend_holes_lose(c, s, inode);
}

/* Nothing says what it was but its rows. */
static void adopt_unknown(struct check *c, const struct subject *s)
{
    struct summary summary = {.uid = c->mend->owner.uid, .gid = c->mend->owner.gid};
    struct inode inode;
    if (!c->mend->last_resort) {
        return;
    }
    if (s->entries == 0 && s->extent_end == 0) {
        delete_kind(c, ROW_XATTR, s->ino);
        delete_kind(c, ROW_ORPHAN, s->ino);
        delete_kind(c, ROW_BACKPTR, s->ino);
        return;
    }
    summary.mode = (uint16_t)guessed_mode(s->entries > 0 ? DT_DIR : DT_REG);
    inode = rebuilt(c, s, &summary);
    if (lose_holes_of(c, s, &inode)) {
        adopt(c, s, &inode);
    }
}

void mend_no_inode(struct check *c, const struct subject *s)
{
    struct inode inode;
    bool can;
    if (c->mend == NULL) {
        return;
    }
    if (s->ino == KVFS_ROOT_INO) {
        make_root(c, s);
        return;
    }
    /* Where a symbolic link led to is known to its inode alone. */
    can = s->has_summary && !S_ISLNK(s->summary.mode);
    if (!can) {
        adopt_unknown(c, s);
        return;
    }
    inode = rebuilt(c, s, &s->summary);
    if (!lose_holes_of(c, s, &inode)) {
        return;
    }
    if (!inode_is_sound(&inode)) {
        adopt_unknown(c, s);
    } else if (s->lost_home.size > 0) {
        put_home(c, &s->lost_home, s->ino, &inode);
    } else if (s->link_pointers > 0) {
        inode.nlink = (uint32_t)s->link_pointers;
        put_inode(c, s->ino, &inode);
    }
}

/* ---- the whole --------------------------------------------------------------------------------
 */

void mend_begin(struct check *c)
{
    struct mend *m = c->mend;
    struct kv_pinned pinned;
    struct dir_entry entry;
    struct inode root;
    struct rowkey key;
    if (m == NULL) {
        return;
    }
    clock_gettime(CLOCK_REALTIME, &m->now);
    rowkey_fact(&key, FORMAT_FACT_LOST_BELOW);
    m->may_have_lost_below =
        c->has_lost_below_fact || lost_keys_may_have(&m->meta, rowkey_slice(&key));
    m->owner = (struct summary){.uid = geteuid(), .gid = getegid()};
    rowkey_inode(&key, KVFS_ROOT_INO);
    if (get(c, &key, &pinned)) {
        if (inode_decode(pinned.value, &root) == 0) {
            m->owner = (struct summary){.uid = root.uid, .gid = root.gid};
        }
        kv_pinned_release(&pinned);
    }
    rowkey_dirent(&key, KVFS_ROOT_INO, kv_slice_str(lost_found_name));
    if (get(c, &key, &pinned)) {
        bool is_dir = dirent_decode(pinned.value, &entry) == 0 && entry.type == DT_DIR;
        m->lost_found = is_dir ? entry.ino : 0;
        kv_pinned_release(&pinned);
    }
}

static void make_lost_found(struct check *c, uint64_t ino)
{
    struct mend *m = c->mend;
    struct subject none = {.ino = ino};
    struct summary summary = {.mode = S_IFDIR | 0700, .uid = m->owner.uid, .gid = m->owner.gid};
    struct inode inode = rebuilt(c, &none, &summary);
    struct kv_slice name = kv_slice_str(lost_found_name);
    struct rowkey key;
    rowkey_dirent(&key, KVFS_ROOT_INO, name);
    put_home(c, &key, ino, &inode);
    put_home_pointer(c, ino, KVFS_ROOT_INO, name, &inode);
}

static void put_facts(struct check *c, uint64_t next)
{
    uint8_t value[8];
    struct rowkey key;
    coding_put_u32(value, c->fs->index.name_size > 0 ? FORMAT_SCHEMA_INDEX : FORMAT_SCHEMA);
    rowkey_fact(&key, FORMAT_FACT_SCHEMA);
    put(c, &key, kv_slice(value, 4));
    coding_put_u64(value, next);
    rowkey_fact(&key, FORMAT_FACT_NEXT_INODE);
    put(c, &key, kv_slice(value, 8));
}

/* Entries that cannot be read, and of which no back-pointer says what they were. */
static void drop_lost_entries(struct check *c)
{
    struct kv_iter *iter = c->cursors[ENTRIES].iter;
    for (kv_iter_seek_first(iter); kv_iter_valid(iter); kv_iter_next(iter)) {
        struct dir_entry entry;
        struct kv_slice name, value;
        uint64_t parent;
        int r = kv_iter_value(iter, &value);
        if (r < 0 && !check_is_lost(r)) {
            note(c->mend, r);
        } else if (r < 0 || !rowkey_decode_dirent(kv_iter_key(iter), &parent, &name) ||
                   dirent_decode(value, &entry) < 0) {
            mend_delete_row(c, c->fs->meta, kv_iter_key(iter));
        }
    }
}

int mend_end(struct check *c)
{
    struct mend *m = c->mend;
    struct rowkey key;
    uint64_t next;
    bool is_free;
    if (m == NULL) {
        return 0;
    }
    next = m->highest_ino >= FORMAT_INO_FIRST ? m->highest_ino + 1 : FORMAT_INO_FIRST;
    if (!m->bad_facts && c->ino_limit > next) {
        next = c->ino_limit;
    }
    rowkey_dirent(&key, KVFS_ROOT_INO, kv_slice_str(lost_found_name));
    is_free = kv_exists(c->fs->meta, c->snapshot, rowkey_slice(&key)) == -ENOENT;
    if (m->wants_lost_found && is_free) {
        make_lost_found(c, next++);
    }
    if (m->bad_facts || (m->wants_lost_found && is_free)) {
        put_facts(c, next);
    }
    if (m->entries_lost > 0 && m->last_resort) {
        drop_lost_entries(c);
    }
    return m->error;
}
