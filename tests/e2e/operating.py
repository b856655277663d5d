#!/usr/bin/env python3
"""Static checks of what operators get.

  operating.py metrics FILE...   every metric and label in dashboards and alerts is in these /metrics
                                 texts, one file per process, and every metric there is in docs/METRICS.md
  operating.py prometheus URL    a Prometheus that scrapes a live pipeline: all four up, rules evaluate,
                                 every panel's and alert's expression is answered, panels have data
  operating.py compose           docker-compose.yaml: shapes, references, health checks, limits; what
                                 Prometheus scrapes and Grafana reads is there
  operating.py logs              every log id of the code is in docs/OPERATING.md's tables
"""
import json
import re
import sys
import urllib.parse
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROCESSES = ["ingest", "assigner", "learner", "scorer"]
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
        yield f"alert {name}", re.sub(r"\s+", " ", found.group(1)).removeprefix(" >").strip()


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
    listed = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/METRICS.md").read_text(), re.M))
    for name in have:
        if name not in listed and re.sub(r"_(bucket|sum|count)$", "", name) not in listed:
            wrong.append(f"{name} is not in docs/METRICS.md: tests/unit/test_metrics_reference.c has to register it")
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


def prometheus(url):
    def ask(path, **parameters):
        with urllib.request.urlopen(f"{url}{path}?{urllib.parse.urlencode(parameters)}", timeout=10) as answer:
            return json.load(answer)["data"]

    wrong, asked = [], 0
    up = {t["labels"].get("process"): t["health"] for t in ask("/api/v1/targets")["activeTargets"]}
    for name in PROCESSES:
        if up.get(name) != "up":
            wrong.append(f"target {name} is {up.get(name, 'not there')}")
    rules = [rule for group in ask("/api/v1/rules")["groups"] for rule in group["rules"]]
    for rule in rules:
        if rule["health"] != "ok":
            wrong.append(f"alert {rule['name']}: {rule['health']} {rule.get('lastError', '')}")
    for where, expr in expressions():
        asked += 1
        try:
            result = ask("/api/v1/query", query=expr)["result"]
        except OSError as error:  # 400: it says why in its body
            wrong.append(f"{where}: {error.read().decode() if hasattr(error, 'read') else error}")
            continue
        if not result and not where.startswith("alert") and " > " not in expr:
            wrong.append(f"{where}: no data for {expr}")
    if not rules or asked < 40:
        wrong.append(f"only {len(rules)} rules and {asked} expressions found")
    print(f"{len(up)} targets, {len(rules)} rules, {asked} expressions")
    fail(wrong)


def monitoring(services, wrong):
    """What Prometheus scrapes and Grafana reads, against the compose file."""
    import yaml

    def port_of(name):
        program = "ingest" if name == "fetcher" else name
        return int(services[name]["environment"][f"AUTOASSIGN_HTTP_{program.upper()}_PORT"])

    config = yaml.safe_load((ROOT / "compose/prometheus/prometheus.yml").read_text())
    scraped = {n: found["port"] for found in config["scrape_configs"][0]["dns_sd_configs"] for n in found["names"]}
    if scraped != {name: port_of(name) for name in [*PROCESSES, "fetcher"]}:
        wrong.append(f"prometheus scrapes {scraped}, which is not what the services serve")
    mounts = {target for v in services["grafana"]["volumes"] for target in v.split(":")[1:2]}
    provisioning = ROOT / "compose/grafana/provisioning"
    source = yaml.safe_load((provisioning / "datasources/prometheus.yaml").read_text())["datasources"][0]
    host = urllib.parse.urlparse(source["url"])
    if host.hostname not in services or not services[host.hostname]["ports"][0].endswith(f":{host.port}"):
        wrong.append(f"grafana's source {source['url']} is no service")
    provider = yaml.safe_load((provisioning / "dashboards/autoassign.yaml").read_text())["providers"][0]
    if provider["options"]["path"] not in mounts:
        wrong.append(f"dashboards are not mounted at {provider['options']['path']}")
    for path in ROOT.glob("compose/grafana/dashboards/*.json"):
        for panel in json.loads(path.read_text())["panels"]:
            if panel["type"] != "row" and panel["datasource"]["uid"] != source["uid"]:
                wrong.append(f"{path.name}, {panel['title']}: no data source {panel['datasource']}")


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
    table = (ROOT / "common/config/settings.h").read_text()
    for name, service in services.items():
        for key in service.get("environment", {}):
            if not key.startswith("AUTOASSIGN_"):
                continue
            section, setting = key[len("AUTOASSIGN_"):].lower().split("_", 1)
            listed = re.search(r"#define AA_SETTINGS_%s\(.*?\n\n" % section.upper(), table, re.S)
            if not listed or not re.search(r"\(%s," % setting, listed.group(0)):
                wrong.append(f"{name}: {key} is no setting")
    monitoring(services, wrong)
    print(f"{len(services)} services")
    fail(wrong)


def logs():
    page = (ROOT / "docs/OPERATING.md").read_text()
    wrong, count = [], 0
    for file in sorted(f for room in ("common", *PROCESSES, "tools") for f in ROOT.glob(f"{room}/**/*.c")):
        code = file.read_text()
        for found in re.findall(
            r'aa_(?:log_write|log|error|warn|info)\(\s*(?:AA_(?:ERROR|WARN|INFO|DEBUG),\s*)?"([A-Z][A-Z-]+)"', code
        ):
            count += 1
            if f"| `{found}` |" not in page:
                wrong.append(f"{file.relative_to(ROOT)}: log id {found} is not in docs/OPERATING.md")
    if count < 30:
        wrong.append(f"only {count} log calls found: is the pattern right?")
    for name in re.findall(r"- alert: (\w+)", (ROOT / "compose/prometheus/alerts.yml").read_text()):
        if f"`{name}`" not in page:
            wrong.append(f"alert {name} is not in docs/OPERATING.md")
    print(f"{count} log calls")
    fail(sorted(set(wrong)))


if __name__ == "__main__":
    command = {
        "metrics": lambda: metrics(sys.argv[2:]),
        "prometheus": lambda: prometheus(sys.argv[2]),
        "compose": compose,
        "logs": logs,
    }
    command[sys.argv[1]]()
