#!/usr/bin/env python3
"""docs/SIZING.md from what tests/bench/sizing.sh measured: sizing.py build/sizing/measured.json > docs/SIZING.md"""
import json
import math
import sys

IDS = [10**6, 10**7, 10**8, 10**9]
RATES = [10**3, 10**4, 10**5, 10**6]
BUSY = 0.7  # share of a core that is planned with
DISK = 500e6  # bytes/s, assumed
CHECKPOINT_S = 10  # checkpoint.every_ms
DAY = 86400


def size(n):
    for unit in ("B", "KB", "MB", "GB", "TB", "PB"):
        if n < 1000 or unit == "PB":
            return f"{n:.3g} {unit}" if n < 100 else f"{n:.0f} {unit}"
        n /= 1000


def time(s):
    if s < 1:
        return "below 1 s"
    if s < 90:
        return f"{s:.0f} s"
    return f"{s / 60:.0f} min" if s < 5400 else f"{s / 3600:.1f} h"


def power(n):
    return f"10<sup>{round(math.log10(n))}</sup>"


def table(head, rows):
    out = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(out + ["| " + " | ".join(map(str, r)) + " |" for r in rows])


def main():
    m = json.load(open(sys.argv[1]))
    events, ids, own = m["events"], m["ids"], m["own_rows"]
    share = own / ids
    per_id_assigner = m["table_bytes"] / ids
    per_row = m["row_bytes"] / m["rows"]
    per_id_scorer = m["scorer"]["replica_bytes"] / ids
    learner_ck = m["checkpoint_learner"] / m["rows"]
    assigner_ck = m["checkpoint_assigner"] / ids
    topics = m["topic_bytes"]
    per_record = (topics["assignments"] + topics["model"]) / m["scorer"]["records"]
    records_per_event = m["scorer"]["records"] / events
    record_s = 1000 * m["scorer"]["records"] / m["scorer"]["rebuild_ms"]
    cpu1, cpu64 = m["cpu_us"]["step1"], m["cpu_us"]["step64"]
    per_event = topics["interactions"] / events

    def memory(n):
        rows = n * share
        return [n * per_id_assigner, rows * per_row, n * per_id_scorer, n * assigner_ck + rows * learner_ck]

    def cores(cpu, r):
        used = [c * r / 1e6 for c in cpu]
        lanes = max(1, math.ceil(max(used[1:]) / BUSY))
        return used, lanes

    measured = table(
        ["what", "measured"],
        [
            ["CPU per event, `model.step` 1: ingest, assigner, learner", " + ".join(f"{c:.2f}" for c in cpu1) + " µs"],
            ["CPU per event, `model.step` 64", " + ".join(f"{c:.2f}" for c in cpu64) + " µs"],
            ["events/s of a replay on these cores, step 1 and 64", f"{m['events_per_s']['step1']:.0f}, {m['events_per_s']['step64']:.0f}"],
            ["IDs seen; share that holds an own row", f"{ids}, {share:.0%}"],
            ["assigner, bytes per ID (index, entry, publication)", f"{per_id_assigner:.0f}"],
            ["learner, bytes per row (weights and optimizer, `model.dim` 16)", f"{per_row:.0f}"],
            ["scorer, bytes per ID (its rows among them)", f"{per_id_scorer:.0f}"],
            ["checkpoint, bytes per ID (assigner) and per row (learner)", f"{assigner_ck:.0f}, {learner_ck:.0f}"],
            ["interactions, bytes per event in Kafka (protobuf, lz4)", f"{per_event:.0f}"],
            ["assignments and model, bytes per record in Kafka", f"{per_record:.0f}"],
            ["records of the two topics per event, in this replay", f"{records_per_event:.2f}"],
            ["scorer, records/s while it builds itself", f"{record_s:.0f}"],
            ["resident memory at the peak: " + ", ".join(m["resident"]), ", ".join(size(v) for v in m["resident"].values())],
        ],
    )
    mem_rows = []
    for n in IDS:
        a, l, s, c = memory(n)
        build_records = n * (1 + share)
        mem_rows.append([power(n), size(a), size(l), size(2 * (a + l)), size(s), size(3 * c), size(build_records * per_record), time(build_records / record_s)])
    core_rows = []
    for r in RATES:
        u1, l1 = cores(cpu1, r)
        u64, l64 = cores(cpu64, r)
        core_rows.append([power(r)] + [f"{sum(u1):.2g} ({' + '.join(f'{x:.2g}' for x in u1)})", l1, f"{sum(u64):.2g} ({' + '.join(f'{x:.2g}' for x in u64)})", l64])
    volume_rows = []
    for r in RATES:
        volume_rows.append([power(r), size(per_event * r * DAY), size(records_per_event * per_record * r * DAY), size(4 * per_record * r * DAY)])
    recovery_rows = []
    for n in IDS:
        a, l, s, c = memory(n)
        row = [power(n), time(c / DISK)]
        for r in RATES:
            most = BUSY * 1e6 / max(cpu1[1:]) * cores(cpu1, r)[1]
            down = 30 + c / DISK + CHECKPOINT_S
            row.append(time(c / DISK + r * down / max(most - r, 0.05 * most)))
        recovery_rows.append(row)

    print(f"""# Sizing

How much memory, disk and CPU time a pipeline needs. `tests/bench/sizing.py` computes this page
from what `tests/bench/sizing.sh` measures: a generated stream of {events:,} events in a Kafka of
its own, the whole pipeline twice, and a scorer that builds itself. `EVENTS=5000000 make sizing`
measures again and writes this page.

Settings are the defaults unless another value is named. The machine is an {m['machine']} with
{m['cores']} cores and other work beside it. Bytes, and CPU time per event, hold elsewhere too;
rates less so. `make bench` and `make scaling` measure rates, and memory by dimension, with more
care.

## What was measured

{measured}

## Memory, disk and a scorer's start

IDs are those of all fields together. {share:.0%} of them hold an own row, as measured.
`fields.<name>.budget_rows` bounds rows, `agent.forget_events` bounds IDs. A full table of
{IDS[1]:,} IDs would take the learner {size(IDS[1] * per_row)}.

{table(["IDs", "assigner", "learner", "both, at a checkpoint", "each scorer", "checkpoints on disk (3)", "compacted topics", "scorer's start"], mem_rows)}

- An ID takes {per_id_assigner:.0f} B in the assigner. A row takes {per_row:.0f} B in the learner: 2 · (dim + 1) + 8 B.
  With `model.row_format` float and `model.row_optimizer` adagrad it takes 2 · 4 · (dim + 1) B.
- `agent.budget_bytes` bounds assigner and learner together
  ([OPERATING.md](OPERATING.md#a-limit-in-bytes)).
- A forked child writes a checkpoint. Memory that changes meanwhile exists twice: plan for up to
  twice as much.
- Dense weights, critic and actor take less than 1 MB. Kafka clients take 50 to 300 MB per process
  (read-ahead, queues).
- A field has at most 2<sup>30</sup> rows and 2<sup>32</sup> IDs. From 10<sup>8</sup> IDs on, set
  `agent.forget_events`: most of the IDs will never return.
- The column *compacted topics* counts what remains after compaction. Segments that are not
  compacted yet come on top (64 MiB and more per partition).

## Cores

The table shows the CPU time of ingest + assigner + learner. Assigner and learner have one thread
each. One lane is full when the slower of them fills its core; the table plans lanes
(`pipeline.lane`) for {BUSY:.0%} of a core. Scorers come on top. A scorer applies {1 /
m['scorer']['cpu_us_per_record']:.2g} million records per second and core; `make bench` prints how
fast it scores.

{table(["events/s", "cores, `model.step` 1", "lanes", "cores, `model.step` 64", "lanes"], core_rows)}

`model.step` 64 trains 64 events at a time. It is faster and a little less accurate; `make bench`
prints both AUCs.

ingest has one thread too. JSON, decompression and TLS cost it more than the protobuf measured
here. If ingest fills its core, fetchers (`ingest.role`) read and decode in other processes. The
sequencer keeps about a quarter of the work; `tests/bench/fetchers.sh` prints both, for JSON.
Fetchers use more cores and save none: on two cores nothing becomes faster.

## Kafka, per day and replica

{table(["events/s", "interactions", "assignments and model, as in this replay", "at most"], volume_rows)}

Changes are published every `publish.every_ms` (500 ms). A row or an ID is published once, however
often it changed. At most two rows and two assignments change per event: that is the last column,
reached at low rates. At higher rates fewer records per event are published. Compaction removes the
older ones. A longer `publish.every_ms` publishes less, and scores are older.

## Recovery

The table shows the time until everything has caught up after a machine was lost for 30 s. That is
the restore of the checkpoint, read at {size(DISK)}/s (an assumption), and then the events of the
outage and of the last {CHECKPOINT_S} s (`checkpoint.every_ms`). They are read again at the rate
that is left, in as many lanes as in the table of cores (`model.step` 1).

{table(["IDs", "restore"] + [f"{power(r)} events/s" for r in RATES], recovery_rows)}

Scorers answer from what they have meanwhile. A new scorer needs the start time of the first table.
The restored run publishes everything once more, which takes the producer about as long as a
scorer's start.""")


if __name__ == "__main__":
    main()
