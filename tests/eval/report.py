"""The report: one HTML file that needs nothing else."""
import html
import os
import platform
import time

import panels as drawing
import stability
import verdict
from plan import TUNED
from stats import mean, paired, spread
from streams import LONG_EVENTS

STYLE = """body{font:14px/1.45 sans-serif;margin:2em auto;max-width:1180px;padding:0 1em;color:#222}
h1{font-size:1.6em}h2{margin-top:2em;border-bottom:1px solid #ccc}table{border-collapse:collapse;margin:.7em 0}
th,td{padding:.2em .6em;border-bottom:1px solid #e5e5e5;text-align:right;vertical-align:top}
th:first-child,td:first-child{text-align:left}.text td{text-align:left}.grid{display:flex;flex-wrap:wrap;gap:10px}
figure{margin:0}figcaption{font-weight:600;font-size:.95em}.reached{color:#14762a;font-weight:600}
.not{color:#b3150f;font-weight:600}.level{color:#8a6100;font-weight:600}.none{color:#888}small{color:#666}
.wide{overflow-x:auto}"""
CLASS = {verdict.REACHED: "reached", verdict.MISSED: "not", verdict.LEVEL: "level", verdict.UNKNOWN: "none"}

QUALITY = [("auc", "AUC"), ("auc_late", "AUC, second half"), ("auc_seen_lt5", "AUC, seen < 5"),
           ("auc_seen_lt10", "seen < 10"), ("auc_seen_lt20", "seen < 20"), ("mse", "MSE"),
           ("mse_late", "MSE, second half"), ("mse_seen_lt10", "MSE, seen < 10"), ("logloss", "log-loss"),
           ("logloss_late", "log-loss, second half"), ("accuracy", "accuracy"),
           ("accuracy_late", "accuracy, second half"), ("calibration_error", "calibration error")]
MEMORY = [("ids", "distinct IDs"), ("rows_end", "rows, end"), ("rows_peak", "rows, peak"),
          ("rows_ratio", "share, end"), ("rows_ratio_peak", "share, peak"), ("bytes", "bytes"),
          ("full_table_bytes", "full table"), ("bytes_ratio", "share of bytes"),
          ("resident_bytes", "resident, 3 processes"), ("events_per_s", "events/s")]
SYSTEM = [("ids_bytes", "IDs"), ("rows_bytes", "rows"), ("optimizer_bytes", "their optimizer"),
          ("replica_bytes", "scorer's copy, estimated"), ("system_bytes", "whole system"),
          ("system_ratio", "bytes per ID")]


