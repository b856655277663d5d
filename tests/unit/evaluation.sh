#!/usr/bin/env bash
# The evaluation's arithmetic and planning (tests/eval), for make check.
exec python3 -B "$(dirname "$0")/../eval/test_eval.py"
