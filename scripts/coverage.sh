#!/usr/bin/env bash
# `make coverage`: which lines of the rooms' sources a build with --coverage has run, as a table.
#   scripts/coverage.sh BUILD
# BUILD  its folder; what ran before this made the .gcda files in it. All rooms' lines: BUILD/lines.json
source "$(dirname "$0")/lib.sh"
cd "$ROOT"
BUILD=$1
MODULES='^(common|ingest|assigner|learner|scorer|tools)/'

# A header's lines are in many objects, and a line is covered if one of them has run it.
find "$BUILD" -name '*.gcno' -print0 |
    xargs -0 -r -n 50 gcov --json-format --stdout 2>/dev/null |
    jq -c --arg modules "$MODULES" '.files[] | select(.file | test($modules)) | .file as $file |
        .lines[] | [$file, .line_number, .count > 0]' |
    jq -s 'group_by(.[:2]) | map([.[0][0], .[0][1], any(.[]; .[2])])' >"$BUILD/lines.json"
jq -r 'def row(name): [name, length, (map(select(.[2])) | length)] | . + [100 * .[2] / .[1]];
    (group_by(.[0] | sub("/[^/]*$"; "")) | map(row(.[0][0] | sub("/[^/]*$"; "")))[]), row("all") | @tsv' "$BUILD/lines.json" |
    awk -F '\t' 'BEGIN { printf "%-20s %8s %8s %8s\n", "room", "lines", "covered", "" }
        { printf "%-20s %8d %8d %6.1f %%\n", $1, $2, $3, $4 }'
