/* The manual in troff, and a completion script for bash.
 * Nothing is written by hand: both follow the option tables. */
#include "harness/command/manual.h"

#include "harness/base/version.h"
#include "harness/command/commands.h"

#include <string.h>

/* ---- Troff ---- */

/* Text in which no character acts: a backslash is printed, and a leading dot or quote is no request. */
static void put_troff(FILE *out, const char *text)
{
    fputs("\\&", out);
    for (; *text; text++) {
        if (*text == '\\')
            fputs("\\e", out);
        else if (*text == '-')
            fputs("\\-", out);
        else if (*text == '\n')
            fputs(text[1] ? "\n.br\n\\&" : "", out);
        else
            fputc(*text, out);
    }
}

static void put_key(FILE *out, const kv_spec *s)
{
    fputs(".TP\n.B ", out);
    put_troff(out, s->key);
    fputs("\\fR=", out);
    put_troff(out, s->fallback);
    fputc('\n', out);
    put_troff(out, s->help ? s->help : "");
    if (s->type == KV_CHOICE) {
        fputs(" (", out);
        put_troff(out, s->choices);
        fputc(')', out);
    }
    fputc('\n', out);
}

static void put_keys(FILE *out, const kv_spec *table, size_t count)
{
    for (size_t i = 0; i < count; i++) put_key(out, &table[i]);
}

static void put_command(FILE *out, const pal_command *c)
{
    fputs(".SS ", out);
    put_troff(out, c->name);
    fputc('\n', out);
    put_troff(out, c->summary);
    fputs(".\n", out);
    if (c->note) put_troff(out, c->note);
    if (c->note) fputc('\n', out);
    for (const char *at = c->examples; at && *at;) {
        char line[256];
        const int size = (int)strcspn(at, "\n");
        snprintf(line, sizeof line, "palimpsest %.*s", size, at);
        fputs(at == c->examples ? ".PP\n.nf\n" : "", out);
        put_troff(out, line);
        fputc('\n', out);
        at += size + (at[size] == '\n');
        if (!*at) fputs(".fi\n", out);
    }
    put_keys(out, c->options, c->count);
    command_group group[COMMAND_GROUPS];
    const size_t groups = c->groups ? c->groups(group) : 0;
    for (size_t i = 0; i < groups; i++) {
        /* plan and imprint take eval's keys: say so once. */
        const int first = c == &eval_command || c == &train_command;
        if (!first) continue;
        fputs(".PP\n", out);
        put_troff(out, group[i].title);
        fputc(' ', out);
        put_troff(out, group[i].topic);
        fputs(":\n", out);
        put_keys(out, group[i].table, group[i].count);
    }
}

void manual_page(FILE *out)
{
    fprintf(out, ".TH PALIMPSEST 1 \"\" \"palimpsest %s\"\n", pal_version());
    fputs(".SH NAME\npalimpsest \\- train and evaluate Transformers with bounded memory\n", out);
    fputs(".SH SYNOPSIS\n.B palimpsest\n.I command\n[key=value | \\-\\-key value | \\-\\-key=value ...]\n", out);
    fputs(".SH DESCRIPTION\nSizes take K and M: 1K is 1024 tokens. Lists are comma\\-separated. A range is "
          "FIRST:LAST:STEP or\n"
          "FIRST:LAST:*FACTOR. A comma inside a name is written \\e,. A switch such as plots=1 may be written "
          "\\-\\-plots or\n"
          "\\-\\-no\\-plots.\n.SH COMMANDS\n",
          out);
    for (size_t i = 0; command_table[i]; i++) put_command(out, command_table[i]);
    fputs(".SH ENVIRONMENT\n.TP\n.B PALIMPSEST_HOME\nDirectory of models, datasets, plots and results/expected.\n",
          out);
    fputs(".SH EXIT STATUS\n0 done, 1 a gate failed, 2 bad request, 3 bad file, 4 failure of the machine or a "
          "bug, 5 cannot tell.\n",
          out);
}

/* ---- Bash ---- */

static void put_case(FILE *out, const pal_command *c)
{
    command_group group[COMMAND_GROUPS];
    const size_t groups = c->groups ? c->groups(group) : 0;
    fprintf(out, "    %s) keys='", c->name);
    for (size_t i = 0; i < c->count; i++) fprintf(out, "%s= ", c->options[i].key);
    for (size_t i = 0; i < groups; i++)
        for (size_t k = 0; k < group[i].count; k++) fprintf(out, "%s= ", group[i].table[k].key);
    fputs("' ;;\n", out);
}

/* "KEY=" and the values that it can have. */
static void put_choices(FILE *out, const kv_spec *s)
{
    if (s->type != KV_CHOICE) return;
    fprintf(out, "    %s) words='", s->key);
    for (const char *c = s->choices; *c; c++) fputc(*c == '|' ? ' ' : *c, out);
    fputs("' ;;\n", out);
}

void manual_completion(FILE *out)
{
    fputs("# Completion of palimpsest for bash: made by `palimpsest help format=completion`.\n"
          "_palimpsest() {\n"
          "    local word=${COMP_LINE:0:COMP_POINT} keys= words= key\n"
          "    word=${word##*[[:space:]]}\n"
          "    if [ \"$COMP_CWORD\" = 1 ]; then\n"
          "        COMPREPLY=($(compgen -W '",
          out);
    for (size_t i = 0; command_table[i]; i++) fprintf(out, "%s ", command_table[i]->name);
    fputs("' -- \"$word\"))\n        return\n    fi\n    case ${COMP_WORDS[1]} in\n", out);
    for (size_t i = 0; command_table[i]; i++) put_case(out, command_table[i]);
    fputs("    esac\n"
          "    case $word in\n"
          "    *=*)\n"
          "        key=${word%%=*}\n"
          "        case $key in\n"
          "        task) words='",
          out);
    command_group group[COMMAND_GROUPS];
    const size_t groups = eval_command.groups(group);
    for (size_t i = 0; i < groups; i++) fprintf(out, "%s ", group[i].topic);
    fputs("' ;;\n", out);
    for (size_t i = 0; command_table[i]; i++)
        for (size_t k = 0; k < command_table[i]->count; k++) put_choices(out, &command_table[i]->options[k]);
    fputs("        esac\n"
          "        if [ -n \"$words\" ]; then\n"
          "            COMPREPLY=($(compgen -W \"$words\" -- \"${word#*=}\"))\n"
          "        else\n"
          "            COMPREPLY=($(compgen -f -- \"${word#*=}\"))\n"
          "        fi ;;\n"
          "    --*) COMPREPLY=($(compgen -P -- -W \"${keys//=/}\" -- \"${word#--}\")) ;;\n"
          "    *)\n"
          "        COMPREPLY=($(compgen -W \"$keys\" -- \"$word\"))\n"
          "        [[ ${COMPREPLY[0]-} == *= ]] && compopt -o nospace ;;\n"
          "    esac\n"
          "}\n"
          "complete -F _palimpsest palimpsest\n",
          out);
}
