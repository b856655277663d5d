#!/usr/bin/env python3
"""make eval: replays recorded streams through every mode, and writes down what came of it.

Runs are kept in build/eval/runs by what they depend on (stream, settings, build), so that an
evaluation that was interrupted, or is asked for again, does only what is missing. results.csv gets
a row as each run of its plan ends; frontier.csv has the runs at other sizes; report.html is made at the end.
"""
import argparse
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import figures
import plan
import report
import stability
import stats
import streams

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
START_SECONDS = 1.5  # of a run, besides its events
DEFAULT_STREAMS = {"movietweetings-100k": 7, "ml-100k": 3, "ml-latest-small": 3, "ml-1m-half": 3,
                   "un-votes": 0.5, "online-retail-2.shuffled": 0.5}


class Evaluation:
    def __init__(self, args):
        self.args = args
        self.out = os.path.realpath(args.out)
        self.runs = os.path.join(self.out, "runs")
        os.makedirs(self.runs, exist_ok=True)
        self.lock = open(os.path.join(self.out, ".running"), "w", encoding="utf-8")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise streams.SetupError(f"another evaluation writes into {self.out}") from None
        self.build = digest_of_build(args.programs, args.config)
        self.configured = configured_thresholds(args.programs, args.config)
        self.recorded, self.main, self.frontier = set(), [], []
        self.seconds_per_event, self.left, self.count, self.started = 1e-5, [], 0, time.monotonic()

    # ---- one run ----

    def folder(self, run):
        return os.path.join(self.runs, run.key(self.build))

    def finished(self, run):
        return os.path.exists(os.path.join(self.folder(run), "run.json"))

    def record(self, stream):
        """The stream's topic, loaded once; the broker's data are kept between evaluations."""
        if stream.topic in self.recorded:
            return
        while (count := self.messages(stream.topic)) not in (0, stream.events):
            stream.recording += 1  # that one was interrupted
        if count == 0:
            self.say(f"recording {stream.name}: {stream.events} events into topic {stream.topic}")
            self.pipeline("record", os.path.join(self.out, "record"), self.args.broker, stream.path,
                          f"topics.interactions={stream.topic}", log=os.path.join(self.out, "record.log"))
        self.recorded.add(stream.topic)

    def messages(self, topic):
        """In a topic; 0 when there is none."""
        counted = subprocess.run([self.args.topic_tool, "count", self.args.broker, topic],
                                 stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
        return int(counted.stdout) if counted.returncode == 0 else 0

    def pipeline(self, *command, log):
        with open(log, "w", encoding="utf-8") as output:
            script = subprocess.Popen([os.path.join(HERE, "run_pipeline.sh"), *command], stdout=output,
                                      stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                      env={**os.environ, "AUTOASSIGN_BIN": self.args.programs,
                                           "AUTOASSIGN_CONFIG": self.args.config})
            try:
                code = script.wait()
            except KeyboardInterrupt:  # let it stop its processes
                script.terminate()
                script.wait()
                raise
        if code != 0:
            with open(log, encoding="utf-8") as text:
                sys.stderr.write("".join(text.readlines()[-40:]))
            raise streams.SetupError(f"a run failed (exit code {code}; its output: {log})")

    def execute(self, run):
        """The figures of a run, from its folder if it is finished."""
        folder = self.folder(run)
        if not self.finished(run):
            self.record(run.stream)
            shutil.rmtree(folder, ignore_errors=True)
            os.makedirs(folder)
            start = time.monotonic()
            attempt = f"{os.getpid()}-{time.time_ns():x}"
            self.pipeline(folder, self.args.broker, str(60 + run.stream.events // 2000),
                          f"pipeline.name=eval-{attempt}", f"topics.interactions={run.stream.topic}",
                          *self.args.settings, *run.all_settings(), log=os.path.join(folder, "run.log"))
            seconds = time.monotonic() - start
            shutil.rmtree(os.path.join(folder, "checkpoints"), ignore_errors=True)
            save_json(os.path.join(folder, "run.json"), {"settings": run.all_settings(), "seconds": seconds})
            self.learn_speed(run, seconds)
        raw = figures.read_run(folder)
        return raw, figures.figures_of(run, raw)

    def run_all(self, runs):
        """[(run, raw, row)] of runs; each is shown, and main ones are added to results.csv."""
        out = []
        for run in runs:
            known = self.finished(run)
            raw, row = self.execute(run)
            out.append((run, raw, row))
            if run.kind == "main":
                self.main.append((run, raw, row))
                figures.append_csv(self.path("results.csv"), row)
            else:
                self.frontier.append((run, raw, row))
                figures.append_csv(self.path("frontier.csv"), row)
            self.show(run, row, known)
        return out

    # ---- the plan ----

    def evaluate(self, stream, model):
        """All runs of one stream and model, in the order in which they depend on each other."""
        modes, seeds = self.args.modes, range(1, self.args.seeds + 1)
        first = [m for m in modes if not plan.needs_default(m)]
        then = [m for m in modes if plan.needs_default(m)]
        done = self.run_all(plan.main_runs(stream, model, first, seeds, None))
        default = [raw for run, raw, _ in done if run.mode == "default"]
        done += self.run_all(plan.main_runs(stream, model, then, seeds, default))
        if stream.name == "jumps" and default:
            self.run_all([plan.Run(stream, model, "default", 1,
                                   plan.rows_of(stream, stability.BUDGET_SHARE, "budget_rows"), "budget",
                                   stability.BUDGET_SHARE)])
        if not self.args.frontier:
            return
        others = self.run_all(plan.frontier_runs(stream, model, modes, self.configured))
        rows = [row for run, _, row in done if run.mode == "default"]
        for mode in ("rule", "threshold"):
            points = {run.point: row["rows_peak"] for run, _, row in others if run.mode == mode}
            if not points or not rows:
                continue
            near = stats.bracket(points, stats.mean([r["rows_peak"] for r in rows]))
            best = max(points, key=lambda p: next(row["auc"] for run, _, row in others
                                                  if run.mode == mode and run.point == p))
            self.run_all(plan.equal_runs(stream, model, mode, [*near, best], seeds, self.configured))

    def expected(self, stream, model):
        """How many runs `evaluate` makes of it, for the time left."""
        count = len(self.args.modes) * self.args.seeds
        if self.args.frontier:
            count += len(plan.frontier_runs(stream, model, self.args.modes, self.configured))
            if "default" in self.args.modes:
                count += 3 * self.args.seeds * sum(m in self.args.modes for m in ("rule", "threshold"))
        return count

    def run(self, chosen):
        for name in ("results.csv", "frontier.csv"):
            figures.write_csv(self.path(name), [])
        pairs = [(s, m) for s in chosen for m in self.args.models]
        self.left = [[s.events, self.expected(s, m)] for s, m in pairs]
        self.total = sum(n for _, n in self.left)
        for i, (stream, model) in enumerate(pairs):
            self.now = i
            self.evaluate(stream, model)
            self.left[i][1] = 0
        self.report(chosen)

    def report(self, chosen):
        context = {"seconds": time.monotonic() - self.started, "build": self.build,
                   "settings": self.args.settings, "seeds": self.args.seeds}
        report.write(self.path("report.html"), chosen, self.main, self.frontier, self.folder, context)
        self.say(f"report: {os.path.relpath(self.path('report.html'), ROOT)}; figures: "
                 f"{os.path.relpath(self.path('results.csv'), ROOT)}")

    # ---- telling ----

    def path(self, name):
        return os.path.join(self.out, name)

    def say(self, text):
        print(f"[{time.monotonic() - self.started:5.0f}s] {text}", flush=True)

    def learn_speed(self, run, seconds):
        rate = max(seconds - START_SECONDS, 0.05) / run.stream.events
        self.seconds_per_event += 0.3 * (rate - self.seconds_per_event)

    def show(self, run, row, known):
        self.count += 1
        self.left[self.now][1] = max(self.left[self.now][1] - 1, 0)
        seconds = sum(n * (START_SECONDS + e * self.seconds_per_event) for e, n in self.left)
        what = f"{run.stream.name} {run.model} {run.mode} seed {run.seed}"
        if run.point is not None:
            what += f" x{run.point:g}"
        self.say(f"{self.count}/{max(self.total, self.count)} {what}: AUC {row['auc']:.4f}, rows "
                 f"{100 * row['rows_ratio_peak']:.1f} %{' (kept)' if known else ''}; about "
                 f"{duration(seconds)} left")


def duration(seconds):
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def save_json(path, value):
    with open(path + ".tmp", "w", encoding="utf-8") as out:
        json.dump(value, out, indent=1)
    os.rename(path + ".tmp", path)


def digest_of_build(programs, config):
    """Changes when the programs or the committed configuration do: old runs do not count then."""
    digest = hashlib.sha256()
    for path in [*(os.path.join(programs, p) for p in ("ingest", "assigner", "learner")), config]:
        with open(path, "rb") as content:
            digest.update(content.read())
    return digest.hexdigest()[:16]


def configured_thresholds(programs, config):
    text = subprocess.run([os.path.join(programs, "assigner"), "-c", config, "--print-config"],
                          stdout=subprocess.PIPE, text=True, check=True).stdout
    fields = text[text.index("\nfields:"):]
    return {name: int(value) for name, value in
            re.findall(r"\n  (\w+):\n(?:    .*\n)*?    threshold: (\d+)", fields)}


def arguments():
    env = os.environ.get
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", required=True)
    parser.add_argument("--programs", default=os.path.join(ROOT, "build/release/bin"))
    parser.add_argument("--config", default=os.path.join(ROOT, "compose/autoassign.yaml"))
    parser.add_argument("--topic-tool", default=os.path.join(ROOT, "build/release/tests/tools/topic"))
    parser.add_argument("--out", default=os.path.join(ROOT, "build/eval"))
    parser.add_argument("--streams", nargs="*", default=env("STREAMS", "").split())
    parser.add_argument("--modes", nargs="*", default=env("MODES", "").split())
    parser.add_argument("--models", nargs="*", default=env("MODELS", "deepfm").split())
    parser.add_argument("--seeds", type=int, default=int(env("SEEDS") or 5))
    parser.add_argument("--settings", nargs="*", default=env("SETTINGS", "").split())
    parser.add_argument("--frontier", type=int, default=env("FRONTIER") or None,
                        help="1: vary budgets and thresholds too (default: unless MODES are given)")
    args = parser.parse_args()
    if args.frontier is None:
        args.frontier = not args.modes
    args.frontier = bool(int(args.frontier))
    args.modes = args.modes or plan.MODES
    if args.seeds < 1:
        parser.error("SEEDS: at least 1")
    for mode in args.modes:
        if mode.partition("@")[0] not in plan.MODES:
            parser.error(f"MODES: {mode} is none of {' '.join(plan.MODES)}")
    return args


def default_streams():
    data = os.environ.get("AUTOASSIGN_DATA", os.path.join(ROOT, "../shared/data"))
    found = [f"{data}/{name}.csv.gz:{above}" for name, above in DEFAULT_STREAMS.items()
             if os.path.exists(f"{data}/{name}.csv.gz")]
    return [*found, *streams.GENERATED]


def catch_signals():
    """SIGTERM as Ctrl-C; and Ctrl-C even when a shell started us in the background."""
    def interrupt(_signal, _frame):
        raise KeyboardInterrupt
    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGINT, interrupt)


def main():
    args = arguments()
    catch_signals()
    try:
        os.makedirs(args.out, exist_ok=True)
        ev = Evaluation(args)
        chosen = [streams.parse(s, args.programs, args.out) for s in args.streams or default_streams()]
        for stream in chosen:
            streams.describe(stream, args.programs)
        ev.run(chosen)
    except streams.SetupError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted: the same command continues where it was")


if __name__ == "__main__":
    main()
