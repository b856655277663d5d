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
} reclaim_place;

struct reclaim {
    reclaim_place    place[RECLAIM_READERS];
    _Atomic uint64_t era;     /* 1, 2, 3, ... */
    reclaim_node    *retired; /* updater's; newest first */
};

reclaim *
reclaim_new(void)
{
    reclaim *rl = aligned_alloc(CACHE_LINE_BYTES, sizeof *rl);
    if (!rl) return NULL;
    for (int i = 0; i < RECLAIM_READERS; i++) {
        atomic_init(&rl->place[i].era, 0);
        atomic_init(&rl->place[i].taken, false);
    }
    atomic_init(&rl->era, 1);
    rl->retired = NULL;
    return rl;
}

void
reclaim_free(reclaim **rl_p)
{
    reclaim *rl = *rl_p;
    if (!rl) return;
    reclaim_now(rl);
    AA_REQUIRE(!rl->retired);
    free(rl);
    *rl_p = NULL;
}

int
reclaim_join(reclaim *rl)
{
    for (int i = 0; i < RECLAIM_READERS; i++) {
        bool expected = false;
        if (atomic_compare_exchange_strong(&rl->place[i].taken, &expected, true)) return i;
    }
    return -1;
}

void
reclaim_leave(reclaim *rl, int reader)
{
    AA_REQUIRE(atomic_load(&rl->place[reader].era) == 0);
    atomic_store(&rl->place[reader].taken, false);
}

void
reclaim_enter(reclaim *rl, int reader)
{
    atomic_store(&rl->place[reader].era, atomic_load(&rl->era));
}

void
reclaim_exit(reclaim *rl, int reader)
{
    atomic_store_explicit(&rl->place[reader].era, 0, memory_order_release);
}

void
reclaim_retire(reclaim *rl, reclaim_node *node, void (*destroy)(reclaim_node *node))
{
    if (!node) return;
    node->destroy = destroy;
    node->era = atomic_fetch_add(&rl->era, 1); /* readers that enter from now on cannot reach it */
    node->next = rl->retired;
    rl->retired = node;
    reclaim_now(rl);
}

void
reclaim_free_node(reclaim_node *node)
{
    free(node);
}

void
reclaim_now(reclaim *rl)
{
    if (!rl->retired) return;
    uint64_t oldest = UINT64_MAX; /* era of the reader that has been inside longest */
    for (int i = 0; i < RECLAIM_READERS; i++) {
        uint64_t era = atomic_load(&rl->place[i].era);
        if (era && era < oldest) oldest = era;
    }
    for (reclaim_node **at = &rl->retired; *at;) {
        reclaim_node *node = *at;
        if (node->era < oldest) {
            *at = node->next;
            node->destroy(node);
        } else {
            at = &node->next;
        }
    }
}
