"""The default mode on the stream `jumps`: hot IDs go cold again and again, and new IDs flood in."""
from figures import read_series
from stats import mean
from streams import JUMPS, flood_at
from verdict import MISSED, REACHED, Target

WINDOWS = 3  # rows of the series that a level is averaged over
LOSS_SLACK = 0.01
ROWS_GROWTH = 1.25
GIVEN_BACK = 0.5
HOLDERS = (0.01, 0.95)  # share of a field's IDs that hold rows
BUDGET_SHARE = 0.05  # of the stream's IDs


def yes(fine):
    return REACHED if fine else MISSED


def before(rows, at):
    """The last WINDOWS rows that end no later than `at` events."""
    return [r for r in rows if r["events"] <= at][-WINDOWS:]


def loss_recovers(series, events):
    """Log-loss late in each period between two jumps, against the period before it."""
    worst = 0.0
    for jump in range(1, JUMPS):
        was = mean([mean([r["window_logloss"] for r in before(s, jump * events / JUMPS)]) for s in series])
        now = mean([mean([r["window_logloss"] for r in before(s, (jump + 1) * events / JUMPS)]) for s in series])
        worst = max(worst, now - was)
    return Target(f"log-loss comes back after each of {JUMPS - 1} jumps, within {LOSS_SLACK}",
                  yes(worst <= LOSS_SLACK), f"worst: {worst:+.4f} between the ends of two periods")


def held(rows, at):
    now = max(r["events"] for r in rows if r["events"] <= at)
    return sum(r["rows_unique"] for r in rows if r["events"] == now)


def total(rows, at, key):
    """Over the fields, at the last row of the series no later than `at` events."""
    now = max(r["events"] for r in rows if r["events"] <= at)
    return sum(r[key] for r in rows if r["events"] == now)


def rows_follow(fields, events):
    """The IDs that are hot change with every jump: rows change hands, and cold IDs do not pile up on theirs."""
    then = 2 * events / JUMPS
    early, late = (mean([held(s, at) / total(s, at, "ids_seen") for s in fields]) for at in (then, events))
    back = mean([(total(s, events, "demotions") - total(s, then, "demotions")) / held(s, then) for s in fields])
    return Target(f"rows follow the jumps: own rows per ID seen at most {ROWS_GROWTH} times as many at the end as after two "
                  "periods, and at least half as many given back in between as were held",
                  yes(late <= ROWS_GROWTH * early and back >= GIVEN_BACK),
                  f"{100 * early:.1f} % of IDs after two periods, {100 * late:.1f} % at the end; given back: {back:.2f} of "
                  "those held")


def flood_passes(fields, events):
    """The attack takes no rows for long: own rows one flood's length after its end against before it."""
    start, length = flood_at(events), events // 20
    calm = mean([held(s, start) for s in fields])
    after = mean([held(s, start + 2 * length) for s in fields])
    return Target("a flood of new IDs leaves the rows as they were, within a quarter", yes(after <= ROWS_GROWTH * calm),
                  f"{calm:.0f} own rows before it, {after:.0f} after it")


def no_collapse(fields, events):
    """In each quarter and field rows are given and taken, and neither all IDs nor none hold one."""
    worst, fine = "", True
    for s in fields:
        for name in sorted({r["field"] for r in s}):
            rows = [r for r in s if r["field"] == name]
            for quarter in range(4):
                part = [r for r in rows if quarter * events / 4 < r["events"] <= (quarter + 1) * events / 4]
                first, last = part[0], part[-1]
                share = last["rows_unique"] / last["ids"]
                moved = last["ascend"] > first["ascend"] and last["descend"] > first["descend"]
                if not (moved and HOLDERS[0] <= share <= HOLDERS[1]):
                    fine, worst = False, f"; {name}, quarter {quarter + 1}: {100 * share:.0f} % of IDs hold rows"
    return Target(f"the policy does not collapse: in every quarter rows are given and taken, and {100 * HOLDERS[0]:.0f} to "
                  f"{100 * HOLDERS[1]:.0f} % of a field's IDs hold one", yes(fine),
                  f"{len(fields)} seeds, every field{worst}")


def budget_holds(runs, folder_of):
    figures, fine = [], bool(runs)
    for run, raw, _ in runs:
        limit = dict(s.removeprefix("fields.").split(".budget_rows=") for s in run.settings)
        for name, most in limit.items():
            rows = [r for r in read_series(folder_of(run), "assigner_series") if r["field"] == name]
            peak = max([raw["assigner"][f"{name}_rows_unique_peak"], *(r["rows_unique"] for r in rows)])
            fine = fine and peak <= int(most)
            figures.append(f"{name}: peak {peak:.0f} of {most}")
    return Target("a budget of rows is never exceeded", yes(fine), "; ".join(figures))


AUC_DRIFT, MEMORY_DRIFT = 0.005, 1.1


def drift_targets(stream, default, folder_of):
    """Second quarter against the last of a long stream whose IDs come and go at a steady pace."""
    n = stream.events

    def part(name, key, quarter, fold=sum):
        out = []
        for run, _, _ in default:
            rows = [r for r in read_series(folder_of(run), name)
                    if quarter * n / 4 < r["events"] <= (quarter + 1) * n / 4]
            out.append(mean([fold([r[key] for r in rows if r["events"] == at])
                             for at in sorted({r["events"] for r in rows})]))
        return mean(out)

    auc = [part("learner_series", "window_auc", q) for q in (1, 3)]
    rows = [part("learner_series", "rows_live", q) for q in (1, 3)]
    ids = [part("assigner_series", "ids", q) for q in (1, 3)]
    resident = mean([sum(p.get("peak_resident_bytes", 0) for p in raw.values()) for _, raw, _ in default])
    return [Target(f"a long run: AUC of the last quarter at most {AUC_DRIFT} below the second's",
                   yes(auc[1] >= auc[0] - AUC_DRIFT), f"{auc[0]:.4f}, then {auc[1]:.4f}; {n:,} events"),
            Target(f"a long run: at most {MEMORY_DRIFT} times the rows", yes(rows[1] <= MEMORY_DRIFT * rows[0]),
                   f"{rows[0]:,.0f}, then {rows[1]:,.0f}"),
            Target(f"a long run: at most {MEMORY_DRIFT} times the IDs in the table", yes(ids[1] <= MEMORY_DRIFT * ids[0]),
                   f"{ids[0]:,.0f}, then {ids[1]:,.0f}; three processes resident at the peak: "
                   f"{resident / 1048576:,.0f} MB")]


def targets(stream, default, budget, folder_of):
    """default, budget: [(run, raw, row)] without and with a budget."""
    learner = [read_series(folder_of(run), "learner_series") for run, _, _ in default]
    fields = [read_series(folder_of(run), "assigner_series") for run, _, _ in default]
    n = stream.events
    return [loss_recovers(learner, n), rows_follow(fields, n), flood_passes(fields, n), no_collapse(fields, n),
            budget_holds(budget, folder_of)]