def table(head, rows, kind=""):
    cells = "".join(f"<th>{h}</th>" for h in head)
    body = "".join("<tr>" + "".join(f"<td>{c}</td>" for c in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table class="{kind}"><tr>{cells}</tr>{body}</table></div>'


def answer(text):
    return f'<span class="{CLASS[text]}">{text}</span>'


def value(values):
    """Mean and spread in the digits that the size calls for."""
    values = [v for v in values if v is not None]
    if not values:
        return "-"
    m, sd = mean(values), spread(values)
    if abs(m) >= 1000:
        return f"{m:,.0f}"
    return f"{m:.4f}" + (f" <small>±{sd:.4f}</small>" if sd == sd else "")


def figures_table(by_mode, keys):
    return table(["mode"] + [h for _, h in keys],
                 [[html.escape(m)] + [value([row[k] for row in by_mode[m]]) for k, _ in keys] for m in by_mode])


def tests_table(by_mode):
    """default against every other mode, seed by seed."""
    rows = []
    for mode in by_mode:
        if mode == "default":
            continue
        line = [html.escape(mode)]
        for key in ("auc", "mse", "auc_seen_lt10", "logloss"):
            theirs = {r["seed"]: r[key] for r in by_mode[mode]}
            ours = {r["seed"]: r[key] for r in by_mode["default"]}
            seeds = sorted(set(ours) & set(theirs))
            test = paired([ours[s] for s in seeds], [theirs[s] for s in seeds]) if seeds else None
            line.append(f"{test['mean']:+.5f}" if test else "-")
            line.append("-" if not test or test["p"] is None else f"{test['p']:.2g}")
        rows.append(line + [len(seeds)])
    return table(["default minus", "AUC", "p", "MSE", "p", "AUC, seen < 10", "p", "log-loss", "p", "n"], rows)


def verdicts(cases):
    """Every target of every stream: none is left out."""
    parts = []
    for (stream, model), targets in cases.items():
        rows = [[html.escape(t.what), answer(t.answer), html.escape(t.figures)] for t in targets]
        parts.append(f"<h3>{html.escape(stream)}, {html.escape(model)}</h3>"
                     + table(["target", "", "figures (means over seeds; paired t-test)"], rows, "text"))
    counts = {a: sum(t.answer == a for targets in cases.values() for t in targets) for a in CLASS}
    total = ", ".join(f"{n} {answer(a)}" for a, n in counts.items())
    return f"<p>{total}.</p>" + "".join(parts)


def definitions(context):
    cpu = platform.processor() or platform.machine()
    with open("/proc/cpuinfo", encoding="utf-8") as text:
        cpu = next((line.split(":")[1].strip() for line in text if line.startswith("model name")), cpu)
    extra = " ".join(context["settings"]) or "none"
    opponents = "; ".join(f"{mode} {' '.join(settings)}" for mode, settings in TUNED.items())
    return f"""<h2>How it was measured</h2><p>Each stream was recorded into a Kafka topic once and replayed through
ingest, assigner and learner, one pass, predict then train, with the committed configuration (settings for all runs
besides: {html.escape(extra)}), seeds 1 to {context['seeds']}. Machine: {html.escape(cpu)}, {os.cpu_count()} cores;
{time.strftime('%Y-%m-%d %H:%M')}; build {context['build']}.</p><ul>
<li><b>rows</b>: live embedding rows, shared ones included; <b>share</b>: per distinct ID of the stream, which is what a
full table holds. The peak counts in the targets.</li>
<li><b>bytes</b>: rows at the peak with their optimizer state, the ID table, actor, critic, and what is kept for batches
in flight. <b>Full table</b>: a row with the same optimizer state for each distinct ID, and 16 bytes of index to find
it.</li>
<li><b>seen &lt; n</b>: events whose least known ID had come fewer than n times before.</li>
<li><b>hash</b> has as many rows as the default has at its peak; <b>random</b> the default's rates of giving and
taking rows.</li>
<li><b>At equal memory</b>: thresholds were swept with one seed, the two whose rows lie next to the default's were run
with every seed, and the AUC at the default's rows read off the line between them.</li>
<li><b>Opponents</b> are tuned, the same on every stream: {opponents}.</li>
<li><b>p</b>: two-sided paired t-test over seeds. <b>Level</b>: on the wrong side, but not significantly.</li></ul>"""


def write(path, chosen, main, others, folder_of, context):
    cases, sections = {}, []
    for stream in chosen:
        for model in dict.fromkeys(run.model for run, _, _ in main if run.stream is stream):
            mine = [d for d in main if d[0].stream is stream and d[0].model == model]
            other = [d for d in others if d[0].stream is stream and d[0].model == model]
            modes = drawing.in_order({run.mode for run, _, _ in mine})
            runs = {m: [d for d in mine if d[0].mode == m] for m in modes}
            by_mode = {m: [row for _, _, row in runs[m]] for m in modes}
            if stream.name not in verdict.GENERATED:
                cases[stream.name, model] = verdict.targets(
                    stream.name, [row for _, _, row in mine],
                    [(run, row) for run, _, row in other if run.kind == "equal"])
            elif stream.name == "jumps" and "default" in runs:
                cases[stream.name, model] = stability.targets(
                    stream, runs["default"], [d for d in other if d[0].kind == "budget"], folder_of)
            elif "default" in runs and stream.events >= LONG_EVENTS:
                cases[stream.name, model] = stability.drift_targets(stream, runs["default"], folder_of)
            parts = [f"<h2>{html.escape(stream.name)}, {html.escape(model)}</h2><p>{stream.events:,} events, "
                     f"{stream.facts['users']:,} users, {stream.facts['items']:,} items.</p>",
                     figures_table(by_mode, QUALITY), figures_table(by_mode, MEMORY),
                     figures_table(by_mode, SYSTEM)]
            if "default" in by_mode and len(by_mode) > 1:
                parts.append(tests_table(by_mode))
            for heading, figures in drawing.all_of(drawing.Panels(runs, other, folder_of)):
                parts.append(f"<h3>{html.escape(heading)}</h3>" + drawing.charts.grid(figures))
            sections.append("".join(parts))
    page = (f"<!doctype html><html lang='en'><meta charset='utf-8'><title>AutoAssign+ evaluation</title>"
            f"<style>{STYLE}</style><h1>AutoAssign+ evaluation</h1><h2>Targets</h2>"
            + (verdicts({k: t for k, t in cases.items() if t}) if any(cases.values()) else
               "<p>The default mode was not run: there is nothing to judge.</p>")
            + definitions(context) + "".join(sections) + "</html>\n")
    with open(path + ".tmp", "w", encoding="utf-8") as out:
        out.write(page)
    os.rename(path + ".tmp", path)
