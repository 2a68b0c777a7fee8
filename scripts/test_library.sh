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
# Except torch and what it needs itself (2.6 wants an older sympy), all versions as `make` installs them.
grep -Eiv '^(torch|sympy|networkx|filelock|fsspec|jinja2|setuptools|typing_extensions)==' constraints.txt \
  >"$environment/constraints.txt"
# Without the lab, which is not part of the library, but for what the command line needs to start; torch's samples of its
# own losses want expecttest.
"$environment/bin/pip" install --quiet --disable-pip-version-check -c "$environment/constraints.txt" \
  -e . "${torch[@]}" numpy pytest hypothesis mpmath expecttest cyclopts

# Left out: tests of the lab, of the gallery and the notebooks, which use it, and of this repository's docs and tools.
left_out=(lab gallery presets/test_compare_peers.py test_benchmarks.py test_board.py test_comparison.py test_docs.py
  test_meter.py test_notebooks.py test_project.py test_typing.py)
"$environment/bin/pytest" tests src/lossary/core src/lossary/kernels src/lossary/losses src/lossary/compose \
  "${left_out[@]/#/--ignore=tests/}" "${@:2}"
