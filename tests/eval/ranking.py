"""Measures of rankings and of scores, for rankings.py. No I/O.

A ranking is a list of distinct items, best first; `wanted` is the set of items that the user took next.
"""
import math


def recall_at(ranking, wanted, k):
    """Share of the wanted items that are among the first k. @pre wanted is not empty"""
    return len(wanted.intersection(ranking[:k])) / len(wanted)


def ndcg_at(ranking, wanted, k):
    """Discounted gain of the first k against that of the best order: 1 / log2(place + 1) for each wanted item."""
    gain = sum(1 / math.log2(place + 1) for place, item in enumerate(ranking[:k], 1) if item in wanted)
    return gain / sum(1 / math.log2(place + 1) for place in range(1, min(k, len(wanted)) + 1))


def auc(scores, labels):
    """P(score of a positive > that of a negative), ties count half; None without both. By ranks."""
    order = sorted(range(len(scores)), key=scores.__getitem__)
    positives = sum(1 for label in labels if label)
    negatives = len(labels) - positives
    if not positives or not negatives:
        return None
    rank_sum, i = 0.0, 0
    while i < len(order):
        j = i
        while j < len(order) and scores[order[j]] == scores[order[i]]:
            j += 1
        rank_sum += (i + 1 + j) / 2 * sum(1 for at in order[i:j] if labels[at])  # ties at their mean rank
        i = j
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)


def auc_per_user(events):
    """Mean of the users' own AUC, weighted by their events; users without both labels do not count.
    events: (user, score, label). Returns (auc or None, users that counted)."""
    by_user = {}
    for user, score, label in events:
        scores, labels = by_user.setdefault(user, ([], []))
        scores.append(score)
        labels.append(label)
    weighed = [(a, len(labels)) for scores, labels in by_user.values() if (a := auc(scores, labels)) is not None]
    total = sum(n for _, n in weighed)
    return (sum(a * n for a, n in weighed) / total if total else None), len(weighed)


def normalised_entropy(scores, labels):
    """Log-loss over the log-loss of always predicting the mean label: 1 is no better than that. None: one label only."""
    mean = sum(labels) / len(labels) if labels else 0
    if not 0 < mean < 1:
        return None
    clipped = [min(max(s, 1e-7), 1 - 1e-7) for s in scores]
    loss = -math.fsum(math.log(s if label else 1 - s) for s, label in zip(clipped, labels)) / len(labels)
    return loss / -(mean * math.log(mean) + (1 - mean) * math.log(1 - mean))
