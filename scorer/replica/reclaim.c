#include "scorer/replica/reclaim.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "common/base/status.h"

#define CACHE_LINE_BYTES 64

/* One line each, so that readers do not slow each other down. */
typedef struct {
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t era; /* 0: outside */
    atomic_bool taken;
} epoch_place;

struct epoch {
    epoch_place      place[EPOCH_READERS];
    _Atomic uint64_t era;     /* 1, 2, 3, ... */
    epoch_node      *retired; /* updater's; newest first */
};

epoch *
epoch_new(void)
{
    epoch *ep = aligned_alloc(CACHE_LINE_BYTES, sizeof *ep);
    if (!ep) return NULL;
    for (int i = 0; i < EPOCH_READERS; i++) {
        atomic_init(&ep->place[i].era, 0);
        atomic_init(&ep->place[i].taken, false);
    }
    atomic_init(&ep->era, 1);
    ep->retired = NULL;
    return ep;
}

void
epoch_free(epoch **ep_p)
{
    epoch *ep = *ep_p;
    if (!ep) return;
    epoch_reclaim(ep);
    AA_REQUIRE(!ep->retired);
    free(ep);
    *ep_p = NULL;
}

int
epoch_join(epoch *ep)
{
    for (int i = 0; i < EPOCH_READERS; i++) {
        bool expected = false;
        if (atomic_compare_exchange_strong(&ep->place[i].taken, &expected, true)) return i;
    }
    return -1;
}

void
epoch_leave(epoch *ep, int reader)
{
    AA_REQUIRE(atomic_load(&ep->place[reader].era) == 0);
    atomic_store(&ep->place[reader].taken, false);
}

void
epoch_enter(epoch *ep, int reader)
{
    atomic_store(&ep->place[reader].era, atomic_load(&ep->era));
}

void
epoch_exit(epoch *ep, int reader)
{
    atomic_store_explicit(&ep->place[reader].era, 0, memory_order_release);
}

void
epoch_retire(epoch *ep, epoch_node *node, void (*destroy)(epoch_node *node))
{
    if (!node) return;
    node->destroy = destroy;
    node->era = atomic_fetch_add(&ep->era, 1); /* whoever enters from now on cannot reach it */
    node->next = ep->retired;
    ep->retired = node;
    epoch_reclaim(ep);
}

void
epoch_reclaim(epoch *ep)
{
    if (!ep->retired) return;
    uint64_t oldest = UINT64_MAX; /* era of the reader that has been inside longest */
    for (int i = 0; i < EPOCH_READERS; i++) {
        uint64_t era = atomic_load(&ep->place[i].era);
        if (era && era < oldest) oldest = era;
    }
    for (epoch_node **at = &ep->retired; *at;) {
        epoch_node *node = *at;
        if (node->era < oldest) {
            *at = node->next;
            node->destroy(node);
        } else {
            at = &node->next;
        }
    }
}
