/* common/config/settings - every key of the configuration file, once.
 *
 * One line here is all that a new setting needs: the struct in conf.h, the parser, --help, the
 * commented default file (compose/autoassign.yaml) and the reference (`--print-reference`) are
 * made from these lists.
 *
 *   STR(name, default, help)                        char name[AA_CONF_STR]
 *   CHO(name, default, "a|b|c", help)               char name[AA_CONF_STR], one of the choices
 *   INT(name, default, min, max, unit, help)        int64_t name
 *   NUM(name, default, min, max, unit, help)        double name
 *   BOO(name, default, help)                        bool name
 */
#ifndef AA_COMMON_CONFIG_SETTINGS_H
#define AA_COMMON_CONFIG_SETTINGS_H

#include <stdint.h>

/* a setting is a line */
/* clang-format off */
/* section name, list, what it holds */
#define AA_SECTIONS(X)                                                                             \
    X(pipeline, AA_SETTINGS_PIPELINE, "what all four processes must agree on")                     \
    X(topics, AA_SETTINGS_TOPICS, "Kafka topics")                                                  \
    X(links, AA_SETTINGS_LINKS, "ZeroMQ endpoints between the processes")                          \
    X(event, AA_SETTINGS_EVENT, "how a Kafka message becomes an event")                            \
    X(ingest, AA_SETTINGS_INGEST, "consuming, ordering, batching")                                 \
    X(agent, AA_SETTINGS_AGENT, "the Identity Agent: states, policy, critic")                      \
    X(model, AA_SETTINGS_MODEL, "the recommender and its optimizers")                              \
    X(checkpoint, AA_SETTINGS_CHECKPOINT, "durable state")                                         \
    X(publish, AA_SETTINGS_PUBLISH, "the compacted topics that scorers read")                      \
    X(scorer, AA_SETTINGS_SCORER, "serving")                                                       \
    X(http, AA_SETTINGS_HTTP, "/healthz, /readyz and /metrics of each process; port 0: any free")  \
    X(log, AA_SETTINGS_LOG, "logs on stderr")

#define AA_SETTINGS_PIPELINE(STR, CHO, INT, NUM, BOO)                                              \
    STR(name, "autoassign", "name of this pipeline; names its checkpoints and its consumer group") \
    INT(lane, 0, 0, 65535, "", "shard of the learning side")                                       \
    INT(seed, 1, 0, INT64_MAX, "", "one seed, one order, one result")                              \
    INT(depth, 4, 1, 64, "batches", "rewards of batch n-depth are applied before batch n is assigned")  \
    STR(summary_dir, "", "folder where each process writes <process>.json at its end, made if it is missing; empty: none") \
    INT(series_events, 0, 0, INT64_MAX, "events", "events between two rows of the CSV files with figures over time in summary_dir; 0: none") \
    INT(late_from, 0, 0, INT64_MAX, "events", "figures called late leave out so many first events")

#define AA_SETTINGS_TOPICS(STR, CHO, INT, NUM, BOO)                                                \
    STR(interactions, "interactions", "events in")                                                 \
    STR(dead_letters, "", "undecodable events; empty: <interactions>.dlq")                         \
    STR(assignments, "assignments", "ID to slot, compacted")                                       \
    STR(model, "model", "rows and dense weights, compacted")                                       \
    STR(predictions, "", "one prediction per event, for audit; empty: none")

#define AA_SETTINGS_LINKS(STR, CHO, INT, NUM, BOO)                                                 \
    STR(events, "ipc:///tmp/autoassign-events", "ingest connects, assigner binds")                 \
    STR(assigned, "ipc:///tmp/autoassign-assigned", "assigner connects, learner binds")            \
    STR(rewards, "ipc:///tmp/autoassign-rewards", "learner publishes, assigner subscribes")        \
    STR(fetchers, "", "fetchers connect, the sequencer binds (ingest.role); empty: there are no fetchers") \
    INT(in_flight, 8, 1, 1024, "batches", "batches ingest may have unassigned downstream")         \
    STR(curve_public_key, "", "key pair that all processes share, 40 characters each; empty: links are not encrypted") \
    STR(curve_secret_key, "", "its secret half")

