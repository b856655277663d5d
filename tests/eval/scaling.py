#!/usr/bin/env python3
"""make scaling: what the default mode saves, by dimension, number of IDs and skew of popularity, and what
assignment costs beside training and a prediction. Writes scaling.csv, overhead.json and two tables."""
import argparse
import csv
import json
import os
import subprocess
import sys

import evaluate
import figures
import plan
import streams

DIMENSIONS = [8, 16, 32, 64, 128]
POPULATIONS = [(2000, 500), (20000, 5000), (100000, 25000)]  # users, items alive at a time
SKEWS = [0.7, 1.0, 1.3]  # Zipf exponent
COLUMNS = ["ids", "zipf", "dim", "rows_ratio_peak", "row_bytes", "bytes", "full_table_bytes", "bytes_ratio",
           "table_bytes", "agent_bytes", "auc", "auc_full_table"]


def generated(ev, users, items, zipf, events):
    """A stream as `generate` makes it, kept between runs."""
    name = f"scaling-{events}-{users}-{items}-{zipf:g}"
    path = os.path.join(ev.out, f"{name}.csv")
    if not os.path.exists(path):
        with open(path + ".part", "wb") as out:
            subprocess.run([os.path.join(ev.args.programs, "generate"), "--events", str(events), "--users", str(users),
                            "--items", str(items), "--zipf", f"{zipf:g}", "--seed", "1"], stdout=out, check=True)
        os.rename(path + ".part", path)
    stream = streams.Stream(name, path, None)
    streams.describe(stream, ev.args.programs)
    return stream


def measure(ev, events):
    rows, count = [], 0
    total = len(DIMENSIONS) * len(POPULATIONS) * len(SKEWS)
    for users, items in POPULATIONS:
        for zipf in SKEWS:
            stream = generated(ev, users, items, zipf, events)
            for dim in DIMENSIONS:
                runs = {mode: ev.execute(plan.Run(stream, "deepfm", mode, 1, [f"model.dim={dim}"]))
                        for mode in ("default", "unique")}
                raw, row = runs["default"]
                rows.append({**{k: row[k] for k in COLUMNS if k in row}, "zipf": zipf, "dim": dim,
                             "row_bytes": row["full_table_bytes"] // row["ids"] - figures.FULL_TABLE_INDEX_BYTES,
                             "table_bytes": raw["assigner"]["table_bytes"],
                             "agent_bytes": raw["assigner"]["agent_bytes"] + raw["learner"]["critic_bytes"],
                             "auc_full_table": runs["unique"][1]["auc"]})
                count += 1
                ev.say(f"{count}/{total} {row['ids']} IDs, Zipf {zipf:g}, {dim} dimensions: "
                       f"{100 * row['bytes_ratio']:.0f} % of the full table's bytes")
    return rows


def show(rows):
    print("\nBytes of the default mode as a share of a full table's: rows at the peak with optimizer state, ID table,\n"
          "actor and critic, against a row and its index entry for each distinct ID; `rows`: share of rows alone.\n")
    print(f"  {'IDs':>9} {'Zipf':>5} {'rows':>7}  " + " ".join(f"{f'K={d}':>7}" for d in DIMENSIONS) + "   AUC at K=16 (full)")
    for ids, zipf in dict.fromkeys((r["ids"], r["zipf"]) for r in rows):
        at = {r["dim"]: r for r in rows if (r["ids"], r["zipf"]) == (ids, zipf)}
        print(f"  {ids:>9} {zipf:>5g} {100 * at[16]['rows_ratio_peak']:>5.1f} %  "
              + " ".join(f"{100 * at[d]['bytes_ratio']:>5.0f} %" for d in DIMENSIONS)
              + f"   {at[16]['auc']:.4f} ({at[16]['auc_full_table']:.4f})")


def bench(path, *arguments, stdin=None):
    done = subprocess.run([path, *arguments], stdin=stdin, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def overhead(ev, events):
    """Nanoseconds per event of each stage, default against full table, on one stream (best of 3)."""
    folder = os.path.join(ev.args.programs, "../tests/bench")
    path = generated(ev, *POPULATIONS[1], 1.0, events).path
    out = {}
    for mode in ("unique", "default"):
        best = {"assign": float("inf"), "learn": float("inf")}
        for _ in range(3):
            with open(path, "rb") as stream:
                got = bench(os.path.join(folder, "bench_stages"), f"agent.mode={mode}", stdin=stream)
            best["assign"] = min(best["assign"], 2e9 / got["assigner_ids_per_s"])
            best["learn"] = min(best["learn"], 1e9 / got["learner_events_per_s"])
        out[mode] = best
    table, ours = out["unique"], out["default"]
    out["training_share"] = ((ours["assign"] + ours["learn"]) / (table["assign"] + table["learn"])) - 1.0
    out["assigning_share"] = ours["assign"] / (ours["assign"] + ours["learn"])
    score = bench(os.path.join(folder, "bench_scorer"))
    out["prediction"] = {k: score[k] for k in ("score_candidates", "score_step_p50_us", "score_lookup_us",
                                               "score_full_table_lookup_us", "score_forward_us")}
    added = score["score_lookup_us"] - score["score_full_table_lookup_us"]
    out["prediction_share"] = added / (score["score_step_p50_us"] - added)
    return out


def show_overhead(cost):
    print("\nWhat assignment costs, nanoseconds per event of two IDs (one core, best of 3):\n")
    for mode, label in (("unique", "full table"), ("default", "default")):
        print(f"  {label:<11} assign {cost[mode]['assign']:>6.0f}   predict and train {cost[mode]['learn']:>6.0f}")
    print(f"  the agent adds {100 * cost['training_share']:.1f} % to training (its look-ups, decisions, actor, critic and the\n"
          f"  second prediction of an ID with its own row); assigning is {100 * cost['assigning_share']:.1f} % of the whole")
    p = cost["prediction"]
    print(f"  a request of {p['score_candidates']} candidates takes {p['score_step_p50_us']:.1f} us: look-ups "
          f"{p['score_lookup_us']:.1f} us (in a plain full table that nobody updates: "
          f"{p['score_full_table_lookup_us']:.1f} us),\n  forward pass {p['score_forward_us']:.1f} us; assignments, and "
          f"being updated while they are read, add {100 * cost['prediction_share']:.0f} % to a request")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--broker", required=True)
    parser.add_argument("--events", type=int, default=int(os.environ.get("EVENTS") or 200000))
    parser.add_argument("--out", default=os.path.join(evaluate.ROOT, "build/scaling"))
    parser.add_argument("--programs", default=os.path.join(evaluate.ROOT, "build/release/bin"))
    parser.add_argument("--config", default=os.path.join(evaluate.ROOT, "compose/autoassign.yaml"))
    parser.add_argument("--topic-tool", default=os.path.join(evaluate.ROOT, "build/release/tests/tools/topic"))
    args = parser.parse_args()
    args.settings = []
    evaluate.catch_signals()
    try:
        ev = evaluate.Evaluation(args)
        rows = measure(ev, args.events)
        with open(ev.path("scaling.csv"), "w", newline="", encoding="utf-8") as out:
            writer = csv.writer(out, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows([figures.cell(r[c]) for c in COLUMNS] for r in rows)
        show(rows)
        cost = overhead(ev, args.events)
        evaluate.save_json(ev.path("overhead.json"), cost)
        show_overhead(cost)
    except streams.SetupError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted: the same command continues where it was")


if __name__ == "__main__":
    main()
