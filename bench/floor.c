/* The floor: the least that any server does for the same messages.
 *
 * One thread, one epoll, no room but a count and a mood. It accepts sockets, answers a join with the presence,
 * and a change of mood with one send() of the same bytes to every socket. What it costs is what the kernel costs;
 * the benchmark states every other server as a ratio to it.
 *
 * A yardstick, not a server: it trusts its one client, load.c, to send short messages whole and to use the sample
 * key of RFC 6455, section 1.3, whose answer is known. Anything else ends it with an error.
 *
 * Usage: floor PAYLOAD_BYTES; prints its address, and runs until it is killed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { FILES_MAX = 1 << 16, EVENTS = 256, FRAME_MAX = 2048, TEXT = 0x81, CLOSE = 0x88 };

static const char UPGRADED[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                               "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

static char upgraded[FILES_MAX]; /* By file descriptor: has it shaken hands? */
static int seat[FILES_MAX];      /* By file descriptor: its place in `people`, or -1. */
static int people[FILES_MAX];    /* The file descriptors of those who joined. */
static int count;
static char mood[32] = "unspoken"; /* The mood of the one visitor who names any; all others have none. */
static size_t payload_bytes;

static void send_whole(int fd, const void *bytes, size_t length) {
    if (send(fd, bytes, length, MSG_NOSIGNAL) != (ssize_t)length)
        err(1, "a socket did not take %zu bytes", length);
}

/* Write the presence as one WebSocket frame, padded with spaces to the size that is compared. */
static size_t write_frame(char *frame) {
    static const char *moods[] = {"gratitude", "presence", "release", "connection"};
    char *payload = frame + 4, *end = payload;
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    end += sprintf(end, "{\"type\":\"presence\",\"room\":\"lobby\",\"count\":%d,\"low\":%d,\"high\":%d,", count, count, count);
    end += sprintf(end, "\"method\":\"counted\",\"sample_rate\":1.0,\"moods\":{");
    int spoken = 0;
    for (int i = 0; i < 4; i++) {
        int here = !strcmp(mood, moods[i]);
        spoken |= here;
        end += sprintf(end, "%s\"%s\":%d", i ? "," : "", moods[i], here);
    }
    end += sprintf(end, "},\"unspoken\":%d,\"label\":\"%d\",\"as_of_ms\":%lld,\"stale_after_ms\":30000,\"poll_ms\":30000}",
                   count - spoken, count, now.tv_sec * 1000LL + now.tv_nsec / 1000000);

    size_t length = (size_t)(end - payload);
    if (length < payload_bytes) {
        memset(end, ' ', payload_bytes - length);
        length = payload_bytes;
    }
    frame[0] = (char)TEXT;
    frame[1] = 126; /* A presence is always longer than 125 bytes: two bytes of length follow. */
    frame[2] = (char)(length >> 8);
    frame[3] = (char)(length & 0xff);
    return length + 4;
}

static void leave(int fd) {
    if (seat[fd] >= 0) {
        int last = people[--count];
        people[seat[fd]] = last;
        seat[last] = seat[fd];
        seat[fd] = -1;
    }
    close(fd);
}

static void obey(int fd, char *text) {
    char frame[FRAME_MAX];

    if (strstr(text, "\"join\"")) {
        seat[fd] = count;
        people[count++] = fd;
        send_whole(fd, frame, write_frame(frame));
    } else if (sscanf(text, "{\"type\":\"mood\",\"mood\":\"%31[a-z]", mood) == 1) {
        size_t length = write_frame(frame);
        for (int i = 0; i < count; i++)
            send_whole(people[i], frame, length);
    } else {
        errx(1, "not a message of the benchmark: %s", text);
    }
}

static void read_from(int fd) {
    unsigned char bytes[4096];
    ssize_t length = recv(fd, bytes, sizeof bytes - 1, 0);

    if (length <= 0) {
        leave(fd);
    } else if (!upgraded[fd]) {
        if (length < 4 || memcmp(bytes + length - 4, "\r\n\r\n", 4) != 0)
            errx(1, "a handshake came in pieces");
        upgraded[fd] = 1;
        send_whole(fd, UPGRADED, sizeof UPGRADED - 1);
    } else if (bytes[0] == CLOSE) {
        send_whole(fd, "\x88\x02\x03\xe8", 4); /* 1000: normal closure. */
        leave(fd);
    } else {
        size_t size = bytes[1] & 0x7f;
        if (bytes[0] != TEXT || size > 125 || (size_t)length != size + 6)
            errx(1, "not one short text frame");
        for (size_t i = 0; i < size; i++)
            bytes[6 + i] ^= bytes[2 + i % 4];
        bytes[length] = 0;
        obey(fd, (char *)bytes + 6);
    }
}

int main(int argc, char **argv) {
    if (argc != 2)
        errx(2, "usage: floor PAYLOAD_BYTES");
    payload_bytes = strtoul(argv[1], NULL, 10);
    if (payload_bytes > FRAME_MAX - 4)
        errx(2, "PAYLOAD_BYTES must be at most %d", FRAME_MAX - 4);

    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t address_length = sizeof address;
    int door = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (door < 0 || bind(door, (struct sockaddr *)&address, sizeof address) || listen(door, 4096) ||
        getsockname(door, (struct sockaddr *)&address, &address_length))
        err(1, "listen");
    printf("http://127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);

    int watch = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = door}, events[EVENTS];
    epoll_ctl(watch, EPOLL_CTL_ADD, door, &event);
    for (;;) {
        int ready = epoll_wait(watch, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.fd != door) {
                read_from(events[i].data.fd);
                continue;
            }
            int fd = accept(door, NULL, NULL);
            if (fd < 0 || fd >= FILES_MAX)
                err(1, "accept");
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            upgraded[fd] = 0;
            seat[fd] = -1;
            event = (struct epoll_event){.events = EPOLLIN, .data.fd = fd};
            epoll_ctl(watch, EPOLL_CTL_ADD, fd, &event);
        }
    }
}
