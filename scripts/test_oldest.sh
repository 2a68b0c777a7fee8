#!/usr/bin/env bash
# Run the library's tests with the oldest torch that it allows, in an environment made for this and removed again.
set -euo pipefail
cd "$(dirname "$0")/.."

oldest=2.9.0
environment=$(mktemp -d)
trap 'rm -rf "$environment"' EXIT

"${PYTHON:-python3}" -m venv "$environment"
# All other versions as `make` installs them; without the lab, which is not part of the library.
grep -v '^torch==' constraints.txt >"$environment/constraints.txt"
"$environment/bin/pip" install --quiet --disable-pip-version-check -c "$environment/constraints.txt" \
  -e . "torch==$oldest" numpy pytest hypothesis mpmath
"$environment/bin/pytest" tests src/lossary/losses src/lossary/kernels --ignore=tests/lab --ignore=tests/test_project.py "$@"
