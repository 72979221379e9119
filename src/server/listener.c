/*
 * listener.c: see listener.h.
 */
#include "server/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/ceilings.h"

static bool parse_port(const char *text, uint16_t *port_out)
{
    uint32_t port = 0;
    if (*text == '\0') return false;
    for (; *text != '\0'; ++text) {
        if (*text < '0' || *text > '9') return false;
        port = port * 10 + (uint32_t)(*text - '0');
        if (port > UINT16_MAX) return false;
    }
    *port_out = (uint16_t)port;
    return true;
}

bool listener_parse(const char *text, struct listener_address *address_out)
{
    struct listener_address address = {0};
    char host[LISTENER_TEXT_SIZE];
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon == text || !parse_port(colon + 1, &address.port)) return false;
    size_t length = (size_t)(colon - text);
    const bool has_brackets = text[0] == '[' && text[length - 1] == ']';
    if (has_brackets) {
        ++text;
        length -= 2;
    }
    if (length >= sizeof(host)) return false;
    memcpy(host, text, length);
    host[length] = '\0';
    address.is_ipv6 = has_brackets;
    if (!has_brackets && strcmp(host, "localhost") == 0) (void)strcpy(host, "127.0.0.1");
    if (inet_pton(has_brackets ? AF_INET6 : AF_INET, host, address.ip) != 1) return false;
    *address_out = address;
    return true;
}

bool listener_is_loopback(const struct listener_address *address)
{
    static const uint8_t loopback6[16] = {[15] = 1};
    if (address->is_ipv6) return memcmp(address->ip, loopback6, sizeof(loopback6)) == 0;
    return address->ip[0] == 127;
}

static socklen_t to_system(const struct listener_address *address, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof(*out));
    if (address->is_ipv6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(address->port);
        memcpy(&in6->sin6_addr, address->ip, 16);
        return sizeof(*in6);
    }
    struct sockaddr_in *in4 = (struct sockaddr_in *)out;
    in4->sin_family = AF_INET;
    in4->sin_port = htons(address->port);
    memcpy(&in4->sin_addr, address->ip, 4);
    return sizeof(*in4);
}

static bool bind_and_listen(int fd, struct listener_address *address)
{
    const int yes = 1;
    const int receive_bytes = CONNECTION_RECEIVE_BYTES; /* connections inherit it */
    struct sockaddr_storage system;
    socklen_t length = to_system(address, &system);
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) != 0) return false;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof(receive_bytes)) != 0)
        return false;
    if (bind(fd, (struct sockaddr *)&system, length) != 0) return false;
    if (listen(fd, SOMAXCONN) != 0) return false;
    length = sizeof(system);
    if (getsockname(fd, (struct sockaddr *)&system, &length) != 0) return false;
    address->port = ntohs(address->is_ipv6 ? ((struct sockaddr_in6 *)&system)->sin6_port
                                           : ((struct sockaddr_in *)&system)->sin_port);
    return true;
}

int listener_open(struct listener_address *address)
{
    const int family = address->is_ipv6 ? AF_INET6 : AF_INET;
    const int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    if (bind_and_listen(fd, address)) return fd;
    const int error = errno;
    (void)close(fd);
    errno = error;
    return -1;
}

void listener_format(const struct listener_address *address, char text_out[LISTENER_TEXT_SIZE])
{
    char host[INET6_ADDRSTRLEN] = "";
    (void)inet_ntop(address->is_ipv6 ? AF_INET6 : AF_INET, address->ip, host, sizeof(host));
    (void)snprintf(text_out, LISTENER_TEXT_SIZE, address->is_ipv6 ? "[%s]:%u" : "%s:%u", host,
                   (unsigned)address->port);
}
