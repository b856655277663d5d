#!/usr/bin/env python3
"""guard_rail.py PORT STREAM.csv: the AUC of what a scorer answers, on the stream's labels."""
import csv
import json
import sys
import urllib.request
from collections import defaultdict


def main(port, path):
    wanted = defaultdict(list)
    with open(path, newline="") as stream:
        for row in csv.DictReader(stream):
            wanted[row["user"]].append((row["item"], int(row["label"])))
    pairs = []
    for user, events in wanted.items():
        body = json.dumps({"user": user, "items": [item for item, _ in events]}).encode()
        url = f"http://127.0.0.1:{port}/v1/score"
        with urllib.request.urlopen(urllib.request.Request(url, body, method="POST"), timeout=10) as reply:
            scores = json.load(reply)["scores"]
        pairs += [(score, label) for score, (_, label) in zip(scores, events, strict=True)]
    pairs.sort()
    rank = positives = rank_sum = 0
    while rank < len(pairs):
        end = rank
        while end < len(pairs) and pairs[end][0] == pairs[rank][0]:
            end += 1
        tied = sum(label for _, label in pairs[rank:end])
        rank_sum += tied * (rank + 1 + end) / 2
        positives += tied
        rank = end
    negatives = len(pairs) - positives
    print(f"{(rank_sum - positives * (positives + 1) / 2) / (positives * negatives):.4f}")


main(*sys.argv[1:])
