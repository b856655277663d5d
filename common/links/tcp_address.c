#include "common/links/tcp_address.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum { HOST_BYTES = 256 };

/* "host:port" at address; false: no colon. Brackets are left out of host. */
static bool
split_host(const char *address, char host[HOST_BYTES], const char **port, bool *brackets)
{
    const char *colon = strrchr(address, ':');
    if (!colon || colon == address || colon - address >= HOST_BYTES) return false;
    *brackets = address[0] == '[' && colon[-1] == ']';
    snprintf(host, HOST_BYTES, "%.*s", (int)(colon - address) - 2 * *brackets, address + *brackets);
    *port = colon + 1;
    return true;
}

/* The name's IPv4 address, else its IPv6 address, as numbers. */
static aa_status
look_up(const char *host, char number[HOST_BYTES], bool *ipv6, aa_err *err)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo      *list = NULL;
    const int             bad = getaddrinfo(host, NULL, &hints, &list);
    if (bad || !list) return aa_fail(err, AA_EIO, "%s: %s", host, gai_strerror(bad));
    const struct addrinfo *best = list;
    for (const struct addrinfo *ai = list->ai_next; ai; ai = ai->ai_next)
        if (ai->ai_family == AF_INET && best->ai_family != AF_INET) best = ai;
    *ipv6 = best->ai_family == AF_INET6;
    const int worse =
        getnameinfo(best->ai_addr, best->ai_addrlen, number, HOST_BYTES, NULL, 0, NI_NUMERICHOST);
    freeaddrinfo(list);
    return worse ? aa_fail(err, AA_EIO, "%s: %s", host, gai_strerror(worse)) : AA_OK;
}

static bool
is_number(const char *host)
{
    const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST};
    struct addrinfo      *list = NULL;
    const bool            yes = getaddrinfo(host, NULL, &hints, &list) == 0;
    if (yes) freeaddrinfo(list);
    return yes;
}

aa_status
aa_tcp_address(const char *endpoint, bool bind, char *out, size_t size, bool *ipv6, aa_err *err)
{
    char        host[HOST_BYTES], number[HOST_BYTES];
    const char *port;
    bool        brackets = false;
    *ipv6 = false;
    snprintf(out, size, "%s", endpoint);
    if (strncmp(endpoint, "tcp://", 6) != 0) return AA_OK;
    if (!split_host(endpoint + 6, host, &port, &brackets)) return AA_OK; /* libzmq refuses it */
    if (brackets) {
        *ipv6 = true;
        return AA_OK;
    }
    if (strchr(host, ':'))
        return aa_fail(err, AA_ECONFIG, "%s: an IPv6 address is written in brackets: tcp://[%s]:%s",
                       endpoint, host, port);
    if (strcmp(host, "*") == 0 || is_number(host)) return AA_OK;
    aa_err    why = AA_ERR_INIT;
    aa_status st = look_up(host, number, ipv6, &why);
    /* connecting: libzmq looks it up at each try; binding: it may be the name of an interface */
    if (!bind || st != AA_OK) return AA_OK;
    snprintf(out, size, *ipv6 ? "tcp://[%s]:%s" : "tcp://%s:%s", number, port);
    return AA_OK;
}
