#!/usr/bin/env bash
# Checks the documents: every relative link, its anchor, and every path of the project that is named
# in backticks exists. Prints what is wrong; exit code 1 if anything is.
#   scripts/check-links.sh
# CHANGELOG.md is left out: it names what was there at the time.
cd "$(dirname "$0")/.." || exit
exec python3 - <<'EOF'
import re
import subprocess
import sys
from pathlib import Path

TOPS = "ingest assigner learner scorer common tools schemas scripts compose tests docs .ci .github".split()


def anchors(text):
    """GitHub's anchors of a document's headings."""
    names = set()
    for title in re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.S), re.M):
        title = re.sub(r"[`*]|\]\([^)]*\)|\[", "", title).strip().lower()
        names.add(re.sub(r"[^\w\- ]", "", title).replace(" ", "-"))
    return names


def wrong_links(page, text):
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        if not file.exists():
            yield f"link to {target}: there is no {path}"
        elif anchor and file.suffix == ".md" and anchor not in anchors(file.read_text()):
            yield f"link to {target}: no such heading"


def wrong_paths(page, text):
    prose = re.sub(r"```.*?```", "", text, flags=re.S)
    for name in re.findall(r"`([\w.@/*-]+)`", prose):
        if name.split("/")[0] not in TOPS or "/" not in name:
            continue
        # paths are the project's, or begin in the page's own folder
        if not any(list(base.glob(name.rstrip("/"))) for base in (Path("."), page.parent)):
            yield f"`{name}`: no such file"


files = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.md"], capture_output=True, text=True, check=True)
count, bad = 0, 0
for name in sorted(set(files.stdout.split())):
    page = Path(name)
    if name == "CHANGELOG.md" or not page.exists():
        continue
    text = page.read_text()
    count += 1
    for fault in [*wrong_links(page, text), *wrong_paths(page, text)]:
        print(f"{name}: {fault}")
        bad += 1
print(f"{count} documents, {bad} faults")
sys.exit(1 if bad or count < 10 else 0)
EOF
