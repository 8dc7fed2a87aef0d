/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/completions.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* Words that a command takes first. */
static const struct {
    const char *command;
    const char *words;
} first_words[] = {
    {"bench", "kv fs"},
    {"completions", "bash"},
    {"snapshot", "create drop list"},
};
enum { FIRST_WORDS_COUNT = sizeof first_words / sizeof first_words[0] };

/* In a child: argp ends the process when it has printed the help. */
__attribute__((noreturn)) static void print_help(const struct cmd *cmd, const char *word, int to)
{
    char name[32];
    char first[16];
    char help[] = "--help";
    snprintf(name, sizeof name, "kvfs %s", cmd->name);
    snprintf(first, sizeof first, "%s", word != NULL ? word : "");
    char *with_word[] = {name, first, help, NULL};
    char *without[] = {name, help, NULL};
    if (dup2(to, STDOUT_FILENO) < 0) {
        _exit(EXIT_FAILED);
    }
    int code = word != NULL ? cmd->run(3, with_word) : cmd->run(2, without);
    fflush(stdout);
    _exit(code);
}

/* The options in a line of help, such as "  -j, --json  as JSON". */
static void print_options(const char *line)
{
    if (strncmp(line, "  ", 2) != 0 || line[strspn(line, " ")] != '-') {
        return;
    }
    const char *option = line + strspn(line, " ");
    while (*option == '-') {
        size_t size = strcspn(option, " ,=[\n");
        bool is_long = option[1] == '-';
        printf(" %.*s%s", (int)size, option, is_long && option[size] == '=' ? "=" : "");
        const char *next = option + size;
        option = *next == ',' ? next + 1 + strspn(next + 1, " ") : "";
    }
}

static int print_options_of(const struct cmd *cmd, const char *word)
{
    int ends[2];
    char line[512];
    int status = 0;
    fflush(stdout);
    if (pipe(ends) != 0) {
        return EXIT_FAILED;
    }
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        print_help(cmd, word, ends[1]);
    }
    close(ends[1]);
    FILE *help = fdopen(ends[0], "r");
    if (help == NULL) {
        close(ends[0]);
        return EXIT_FAILED;
    }
    while (child > 0 && fgets(line, sizeof line, help) != NULL) {
        print_options(line);
    }
    fclose(help);
    bool is_done = child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
                   WEXITSTATUS(status) == EXIT_DONE;
    return is_done ? EXIT_DONE : EXIT_FAILED;
}

static const char *first_words_of(const struct cmd *cmd)
{
    for (size_t i = 0; i < FIRST_WORDS_COUNT; i++) {
        if (strcmp(first_words[i].command, cmd->name) == 0) {
            return first_words[i].words;
        }
    }
    return "";
}

/* One line of the script's table: the command, its first words, its options. */
static int print_command(const struct cmd *cmd)
{
    int code;
    printf("    %s)\n        first='%s'\n        options='", cmd->name, first_words_of(cmd));
    if (strcmp(cmd->name, "bench") == 0) {
        code = print_options_of(cmd, "kv");
        code = code != EXIT_DONE ? code : print_options_of(cmd, "fs");
    } else {
        code = print_options_of(cmd, NULL);
    }
    printf("'\n        ;;\n");
    return code;
}

int completions_bash(const struct cmd *cmds, size_t count)
{
    int code = EXIT_DONE;
    printf("# Completions of kvfs " KVFS_VERSION " for bash, made by 'kvfs completions bash'.\n"
           "_kvfs() {\n"
           "    local cur=${COMP_WORDS[COMP_CWORD]} first='' options=''\n"
           "    case ${COMP_WORDS[1]} in\n");
    for (size_t i = 0; i < count && code == EXIT_DONE; i++) {
        code = print_command(&cmds[i]);
    }
    printf("    help) first='");
    for (size_t i = 0; i < count; i++) {
        printf("%s%s", cmds[i].name, i + 1 < count ? " " : "' ;;\n");
    }
    printf("    esac\n"
           "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        first='help");
    for (size_t i = 0; i < count; i++) {
        printf(" %s", cmds[i].name);
    }
    printf("'\n"
           "    fi\n"
           "    if [[ $cur == -* ]]; then\n"
           "        mapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$cur\")\n"
           "        [[ ${COMPREPLY[0]-} != *= ]] || compopt -o nospace\n"
           "    elif [ \"$COMP_CWORD\" -le 2 ] && [ -n \"$first\" ]; then\n"
           "        mapfile -t COMPREPLY < <(compgen -W \"$first\" -- \"$cur\")\n"
           "    else\n"
           "        mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
           "    fi\n"
           "}\n"
           "complete -o filenames -F _kvfs kvfs\n");
    if (code != EXIT_DONE) {
        complain("cannot ask the commands for their options");
    }
    return finish_output(code);
}