#define AA_SETTINGS_EVENT(STR, CHO, INT, NUM, BOO)                                                 \
    CHO(format, "auto", "auto|json|protobuf", "auto: a message that starts with { is JSON")        \
    STR(label_field, "label", "JSON name of the label")                                            \
    STR(time_field, "timestamp_ms", "JSON name of the event time; an event without it has the time of its Kafka message") \
    CHO(time_unit, "ms", "ms|s", "unit of the JSON event time")                                    \
    CHO(label, "as-is", "as-is|threshold", "how the label becomes the target")                     \
    NUM(positive_above, 0.5, -1e9, 1e9, "", "threshold: labels above it are 1, others 0")          \
    INT(id_max_bytes, 256, 1, 65536, "bytes", "longer IDs are dead letters")                       \
    INT(time_min_ms, -62135596800000, INT64_MIN / 2, INT64_MAX / 2, "ms", "earliest valid time")   \
    INT(time_max_ms, 4102444800000, INT64_MIN / 2, INT64_MAX / 2, "ms", "latest valid time")

#define AA_SETTINGS_INGEST(STR, CHO, INT, NUM, BOO)                                                \
    CHO(role, "sequencer", "sequencer|fetcher", "sequencer: owns a lane's order, batches and commits; fetcher: reads and decodes for it, any number per lane (live, links.fetchers)") \
    INT(fetcher_silence_ms, 3000, 500, 600000, "ms", "a fetcher not heard from for so long is gone for the sequencer; best below kafka.session.timeout.ms") \
    CHO(run, "live", "live|replay", "live goes on for ever; replay ends at the end offsets seen at its start") \
    STR(replay_from, "beginning", "beginning, offset:N, or time:MS")                               \
    INT(batch_events, 512, 1, 65536, "events", "events in a full batch")                           \
    INT(batch_wait_ms, 50, 1, 60000, "ms", "live: a batch that is not full leaves after this")     \
    INT(partition_queue_events, 250000, 1000, 10000000, "events", "read ahead per partition while merging") \
    CHO(on_lost_offset, "fail", "fail|skip", "events to go on from that Kafka has no more (retention, a topic made anew, fewer partitions): end with an error, or go on behind the gap, said and counted")

#define AA_SETTINGS_AGENT(STR, CHO, INT, NUM, BOO)                                                 \
    CHO(mode, "default", "default|paper|unique|hash|threshold|rule|random|shared-only", "how IDs get rows") \
    INT(positions, 8, 1, 15, "", "k: shared positions")                                            \
    INT(lean_bins, 3, 1, 15, "", "p: residual bins at each position; 1: none")                     \
    NUM(half_life_events, 100000, 0, 1e12, "events", "half-life of an ID's frequency; 0: no decay") \
    INT(warm_up_events, 0, 0, 1000000000, "events", "head of the stream that warms the shared rows") \
    INT(reward_window, 5, 1, 64, "", "T: losses that a reward compares with")                      \
    NUM(gamma, 0.9, 0, 1, "", "discount of the critic")                                            \
    NUM(actor_rate, 0.001, 0, 10, "", "learning rate of the actor")                                \
    NUM(critic_rate, 0.001, 0, 10, "", "learning rate of the critic's network (paper, random)")                              \
    NUM(ratio_clip, 2, 1, 1000, "", "largest importance ratio")                                    \
    NUM(row_cost, 0, 0, 1e9, "loss", "price of holding a row, per event; default: the least that the price falls to") \
    NUM(rows_share, 0.48, 0, 1000, "", "default: budget of rows of all fields together, as a share of the IDs seen at least twice") \
    INT(rows_least, 256, 0, 4294967295, "rows", "default: least budget of all fields together")    \
    NUM(quiet_gaps, 10, 0, 1e9, "gaps", "silence, in the ID's own mean gaps, after which a row is given back") \
    INT(quiet_events, 2000, 0, INT64_MAX, "events", "least silence before a row is given back")    \
    INT(sweep_every, 1000, 1, INT64_MAX, "events", "events between two steps of the sweep")        \
    NUM(sweep_visits, 2, 0, 1000, "visits", "rows that the sweep looks at, per event and field")   \
    INT(forget_events, 0, 0, INT64_MAX, "events", "silence after which an ID without a row is forgotten; 0: never") \
    NUM(entropy, 0.001, 0, 10, "", "weight of the actor's entropy bonus")                          \
    NUM(worth_prior, 0.02, 0, 1e9, "loss", "default: worth of a row, per event, that the critic begins with: for busy IDs") \
    NUM(worth_prior_half, 10, 1e-9, 1e9, "events", "default: frequency at which it begins with half of that") \
    NUM(worth_weight, 200, 0, 1e12, "events", "default: events that the critic's beginning counts for") \
    NUM(worth_rate, 0.002, 0, 1, "", "default: least learning rate of the critic")                 \
    NUM(policy_rate, 0.02, 0, 10, "", "default: learning rate of the worth of a row that the actor goes by") \
    NUM(swap_margin, 2, 1, 1000, "", "budget: how much more than the least valuable holder, or the price of a row, an ID must be worth to get one") \
    NUM(random_ascend, 0.05, 0, 1, "", "random: chance per event that an ID without a row gets one") \
    NUM(random_descend, 0.01, 0, 1, "", "random: chance per visit of the sweep that a row is given back")

