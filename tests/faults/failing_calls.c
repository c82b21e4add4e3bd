/* Lets one call of the operating system fail, below every library: preloaded, it counts the calls
   that change files under a folder, and from the one that it is told on they return an error. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static char root[PATH_MAX];
static atomic_long calls;
static long first, last;
static int failure;

/* The calls from `from` to `to` fail, counted from 1; without a folder nothing is counted. */
void arm(const char *folder, long from, long to, int number) {
    calls = 0;
    first = from, last = to, failure = number;
    snprintf(root, sizeof root, "%s", folder);
}

long num_calls(void) { return calls; }

static int counts(const char *path) {
    size_t length = strlen(root);
    if (!length || strncmp(path, root, length)) return 0;
    long number = ++calls;
    return number >= first && number <= last;
}

static int fails_at(int folder, const char *path) {
    char whole[2 * PATH_MAX] = "", link[64];
    if (!*root) return 0;
    if (path[0] != '/') {
        snprintf(link, sizeof link, folder == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", folder);
        ssize_t length = readlink(link, whole, PATH_MAX - 1);
        if (length < 0) return 0;
        whole[length] = '/', whole[length + 1] = 0;
    }
    strncat(whole, path, PATH_MAX - 1);
    return counts(whole);
}

static int fails(int file) {
    char link[64], path[PATH_MAX];
    if (!*root) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return counts(path);
}

/* A full disk removes files as ever. */
static int is_full(void) { return failure == ENOSPC || failure == EDQUOT; }

#define CALL(result, name, parameters, arguments, condition)        \
    result name parameters {                                        \
        static result(*real) parameters;                            \
        if (!real) *(void **)&real = dlsym(RTLD_NEXT, #name);       \
        if (condition) return errno = failure, -1;                  \
        return real arguments;                                      \
    }

CALL(ssize_t, write, (int f, const void *b, size_t n), (f, b, n), fails(f))
CALL(ssize_t, pwrite, (int f, const void *b, size_t n, off_t o), (f, b, n, o), fails(f))
CALL(ssize_t, pwrite64, (int f, const void *b, size_t n, off64_t o), (f, b, n, o), fails(f))
CALL(ssize_t, writev, (int f, const struct iovec *v, int n), (f, v, n), fails(f))
CALL(int, fsync, (int f), (f), fails(f))
CALL(int, fdatasync, (int f), (f), fails(f))
CALL(int, rename, (const char *a, const char *b), (a, b), fails_at(AT_FDCWD, b))
CALL(int, renameat, (int c, const char *a, int d, const char *b), (c, a, d, b), fails_at(d, b))
CALL(int, link, (const char *a, const char *b), (a, b), fails_at(AT_FDCWD, b))
CALL(int, linkat, (int c, const char *a, int d, const char *b, int f), (c, a, d, b, f), fails_at(d, b))
CALL(int, mkdir, (const char *p, mode_t m), (p, m), fails_at(AT_FDCWD, p))
CALL(int, mkdirat, (int d, const char *p, mode_t m), (d, p, m), fails_at(d, p))
CALL(int, unlink, (const char *p), (p), !is_full() && fails_at(AT_FDCWD, p))
CALL(int, unlinkat, (int d, const char *p, int f), (d, p, f), !is_full() && fails_at(d, p))
