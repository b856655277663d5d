#!/usr/bin/env bash
# What ARCHITECTURE.md says of the rooms stays true:
#   a room (a folder with .c files) has a README.md, and rooms inside when it grows large
#   a room's private headers (*_internal.h, *_state.h) are included in that room only
#   settings are compared by their enums: no strcmp of a setting's text outside common/config
#   basenames are unique, except main.c and README.md
#   a .c file has a header of its name, or is a part (x_part.c) of a module with one (x.h, x_internal.h)
#   a static function whose name is one word is defined in one file only
#   a status is compared with AA_OK, never taken for a truth value
source "$(dirname "$0")/../lib.sh"
cd "$ROOT"
MODULES=(common ingest assigner learner scorer tools)
PUBLIC=(common/agent/agent_state.h) # named like a private one: the state of the agent is what both sides share
MAX_FILES=28                        # of a room, its README included
found=0
found() { echo "$*"; found=$((found + 1)); }

rooms_have_a_readme() {
    local dir
    while read -r dir; do
        [[ -e $dir/README.md ]] || found "$dir: no README.md"
    done < <(find "${MODULES[@]}" -name '*.c' -printf '%h\n' | sort -u)
}
rooms_are_small() {
    local count dir
    while read -r count dir; do
        ((count <= MAX_FILES)) || found "$dir: $count files; it needs rooms inside"
    done < <(find "${MODULES[@]}" -type f -printf '%h\n' | sort | uniq -c)
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
# A pipeline's name is a name, not a choice.
settings_are_enums() {
    local line
    while read -r line; do
        found "$line: a setting is compared by its text"
    done < <(grep -rnE --include='*.[ch]' -e '\bstr(n|case|ncase)?cmp\([^;]*\bcfg->[a-z_]+\.[a-z_]+' \
        -e "\\bcfg->[a-z_]+\\.[a-z_]+\\[0\\] [!=]= '[a-z]'" "${MODULES[@]}" |
        grep -v -e '^common/config/' -e 'cfg->pipeline\.name' | cut -d: -f1,2)
}
basenames_are_unique() {
    local name
    while read -r name; do
        found "$name: more than one file has this name: $(find "${MODULES[@]}" -name "$name" -printf '%p ')"
    done < <(find "${MODULES[@]}" -name '*.[ch]' ! -name main.c -printf '%f\n' | sort | uniq -d)
}
files_have_headers() {
    local file module
    while read -r file; do
        module=${file%.c}
        while [[ ! -e $module.h && ! -e ${module}_internal.h && ${module##*/} == *_* ]]; do module=${module%_*}; done
        [[ -e $module.h || -e ${module}_internal.h ]] || found "$file: no header of its name, and no part of a module with one"
    done < <(find "${MODULES[@]}" -name '*.c' ! -name main.c ! -name 'main_*.c')
}
statics_of_one_word_are_unique() {
    local line
    while read -r line; do
        found "$line: a static's name of one word stands in more than one file; add what it works on"
    done < <(find "${MODULES[@]}" -name '*.[ch]' -print0 | xargs -0 awk '
        FNR == 1 { before = "" }
        before ~ /^static / && match($0, /^[a-z0-9]+\(/) { print substr($0, 1, RLENGTH - 1), FILENAME }
        { before = $0 }' | sort -u | awk '
        { files[$1] = files[$1] " " $2; n[$1]++ }
        END { for (name in n) if (n[name] > 1) print name ":" files[name] }')
}
statuses_are_compared() {
    local line
    while read -r line; do
        found "$line: a status is taken for a truth value; compare it with AA_OK"
    done < <(grep -rnE --include='*.[ch]' -e '(if|while) \(!?st( ?&&| ?\|\||\))' -e '\|\| !?st\)' \
        -e '(if|while) \(\(st = [^;]*\)\)( goto| return| \{|$)' -e '(=|return) st (\?|\|\||&&)' "${MODULES[@]}" | cut -d: -f1,2)
}
all() {
    rooms_have_a_readme
    rooms_are_small
    private_headers_stay_private
    settings_are_enums
    basenames_are_unique
    files_have_headers
    statics_of_one_word_are_unique
    statuses_are_compared
    ((found == 0))
}
gate all
