/* The load: one process that is ten thousand visitors.
 *
 * It holds the client ends of many WebSockets to 127.0.0.1:PORT, each a visitor with a random id of its own, counts
 * every frame that arrives and checks every byte that it relies on. Commands come as lines on standard input, and each is
 * answered with one line of JSON when it is done or out of time:
 *
 *     join COUNT WINDOW TIMEOUT_MS    that many more visitors connect, upgrade, join and get their first presence,
 *                                     WINDOW of them at once
 *     change MOOD TIMEOUT_MS          the first visitor sends MOOD; done when every socket has the presence that shows it
 *     wait TIMEOUT_MS                 keep reading for that long
 *     close TIMEOUT_MS                every visitor sends a close frame, and waits for the server to close
 *
 *     {"goal": sockets to reach, "reached": sockets that got there, "elapsed_ns": until the last of them,
 *      "messages", "bytes": text frames and their payloads since the start, "payload_bytes": of the last of them,
 *      "lost": sockets that the server closed}
 *
 * It reads with one recv() and no copy in the common case, because it shares a small machine with what it measures.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { VISITORS_MAX = 1 << 16, EVENTS = 512, PAYLOAD_MAX = 4096, ORDERS = -1 };
enum { TEXT = 0x81, CLOSE = 0x88, PING = 0x89, PONG = 0x8a };
enum state { UPGRADING, JOINING, JOINED, CLOSING, GONE };
enum task { NOTHING, JOIN, CHANGE, WAIT, LEAVE };

struct visitor {
    int fd;
    enum state state;
    int change;          /* The last change that reached it. */
    unsigned char *kept; /* The beginning of a frame whose end has not come yet, or NULL. */
    size_t kept_bytes;
};

static struct visitor visitors[VISITORS_MAX];
static int opened, watch;
static struct sockaddr_in server = {.sin_family = AF_INET};
static char handshake[512];

static enum task task;
static int goal, reached, window, change;
static char mood[32];
static int64_t started_ns, reached_ns, deadline_ns;
static int64_t messages, bytes_read, lost;

/* The last payload and its content: it is the same for all visitors, so it is parsed once and then only compared. */
static char payload[PAYLOAD_MAX + 1];
static size_t payload_bytes;
static int is_presence, shows_change;

static int64_t clock_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void reach(int64_t now_ns) {
    reached++;
    reached_ns = now_ns;
}

static void send_frame(struct visitor *visitor, unsigned char head, const void *text, size_t length) {
    unsigned char frame[6 + 125], *mask = frame + 2;
    static uint32_t seed = 2463534242;

    seed = seed * 1664525 + 1013904223;
    memcpy(mask, &seed, 4);
    frame[0] = head;
    frame[1] = (unsigned char)(0x80 | length);
    for (size_t i = 0; i < length; i++)
        frame[6 + i] = ((const unsigned char *)text)[i] ^ mask[i % 4];
    if (send(visitor->fd, frame, 6 + length, MSG_NOSIGNAL) != (ssize_t)(6 + length))
        err(1, "the server did not accept a frame");
}

static void go(struct visitor *visitor) {
    close(visitor->fd);
    free(visitor->kept);
    visitor->kept = NULL;
    if (visitor->state != CLOSING)
        lost++;
    else if (task == LEAVE)
        reach(clock_ns());
    visitor->state = GONE;
}

