#!/usr/bin/env python3
"""Static checks of what operators get.

  operating.py metrics FILE...   every metric and label in dashboards and alerts is in these /metrics
                                 texts, one file per process
  operating.py compose           docker-compose.yaml: shapes, references, health checks, limits
  operating.py logs              every log id of the code is in docs/OPERATING.md's tables
"""
import glob
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OURS = {"process", "job", "instance"}  # labels that Prometheus adds


def fail(lines):
    for line in lines:
        print(line)
    sys.exit(1 if lines else 0)


def expressions():
    """(where, PromQL) of every panel and alert."""
    for path in sorted(ROOT.glob("compose/grafana/dashboards/*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", []):
                yield f"{path.name}, {panel['title']}", target["expr"]
    text = (ROOT / "compose/prometheus/alerts.yml").read_text()
    for block in re.split(r"\n\s+- alert: ", text)[1:]:
        name = block.split("\n", 1)[0]
        found = re.search(r"expr:(.*?)\n\s+(?:for|labels):", block, re.S)
        yield f"alert {name}", found.group(1)


def metrics(files):
    have = {}
    for file in files:
        for line in Path(file).read_text().splitlines():
            found = re.match(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? ", line)
            if not found:
                continue
            labels = have.setdefault(found.group(1), {})
            for key, value in re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', found.group(2) or ""):
                labels.setdefault(key, set()).add(value)
    wrong, checked = [], 0
    for where, expr in expressions():
        for name, matchers in re.findall(r"\b((?:autoassign|process)_\w+)(?:\{([^}]*)\})?", expr):
            checked += 1
            if name not in have:
                wrong.append(f"{where}: no process has the metric {name}")
                continue
            for key, op, value in re.findall(r'(\w+)(=~|!=|=)"([^"]*)"', matchers):
                if key in OURS:
                    continue
                if key not in have[name]:
                    wrong.append(f"{where}: {name} has no label {key}")
                elif op == "=" and value not in have[name][key]:
                    wrong.append(f"{where}: {name} has no {key}={value}, but {sorted(have[name][key])}")
                elif op == "=~" and not any(re.fullmatch(value, v) for v in have[name][key]):
                    wrong.append(f"{where}: no {key} of {name} matches {value}")
    if checked < 40:
        wrong.append(f"only {checked} uses of metrics found: is the pattern right?")
    print(f"{checked} uses of metrics in dashboards and alerts, {len(have)} metrics in the processes")
    fail(wrong)


def compose():
    import yaml

    doc = yaml.safe_load((ROOT / "compose/docker-compose.yaml").read_text())
    services, wrong = doc["services"], []
    for name, service in services.items():
        if "healthcheck" not in service:
            wrong.append(f"{name}: no health check")
        if "restart" not in service:
            wrong.append(f"{name}: no restart policy")
        if name != "topics" and "mem_limit" not in service:
            wrong.append(f"{name}: no memory limit")
        for other in service.get("depends_on", []):
            if other not in services:
                wrong.append(f"{name}: depends on {other}, which is not there")
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("./"):
                if not (ROOT / "compose" / source).exists():
                    wrong.append(f"{name}: {source} is not there")
            elif source not in doc["volumes"]:
                wrong.append(f"{name}: volume {source} is not declared")
    table = (ROOT / "common/settings.h").read_text()
    for name, service in services.items():
        for key in service.get("environment", {}):
            if not key.startswith("AUTOASSIGN_"):
                continue
            section, setting = key[len("AUTOASSIGN_"):].lower().split("_", 1)
            listed = re.search(r"#define AA_SETTINGS_%s\(.*?\n\n" % section.upper(), table, re.S)
            if not listed or not re.search(r"\(%s," % setting, listed.group(0)):
                wrong.append(f"{name}: {key} is no setting")
    print(f"{len(services)} services")
    fail(wrong)


def logs():
    page = (ROOT / "docs/OPERATING.md").read_text()
    wrong, count = [], 0
    for file in sorted(glob.glob(str(ROOT / "*/*.c"))):
        code = Path(file).read_text()
        for found in re.findall(
            r'aa_(?:log_write|log|error|warn|info)\(\s*(?:AA_(?:ERROR|WARN|INFO|DEBUG),\s*)?"([A-Z][A-Z-]+)"', code
        ):
            count += 1
            if f"| `{found}` |" not in page:
                wrong.append(f"{Path(file).relative_to(ROOT)}: log id {found} is not in docs/OPERATING.md")
    if count < 30:
        wrong.append(f"only {count} log calls found: is the pattern right?")
    for name in re.findall(r"- alert: (\w+)", (ROOT / "compose/prometheus/alerts.yml").read_text()):
        if f"`{name}`" not in page:
            wrong.append(f"alert {name} is not in docs/OPERATING.md")
    print(f"{count} log calls")
    fail(sorted(set(wrong)))


if __name__ == "__main__":
    command = {"metrics": lambda: metrics(sys.argv[2:]), "compose": compose, "logs": logs}
    command[sys.argv[1]]()
