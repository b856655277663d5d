/* scorer/score_http - POST /v1/score of the HTTP door: JSON in, JSON out (scorer/score_json). */
#ifndef AA_SCORER_SCORE_HTTP_H
#define AA_SCORER_SCORE_HTTP_H

#include "common/door.h"
#include "scorer/scorer.h"

/**
 * Answer one HTTP request. The reply's body is malloc'd, or NULL when there is no memory for it.
 * @param not_ready  why nothing can be scored yet (a literal), or NULL
 * @param max_bytes  larger bodies are refused
 */
void score_http_answer(scorer *sc, const char *not_ready, size_t max_bytes,
                       const aa_http_request *hq, aa_http_reply *hp, scorer_tally *tally);

#endif
