"""The charts of one stream and model."""
import math

import charts
from figures import read_series
from plan import MODES
from stats import mean, spread

GROUPS = [(1, 2, "1"), (2, 4, "2-3"), (4, 8, "4-7"), (8, 16, "8-15"), (16, 64, "16-63"),
          (64, math.inf, "64 and more")]


class Panels:
    """runs: {mode: [(run, raw, row)]} of all seeds; others: [(run, raw, row)]."""

    def __init__(self, runs, others, folder_of):
        self.runs, self.others = runs, others
        self.series = {mode: [read_series(folder_of(run), "learner_series") for run, _, _ in done]
                       for mode, done in runs.items()}
        self.fields_of = {mode: [read_series(folder_of(run), "assigner_series") for run, _, _ in done]
                          for mode, done in runs.items()}
        self.folder_of = folder_of

    def over_time(self, mode, key, table=None):
        """Events and the mean of a figure over seeds."""
        all_seeds = (table or self.series)[mode]
        return ([r["events"] for r in all_seeds[0]],
                [mean([rows[i][key] for rows in all_seeds]) for i in range(len(all_seeds[0]))])

    def curves(self):
        modes = list(self.runs)
        out = [charts.chart("AUC in windows of the stream", "events", "AUC",
                            [(m, *self.over_time(m, "window_auc")) for m in modes]),
               charts.chart("AUC so far", "events", "AUC", [(m, *self.over_time(m, "auc")) for m in modes]),
               charts.chart("Log-loss in windows of the stream", "events", "log-loss",
                            [(m, *self.over_time(m, "window_logloss")) for m in modes])]
        if "unique" in self.runs:
            events, table = self.over_time("unique", "auc")
            out.append(charts.chart("AUC so far, minus the full table's", "events", "difference", [
                (m, events, [a - b for a, b in zip(self.over_time(m, "auc")[1], table)])
                for m in modes if m != "unique"]))
        return out

    def frontier(self, key, label):
        """AUC against memory: points of a mode joined in order of memory."""
        series = []
        for mode in self.runs:
            points = [(mean([row[key] for _, _, row in self.runs[mode]]),
                       mean([row["auc"] for _, _, row in self.runs[mode]]),
                       spread([row["auc"] for _, _, row in self.runs[mode]]))]
            at = {}
            for run, _, row in self.others:
                if run.mode == mode:
                    at.setdefault(run.point, []).append(row)
            points += [(mean([r[key] for r in rows]), mean([r["auc"] for r in rows]),
                        spread([r["auc"] for r in rows])) for rows in at.values()]
            points.sort()
            x, y, sd = zip(*points)
            series.append((mode, x, y, [0.0 if math.isnan(s) else s for s in sd]))
        return charts.chart(f"AUC against memory ({label})", f"{label}, share of the full table's", "AUC", series,
                            log_x=True)

    def rows_over_time(self):
        series = []
        for mode, seeds in self.fields_of.items():
            events = sorted({r["events"] for r in seeds[0]})
            share = []
            for at in events:
                now = [r for rows in seeds for r in rows if r["events"] == at]
                share.append(sum(r["rows_shared"] + r["rows_unique"] for r in now) / sum(r["ids_seen"] for r in now))
            series.append((mode, events, share))
        return charts.chart("Rows held, per ID seen so far", "events", "rows per ID", series)

    def calibration(self):
        series = []
        for mode in self.runs:
            learner = self.runs[mode][0][1]["learner"]
            bins = [(p, y - p) for n, p, y in
                    zip(learner["calibration_events"], learner["calibration_prediction_mean"],
                        learner["calibration_label_mean"]) if n >= 50]
            if bins:
                series.append((mode, *zip(*bins)))
        return charts.chart("Calibration: 0 is right (first seed; bins of 50 events or more)", "mean prediction",
                            "mean label - mean prediction", series, options="set format x '%.1f'")

    def learning(self, mode):
        """Reward, TD error and what the actor does over time."""
        reward = [("reward, recent mean", *self.over_time(mode, "reward_mean")),
                  ("|TD error|, recent mean", *self.over_time(mode, "td_error_mean_abs"))]
        return [charts.chart(f"{mode}: reward and TD error of the critic", "events", "loss", reward),
                charts.chart(f"{mode}: moves per event", "events", "share of events", self.action_rates(mode))]

    def action_rates(self, mode):
        series = []
        seeds = self.fields_of[mode]
        for f in sorted({r["field"] for r in seeds[0]}):
            for action in ("ascend", "descend"):
                rows = [[r for r in s if r["field"] == f] for s in seeds]
                events = [r["events"] for r in rows[0]]
                rate = []
                for i, at in enumerate(events):
                    before = events[i - 1] if i else 0
                    moved = mean([s[i][action] - (s[i - 1][action] if i else 0) for s in rows])
                    rate.append(moved / (at - before) if at > before else math.nan)
                series.append((f"{f} {action}", events, rate))
        return series

    def by_frequency(self, mode):
        """Positions and actions by how often an ID has come, over time (first seed)."""
        run = self.runs[mode][0][0]
        rows = read_series(self.folder_of(run), "assigner_frequency")
        out = []
        for f in sorted({r["field"] for r in rows}):
            mine = [r for r in rows if r["field"] == f]
            out += [charts.chart(f"{mode}: {f} IDs with a row of their own, by frequency", "events", "share of IDs",
                                 grouped(mine, own_share)),
                    charts.chart(f"{mode}: {f}, probability of a row at the next event, by frequency", "events",
                                 "probability", grouped(mine, ascend_probability)),
                    charts.chart(f"{mode}: {f}, moves to a row per event without one, by frequency", "events",
                                 "share", grouped(mine, None))]
        return out


