#!/usr/bin/env bash
# clang-tidy finds nothing in the programs' sources. .clang-tidy says what it looks for.
source "$(dirname "$0")/../lib.sh"
gate build -k -O tidy
