"""The streams of an evaluation: files or generated, described once and recorded once into a topic."""
import gzip
import hashlib
import json
import os
import random
import re
import subprocess
from dataclasses import dataclass, field


class SetupError(Exception):
    """Something that the user has to mend."""


@dataclass
class Stream:
    name: str
    path: str
    positive: float | None  # labels above it are 1; None: labels are 0 and 1
    identity: str = ""
    facts: dict = field(default_factory=dict)  # record --describe

    recording: int = 1

    @property
    def topic(self):
        return f"eval-{self.name}-{self.identity[:12]}-{self.recording}"

    @property
    def events(self):
        return self.facts["events"]

    def settings(self):
        if self.name in GENERATED and self.events >= LONG_EVENTS:
            return ["event.label=as-is", f"agent.forget_events={FORGET_EVENTS}"]
        if self.positive is None:
            return ["event.label=as-is"]
        return ["event.label=threshold", f"event.positive_above={self.positive:g}"]


LONG_EVENTS = 2000000  # a generated stream of as many is judged for drift
# ... and an operator who runs for ever lets go of IDs that left: the configured default is never.
FORGET_EVENTS = 2000000
JUMPS = 5  # of popularity in the stream `jumps`


def options(name, events):
    """Of `generate`, for the streams that STREAMS may name without a file."""
    if name == "generated":
        return []
    return ["--jump-every", events // JUMPS, "--burst", events // 3, "--one-time", 0.1,
            "--flood", f"{flood_at(events)},{events // 40}"]


def flood_at(events):
    """Between two jumps; its events come in turn with ordinary ones, so it lasts events // 20."""
    return events * 9 // 20


GENERATED = {"generated": 200000, "jumps": 240000}  # name: events


RESHUFFLED = "reshuffled:"  # in front of a file: see reshuffle


def parse(text, programs, folder):
    """FILE:POSITIVE-ABOVE, FILE (labels 0 and 1), or the name of a generated stream [:EVENTS]."""
    if text.startswith(RESHUFFLED):
        stream = parse(text.removeprefix(RESHUFFLED), programs, folder)
        copy = os.path.join(folder, f"{stream.name}-reshuffled.csv")
        reshuffle(stream.path, copy)
        return Stream(f"{stream.name}-reshuffled", copy, stream.positive)
    name, _, events = text.partition(":")
    if name in GENERATED and not os.path.exists(text):
        return generate(name, int(events or GENERATED[name]), programs, folder)
    path, colon, positive = text.rpartition(":")
    if not colon or not re.fullmatch(r"-?[0-9]*\.?[0-9]+(e-?[0-9]+)?", positive):
        path, positive = text, None
    if not os.path.isfile(path):
        raise SetupError(f"STREAMS: {path}: no such file (FILE:POSITIVE-ABOVE, e.g. ratings.csv:3)")
    return Stream(stem(path), os.path.realpath(path), None if positive is None else float(positive))


def reshuffle(path, copy):
    """A user,item,label,timestamp CSV with the events of each timestamp in random order, always the same.

    Where AUC differs from the file's own, its order tells something of the labels: it leaks.
    """
    with (gzip.open if path.endswith(".gz") else open)(path, "rt", encoding="utf-8") as f:
        head, *lines = f.read().splitlines()
    if head.split(",")[-1].strip() != "timestamp":
        raise SetupError(f"STREAMS: {RESHUFFLED}{path}: the last column is not named timestamp")
    order = random.Random(1)
    keyed = [(float(line.rpartition(",")[2]), order.random(), line) for line in lines if line]
    with open(copy + ".part", "w", encoding="utf-8") as f:
        f.write("\n".join([head, *(line for _, _, line in sorted(keyed))]) + "\n")
    os.rename(copy + ".part", copy)


def stem(path):
    name = os.path.basename(path).removesuffix(".gz")
    return re.sub(r"[^A-Za-z0-9._-]", "-", re.sub(r"\.(csv|dat|data|tsv|txt)$", "", name))


def generate(name, events, programs, folder):
    path = os.path.join(folder, f"{name}-{events}.csv")
    if not os.path.exists(path):
        with open(path + ".part", "wb") as out:
            subprocess.run([os.path.join(programs, "generate"), "--events", str(events), "--seed", "1",
                            *map(str, options(name, events))], stdout=out, check=True)
        os.rename(path + ".part", path)
    return Stream(name, path, None)


def describe(stream, programs):
    """Fills in facts and identity; refuses labels that nobody explained."""
    done = subprocess.run([os.path.join(programs, "record"), "--describe", stream.path],
                          stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise SetupError(f"{stream.path}: cannot be read as a stream of interactions")
    stream.facts = json.loads(done.stdout)
    if stream.positive is None and not stream.facts["binary"]:
        raise SetupError(f"{stream.path} holds labels from {stream.facts['label_min']:g} to "
                         f"{stream.facts['label_max']:g}: say which are positive, "
                         f"STREAMS={stream.path}:ABOVE")
    digest = hashlib.sha256(f"{stream.positive}\n".encode())
    with open(stream.path, "rb") as content:
        digest.update(content.read())
    stream.identity = digest.hexdigest()
