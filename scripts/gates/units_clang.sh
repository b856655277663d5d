#!/usr/bin/env bash
# Everything builds with clang, without a warning, and the units and the fuzz targets' corpus pass.
source "$(dirname "$0")/../lib.sh"
export OPENBLAS_NUM_THREADS=1
gate build -k -O CC=clang all build-tests test
