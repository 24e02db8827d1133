# `make` alone lists what there is. Everything lives in .venv; PYTHON chooses what it is made with.
# pip's own environment variables choose where packages come from: see README.md.

PYTHON ?= python3
VENV ?= .venv
BENCH_VENV ?= .venv-bench
SIMULATORS_VENV ?= .venv-bench-simulation
SIMULATORS_PYTHON ?= $(PYTHON)
CONSTRAINTS ?= constraints.txt
FUZZ_S ?= 60
MINUTES ?= 10
SEEDS ?= 2000

BIN := $(VENV)/bin
PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check
DEMO := runs/demo

# Said before anything is installed.
ifeq ($(MAKECMDGOALS)$(BASE),same)
$(error BASE is missing, the commit to compare with: make same BASE=COMMIT)
endif

.PHONY: help install demo test lint claims same explore chaos fuzz nightly bench clean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*  ## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

install: $(VENV)/.installed  ## make .venv, so that .venv/bin/troth runs

demo: install  ## 20 parties, 30 % of them poisoning: the mean beside a robust rule
	@rm -rf $(DEMO)
	@$(BIN)/troth simulate examples/digits/scenario.toml --into $(DEMO)/mean
	@echo
	@$(BIN)/troth simulate examples/digits/robust.toml --into $(DEMO)/multi-krum
	@echo
	@$(BIN)/troth report $(DEMO)/mean $(DEMO)/multi-krum --output $(DEMO)/comparison.html \
	  > $(DEMO)/comparison.txt
	@echo "next: open it in a browser, or change something:"
	@echo "      $(BIN)/troth simulate examples/digits/robust.toml --set seed=2"

# Tests of real nodes wait for other processes more than they compute: more workers than cores.
test: $(VENV)/.dev  ## run every test but the few of `make nightly`
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 4 --dist worksteal -m 'not nightly'

lint: $(VENV)/.dev  ## check style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

claims: $(VENV)/.dev  ## watch biscotti under faults and attackers with SEEDS seeds more than `make test`
	cd tests/simulation && OMP_NUM_THREADS=1 $(abspath $(BIN))/python test_biscotti_claims.py $(SEEDS)

same: $(VENV)/.installed  ## compare the working tree's runs with those of the commit BASE, bit by bit
	$(BIN)/python benchmarks/same.py $(BASE)

explore: $(VENV)/.dev  ## draw fresh examples for the property tests, for MINUTES minutes, or those of SEED
	$(BIN)/python tests/explore.py --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

chaos: $(VENV)/.dev  ## kill, freeze and damage real nodes of all protocols, for MINUTES minutes, or by SEED
	$(BIN)/python tests/chaos/chaos.py --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

fuzz: $(VENV)/.fuzz  ## fuzz wire codec, broker, blocks and ledger peers, for FUZZ_S seconds in all
	mkdir -p build/fuzz/wire build/fuzz/broker build/fuzz/block build/fuzz/biscotti
	cd build/fuzz && $(abspath $(BIN))/python $(CURDIR)/tests/fuzz/fuzz_wire.py \
	  -max_total_time=$$(($(FUZZ_S) / 4)) wire $(CURDIR)/tests/fuzz/corpus/wire
	cd build/fuzz && $(abspath $(BIN))/python $(CURDIR)/tests/fuzz/fuzz_broker.py \
	  -max_total_time=$$(($(FUZZ_S) / 4)) broker
	cd build/fuzz && $(abspath $(BIN))/python $(CURDIR)/tests/fuzz/fuzz_block.py \
	  -max_total_time=$$(($(FUZZ_S) / 4)) block
	cd build/fuzz && $(abspath $(BIN))/python $(CURDIR)/tests/fuzz/fuzz_biscotti.py \
	  -max_total_time=$$(($(FUZZ_S) / 4)) biscotti

nightly: $(VENV)/.dev  ## what `make test` has no time for, over an hour: fuzz, explore, chaos, claims
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m nightly
	$(MAKE) fuzz FUZZ_S=600
	$(MAKE) explore MINUTES=20
	$(MAKE) chaos MINUTES=20
	$(MAKE) claims

bench: install $(BENCH_VENV)/.installed $(SIMULATORS_VENV)/.installed  ## measure beside other libraries; wants TROTH_DATA
	$(BIN)/python benchmarks/robust.py
	$(BIN)/python benchmarks/simulation.py
	$(BIN)/python benchmarks/broker.py
	$(BIN)/python benchmarks/sharing.py
	$(BIN)/python benchmarks/biscotti.py --part roles --part large  # whole runs: half an hour

clean:  ## remove environments, runs and caches
	rm -rf $(VENV) $(BENCH_VENV) $(SIMULATORS_VENV) runs build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is newer than what it was made from, so a second `make install` does nothing.

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed; try make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/python
	$(PIP_INSTALL) -c $(CONSTRAINTS) -e .
	@touch $@

$(VENV)/.dev: pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/python
	$(PIP_INSTALL) -c $(CONSTRAINTS) -e '.[dev]'
	@touch $@ $(VENV)/.installed

$(VENV)/.fuzz: pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/python
	$(PIP_INSTALL) -c $(CONSTRAINTS) -e '.[fuzz]'
	@touch $@ $(VENV)/.installed

$(BENCH_VENV)/.installed: benchmarks/requirements.txt benchmarks/requirements-no-deps.txt
	$(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip install --quiet -r benchmarks/requirements.txt
	$(BENCH_VENV)/bin/python -m pip install --quiet --no-deps -r benchmarks/requirements-no-deps.txt
	@touch $@

# pfl-research takes Python 3.12 at most: SIMULATORS_PYTHON chooses another one for it and FedJAX.
$(SIMULATORS_VENV)/.installed: benchmarks/requirements-simulation.txt
	$(SIMULATORS_PYTHON) -m venv $(SIMULATORS_VENV)
	$(SIMULATORS_VENV)/bin/python -m pip install --quiet -r benchmarks/requirements-simulation.txt
	@touch $@
