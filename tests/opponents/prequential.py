#!/usr/bin/env python3
"""What a team would use instead, on one stream, event by event: predict, record, then learn.

    prequential.py OPPONENT FILE.csv[.gz] [--positive ABOVE] [--events N]

OPPONENT is vw, river or torch. Prints one JSON line: opponent, events, auc, mse, logloss, events_per_s
(of predict and learn alone, reading the file not counted) and peak_bytes (of the whole process).
"""
import argparse
import csv
import gzip
import json
import math
import resource
import sys
import time


def read_events(path, positive, limit):
    """(user, item, label 0/1) in the order of the file, which is that of time."""
    opener = gzip.open if path.endswith(".gz") else open
    events = []
    with opener(path, "rt", newline="") as f:
        for row in csv.DictReader(f):
            label = float(row["label"])
            events.append((row["user"], row["item"],
                           1.0 if (label > positive if positive is not None else label > 0.5) else 0.0))
            if limit and len(events) >= limit:
                break
    return events


def auc(scores, labels):
    """Exact: the rank statistic, ties at their mean rank."""
    order = sorted(range(len(scores)), key=scores.__getitem__)
    rank_sum = positives = 0
    i = 0
    while i < len(order):
        j = i
        while j < len(order) and scores[order[j]] == scores[order[i]]:
            j += 1
        mean_rank = (i + 1 + j) / 2
        for k in order[i:j]:
            if labels[k] > 0.5:
                rank_sum += mean_rank
                positives += 1
        i = j
    negatives = len(order) - positives
    if not positives or not negatives:
        return float("nan")
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)


def vw_opponent():
    """Vowpal Wabbit's online logistic regression with its usual adaptive updates, -l 1."""
    from vowpalwabbit import Workspace

    vw = Workspace("--loss_function logistic --link logistic -l 1 -b 22 --quiet")

    def step(user, item, label):
        example = vw.example(f"{1 if label > 0.5 else -1} |u u{user} |i i{item}")
        vw.predict(example)
        p = example.get_simplelabel_prediction()
        vw.learn(example)
        vw.finish_example(example)
        return p

    return step


def river_opponent():
    """River's factorization machine classifier."""
    from river import facto, optim

    model = facto.FMClassifier(n_factors=16, weight_optimizer=optim.AdaGrad(0.1),
                               latent_optimizer=optim.AdaGrad(0.1), seed=1)

    def step(user, item, label):
        x = {f"u{user}": 1.0, f"i{item}": 1.0}
        p = model.predict_proba_one(x).get(True, 0.5)
        model.learn_one(x, label > 0.5)
        return p

    return step


def torch_opponent():
    """A plain PyTorch DeepFM (16 dimensions, 64-32), a full table, Adagrad rows and Adam weights."""
    import torch

    torch.manual_seed(1)
    torch.set_num_threads(1)
    rows, width, index = 1 << 16, 17, {}
    table = torch.nn.Embedding(rows, width, sparse=True)
    torch.nn.init.normal_(table.weight, std=0.01)
    mlp = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.ReLU(), torch.nn.Linear(64, 32),
                              torch.nn.ReLU(), torch.nn.Linear(32, 1))
    bias = torch.nn.Parameter(torch.zeros(1))
    row_optimizer = torch.optim.Adagrad(table.parameters(), lr=0.2, initial_accumulator_value=0.1)
    dense_optimizer = torch.optim.Adam([*mlp.parameters(), bias], lr=1e-3)
    loss_of = torch.nn.BCEWithLogitsLoss()

    def step(user, item, label):
        ids = [index.setdefault(("u", user), len(index)) % rows,
               index.setdefault(("i", item), len(index)) % rows]
        row = table(torch.tensor(ids))
        e = row[:, :16]
        logit = bias + row[:, 16].sum() + (e[0] * e[1]).sum() + mlp(e.reshape(1, 32))[0]
        p = torch.sigmoid(logit).item()
        row_optimizer.zero_grad()
        dense_optimizer.zero_grad()
        loss_of(logit, torch.tensor([label])).backward()
        row_optimizer.step()
        dense_optimizer.step()
        return p

    return step


OPPONENTS = {"vw": vw_opponent, "river": river_opponent, "torch": torch_opponent}


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("opponent", choices=OPPONENTS)
    ap.add_argument("file")
    ap.add_argument("--positive", type=float, help="labels above this are positive (default: 0.5)")
    ap.add_argument("--events", type=int, default=0, help="stop after so many events")
    args = ap.parse_args()

    events = read_events(args.file, args.positive, args.events)
    step = OPPONENTS[args.opponent]()
    scores = []
    start = time.perf_counter()
    for user, item, label in events:
        scores.append(min(max(float(step(user, item, label)), 0.0), 1.0))
    seconds = time.perf_counter() - start
    labels = [label for _, _, label in events]
    eps = 1e-7
    logloss = -sum(math.log(min(max(p if y > 0.5 else 1 - p, eps), 1.0))
                   for p, y in zip(scores, labels)) / len(events)
    json.dump({"opponent": args.opponent, "events": len(events), "auc": auc(scores, labels),
               "mse": sum((p - y) ** 2 for p, y in zip(scores, labels)) / len(events),
               "logloss": logloss, "events_per_s": len(events) / seconds,
               "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
