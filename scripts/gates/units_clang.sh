#!/usr/bin/env bash
# Everything builds with clang, without a warning, and the units and the fuzz targets' corpus pass.
source "$(dirname "$0")/../lib.sh"
gate build -k -O CC=clang all build-tests test
