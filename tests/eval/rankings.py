#!/usr/bin/env python3
"""How good rankings are: the model learns the first part of a stream, then ranks all items that it knows, without
those that the user has had, and the rankings are compared with what the user took next.

    rankings.py first FILE.csv[.gz] POSITIVE SHARE     the first part, as a CSV with labels 0 and 1
    rankings.py ask URL FILE.csv[.gz] POSITIVE SHARE   asks a scorer that has learned it; prints one JSON line

recall@K, ndcg@K  over users (at most --users, evenly chosen) with a positive event after the first part, on an item
                  that they had not had before. An item that is new after the first part counts as missed.
popular_*         the same for the items with the most positive events in the first part, the same for everyone
auc_per_user, auc, ne   of the scores of those users' later events, by the model as it is after the first part
"""
import argparse
import collections
import csv
import gzip
import json
import os
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../../clients/python/src")]
import ranking  # noqa: E402

PLACES = (10, 50)


def read_events(path, positive):
    """(user, item, label 0/1, timestamp) by time; those of one time in the order of the file."""
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8", newline="") as text:
        events = [(r["user"], r["item"], int(float(r["label"]) > positive), r["timestamp"]) for r in csv.DictReader(text)]
    return sorted(events, key=lambda e: float(e[3]))


def split(events, share):
    """No time is on both sides."""
    at = int(len(events) * share)
    while 0 < at < len(events) and events[at][3] == events[at - 1][3]:
        at += 1
    return events[:at], events[at:]


def evenly(values, count):
    return values if len(values) <= count else [values[i * len(values) // count] for i in range(count)]


def next_positives(first, later):
    """Per user, in the order of their first: the items that they had before, and the new ones that they took."""
    had, wanted = collections.defaultdict(set), {}
    for user, item, *_ in first:
        had[user].add(item)
    for user, item, label, _ in later:
        if label and item not in had[user]:
            wanted.setdefault(user, set()).add(item)
    return had, wanted


def most_popular(first):
    """Items by positive events, most first; equal ones by name."""
    count = collections.Counter(item for _, item, label, _ in first if label)
    return sorted(count, key=lambda item: (-count[item], item))


def mean(values):
    values = list(values)
    return sum(values) / len(values) if values else None


def measure(scorer, first, later, users):
    had, wanted = next_positives(first, later)
    chosen = evenly(list(wanted), users)
    popular, known = most_popular(first), {item for _, item, *_ in first}
    by_user = collections.defaultdict(list)
    for user, item, label, _ in later:
        by_user[user].append((item, label))
    ranked, counted, scored = [], [], []
    for user in chosen:
        most = max(PLACES)
        ranked.append(scorer.rank(user, most, exclude=sorted(had[user])).items)
        counted.append([item for item in popular if item not in had[user]][:most])
        assert not had[user].intersection(ranked[-1]), user
        items = [item for item, _ in by_user[user]]
        scored += [(user, s, label) for s, (_, label) in zip(scorer.score(user, items).scores, by_user[user])]
    out = {"users": len(chosen), "first_events": len(first), "later_events": len(scored),
           "items_new": mean(len(wanted[u] - known) / len(wanted[u]) for u in chosen)}
    for k in PLACES:
        for name, lists in (("", ranked), ("popular_", counted)):
            out[f"{name}recall@{k}"] = mean(ranking.recall_at(r, wanted[u], k) for u, r in zip(chosen, lists))
            out[f"{name}ndcg@{k}"] = mean(ranking.ndcg_at(r, wanted[u], k) for u, r in zip(chosen, lists))
    scores, labels = [s for _, s, _ in scored], [label for *_, label in scored]
    out["auc_per_user"], out["auc_users"] = ranking.auc_per_user(scored)
    out["auc"], out["ne"] = ranking.auc(scores, labels), ranking.normalised_entropy(scores, labels)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_subparsers(dest="what", required=True)
    for name in ("first", "ask"):
        command = what.add_parser(name)
        if name == "ask":
            command.add_argument("url")
        command.add_argument("file")
        command.add_argument("positive", type=float)
        command.add_argument("share", type=float)
        command.add_argument("--users", type=int, default=1000)
        command.add_argument("--token", default=None)
    args = parser.parse_args()
    first, later = split(read_events(args.file, args.positive), args.share)
    if args.what == "first":
        out = csv.writer(sys.stdout, lineterminator="\n")
        out.writerow(("user", "item", "label", "timestamp"))
        out.writerows(first)
        return
    from autoassign_client import ScorerClient
    with ScorerClient(args.url, args.token, timeout_s=30) as scorer:
        print(json.dumps({k: round(v, 5) if isinstance(v, float) else v
                          for k, v in measure(scorer, first, later, args.users).items()}))


if __name__ == "__main__":
    main()
