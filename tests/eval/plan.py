"""Which runs an evaluation consists of: modes, seeds, other sizes of memory, opponents at equal memory."""
import hashlib
from dataclasses import dataclass, field

from stats import mean

MODES = ["default", "unique", "rule", "threshold", "hash", "random", "shared-only", "paper"]
PRICES = [0.001, 0.0025, 0.01, 0.02, 0.05, 0.2]  # agent.price: what rows for all IDs would have to save
HASH_SHARES = [0.03, 0.06, 0.12, 0.25, 0.5]
SCALES = [0.2, 0.4, 0.7, 1.0, 1.6, 2.5, 4.0, 8.0]  # of the configured thresholds
HASH_SHARE = 0.25  # of the IDs, when there is no default mode whose rows to match
SERIES_ROWS = 50

# What suits each opponent best, the same on every stream; what is not named here is as configured.
# Chosen on movietweetings-100k and ml-100k. Another choice is one more mode to compare with:
# MODES="unique unique@model.row_l2=0.004". The paper's: its five positions, no decay, and rates at which
# its networks learn within 100,000 events.
TABLE = ["model.row_l2=0.008", "model.dense_rate=0.0002"]
TUNED = {"unique": TABLE, "hash": TABLE, "threshold": TABLE,
         "paper": ["agent.positions=5", "agent.half_life_events=0", "agent.actor_rate=0.01",
                   "agent.critic_rate=0.01"]}


@dataclass
class Run:
    stream: object
    model: str
    mode: str  # as the user named it: a mode, or mode@key=value,key=value
    seed: int
    settings: list = field(default_factory=list)  # what makes this run different from the others
    kind: str = "main"  # main, frontier, equal
    point: float | None = None  # where on its frontier

    def all_settings(self):
        mode, _, extra = self.mode.partition("@")
        events = self.stream.events
        return [*self.stream.settings(), f"agent.mode={mode}", f"model.kind={self.model}",
                f"pipeline.seed={self.seed}", f"pipeline.series_events={max(1, events // SERIES_ROWS)}",
                f"pipeline.late_from={events // 2}", *TUNED.get(mode, []), *self.settings,
                *(extra.split(",") if extra else [])]

    def key(self, build):
        """Names the run's folder: the same stream, settings and build give the same figures."""
        text = "\n".join([build, self.stream.identity, *self.all_settings()])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def ids_of(stream):
    return {"user": stream.facts["users"], "item": stream.facts["items"]}


def thresholds(configured, scale):
    return [f"fields.{f}.threshold={max(1, round(t * scale))}" for f, t in configured.items()]


def rows_of(stream, share, key):
    return [f"fields.{f}.{key}={max(1, round(n * share))}" for f, n in ids_of(stream).items()]


def matched_settings(mode, stream, default):
    """What hash and random need to be fair opponents. default: figures of the default's runs."""
    if mode == "hash":
        if not default:
            return rows_of(stream, HASH_SHARE, "hash_rows")
        peak = {f: mean([d["assigner"][f"{f}_rows_unique_peak"] + d["assigner"][f"{f}_rows_shared"]
                         for d in default]) for f in ids_of(stream)}
        return [f"fields.{f}.hash_rows={max(1, round(n))}" for f, n in peak.items()]
    if mode == "random" and default:
        shared = mean([2 * d["assigner"]["events"] - d["assigner"]["own_reads"] for d in default])
        ascend = mean([d["assigner"]["promotions"] for d in default]) / max(shared, 1.0)
        visits = mean([d["assigner"]["visits"] for d in default])
        descend = mean([d["assigner"]["demotions"] for d in default]) / max(visits, 1.0)
        return [f"agent.random_ascend={min(ascend, 1.0):.6g}",
                f"agent.random_descend={min(descend, 1.0):.6g}"]
    return []


def needs_default(mode):
    return mode.partition("@")[0] in ("hash", "random")


def main_runs(stream, model, modes, seeds, default):
    """Runs of every mode and seed; default: its figures, or None before they are known."""
    return [Run(stream, model, mode, seed, matched_settings(mode.partition("@")[0], stream, default))
            for mode in modes for seed in seeds]


def frontier_runs(stream, model, modes, configured):
    """One seed for each point of the frontier of AUC against memory."""
    runs = []
    for mode in modes:
        if mode == "default":
            runs += [Run(stream, model, mode, 1, [f"agent.price={s:g}"], "frontier", s) for s in PRICES]
        if mode == "hash":
            runs += [Run(stream, model, mode, 1, rows_of(stream, s, "hash_rows"), "frontier", s) for s in HASH_SHARES]
        if mode in ("rule", "threshold"):
            runs += [Run(stream, model, mode, 1, thresholds(configured, s), "frontier", s) for s in SCALES]
    return runs


def equal_runs(stream, model, mode, scales, seeds, configured):
    """An opponent at the thresholds whose memory is next to the default's."""
    return [Run(stream, model, mode, seed, thresholds(configured, s), "equal", s)
            for s in dict.fromkeys(scales) for seed in seeds]
