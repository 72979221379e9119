/*
 * listener.h: where to listen. Addresses are numbers (or "localhost"), so that starting needs no
 * resolver; as long as there are no keys, they must be of this machine's loopback.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

#define LISTENER_TEXT_SIZE 64

struct listener_address {
    bool is_ipv6;
    uint8_t ip[16]; /* network order; IPv4: the first 4 */
    uint16_t port;  /* 0: any that is free */
};

/* "127.0.0.1:7878", "[::1]:7878", "localhost:7878". */
MUST_USE bool listener_parse(const char *text, struct listener_address *address_out);
bool listener_is_loopback(const struct listener_address *address);

/* A listening, non-blocking socket, or -1 with errno set. The port is filled in. */
MUST_USE int listener_open(struct listener_address *address);
void listener_format(const struct listener_address *address, char text_out[LISTENER_TEXT_SIZE]);
