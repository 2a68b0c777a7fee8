# One word each. Every command makes its own .venv when there is none, from the pinned versions.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# More arguments: make compare ARGS="digits --quick", make test ARGS="-k arcface"
ARGS ?=
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1
export NO_MKDOCS_2_WARNING := 1

.DEFAULT_GOAL := help
.PHONY: help compare test check bench docs clean

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

compare: $(INSTALLED) ## Train with several losses on real images and report which one works best
	$(BIN)/lossary compare $(ARGS)

test: $(INSTALLED) ## Run the tests
	$(BIN)/pytest $(ARGS)

check: $(INSTALLED) ## Check format, lint, types and docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/python scripts/generate_docs.py --check
	$(BIN)/mkdocs build --strict --quiet --site-dir $(VENV)/site

bench: $(INSTALLED) ## Measure speed and memory on this machine
	for file in benchmarks/bench_*.py; do $(BIN)/python $$file $(ARGS) || exit 1; done

docs: $(INSTALLED) ## Generate the docs from the cards and build the site
	$(BIN)/python scripts/generate_docs.py
	$(BIN)/mkdocs build --strict

clean: ## Remove what the other commands made, except for lossary-runs
	rm -rf $(VENV) site dist build .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Lossary needs Python 3.11 or newer; name one: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[lab,dev,docs]"
	@touch $@