#define AA_SETTINGS_MODEL(STR, CHO, INT, NUM, BOO)                                                 \
    CHO(kind, "deepfm", "fm|mlp|widedeep|deepfm|dcn", "recommender")                               \
    INT(dim, 16, 1, 1024, "", "K: width of an embedding")                                          \
    STR(hidden, "64-32", "widths of the hidden layers")                                            \
    CHO(loss, "logloss", "logloss|mse", "what is minimised")                                       \
    INT(step, 1, 1, 65536, "events", "events per optimizer step")                                  \
    NUM(row_rate, 0.2, 0, 100, "", "Adagrad learning rate of rows")                                \
    NUM(row_accumulator, 0.1, 1e-12, 1e6, "", "where Adagrad accumulators start")                  \
    NUM(row_l2, 0.003, 0, 10, "", "L2 penalty of the rows an event reads")                         \
    NUM(row_init, 0.01, 0, 10, "", "standard deviation of new rows")                               \
    NUM(position_rate, 0.1, 0, 100, "", "Adagrad learning rate of what a shared position adds to its lean bin") \
    NUM(position_accumulator, 0.3, 1e-12, 1e6, "", "where its accumulators start")                 \
    NUM(own_accumulator, 0.3, 1e-12, 1e6, "", "where accumulators start in a row that adds to the shared reading") \
    NUM(own_linear_accumulator, 5, 1e-12, 1e6, "", "the same of its linear weight")                \
    NUM(shared_gradient, 0.5, 0, 1, "", "share of the gradient of an ID with such a row that its shared reading gets") \
    CHO(row_format, "float", "float|bf16", "weights of rows of an ID's own: 4 bytes each, or 2, rounded stochastically") \
    CHO(row_optimizer, "adagrad", "adagrad|rowwise", "their Adagrad accumulators: one per weight, or two per row (factors, linear weight)") \
    NUM(dense_rate, 0.0003, 0, 10, "", "Adam learning rate of dense weights")

#define AA_SETTINGS_CHECKPOINT(STR, CHO, INT, NUM, BOO)                                            \
    STR(dir, "checkpoints", "folder of the checkpoints")                                           \
    INT(every_events, 0, 0, INT64_MAX, "events", "events between two checkpoints; 0: by time only") \
    INT(every_ms, 10000, 0, 86400000, "ms", "live: time between two checkpoints; 0: by events only") \
    INT(keep, 3, 1, 1000, "", "checkpoints kept; 3 or more leave one to go back to when one is damaged") \
    CHO(on_damage, "previous", "previous|fresh|fail", "a damaged or missing checkpoint: go on from the one before; fresh: if there is none, from the stream's beginning; fail: never go back") \
    INT(max_failures, 10, 0, 1000000, "", "checkpoints in a row that cannot be written before ingest ends with an error; 0: goes on without")

