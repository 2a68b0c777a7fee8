#!/usr/bin/env bash
# Run the library's tests in an environment made for this and removed again: scripts/test_library.sh [oldest|pinned|newest|nightly]
set -euo pipefail
cd "$(dirname "$0")/.."

# As pyproject.toml has it.
oldest=2.6.0
case "${1:-oldest}" in
oldest) torch=("torch==$oldest") ;;
pinned) torch=("$(grep '^torch==' constraints.txt)") ;;
newest) torch=(torch) ;;
nightly) torch=(--pre --extra-index-url https://download.pytorch.org/whl/nightly/cpu torch) ;;
*) echo "wanted oldest, pinned, newest or nightly; got $1" >&2 && exit 2 ;;
esac

environment=$(mktemp -d)
trap 'rm -rf "$environment"' EXIT

"${PYTHON:-python3}" -m venv "$environment"
# Except torch and what it needs itself (2.6 wants an older sympy), all versions as `make` installs them; without the lab,
# which is not part of the library.
grep -Ev '^(torch|sympy|networkx|filelock|fsspec|jinja2|setuptools|typing_extensions)==' constraints.txt \
  >"$environment/constraints.txt"
"$environment/bin/pip" install --quiet --disable-pip-version-check -c "$environment/constraints.txt" \
  -e . "${torch[@]}" numpy pytest hypothesis mpmath
"$environment/bin/pytest" tests src/lossary/core src/lossary/kernels src/lossary/losses src/lossary/compose \
  --ignore=tests/lab --ignore=tests/test_project.py --ignore=tests/test_benchmarks.py --ignore=tests/test_meter.py \
  --ignore=tests/presets/test_compare_peers.py "${@:2}"
