#!/usr/bin/env bash
# Nothing is found by shellcheck in the scripts. .shellcheckrc says what it leaves out.
source "$(dirname "$0")/../lib.sh"
gate build shellcheck
