#!/usr/bin/env bash
# Links, paths and names in the documents exist, for make check.
if "$(dirname "$0")/../../scripts/check-links.sh"; then
    echo "ok documents_name_what_exists"
else
    echo "not ok documents_name_what_exists"
    exit 1
fi
