/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/check_main.h"

#include "tools/batch_text.h"

static struct control_change only_change(const char *line, struct kv_buf *changes)
{
    struct batch_text text = {0};
    struct control_change change = {0};
    changes->size = 0;
    ck_ok(batch_text_line(&text, kv_slice_str(line), changes));
    struct kv_slice rest = kv_buf_slice(changes);
    ck_assert_int_eq(control_change_take(&rest, &change), 1);
    ck_assert_uint_eq(rest.size, 0);
    batch_text_finish(&text);
    return change;
}

START_TEST(a_line_is_a_word_a_key_and_the_rest)
{
    static const struct {
        const char *line;
        enum control_change_kind kind;
        const char *key, *value;
    } lines[] = {
        {"put k v\n", CONTROL_CHANGE_PUT, "k", "v"},
        {"put k v", CONTROL_CHANGE_PUT, "k", "v"},
        {"put k  v w ", CONTROL_CHANGE_PUT, "k", " v w "},
        {"put k \n", CONTROL_CHANGE_PUT, "k", ""},
        {"put k v\tw", CONTROL_CHANGE_PUT, "k", "v\tw"},
        {"put\tk l\tv\tw", CONTROL_CHANGE_PUT, "k l", "v\tw"},
        {"put a\\040b\\\\ c\\n", CONTROL_CHANGE_PUT, "a b\\", "c\n"},
        {"del k l", CONTROL_CHANGE_DELETE, "k l", ""},
        {"if-absent k", CONTROL_CHANGE_IF_ABSENT, "k", ""},
        {"if-equal k v", CONTROL_CHANGE_IF_EQUAL, "k", "v"},
    };
    struct kv_buf changes = {0};
    for (unsigned i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct control_change change = only_change(lines[i].line, &changes);
        ck_assert_int_eq(change.kind, lines[i].kind);
        ck_assert(kv_slice_equal(change.key, kv_slice_str(lines[i].key)));
        ck_assert(kv_slice_equal(change.value, kv_slice_str(lines[i].value)));
    }
    kv_buf_finish(&changes);
}
END_TEST

START_TEST(what_is_no_line_is_refused_with_the_fault_named)
{
    static const char *const lines[] = {"put",    "put ",   "put k",     "del",        "Put k v",
                                        "putk v", " del k", "put k \\q", "if-equal k", "set k v"};
    struct kv_buf changes = {0};
    for (unsigned i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct batch_text text = {0};
        ck_fails(batch_text_line(&text, kv_slice_str(lines[i]), &changes), EINVAL);
        ck_assert_ptr_nonnull(text.fault);
        ck_assert_uint_eq(changes.size, 0);
        batch_text_finish(&text);
    }
    kv_buf_finish(&changes);
}
END_TEST

START_TEST(conditions_come_before_changes)
{
    struct batch_text text = {0};
    struct kv_buf changes = {0};
    ck_ok(batch_text_line(&text, kv_slice_str("if-absent a"), &changes));
    ck_ok(batch_text_line(&text, kv_slice_str("if-equal b c"), &changes));
    ck_ok(batch_text_line(&text, kv_slice_str("put a b"), &changes));
    ck_ok(batch_text_line(&text, kv_slice_str("# no line\n"), &changes));
    ck_ok(batch_text_line(&text, kv_slice_str("\n"), &changes));
    ck_fails(batch_text_line(&text, kv_slice_str("if-absent a"), &changes), EINVAL);
    batch_text_finish(&text);
    kv_buf_finish(&changes);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("batch_text");
    suite_add(suite, "lines", a_line_is_a_word_a_key_and_the_rest);
    suite_add(suite, "faults", what_is_no_line_is_refused_with_the_fault_named);
    suite_add(suite, "conditions", conditions_come_before_changes);
    return suite;
}
