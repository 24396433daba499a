/* Who a process is among processes of several machines. */
#ifndef PAL_SHARD_HOST_H
#define PAL_SHARD_HOST_H

enum { HOST_NAME = 72, HOST_PROCESS = HOST_NAME + 24, HOST_MACHINE = 64 };

/* A process as others can find it. */
typedef struct host_id {
    char name[HOST_NAME];
    char machine[HOST_MACHINE]; /* its boot and its space of process numbers; "": unknown */
    long long process, began;   /* its number, and when it began, in ticks of the kernel */
} host_id;

host_id host_self(void);
/* "node7-1234": the name of a process in file names. Returns out. */
const char *host_process(const host_id *id, char out[HOST_PROCESS]);
/* Whether the process is known to be gone: only what runs here, under this kernel, can be known. */
int host_is_gone(const host_id *id);

#endif
