#!/usr/bin/env bash
# The Python client against a scripted server, and its contract with scorer/api/openapi.yaml.
PYTHON=python3 # the first in PATH may be another than Debian's, without python3-yaml
$PYTHON -c 'import yaml' 2>/dev/null || PYTHON=/usr/bin/python3
exec "$PYTHON" -B "$(dirname "$0")/../../clients/python/tests/test_client.py"
