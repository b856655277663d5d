/* common/config/settings - every key of the configuration file, once.
 *
 * One line here is all that a new setting needs: the struct in conf.h, the enums of the choices, the
 * parser, --help, the commented default file (compose/autoassign.yaml) and the reference
 * (`--print-reference`) are made from these lists.
 *
 *   STR(name, default, help)                        char name[AA_CONF_STR]
 *   CHO(name, type, default, help, VAL(constant, "text") ...)
 *                                                   enum type name, one of the constants; the file
 *                                                   has its text
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
    X(ingest, AA_SETTINGS_INGEST, "reading from Kafka, order, batches")                                 \
    X(agent, AA_SETTINGS_AGENT, "the Identity Agent: who reads which row")                      \
    X(model, AA_SETTINGS_MODEL, "the recommender and its optimizers")                              \
    X(checkpoint, AA_SETTINGS_CHECKPOINT, "durable state")                                         \
    X(publish, AA_SETTINGS_PUBLISH, "the compacted topics that scorers read")                      \
    X(scorer, AA_SETTINGS_SCORER, "serving")                                                       \
    X(http, AA_SETTINGS_HTTP, "the HTTP server of each process: /healthz, /readyz, /metrics; port 0 takes any free port")  \
    X(log, AA_SETTINGS_LOG, "logs on stderr")

#define AA_SETTINGS_PIPELINE(STR, CHO, VAL, INT, NUM, BOO)                                         \
    STR(name, "autoassign", "name of this pipeline; names its checkpoints and its consumer group") \
    INT(lane, 0, 0, 65535, "", "number of this lane: lanes of one name share the partitions and learn separately")                                       \
    INT(seed, 1, 0, INT64_MAX, "", "seed of all random numbers; the same seed, stream and build give the same bits")                              \
    INT(depth, 4, 1, 64, "batches", "the rewards of batch n-depth are learned from before batch n is assigned")  \
    STR(summary_dir, "", "folder of the summaries: each process writes <process>.json at its end; created if missing; empty: no summaries") \
    INT(series_events, 0, 0, INT64_MAX, "events", "events between two rows of the series, CSV files in summary_dir; 0: no series") \
    INT(late_from, 0, 0, INT64_MAX, "events", "number of first events that the summary's late_ values leave out")

#define AA_SETTINGS_TOPICS(STR, CHO, VAL, INT, NUM, BOO)                                           \
    STR(interactions, "interactions", "the events; this topic must exist")                                                 \
    STR(dead_letters, "", "messages that are no valid events; empty: <interactions>.dlq")                         \
    STR(assignments, "assignments", "which slot each ID reads; compacted")                                       \
    STR(model, "model", "rows and dense weights; compacted")                                       \
    STR(predictions, "", "one prediction per event, for audit; empty: not published")

#define AA_SETTINGS_LINKS(STR, CHO, VAL, INT, NUM, BOO)                                            \
    STR(events, "ipc:///tmp/autoassign-events", "ingest connects, assigner binds")                 \
    STR(assigned, "ipc:///tmp/autoassign-assigned", "assigner connects, learner binds")            \
    STR(rewards, "ipc:///tmp/autoassign-rewards", "learner publishes, assigner subscribes")        \
    STR(fetchers, "", "fetchers connect, the sequencer binds (ingest.role); empty: no fetchers") \
    INT(in_flight, 8, 1, 1024, "batches", "batches that ingest may have sent without a credit")         \
    STR(curve_public_key, "", "public half of the CURVE key pair that all processes share, 40 characters; empty: links are not encrypted") \
    STR(curve_secret_key, "", "secret half of the key pair")

#define AA_SETTINGS_EVENT(STR, CHO, VAL, INT, NUM, BOO)                                            \
    CHO(format, aa_event_format, AA_EVENT_FORMAT_AUTO, "format of the messages (docs/EVENTS.md); auto: a message that starts with { is JSON", \
        VAL(AA_EVENT_FORMAT_AUTO, "auto") VAL(AA_EVENT_FORMAT_JSON, "json") \
        VAL(AA_EVENT_FORMAT_PROTOBUF, "protobuf") VAL(AA_EVENT_FORMAT_AVRO, "avro")) \
    CHO(framing, aa_framing, AA_FRAMING_AUTO, "auto: with a schema registry, messages begin with its frame (a byte 0 and the schema's number); protobuf and JSON are told apart by that byte; plain: none has a frame; confluent: all have one", \
        VAL(AA_FRAMING_AUTO, "auto") VAL(AA_FRAMING_PLAIN, "plain") VAL(AA_FRAMING_CONFLUENT, "confluent")) \
    STR(schema_registry, "", "addresses of a schema registry (Confluent's interface), as https://a:8081,https://b:8081; empty: none") \
    STR(schema_ca, "", "file of the certificates that the registry's is checked by; empty: the system's") \
    STR(schema_file, "", "file of the Avro schema that messages were written with; empty: they name it by number") \
    STR(reader_schema, "", "file of an Avro schema whose aliases and defaults stand for fields that a message's schema does not have") \
    STR(descriptor, "", "file of the descriptor set of your protobuf messages (protoc --include_imports --descriptor_set_out)") \
    STR(message, "", "name of the protobuf message, as shop.Click; needed with descriptor") \
    STR(label_field, "label", "path of the label")                                            \
    STR(label_map, "", "labels of texts, numbers and booleans, as purchase=1,click=1,view=0 (in the file also a mapping); empty: the label is a number or a boolean") \
    CHO(label_other, aa_label_other, AA_LABEL_OTHER_REJECT, "a label that label_map does not have: reject: the message is a dead letter; skip: it is passed over and counted", \
        VAL(AA_LABEL_OTHER_REJECT, "reject") VAL(AA_LABEL_OTHER_SKIP, "skip")) \
    STR(time_field, "timestamp_ms", "path of the event time; an event without it takes the time of its Kafka message") \
    CHO(time_unit, aa_time_unit, AA_TIME_UNIT_MS, "unit of an event time that is a number; rfc3339: text; auto: RFC 3339, or a number whose size tells its unit; a format's own time types need none", \
        VAL(AA_TIME_UNIT_MS, "ms") VAL(AA_TIME_UNIT_S, "s") VAL(AA_TIME_UNIT_US, "us") \
        VAL(AA_TIME_UNIT_NS, "ns") VAL(AA_TIME_UNIT_RFC3339, "rfc3339") VAL(AA_TIME_UNIT_AUTO, "auto")) \
    CHO(label, aa_label_rule, AA_LABEL_AS_IS, "as-is: the label is the target, 0 or 1; threshold: see positive_above", \
        VAL(AA_LABEL_AS_IS, "as-is") VAL(AA_LABEL_THRESHOLD, "threshold")) \
    NUM(positive_above, 0.5, -1e9, 1e9, "", "label threshold: labels above this value are 1, others 0")          \
    INT(id_max_bytes, 256, 1, 65536, "bytes", "longest valid ID; an event with a longer one is a dead letter")                       \
    INT(time_min_ms, -62135596800000, INT64_MIN / 2, INT64_MAX / 2, "ms", "earliest valid event time")   \
    INT(time_max_ms, 4102444800000, INT64_MIN / 2, INT64_MAX / 2, "ms", "latest valid event time") \
    INT(time_max_ahead_ms, 0, 0, INT64_MAX / 4, "ms", "how far an event time may be after the time of its Kafka message; the event is a dead letter otherwise; 0: no limit")

#define AA_SETTINGS_INGEST(STR, CHO, VAL, INT, NUM, BOO)                                           \
    CHO(role, aa_ingest_role, AA_ROLE_SEQUENCER, "sequencer: owns the lane's order, batches and commits; fetcher: reads and decodes for the sequencer (live only; needs links.fetchers)", \
        VAL(AA_ROLE_SEQUENCER, "sequencer") VAL(AA_ROLE_FETCHER, "fetcher")) \
    INT(fetcher_silence_ms, 3000, 500, 600000, "ms", "the sequencer removes a fetcher that is silent for this time; best below kafka.session.timeout.ms") \
    CHO(run, aa_run_kind, AA_RUN_LIVE, "live: without an end; replay: up to the end offsets at its start", \
        VAL(AA_RUN_LIVE, "live") VAL(AA_RUN_REPLAY, "replay")) \
    STR(replay_from, "beginning", "where a fresh replay begins: beginning, offset:N, or time:MS")                               \
    INT(batch_events, 512, 1, 65536, "events", "events in a full batch")                           \
    INT(batch_wait_ms, 50, 1, 60000, "ms", "live: longest time that a batch is filled")     \
    INT(partition_queue_events, 250000, 1000, 10000000, "events", "events read ahead per partition") \
    CHO(on_lost_offset, aa_on_lost_offset, AA_ON_LOST_OFFSET_FAIL, "Kafka no longer has the next events (retention, a re-created topic, an unclean leader election): fail: end with an error; skip: continue behind the gap, which is logged and counted", \
        VAL(AA_ON_LOST_OFFSET_FAIL, "fail") VAL(AA_ON_LOST_OFFSET_SKIP, "skip")) \
    CHO(on_lost_letter, aa_on_lost_letter, AA_ON_LOST_LETTER_LOG, "the dead-letter topic refuses a letter in every form, cut short too: log: log and count it; fail: end with an error", \
        VAL(AA_ON_LOST_LETTER_LOG, "log") VAL(AA_ON_LOST_LETTER_FAIL, "fail"))

#define AA_SETTINGS_AGENT(STR, CHO, VAL, INT, NUM, BOO)                                            \
    CHO(mode, aa_agent_mode, AA_MODE_DEFAULT, "how IDs get rows (docs/GLOSSARY.md: mode)", \
        VAL(AA_MODE_DEFAULT, "default") VAL(AA_MODE_PAPER, "paper") VAL(AA_MODE_UNIQUE, "unique") \
        VAL(AA_MODE_HASH, "hash") VAL(AA_MODE_THRESHOLD, "threshold") VAL(AA_MODE_RULE, "rule") \
        VAL(AA_MODE_RANDOM, "random") VAL(AA_MODE_SHARED_ONLY, "shared-only")) \
    INT(positions, 8, 1, 15, "", "k: number of shared positions")                                            \
    INT(lean_bins, 3, 1, 15, "", "p: lean bins of each position; 1: no lean")                     \
    NUM(half_life_events, 100000, 0, 1e12, "events", "half-life of an ID's frequency, in events of the stream; 0: no decay") \
    INT(warm_up_events, 0, 0, 1000000000, "events", "first events of the stream: each reads a random shared position, and no ID moves") \
    INT(reward_window, 5, 1, 64, "", "T, paper: number of an ID's last losses that its reward compares with")                      \
    NUM(gamma, 0.9, 0, 1, "", "discount factor of the critic")                                            \
    NUM(actor_rate, 0.001, 0, 10, "", "learning rate of the actor's network (paper)")                                \
    NUM(critic_rate, 0.001, 0, 10, "", "learning rate of the critic's network (paper, random)")                              \
    NUM(ratio_clip, 2, 1, 1000, "", "upper limit of the importance ratio")                                    \
    NUM(price, 0.005, 0, 1e9, "loss", "mode default: price of rows: what rows for all IDs would have to save, per event of the stream. One row costs this divided by the number of IDs, whatever the size of a row or the length of the stream. 0: rows cost nothing, only the budget limits them") \
    NUM(row_cost, 0, 0, 1e9, "loss", "cost of holding a row, per event; mode default: lower limit of the price") \
    NUM(rows_share, 1, 0, 1000, "", "mode default: limit of own rows of all fields together, as a share of the IDs seen at least twice") \
    INT(budget_bytes, 0, 0, INT64_MAX, "bytes", "most that assigner and learner hold together: IDs, rows with their optimizer state, agent, batches in flight; what is worth least makes room; 0: no limit") \
    INT(rows_least, 256, 0, 4294967295, "rows", "mode default: lower limit of that budget")    \
    NUM(quiet_gaps, 10, 0, 1e9, "gaps", "an ID gives its row back after a silence of this many of its own mean gaps") \
    INT(quiet_events, 2000, 0, INT64_MAX, "events", "... and of at least this many events")    \
    INT(sweep_every, 1000, 1, INT64_MAX, "events", "events between two steps of the sweep; mode default: shortest round")        \
    NUM(sweep_visits, 2, 0, 1000, "visits", "visits of the sweep, per event and field")   \
    INT(forget_events, 0, 0, INT64_MAX, "events", "an ID without a row is forgotten after a silence of this many events; 0: never") \
    NUM(entropy, 0.001, 0, 10, "", "weight of the actor's entropy bonus")                          \
    NUM(worth_prior, 0.02, 0, 1e9, "loss", "mode default: initial worth of a row per event of its ID, for frequent IDs") \
    NUM(worth_prior_half, 10, 1e-9, 1e9, "events", "mode default: frequency at which the initial worth is half of worth_prior") \
    NUM(worth_weight, 200, 0, 1e12, "events", "mode default: number of events that the initial worth counts for") \
    NUM(worth_rate, 0.002, 0, 1, "", "mode default: lower limit of the critic's learning rate")                 \
    NUM(policy_rate, 0.02, 0, 10, "", "mode default: learning rate of the actor") \
    NUM(swap_margin, 2, 1, 1000, "", "an ID gets a row if its index is this many times the price, or the index of the weakest holder") \
    NUM(random_ascend, 0.05, 0, 1, "", "mode random: probability per event that an ID without a row gets one") \
    NUM(random_descend, 0.01, 0, 1, "", "mode random: probability per visit of the sweep that a row is given back")

#define AA_SETTINGS_MODEL(STR, CHO, VAL, INT, NUM, BOO)                                            \
    CHO(kind, aa_model_id, AA_MODEL_DEEPFM, "kind of the recommender", \
        VAL(AA_MODEL_FM, "fm") VAL(AA_MODEL_MLP, "mlp") VAL(AA_MODEL_WIDEDEEP, "widedeep") \
        VAL(AA_MODEL_DEEPFM, "deepfm") VAL(AA_MODEL_DCN, "dcn")) \
    INT(dim, 16, 1, 1024, "", "K: width of an embedding")                                          \
    STR(hidden, "64-32", "widths of the hidden layers")                                            \
    BOO(signals, true, "inputs of the model beside rows: how far the labels of each ID lean, over all its events, about the last 20 and about the last 3") \
    CHO(loss, aa_loss_kind, AA_LOSS_LOGLOSS, "loss that training minimises", \
        VAL(AA_LOSS_LOGLOSS, "logloss") VAL(AA_LOSS_MSE, "mse")) \
    INT(step, 1, 1, 65536, "events", "events per optimizer step")                                  \
    INT(dense_step, 8, 1, 65536, "events", "dense weights take a step every this many events, down the mean of their gradients, and at a batch's end; rows learn at every step") \
    NUM(row_rate, 0.2, 0, 100, "", "Adagrad learning rate of rows")                                \
    NUM(row_accumulator, 0.1, 1e-12, 1e6, "", "initial value of Adagrad's accumulators")                  \
    NUM(row_l2, 0.003, 0, 10, "", "L2 penalty of the rows that an event reads")                         \
    NUM(row_init, 0.01, 0, 10, "", "standard deviation of new rows")                               \
    NUM(position_rate, 0.1, 0, 100, "", "Adagrad learning rate of the difference between a shared position and its lean bin") \
    NUM(position_accumulator, 0.3, 1e-12, 1e6, "", "initial value of that difference's accumulators")                 \
    NUM(own_accumulator, 0.3, 1e-12, 1e6, "", "initial value of the accumulators of a residual row") \
    NUM(own_linear_accumulator, 5, 1e-12, 1e6, "", "initial value of the accumulator of a residual row's linear weight")                \
    NUM(shared_gradient, 0.5, 0, 1, "", "share of the gradient that the shared reading gets from an ID with a residual row") \
    CHO(row_format, aa_row_format, AA_ROW_BF16, "weights of own rows: float: 4 bytes each; bf16: 2 bytes each, rounded stochastically", \
        VAL(AA_ROW_FLOAT, "float") VAL(AA_ROW_BF16, "bf16")) \
    CHO(row_optimizer, aa_row_optimizer, AA_ROW_ROWWISE, "Adagrad accumulators of own rows: adagrad: one per weight; rowwise: two per row, for the factors and for the linear weight", \
        VAL(AA_ROW_ADAGRAD, "adagrad") VAL(AA_ROW_ROWWISE, "rowwise")) \
    NUM(row_forget, 0.003, 0, 1, "", "share of what the accumulators of an own row's factors gathered that each update forgets; 0: none") \
    NUM(dense_rate, 0.0003, 0, 10, "", "Adam's learning rate of the dense weights")

#define AA_SETTINGS_CHECKPOINT(STR, CHO, VAL, INT, NUM, BOO)                                       \
    STR(dir, "checkpoints", "folder of the checkpoints")                                           \
    INT(every_events, 0, 0, INT64_MAX, "events", "events between two checkpoints; 0: by time only") \
    INT(every_ms, 10000, 0, 86400000, "ms", "live: time between two checkpoints; 0: by events only") \
    INT(keep, 3, 1, 1000, "", "committed checkpoints that are kept; with 3 or more one remains if another is damaged") \
    CHO(on_damage, aa_on_damage, AA_ON_DAMAGE_PREVIOUS, "the checkpoint is damaged or missing: previous: use the one before; fresh: the same, and if there is none start from the stream's beginning; fail: end with an error", \
        VAL(AA_ON_DAMAGE_PREVIOUS, "previous") VAL(AA_ON_DAMAGE_FRESH, "fresh") \
        VAL(AA_ON_DAMAGE_FAIL, "fail")) \
    INT(max_failures, 10, 0, 1000000, "", "ingest ends with an error after this many checkpoints in a row that cannot be written; 0: never")

#define AA_SETTINGS_PUBLISH(STR, CHO, VAL, INT, NUM, BOO)                                          \
    INT(every_ms, 500, 10, 3600000, "ms", "time between two publications of what changed")         \
    BOO(enabled, true, "publish to the compacted topics")                                   \
    BOO(item_names, true, "publish the text of item IDs: scorers need it to rank all known items") \
    BOO(hold, false, "Hold back publication, the assigner's too, while the last events' quality is out of the band of hold_*, or while an operator wants it (autoassign-publish). Scorers serve what was published before") \
    INT(hold_window_events, 20000, 1000, 1000000000, "events", "Events that the band is checked on. The check is made eight times in this many") \
    INT(hold_resume_events, 200000, 0, 1000000000000, "events", "Events in a row that must be within the band before publication is resumed. Set it above the length of what is to be kept from users: the model learns wrong labels too, and then looks good on them. 0: only an operator resumes it") \
    NUM(hold_logloss_max, 0, 0, 100, "", "highest log-loss; 0: not checked")                       \
    NUM(hold_calibration_min, 0.5, 0, 1, "", "lowest calibration (mean prediction over mean label); 0: not checked") \
    NUM(hold_calibration_max, 2, 0, 1e6, "", "highest calibration; 0: not checked")                \
    NUM(hold_auc_min, 0.55, 0, 1, "", "lowest AUC; 0: not checked")                                \
    NUM(hold_bad_gradients_max, 0.05, 0, 1, "", "highest share of events whose gradient is not finite or near its bound: prediction and label differ by 0.99 or more; 0: not checked")

#define AA_SETTINGS_SCORER(STR, CHO, VAL, INT, NUM, BOO)                                           \
    STR(listen, "ipc:///tmp/autoassign-score", "ZeroMQ endpoint of score requests")                \
    STR(token, "", "token that requests must carry; empty: none")                                  \
    INT(max_items, 10000, 1, 10000000, "items", "longest list in a request, and longest ranking") \
    INT(threads, 2, 1, 48, "", "threads that score; with 2 or more, one is reserved for short requests (up to 1,000 items)")                                               \
    INT(queue, 256, 1, 1000000, "requests", "requests that may wait for a thread; further ones get 429") \
    NUM(max_per_s, 0, 0, 1e9, "requests/s", "requests per second; further ones get 429 (one second's worth may come at once); 0: no limit") \
    INT(deadline_ms, 1000, 1, 600000, "ms", "a request that is not answered within this time gets 503; a request may set less") \
    STR(peers, "", "HTTP addresses of the other processes, for the live page: ingest=HOST:PORT,assigner=...,learner=...; empty: 127.0.0.1 and http.*_port") \
    INT(page_every_ms, 2000, 100, 600000, "ms", "time between two points of the live page's history") \
    INT(linger_ms, 3000, 0, 600000, "ms", "Time after SIGTERM in which scores are still served while /readyz answers 503, so that load balancers notice. Then no connection is accepted any more, and running requests end") \
    INT(delete_retention_ms, 86400000, 0, INT64_MAX / 4, "ms", "delete.retention.ms of topics.assignments and topics.model, used where Kafka does not tell (DescribeConfigs is not allowed). A scorer that did not read for longer may have missed deletions: it reads the topics anew") \
    INT(max_request_bytes, 1048576, 1024, 1073741824, "bytes", "largest request")

#define AA_SETTINGS_HTTP(STR, CHO, VAL, INT, NUM, BOO)                                             \
    BOO(enabled, true, "run the HTTP server")                                                               \
    STR(bind, "127.0.0.1", "address that the HTTP server listens on")                                                              \
    INT(max_connections, 1024, 1, 100000, "connections", "Open connections at most. One more takes the place of the one that has been idle longest. The limit of open files (ulimit -n) may lower it. Another 16 answer health checks only") \
    INT(keepalive_ms, 75000, 1000, 3600000, "ms", "Time that an idle connection is kept. Set it above the keep-alive time of a load balancer in front") \
    INT(request_ms, 10000, 100, 3600000, "ms", "Time that a request may take to arrive, and its answer to be taken") \
    INT(ingest_port, 0, 0, 65535, "", "port of ingest")                                            \
    INT(assigner_port, 0, 0, 65535, "", "port of assigner")                                        \
    INT(learner_port, 0, 0, 65535, "", "port of learner")                                          \
    INT(scorer_port, 0, 0, 65535, "", "port of scorer")

#define AA_SETTINGS_LOG(STR, CHO, VAL, INT, NUM, BOO)                                              \
    CHO(level, aa_log_level_choice, AA_LOG_LEVEL_INFO, "lowest level that is logged", \
        VAL(AA_LOG_LEVEL_DEBUG, "debug") VAL(AA_LOG_LEVEL_INFO, "info") \
        VAL(AA_LOG_LEVEL_WARN, "warn") VAL(AA_LOG_LEVEL_ERROR, "error")) \
    CHO(format, aa_log_format, AA_LOG_FORMAT_LOGFMT, "form of a log record, one line each", \
        VAL(AA_LOG_FORMAT_LOGFMT, "logfmt") VAL(AA_LOG_FORMAT_JSON, "json")) \
    INT(stats_ms, 10000, 0, 86400000, "ms", "time between two STATS lines; 0: none")

/* per ID field; `fields:` maps a name to these, in the order of the model's fields */
#define AA_SETTINGS_FIELD(STR, CHO, VAL, INT, NUM, BOO)                                            \
    STR(path, "", "path of the ID, as payload.user.id or items[0].sku (docs/EVENTS.md); empty: the field's own name; json is another name of this key") \
    CHO(missing, aa_field_missing, AA_MISSING_REJECT, "a message without this ID: reject: a dead letter; unknown: the ID (unknown), which is one like any other; skip: passed over and counted", \
        VAL(AA_MISSING_REJECT, "reject") VAL(AA_MISSING_UNKNOWN, "unknown") VAL(AA_MISSING_SKIP, "skip")) \
    INT(threshold, 5, 0, INT64_MAX, "events", "modes threshold and rule: events after which an ID gets a row") \
    INT(budget_rows, 0, 0, 4294967295, "rows", "most own rows of the field; 0: no limit")                    \
    INT(budget_bytes, 0, 0, INT64_MAX, "bytes", "the same limit in bytes: a row has 8 * (model.dim + 1) bytes, optimizer state included; bf16 takes 2 * (model.dim + 1) off, rowwise 4 * (model.dim - 1); 0: no limit") \
    INT(hash_rows, 0, 0, 4294967295, "rows", "mode hash: rows of the field")
/* clang-format on */

#endif
