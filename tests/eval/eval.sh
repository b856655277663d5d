#!/usr/bin/env bash
# `make eval`: every mode on every stream through the real pipeline, compared; a report and figures.
#   make eval
#   make eval STREAMS="ratings.csv:3 clicks.csv generated" MODES="default unique" SEEDS=2 MODELS="deepfm fm"
# STREAMS   FILE:POSITIVE-ABOVE, or FILE when its labels are 0 and 1, or `generated` or `jumps` (a
#           stream whose popularity jumps), as generated:EVENTS if need be; reshuffled:FILE:POSITIVE-ABOVE has
#           the events of each timestamp in random order
# MODES     default unique rule threshold hash random shared-only paper; mode@key=value,key=value too
# SEEDS     how many (5); MODELS: fm mlp widedeep deepfm dcn (deepfm); SETTINGS: key=value for all runs
# FRONTIER  1: also vary budgets and thresholds, and compare at equal memory (unless MODES are given)
# Writes build/eval/report.html, results.csv and frontier.csv. Interrupted, it goes on where it was.
source "$(dirname "$0")/worker.bash"
work "$ROOT/build/eval" evaluate.py all build-tests
