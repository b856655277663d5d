"""From what the processes wrote at a run's end to the figures that are compared."""
import csv
import json
import os

from stats import calibration_error

# What finds an ID's row in a full table: a 64-bit key and a 32-bit row at a load of 3/4.
FULL_TABLE_INDEX_BYTES = 16

COLUMNS = ["stream", "model", "mode", "seed", "auc", "mse", "accuracy", "logloss", "auc_seen_lt10",
           "rows_ratio", "bytes_ratio", "events_per_s", "rows_ratio_peak", "auc_late", "mse_late",
           "accuracy_late", "logloss_late", "auc_seen_lt5", "auc_seen_lt20", "mse_seen_lt10",
           "calibration_error", "events", "ids", "rows_end", "rows_peak", "bytes", "full_table_bytes",
           "resident_bytes", "ids_bytes", "rows_bytes", "optimizer_bytes", "replica_bytes", "system_bytes",
           "system_ratio", "settings"]


def read_run(folder):
    """{learner, assigner, ingest} of a finished run."""
    out = {}
    for process in ("learner", "assigner", "ingest"):
        with open(os.path.join(folder, f"{process}.json"), encoding="utf-8") as text:
            out[process] = json.load(text)
    return out


def memory(learner, assigner):
    """Rows with optimizer state, and all that finding and deciding about them takes."""
    row_bytes = learner["row_bytes"] / max(learner["rows_live"], 1)
    ids = assigner["ids_seen"]
    return {"ids": ids, "rows_end": learner["rows_live"],
            "rows_peak": round(learner["row_bytes_peak"] / row_bytes),
            "bytes": (learner["row_bytes_peak"] + assigner["table_bytes"] + assigner["agent_bytes"]
                      + learner["critic_bytes"]),
            "full_table_bytes": round(ids * (row_bytes + FULL_TABLE_INDEX_BYTES))}


def system(learner, assigner):
    """Bytes of the whole system by part, at the end: what the two processes hold, and what a scorer
    holds at least for the same IDs and rows. A scorer is not part of these runs, so its share is an
    estimate, the same for every mode: a 64-bit key and a 32-bit code per ID at a load of 3/4, and
    the weights of the rows."""
    rows = learner.get("rows_held_bytes", learner["row_bytes"])
    optimizer = learner.get("row_optimizer_bytes", 0)
    replica = assigner["ids_seen"] * FULL_TABLE_INDEX_BYTES + learner["row_bytes"] * (
        1 - optimizer / rows if rows else 1)
    parts = {"ids_bytes": assigner["table_bytes"], "rows_bytes": rows - optimizer,
             "optimizer_bytes": optimizer, "replica_bytes": round(replica)}
    parts["system_bytes"] = (sum(parts.values()) + assigner["agent_bytes"] + learner["critic_bytes"]
                             + learner.get("dense_bytes", 0))
    return parts


def figures_of(run, raw):
    """A row of results.csv."""
    learner, assigner = raw["learner"], raw["assigner"]
    row = {"stream": run.stream.name, "model": run.model, "mode": run.mode, "seed": run.seed,
           "settings": " ".join(run.settings)}
    row.update((k, learner[k]) for k in COLUMNS if k in learner)
    row.update(memory(learner, assigner))
    row.update(system(learner, assigner))
    row["system_ratio"] = row["system_bytes"] / row["ids"]
    row["rows_ratio"] = row["rows_end"] / row["ids"]
    row["rows_ratio_peak"] = row["rows_peak"] / row["ids"]
    row["bytes_ratio"] = row["bytes"] / row["full_table_bytes"]
    row["resident_bytes"] = sum(raw[p].get("peak_resident_bytes", 0) for p in raw)
    row["calibration_error"] = calibration_error(
        learner["calibration_events"], [p or 0.0 for p in learner["calibration_prediction_mean"]],
        [y or 0.0 for y in learner["calibration_label_mean"]])
    return row


def cell(value):
    if value is None:
        return ""
    return f"{value:.7g}" if isinstance(value, float) else str(value)


def write_csv(path, rows):
    """Whole or not at all."""
    with open(path + ".tmp", "w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([cell(row.get(c)) for c in COLUMNS] for row in rows)
    os.rename(path + ".tmp", path)


def append_csv(path, row):
    with open(path, "a", newline="", encoding="utf-8") as out:
        csv.writer(out, lineterminator="\n").writerow([cell(row.get(c)) for c in COLUMNS])


def read_series(folder, name):
    """Rows of a series file, numbers as floats (empty: NaN)."""
    rows = []
    with open(os.path.join(folder, f"{name}.csv"), newline="", encoding="utf-8") as text:
        for row in csv.DictReader(text):
            rows.append({k: number(v) for k, v in row.items()})
    return rows


def number(text):
    if text == "":
        return float("nan")
    try:
        return float(text)
    except ValueError:
        return text
