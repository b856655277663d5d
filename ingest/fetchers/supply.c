#include "ingest/fetchers/supply.h"

#include <stdlib.h>

#include "ingest/fetchers/members.h"

static int
by_partition(const void *a, const void *b)
{
    const supply_part *x = a, *y = b;
    return (x->partition > y->partition) - (x->partition < y->partition);
}

aa_status
supply_deal(supply *su, const aa_kafka_offset *po, size_t n, aa_err *err)
{
    supply_part *part = realloc(su->part, (n + 1) * sizeof *part);

    if (!part) return aa_fail(err, AA_ENOMEM, "%zu partitions", n);
    su->part = part;
    su->n = n;
    su->term++;
    for (size_t i = 0; i < n; i++)
        part[i] = (supply_part){.partition = po[i].partition, .slot = SUPPLY_NOT_READ};
    qsort(part, n, sizeof *part, by_partition);
    return AA_OK;
}

void
supply_clear(supply *su)
{
    su->n = 0;
    su->run_id = 0; /* a sequencer whose clock went back would never be heard again */
    su->term++;
}

void
supply_fini(supply *su)
{
    free(su->part);
    *su = (supply){0};
}

static supply_part *
find(supply *su, int32_t partition)
{
    for (size_t i = 0; i < su->n; i++)
        if (su->part[i].partition == partition) return &su->part[i];
    return NULL;
}

bool
supply_asked(supply *su, const aa_fetch *ft)
{
    bool anew = false;

    if (ft->hd.seq != su->term || ft->hd.run_id < su->run_id || ft->hd.run_id == 0) return false;
    su->run_id = ft->hd.run_id;
    for (size_t i = 0; i < ft->po.n; i++) {
        supply_part *part = find(su, ft->po.partition[i]);
        if (!part) continue;
        if (ft->hd.run_id > part->run_id || ft->po.attempt[i] > part->attempt) {
            *part = (supply_part){.partition = part->partition,
                                  .slot = SUPPLY_NOT_READ,
                                  .run_id = ft->hd.run_id,
                                  .attempt = ft->po.attempt[i],
                                  .careful = part->careful,
                                  .next = ft->po.offset[i]};
            anew = true;
        }
        if (ft->po.attempt[i] != part->attempt) continue;
        if (ft->po.messages[i] > part->taken) part->taken = ft->po.messages[i];
        if (ft->po.records[i] > part->allowed) part->allowed = ft->po.records[i];
    }
    return anew;
}

size_t
supply_may(const supply_part *part, size_t most)
{
    if (part->slot == SUPPLY_NOT_READ || part->gone || part->records >= part->allowed) return 0;
    if (part->messages >= part->taken + MEMBERS_MESSAGES) return 0;
    uint64_t more = part->allowed - part->records;
    if (part->careful > 0 && more > part->taken + MEMBERS_MESSAGES - part->messages)
        more = part->taken + MEMBERS_MESSAGES - part->messages;
    return more < most ? (size_t)more : most;
}

void
supply_sent(supply_part *part, size_t records, int64_t next)
{
    part->messages++;
    part->records += records;
    part->careful -= part->careful < records ? part->careful : records;
    part->next = next;
}

void
supply_large(supply_part *part)
{
    part->careful = SUPPLY_CAREFUL;
}

void
supply_gone(supply *su, supply_part *part)
{
    part->gone = true;
    su->lost_run = part->run_id;
}

uint64_t
supply_in_flight(const supply *su)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < su->n; i++)
        if (su->part[i].messages > su->part[i].taken)
            sum += su->part[i].messages - su->part[i].taken;
    return sum;
}

aa_status
supply_offer(const supply *su, aa_offer *of, aa_err *err)
{
    aa_status st = aa_portions_reserve(&of->po, su->n, err);

    if (st != AA_OK) return st;
    of->hd.run_id = su->run_id;
    of->hd.seq = su->term;
    of->lost_run = su->lost_run;
    of->po.n = su->n;
    for (size_t i = 0; i < su->n; i++) {
        const supply_part *part = &su->part[i];
        const bool         now = part->run_id == su->run_id;
        of->po.partition[i] = part->partition;
        of->po.attempt[i] = now ? part->attempt : 0;
        of->po.offset[i] = -1;
        of->po.messages[i] = now ? part->messages : 0;
        of->po.records[i] = now ? part->records : 0;
    }
    return AA_OK;
}
