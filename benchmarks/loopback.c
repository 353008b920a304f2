/* The loopback itself, without Python: what a round trip takes, and how many bytes cross.
 *
 * loopback CORE CORE SECONDS: two processes on these cores. Prints the median round trip of 64
 * bytes in nanoseconds, then bytes per second in blocks of 64 KiB.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PING = 64, BLOCK = 65536, PINGS_MAX = 1000000 };

static void check(int failed, const char *what)
{
    if (failed) {
        perror(what);
        exit(1);
    }
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

static void pin(int core)
{
    cpu_set_t cores;
    CPU_ZERO(&cores);
    CPU_SET(core, &cores);
    check(sched_setaffinity(0, sizeof cores, &cores), "sched_setaffinity");
}

static int read_all(int peer, char *into, size_t wanted)
{
    for (size_t have = 0; have < wanted;) {
        ssize_t more = read(peer, into + have, wanted - have);
        if (more <= 0)
            return 0;
        have += more;
    }
    return 1;
}

static void write_all(int peer, const char *from, size_t count)
{
    for (size_t done = 0; done < count;) {
        ssize_t more = write(peer, from + done, count - done);
        check(more <= 0, "write");
        done += more;
    }
}

static int compare(const void *one, const void *other)
{
    double difference = *(const double *)one - *(const double *)other;
    return (difference > 0) - (difference < 0);
}

/* Echoes pings until one begins with 'b'; then swallows blocks, and answers one byte at the end. */
static void answer(int peer, char *block)
{
    while (read_all(peer, block, PING) && block[0] == 'p')
        write_all(peer, block, PING);
    while (read_all(peer, block, BLOCK))
        if (block[0] == 'e') {
            write_all(peer, block, 1);
            return;
        }
}

int main(int count, char **arguments)
{
    static char block[BLOCK];
    static double times[PINGS_MAX];
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0), peer;

    check(count != 4, "usage: loopback CORE CORE SECONDS");
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    check(bind(listener, (struct sockaddr *)&address, length) || listen(listener, 1), "listen");
    check(getsockname(listener, (struct sockaddr *)&address, &length), "getsockname");

    pid_t child = fork();
    check(child < 0, "fork");
    if (child == 0) {
        pin(atoi(arguments[2]));
        peer = accept(listener, NULL, NULL);
        check(peer < 0, "accept");
        setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        answer(peer, block);
        return 0;
    }
    pin(atoi(arguments[1]));
    peer = socket(AF_INET, SOCK_STREAM, 0);
    check(connect(peer, (struct sockaddr *)&address, length), "connect");
    setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);

    double seconds = atof(arguments[3]), began = now_s(), until = began + seconds;
    int pings = 0;
    block[0] = 'p';
    do {
        double sent = now_s();
        write_all(peer, block, PING);
        check(!read_all(peer, block, PING), "read");
        times[pings++] = now_s() - sent;
    } while (now_s() < until && pings < PINGS_MAX);
    qsort(times, pings, sizeof *times, compare);

    double bytes = 0;
    block[0] = 'b';
    write_all(peer, block, PING);
    began = now_s();
    until = began + seconds;
    do {
        write_all(peer, block, BLOCK);
        bytes += BLOCK;
    } while (now_s() < until);
    block[0] = 'e';
    write_all(peer, block, BLOCK);
    check(!read_all(peer, block, 1), "read");
    bytes += BLOCK;
    printf("%.0f %.0f\n", times[pings / 2] * 1e9, bytes / (now_s() - began));
    waitpid(child, NULL, 0);
    return 0;
}