static void open_one(void) {
    struct visitor *visitor = &visitors[opened];
    struct epoll_event event = {.events = EPOLLIN, .data.fd = opened};
    const struct linger reset = {.l_onoff = 1, .l_linger = 0}; /* No TIME_WAIT is left to the next server. */
    int one = 1;

    /* On the loopback the kernel accepts at once, so a blocking connect() does not wait. */
    *visitor = (struct visitor){.fd = socket(AF_INET, SOCK_STREAM, 0), .state = UPGRADING};
    if (visitor->fd < 0 || connect(visitor->fd, (struct sockaddr *)&server, sizeof server))
        err(1, "visitor %d does not get in", opened);
    setsockopt(visitor->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(visitor->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    if (send(visitor->fd, handshake, strlen(handshake), MSG_NOSIGNAL) < 0)
        err(1, "handshake of visitor %d", opened);
    if (epoll_ctl(watch, EPOLL_CTL_ADD, visitor->fd, &event))
        err(1, "epoll");
    opened++;
}

static void join(struct visitor *visitor) {
    unsigned char id[16];
    char text[125], *end = text;

    if (getrandom(id, sizeof id, 0) != sizeof id)
        err(1, "getrandom");
    end += sprintf(end, "{\"type\":\"join\",\"visitor\":\"");
    for (size_t i = 0; i < sizeof id; i++)
        end += sprintf(end, "%02x", id[i]);
    end += sprintf(end, "\"}");
    send_frame(visitor, TEXT, text, (size_t)(end - text));
    visitor->state = JOINING;
}

/* Find the value of a key in flat enough JSON, compact or with spaces. */
static const char *value_of(const char *key) {
    char quoted[40];
    snprintf(quoted, sizeof quoted, "\"%s\"", key);
    const char *found = strstr(payload, quoted);
    return found ? found + strlen(quoted) + strspn(found + strlen(quoted), ": ") : "";
}

static void hear(struct visitor *visitor, const unsigned char *text, size_t length) {
    messages++;
    bytes_read += (int64_t)length;
    if (length != payload_bytes || memcmp(payload, text, length) != 0) {
        if (length > PAYLOAD_MAX)
            errx(1, "a message of %zu bytes", length);
        memcpy(payload, text, length);
        payload[length] = 0;
        payload_bytes = length;
        is_presence = !strncmp(value_of("type"), "\"presence\"", 10);
        shows_change = is_presence && task == CHANGE && atoi(value_of(mood)) == 1;
        if (!is_presence)
            errx(1, "not a presence: %s", payload);
    }
    if (visitor->state == JOINING) {
        visitor->state = JOINED;
        if (task == JOIN)
            reach(clock_ns());
    }
    if (shows_change && visitor->change != change) {
        visitor->change = change;
        reach(clock_ns());
    }
}

/* Read the whole frames at the front of the bytes, and say how many bytes they were. */
static size_t read_frames(struct visitor *visitor, const unsigned char *bytes, size_t length) {
    size_t done = 0;

    while (visitor->state != GONE && length - done >= 2) {
        const unsigned char *frame = bytes + done;
        size_t header = 2, size = frame[1];
        if (size > 126)
            errx(1, "a frame that is masked, or above 64 KB");
        if (size == 126) {
            if (length - done < 4)
                break;
            header = 4;
            size = (size_t)frame[2] << 8 | frame[3];
        }
        if (length - done < header + size)
            break;
        done += header + size;
        if (frame[0] == TEXT)
            hear(visitor, frame + header, size);
        else if (frame[0] == PING)
            send_frame(visitor, PONG, frame + header, size);
        else if (frame[0] == CLOSE)
            go(visitor);
        else if (frame[0] != PONG)
            errx(1, "a frame that begins with %#x", frame[0]);
    }
    return done;
}

static size_t read_upgrade(struct visitor *visitor, const unsigned char *bytes, size_t length) {
    const char *end = memmem(bytes, length, "\r\n\r\n", 4);

    if (!end)
        return 0;
    if (length < 12 || memcmp(bytes, "HTTP/1.1 101", 12) != 0 || !memmem(bytes, length, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", 28))
        errx(1, "the handshake was refused: %.*s", (int)length, bytes);
    join(visitor);
    return (size_t)(end + 4 - (const char *)bytes);
}

static void read_from(struct visitor *visitor) {
    static unsigned char inbox[1 << 16];
    size_t length = visitor->kept_bytes, done = 0;

    if (visitor->kept)
        memcpy(inbox, visitor->kept, length);
    ssize_t received = recv(visitor->fd, inbox + length, sizeof inbox - length, MSG_DONTWAIT);
    if (received <= 0) {
        if (received == 0 || (errno != EAGAIN && errno != EINTR))
            go(visitor);
        return;
    }
    length += (size_t)received;
    if (visitor->state == UPGRADING)
        done = read_upgrade(visitor, inbox, length);
    if (visitor->state != UPGRADING)
        done += read_frames(visitor, inbox + done, length - done);
    if (visitor->state == GONE)
        return;

    free(visitor->kept);
    visitor->kept = NULL;
    visitor->kept_bytes = length - done;
    if (visitor->kept_bytes) {
        visitor->kept = malloc(visitor->kept_bytes);
        memcpy(visitor->kept, inbox + done, visitor->kept_bytes);
    }
}

static void begin(const char *order) {
    int timeout_ms;

    payload_bytes = 0; /* What the last payload says depends on the task. */
    reached = 0;
    started_ns = reached_ns = clock_ns();
    if (sscanf(order, "join %d %d %d", &goal, &window, &timeout_ms) == 3) {
        task = JOIN;
        if (opened + goal > VISITORS_MAX)
            errx(1, "at most %d visitors", VISITORS_MAX);
    } else if (sscanf(order, "change %31[a-z] %d", mood, &timeout_ms) == 2) {
        char text[125];
        task = CHANGE;
        goal = opened;
        change++;
        send_frame(&visitors[0], TEXT, text, (size_t)sprintf(text, "{\"type\":\"mood\",\"mood\":\"%s\"}", mood));
    } else if (sscanf(order, "wait %d", &timeout_ms) == 1) {
        task = WAIT;
        goal = INT32_MAX;
    } else if (sscanf(order, "close %d", &timeout_ms) == 1) {
        task = LEAVE;
        goal = opened - (int)lost;
        for (int i = 0; i < opened; i++) {
            if (visitors[i].state != GONE) {
                visitors[i].state = CLOSING;
                send_frame(&visitors[i], CLOSE, "\x03\xe8", 2);
            }
        }
    } else {
        errx(2, "not an order: %s", order);
    }
    deadline_ns = started_ns + timeout_ms * 1000000LL;
}

/* Open what the window allows, and answer the order that is done or out of time. */
static void proceed(void) {
    static int joined_before;

    if (task == JOIN)
        while (opened - joined_before < goal && opened - joined_before - reached < window)
            open_one();
    if (task == NOTHING || (reached < goal && clock_ns() < deadline_ns))
        return;
    printf("{\"goal\": %d, \"reached\": %d, \"elapsed_ns\": %lld, \"messages\": %lld, \"bytes\": %lld, "
           "\"payload_bytes\": %zu, \"lost\": %lld}\n",
           goal, reached, (long long)(reached_ns - started_ns), (long long)messages, (long long)bytes_read, payload_bytes,
           (long long)lost);
    fflush(stdout);
    if (task == LEAVE)
        opened = 0;
    joined_before = opened;
    task = NOTHING;
}

int main(int argc, char **argv) {
    struct epoll_event events[EVENTS], orders = {.events = EPOLLIN, .data.fd = ORDERS};
    char order[128];

    if (argc != 2)
        errx(2, "usage: load PORT");
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server.sin_port = htons((uint16_t)atoi(argv[1]));
    /* The sample key of RFC 6455, section 1.3: its answer is known, and no server treats it differently. */
    snprintf(handshake, sizeof handshake,
             "GET /v1/rooms/lobby/socket HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
             argv[1]);

    watch = epoll_create1(0);
    if (watch < 0 || epoll_ctl(watch, EPOLL_CTL_ADD, STDIN_FILENO, &orders))
        err(1, "epoll");
    for (;;) {
        int64_t left_ns = deadline_ns - clock_ns();
        int timeout_ms = task == NOTHING ? -1 : left_ns > 0 ? (int)(left_ns / 1000000) + 1 : 0;
        int ready = epoll_wait(watch, events, EVENTS, timeout_ms);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.fd != ORDERS)
                read_from(&visitors[events[i].data.fd]);
            else if (fgets(order, sizeof order, stdin))
                begin(order);
            else
                return 0;
        }
        proceed();
    }
}
