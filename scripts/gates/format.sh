#!/usr/bin/env bash
# C sources are laid out as .clang-format says. `make format` does it.
source "$(dirname "$0")/../lib.sh"
gate build format-check
