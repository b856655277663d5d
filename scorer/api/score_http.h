/* scorer/api/score_http - the scoring resources of the HTTP endpoint: JSON in, JSON out
 * (scorer/api/score_json).
 *
 *   POST /v1/score   a list's scores
 *   POST /v1/rank    the best of a list, or of all known items
 *   POST /v1/batch   several of either in one body
 *
 * scorer/api/openapi.yaml describes them.
 */
#ifndef AA_SCORER_API_SCORE_HTTP_H
#define AA_SCORER_API_SCORE_HTTP_H

#include "common/service/http_server.h"
#include "scorer/scorer.h"

#define SCORE_HTTP_BATCH 1000 /* requests in one body */

/**
 * Answer one HTTP request. The reply's body is malloc'd, or NULL when there is no memory for it.
 * @param not_ready  why nothing can be scored yet (a literal), or NULL
 * @param max_bytes  larger bodies are refused
 * @param tally      of status SCORER_LONG: not answered (scorer_only_short); drop the body
 */
void score_http_answer(scorer *sc, const char *not_ready, size_t max_bytes,
                       const aa_http_request *hq, aa_http_reply *hp, scorer_tally *tally);

/** The reply to a request that was not let in. */
void score_http_refuse(aa_http_reply *hp, scorer_tally *tally, uint32_t status, const char *why);

#endif
