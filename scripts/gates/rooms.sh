#!/usr/bin/env bash
# What ARCHITECTURE.md says of the rooms stays true:
#   a room (a folder with .c files) has a README.md
#   a room's private headers (*_internal.h, *_state.h) are included in that room only
#   settings are compared by their enums: no strcmp of a setting's text outside common/config
#   basenames are unique, except main.c and README.md
source "$(dirname "$0")/../lib.sh"
cd "$ROOT"
MODULES=(common ingest assigner learner scorer tools)
PUBLIC=(common/agent/agent_state.h) # named like a private one: the state of the agent is what both sides share
found=0
found() { echo "$*"; found=$((found + 1)); }

rooms_have_a_readme() {
    local dir
    while read -r dir; do
        [[ -e $dir/README.md ]] || found "$dir: no README.md"
    done < <(find "${MODULES[@]}" -name '*.c' -printf '%h\n' | sort -u)
}
private_headers_stay_private() {
    local header file
    while read -r header; do
        [[ " ${PUBLIC[*]} " != *" $header "* ]] || continue
        while read -r file; do
            [[ ${file%/*} == "${header%/*}" ]] || found "$file includes $header, which is private to ${header%/*}"
        done < <(grep -rl --include='*.[ch]' "#include \"$header\"" "${MODULES[@]}")
    done < <(find "${MODULES[@]}" -name '*_internal.h' -o -name '*_state.h')
}
settings_are_enums() {
    local line
    while read -r line; do
        found "$line: a setting is compared by its text"
    done < <(grep -rnE --include='*.[ch]' -e '\bstr(n|case|ncase)?cmp\([^;]*\bcfg->[a-z_]+\.[a-z_]+' \
        -e "\\bcfg->[a-z_]+\\.[a-z_]+\\[0\\] [!=]= '[a-z]'" "${MODULES[@]}" | grep -v '^common/config/' | cut -d: -f1,2)
}
basenames_are_unique() {
    local name
    while read -r name; do
        found "$name: more than one file has this name: $(find "${MODULES[@]}" -name "$name" -printf '%p ')"
    done < <(find "${MODULES[@]}" -name '*.[ch]' ! -name main.c -printf '%f\n' | sort | uniq -d)
}
all() {
    private_headers_stay_private
    basenames_are_unique
    ((found == 0))
}
gate all
