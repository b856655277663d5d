/* scorer/missed - may deletions have been missed? Times in, an answer out: no clock, no I/O.
 *
 * A compacted topic keeps a tombstone for delete.retention.ms after it was written, at the least. A
 * reader that had read all there was at time A, and has again at time B, has thus met every
 * tombstone if B - A is not longer. Otherwise it may hold what the topic forgot meanwhile, for good:
 * it was stopped, the machine slept, the broker could not be reached, or it is too slow.
 * So the clock must run on while the machine sleeps (aa_boot_ms).
 *
 * Now and then the ends of the topics are asked for. What was read up to them is all that was
 * written before that question.
 */
#ifndef AA_SCORER_MISSED_H
#define AA_SCORER_MISSED_H

#include <stdbool.h>
#include <stdint.h>

#define MISSED_LEAST_MS 2000 /* a retention that is shorter counts as this one */

typedef struct {
    int64_t retention_ms;
    int64_t read_ms;  /* all that was written before has been read; at first: reading began */
    int64_t asked_ms; /* the ends as of then are being read up to; -1: they were reached */
    int64_t next_ms;  /* time of the next question */
    int64_t position; /* of the reader at read_ms: it has not moved if nothing was written */
    int64_t every_ms; /* between questions; longer while the ends are not reached */
    bool    complete; /* the ends were reached once */
    int64_t came_ms;  /* until then: records came last; -1: none yet */
    bool    halted;   /* ... and for longer than deletions are kept there were none */
    bool    slow; /* the first reading took too long, without a halt: reading anew would not help */
    bool    some; /* deletions may have been missed since */
} missed;

/** Reading of everything begins, and the ends are known. */
void missed_begin(missed *mi, int64_t retention_ms, int64_t now_ms);
void missed_set_retention(missed *mi, int64_t retention_ms);
/** Records came: in the first reading, which is not done, a long time without any is a halt. */
void missed_came(missed *mi, int64_t now_ms);
/** Is it time to ask for the ends? */
bool missed_asks(const missed *mi, int64_t now_ms);
/** The ends were asked for at asked_ms. answered: they are known; there: all up to them has been read
 *  already, to this position. */
void missed_asked(missed *mi, int64_t asked_ms, bool answered, bool there, int64_t position);
/** All is read up to the ends that were asked for last, to this position. */
void missed_reached(missed *mi, int64_t now_ms, int64_t position);

#endif
