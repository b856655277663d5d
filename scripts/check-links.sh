#!/usr/bin/env bash
# Checks the documents: every relative link, its anchor, every path of the project, every file that
# a room's README names, and every snake_case name in backticks exists; `file.c`: `function` is a
# function of that file. Prints what is wrong; exit code 1 if anything is.
#   scripts/check-links.sh
# CHANGELOG.md is left out: it names what was there at the time.
cd "$(dirname "$0")/.." || exit
exec python3 - <<'EOF'
import re
import sys
from pathlib import Path

TOPS = "ingest assigner learner scorer common tools clients schemas scripts compose tests docs .ci .github".split()


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


def sources():
    """All text that may define a name."""
    files = [f for top in TOPS for f in Path(top).rglob("*") if f.is_file() and "corpus" not in f.parts]
    return "\n".join(f.read_text(errors="replace") for f in [*files, Path("Makefile")] if f.suffix not in (".md", ".png"))


def wrong_names(text, words):
    prose = re.sub(r"```.*?```", "", text, flags=re.S)
    for name in sorted(set(re.findall(r"`([a-z][a-z0-9]*(?:_[a-z0-9]+)+)`", prose))):
        if name not in words:
            yield f"`{name}`: no source has this name"


def wrong_functions(text):
    """`file.c`: `function`, `function` names functions of that file."""
    for file, names in re.findall(r"`([\w./-]+\.[ch])`: ((?:`\w+`(?:, )?)+)", text):
        for name in re.findall(r"\w+", names):
            if Path(file).is_file() and not re.search(rf"\b{name}\b", Path(file).read_text()):
                yield f"`{file}` has no `{name}`"


def wrong_files(page, text, code):
    """In a room's README, `file.h` is a file of that room (or a system header that the code includes)."""
    if page.name != "README.md" or page.parent == Path("."):
        return
    for name in re.findall(r"`(\w+\.[ch])`", text):
        if not (page.parent / name).exists() and not any(page.parent.glob(f"*/{name}")) and not re.search(rf"<(\w+/)?{re.escape(name)}>", code):
            yield f"`{name}`: no such file in {page.parent}"


pages = [*Path(".").glob("*.md"), *(f for top in TOPS for f in Path(top).rglob("*.md"))]
code = sources()
words = set(re.findall(r"\w+", code + Path("docs/METRICS.md").read_text()))  # the code puts metrics' names together
count, bad = 0, 0
for page in sorted(pages):
    if page.name == "CHANGELOG.md":
        continue
    text = page.read_text()
    count += 1
    for fault in [*wrong_links(page, text), *wrong_paths(page, text), *wrong_files(page, text, code),
                  *wrong_names(text, words), *wrong_functions(text)]:
        print(f"{page}: {fault}")
        bad += 1
print(f"{count} documents, {bad} faults")
sys.exit(1 if bad or count < 10 else 0)
EOF