def positions_of(row):
    return [v for k, v in row.items() if k.startswith("ids_at_")]


def own_share(rows):
    held = sum(positions_of(r)[-1] for r in rows)
    ids = sum(sum(positions_of(r)) for r in rows)
    return held / ids if ids else math.nan


def ascend_probability(rows):
    pairs = [(sum(positions_of(r)[:-1]), r["ascend_probability"]) for r in rows
             if not math.isnan(r["ascend_probability"])]
    ids = sum(n for n, _ in pairs)
    return sum(n * p for n, p in pairs) / ids if ids else math.nan


def grouped(rows, value):
    """A line for each group of frequencies. value None: ascends among the actions since the row before."""
    series = []
    events = sorted({r["events"] for r in rows})
    for low, high, label in GROUPS:
        mine = {at: [r for r in rows if r["events"] == at and low <= r["frequency"] < high] for at in events}
        if value:
            series.append((label, events, [value(mine[at]) for at in events]))
            continue
        total = {at: (sum(r["ascend"] for r in mine[at]), sum(r["ascend"] + r["unchanged"] for r in mine[at]))
                 for at in events}
        rate = []
        for before, at in zip([None, *events], events):
            up, all_ = (a - b for a, b in zip(total[at], total.get(before, (0, 0))))
            rate.append(up / all_ if all_ > 0 else math.nan)
        series.append((label, events, rate))
    return series


def all_of(panels):
    """(heading, [figure]) of everything that can be drawn from the runs there are."""
    out = [("Quality over the stream", panels.curves()),
           ("Quality against memory", [panels.frontier("bytes_ratio", "bytes"),
                                       panels.frontier("rows_ratio_peak", "rows"), panels.rows_over_time()]),
           ("Calibration", [panels.calibration()])]
    for mode in panels.runs:
        if mode.partition("@")[0] in ("default", "paper"):
            out.append((f"What the agent does: {mode}", panels.learning(mode) + panels.by_frequency(mode)))
    return out


def in_order(modes):
    return sorted(modes, key=lambda m: (MODES.index(m.partition("@")[0]), m))