#define AA_SETTINGS_PUBLISH(STR, CHO, INT, NUM, BOO)                                               \
    INT(every_ms, 500, 10, 3600000, "ms", "time between two publications of what changed")         \
    BOO(enabled, true, "publish to the compacted topics at all")                                   \
    BOO(item_names, true, "publish the text of item IDs, so that scorers can rank all known items")

#define AA_SETTINGS_SCORER(STR, CHO, INT, NUM, BOO)                                                \
    STR(listen, "ipc:///tmp/autoassign-score", "ZeroMQ endpoint of score requests")                \
    STR(token, "", "token that requests must carry; empty: none")                                  \
    INT(max_items, 10000, 1, 10000000, "items", "longest list in one request, and longest ranking") \
    INT(threads, 2, 1, 48, "", "threads that score; of two or more one is kept free of rankings of all known items and other long requests")                                               \
    INT(queue, 256, 1, 1000000, "requests", "requests that may wait for a thread; more are refused with 429") \
    NUM(max_per_s, 0, 0, 1e9, "requests/s", "requests beyond that are refused with 429 (a second's worth may come at once); 0: no limit") \
    INT(deadline_ms, 1000, 1, 600000, "ms", "a request not answered by then is refused with 503; one may ask for less") \
    STR(peers, "", "host:port of the other processes' HTTP doors, as ingest=HOST:PORT,assigner=...,learner=..., for the live page; empty: 127.0.0.1 and http.*_port") \
    INT(page_every_ms, 2000, 100, 600000, "ms", "time between two points of the live page's history") \
    INT(max_request_bytes, 1048576, 1024, 1073741824, "bytes", "largest request")

#define AA_SETTINGS_HTTP(STR, CHO, INT, NUM, BOO)                                                  \
    BOO(enabled, true, "serve them")                                                               \
    STR(bind, "127.0.0.1", "address")                                                              \
    INT(max_connections, 1024, 1, 100000, "connections", "open at the same time; more wait until one ends (idle ones after 15 s)") \
    INT(ingest_port, 0, 0, 65535, "", "port of ingest")                                            \
    INT(assigner_port, 0, 0, 65535, "", "port of assigner")                                        \
    INT(learner_port, 0, 0, 65535, "", "port of learner")                                          \
    INT(scorer_port, 0, 0, 65535, "", "port of scorer")

#define AA_SETTINGS_LOG(STR, CHO, INT, NUM, BOO)                                                   \
    CHO(level, "info", "debug|info|warn|error", "least level shown")                               \
    CHO(format, "logfmt", "logfmt|json", "one line per record")                                    \
    INT(stats_ms, 10000, 0, 86400000, "ms", "time between two STATS lines; 0: none")

/* per ID field; `fields:` maps a name to these, in the order of the model's fields */
#define AA_SETTINGS_FIELD(STR, CHO, INT, NUM, BOO)                                                 \
    STR(json, "", "JSON name of the ID; empty: the field's own name")                              \
    INT(threshold, 5, 0, INT64_MAX, "events", "threshold and rule: events after which an ID gets a row") \
    INT(budget_rows, 0, 0, 4294967295, "rows", "most unique rows; 0: no limit")                    \
    INT(budget_bytes, 0, 0, INT64_MAX, "bytes", "the same in memory: weights and optimizer state of a row are 8 * (model.dim + 1) bytes; bf16 has 2 less per weight, rowwise 4 * (model.dim - 1) less; 0: no limit") \
    INT(hash_rows, 0, 0, 4294967295, "rows", "hash mode: rows of the field")
/* clang-format on */

#endif
