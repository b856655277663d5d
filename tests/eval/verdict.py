"""The targets of the default mode, each with its figures and a plain answer.

Figures are paired over seeds. `better` is reached when the mean difference is on the right side and
p < 0.05; `at least as good` when the mean difference is on the right side or nothing, and called
level when it is on the wrong side but p >= 0.05.
"""
from dataclasses import dataclass

from stats import bracket, mean, on_line, paired

REACHED, LEVEL, MISSED, UNKNOWN = "reached", "level", "not reached", "not run"
ALPHA = 0.05
HARD = ("un-votes", "online-retail-2.shuffled")  # every ID frequent, or interactions matter most
ROWS_LIMIT = {"movietweetings-100k": 0.30}
GENERATED = ("generated", "jumps")


@dataclass
class Target:
    what: str
    answer: str
    figures: str


def by_mode(rows, mode):
    """Rows of a mode in order of seed."""
    return sorted((r for r in rows if r["mode"] == mode), key=lambda r: r["seed"])


def compare(rows, others, key, sign=1):
    """Paired test of `key`, positive when rows are better (sign -1: less is better); None: no pairs."""
    seeds = sorted({r["seed"] for r in rows} & {r["seed"] for r in others})
    if not seeds:
        return None
    ours = {r["seed"]: r[key] for r in rows}
    theirs = {r["seed"]: r[key] for r in others}
    return paired([sign * ours[s] for s in seeds], [sign * theirs[s] for s in seeds])


def words(test):
    p = "no test" if test["p"] is None else f"p = {test['p']:.2g}"
    return f"difference {test['mean']:+.5f}, sd {test['sd']:.5f}, n = {test['n']}, {p}"


def judge(test, better):
    if test is None:
        return UNKNOWN
    if better:
        sure = test["p"] is not None and test["p"] < ALPHA
        return REACHED if test["mean"] > 0 and sure else MISSED
    if test["mean"] >= 0:
        return REACHED
    return LEVEL if test["p"] is None or test["p"] >= ALPHA else MISSED


def against(what, rows, others, key, sign=1, better=False):
    test = compare(rows, others, key, sign)
    if test is None:
        return Target(what, UNKNOWN, "")
    means = f"{mean([r[key] for r in rows]):.5f} against {mean([r[key] for r in others]):.5f}; "
    return Target(what, judge(test, better), means + words(test))


def at_equal_memory(default, runs, mode):
    """The opponent's AUC at the default's peak rows, seed by seed, between its two nearest thresholds.
    runs: [(run, row)] of kind equal. Returns rows that can be compared, and words on how it was read."""
    points = {}
    for run, row in runs:
        if row["mode"] == mode:
            points.setdefault(run.point, {})[row["seed"]] = row
    if not points or not default:
        return [], ""
    size = {p: mean([r["rows_peak"] for r in at.values()]) for p, at in points.items()}
    low, high = bracket(size, mean([r["rows_peak"] for r in default]))
    out = []
    for ours in default:
        a, b = points[low].get(ours["seed"]), points[high].get(ours["seed"])
        if a and b:
            out.append({"seed": ours["seed"], "mode": mode,
                        "auc": on_line(ours["rows_peak"], a["rows_peak"], a["auc"], b["rows_peak"], b["auc"])})
    inside = low != high
    how = (f"between thresholds x{low:g} and x{high:g}" if inside
           else f"nearest: x{low:g}, {size[low]:.0f} rows")
    return out, how


def best_point(runs, mode):
    """Rows of the threshold with the best mean AUC among those run with every seed."""
    points = {}
    for run, row in runs:
        if row["mode"] == mode:
            points.setdefault(run.point, []).append(row)
    if not points:
        return [], ""
    best = max(points, key=lambda p: mean([r["auc"] for r in points[p]]))
    return points[best], f"x{best:g}"


def rows_target(default, limit):
    share = mean([r["rows_ratio_peak"] for r in default])
    return Target(f"at most {100 * limit:.0f} % of the full table's rows, at the peak",
                  REACHED if share <= limit else MISSED, f"{100 * share:.1f} %")


def targets(stream, rows, equal):
    """Targets of issue 4 on one stream and model. rows: main rows; equal: [(run, row)]."""
    default, table, rule = (by_mode(rows, m) for m in ("default", "unique", "rule"))
    if not default:
        return []
    best, best_at = best_point(equal, "threshold")
    threshold = best or by_mode(rows, "threshold")
    same_rule, rule_at = at_equal_memory(default, equal, "rule")
    same_threshold, threshold_at = at_equal_memory(default, equal, "threshold")
    last = [against(f"AUC better than the best threshold ({best_at or 'as configured'})", default, threshold,
                    "auc", better=True),
            against(f"AUC better than threshold at equal memory ({threshold_at or '-'})", default,
                    same_threshold, "auc", better=True)]
    if stream in HARD:
        within = [dict(r, auc=r["auc"] - 0.002) for r in table]
        return [against("AUC within 0.002 of the full table", default, within, "auc"),
                rows_target(default, 0.60),
                against("AUC above rule", default, rule, "auc", better=True),
                against(f"AUC above rule at equal memory ({rule_at or '-'})", default, same_rule, "auc",
                        better=True), *last]
    return [against("AUC at least that of the full table", default, table, "auc"),
            against("MSE at most that of the full table", default, table, "mse", sign=-1),
            against("AUC of IDs seen < 10 times better than the full table's", default, table,
                    "auc_seen_lt10", better=True),
            against("MSE of IDs seen < 10 times better than the full table's", default, table,
                    "mse_seen_lt10", sign=-1, better=True),
            rows_target(default, ROWS_LIMIT.get(stream, 0.50)),
            *last,
            against(f"AUC no worse than rule at equal memory ({rule_at or '-'})", default, same_rule, "auc"),
            against("AUC no worse than rule as configured", default, rule, "auc")]
