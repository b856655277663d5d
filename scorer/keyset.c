#include "scorer/keyset.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define MIN_BITS 4

/* Odd, and no two processes' alike. */
static uint64_t
new_salt(void)
{
    uint64_t salt = 0;
    if (getrandom(&salt, sizeof salt, GRND_NONBLOCK) != (ssize_t)sizeof salt)
        salt = 0x9e3779b97f4a7c15u; /* early at boot: works as well, and can be guessed */
    return salt | 1;
}

bool
keyset_begin(keyset *ks, size_t n)
{
    unsigned bits = MIN_BITS;
    ks->mask = 0;
    if (!n) return true;
    while (((size_t)1 << bits) < 2 * n)
        bits++;
    const size_t places = (size_t)1 << bits;
    if (places > ks->cap) {
        free(ks->place);
        ks->place = malloc(places * sizeof *ks->place);
        ks->cap = ks->place ? places : 0;
        if (!ks->place) return false;
    }
    if (!ks->salt) ks->salt = new_salt();
    memset(ks->place, 0, places * sizeof *ks->place);
    ks->mask = places - 1;
    ks->shift = 64 - bits;
    return true;
}

void
keyset_add(keyset *ks, uint64_t key)
{
    size_t i = keyset_place(ks, key);
    while (ks->place[i] && ks->place[i] != key)
        i = (i + 1) & ks->mask;
    ks->place[i] = key;
}

void
keyset_fini(keyset *ks)
{
    free(ks->place);
    *ks = (keyset){0};
}
