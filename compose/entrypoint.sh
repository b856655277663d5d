#!/bin/sh
# autoassign PROGRAM ARGS...: the programs of the image by their short names.
if [ $# -eq 0 ] || [ "$1" = help ] || [ "$1" = --help ]; then
    echo "usage: autoassign PROGRAM ARGS...; programs:"
    for p in /usr/bin/autoassign-*; do echo "  ${p#/usr/bin/autoassign-}"; done
    exit 0
fi
program=/usr/bin/autoassign-$1
[ -x "$program" ] || { echo "autoassign: no program '$1' (autoassign help lists them)" >&2; exit 2; }
shift
exec "$program" "$@"
