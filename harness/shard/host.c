/* A process among those of several machines: the name of its host, its number, and whether it still runs.
 * Containers may share a host's name: the boot and the space of process numbers tell them apart. */
#include "harness/shard/host.h"

#include "harness/base/os.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* When process `number` began; -1: it cannot be told. */
static long long began_of(long long number)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%lld/stat", number);
    FILE *in = fopen(path, "re");
    const size_t size = in ? fread(text, 1, sizeof text - 1, in) : 0;
    if (in) fclose(in);
    text[size] = '\0';
    /* The name in brackets may hold anything; of the fields behind it the 20th is the time. */
    const char *at = strrchr(text, ')');
    for (int field = 0; at && field < 20; field++) at = strchr(at + 1, ' ');
    return at ? atoll(at + 1) : -1;
}

static void machine_of(char out[HOST_MACHINE])
{
    char boot[40] = "", space[24] = "";
    FILE *in = fopen("/proc/sys/kernel/random/boot_id", "re");
    const int got = in && fscanf(in, "%39s", boot) == 1;
    if (in) fclose(in);
    const ssize_t size = readlink("/proc/self/ns/pid", space, sizeof space - 1);
    out[0] = '\0';
    if (got && size > 0) snprintf(out, HOST_MACHINE, "%.36s %.23s", boot, space);
    for (char *c = out; *c; c++)
        if (*c == ' ') *c = '/';
}

host_id host_self(void)
{
    host_id id = {.process = getpid()};
    char name[256] = "";
    if (gethostname(name, sizeof name - 1) != 0 || !name[0]) strcpy(name, "host");
    for (char *c = name; *c; c++)
        if (!isalnum((unsigned char)*c) && *c != '.' && *c != '-') *c = '-';
    snprintf(id.name, sizeof id.name, "%.70s", name);
    machine_of(id.machine);
    id.began = began_of(id.process);
    return id;
}

const char *host_process(const host_id *id, char out[HOST_PROCESS])
{
    snprintf(out, HOST_PROCESS, "%s-%lld", id->name, id->process);
    return out;
}

int host_is_gone(const host_id *id)
{
    char machine[HOST_MACHINE];
    machine_of(machine);
    if (!id->machine[0] || strcmp(machine, id->machine) != 0 || id->process <= 0) return 0;
    if (kill((pid_t)id->process, 0) != 0) return errno == ESRCH;
    const long long began = began_of(id->process);
    return began >= 0 && id->began >= 0 && began != id->began;
}
