#!/usr/bin/env bash
# `make scaling`: memory of the default mode against a full table's, on generated streams, by dimension,
# number of IDs and Zipf exponent; then what assignment adds to training and to a prediction.
#   make scaling [EVENTS=200000]
# Writes build/scaling/scaling.csv and overhead.json. Interrupted, it goes on where it was.
source "$(dirname "$0")/worker.bash"
work "$ROOT/build/scaling" scaling.py all build-tests build-bench
