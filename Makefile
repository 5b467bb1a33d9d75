# Everything a user runs. What set-up makes is in .venv; stamps there make a second run instant and offline.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The first Python of the right versions that really starts (a pyenv shim may be there and not start).
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
    $$p -c 'import sys' >/dev/null 2>&1 && { command -v $$p; break; }; done)

PROFILES ?= 20000
DAYS ?= 28
SEED ?= 7
MASTER ?= local[*]
DATA_DIR ?= data
AIRFLOW_PORT ?= 8080
ROUNDS ?= 5

VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
ARCHIVE := $(VENV)/spark-classes.jsa
ARCHIVE_STAMP := $(STAMPS)/archive-$(shell "$${JAVA_HOME:+$$JAVA_HOME/bin/}java" -version 2>&1 | cksum | cut -d' ' -f1)
# The folders too: their times tell of removed files.
SOURCES := $(shell find metrics expectations jobs -not -path '*/__pycache__*')

export PATH := $(CURDIR)/$(BIN):$(PATH)
# Another Spark, or another project's modules, must not slip in.
unexport SPARK_HOME SPARK_CONF_DIR PYSPARK_PYTHON PYSPARK_DRIVER_PYTHON PYTHONPATH PYTHONHOME

.PHONY: help setup preflight test lint demo incident rollout data-docs faults bench airflow cluster stop lock clean

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo 'Variables: PYTHON, DATA_DIR=data, AIRFLOW_PORT=8080; for demo also PROFILES=20000 DAYS=28 SEED=7 MASTER=spark://…;'
	@echo '  for airflow FIRST_DAY=2026-03-14 LAST_DAY=2026-03-15, the days that daily_metrics catches up on; for bench ROUNDS=5.'

setup: $(STAMPS)/jars $(STAMPS)/wheel $(ARCHIVE_STAMP) ## Make .venv: locked packages, Delta's jars, this project's wheel.

test: setup lint ## Set up, then lint, types and every test.
	$(BIN)/mypy
	$(BIN)/pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

demo: setup ## Set up, then the whole path on a synthetic service, ending in a readout.
	@$(BIN)/python scripts/preflight.py --data-dir "$(DATA_DIR)" --port $(AIRFLOW_PORT)
	@$(BIN)/python -m scripts.demo --profiles $(PROFILES) --days $(DAYS) --seed $(SEED) --master '$(MASTER)' \
	    --data-dir "$(DATA_DIR)" --port $(AIRFLOW_PORT)

# In a folder of its own: each of the two empties only what it made itself.
incident: DATA_DIR = incident_data
incident: setup ## Replay an incident of the sample ratio through Airflow, restart included: docs/incident.md.
	@$(BIN)/python scripts/preflight.py --data-dir "$(DATA_DIR)" --port $(AIRFLOW_PORT)
	@$(BIN)/python -m scripts.incident --data-dir "$(DATA_DIR)" --port $(AIRFLOW_PORT)

rollout: DATA_DIR = rollout_data
rollout: setup ## Replay three gated rollouts through Airflow, a killed scheduler and a backfill included: docs/rollout.md.
	@$(BIN)/python scripts/preflight.py --data-dir "$(DATA_DIR)" --port $(AIRFLOW_PORT)
	@$(BIN)/python -m scripts.rollout --data-dir "$(DATA_DIR)" --port $(AIRFLOW_PORT)

data-docs: setup ## The audits of the last days on DATA_DIR as Great Expectations' pages.
	@$(BIN)/watchlift data-docs --data-dir "$(DATA_DIR)"

faults: setup ## Run into every fault, compare with a clean run: docs/faults.md (some hours).
	$(BIN)/python -m scripts.faults

bench: setup ## Every benchmark, which takes hours: docs/benchmarks.md. One of them: make bench-NAME.
	$(BIN)/python -m benchmarks --rounds $(ROUNDS)

bench-%: setup
	$(BIN)/python -m benchmarks $* --rounds $(ROUNDS)

airflow: setup ## Airflow's web interface on localhost with the DAGs, on DATA_DIR, until Ctrl-C.
	@$(BIN)/python scripts/preflight.py --data-dir "$(DATA_DIR)" --port $(AIRFLOW_PORT)
	@$(BIN)/python -m scripts.airflow_local --data-dir "$(DATA_DIR)" --port $(AIRFLOW_PORT) --master '$(MASTER)' \
	    $(if $(FIRST_DAY),--first-day $(FIRST_DAY)) $(if $(LAST_DAY),--last-day $(LAST_DAY))

cluster: setup ## A Spark standalone master and two workers on this machine, until `make stop`.
	@$(BIN)/python -m scripts.standalone

stop: ## Stop the cluster, and what an earlier run on DATA_DIR left running.
	@$(BIN)/python -m scripts.processes "$(DATA_DIR)" $(VENV)/cluster

lock: $(STAMPS)/packages ## Renew requirements.lock from the ranges in setup.py (needs network).
	$(BIN)/uv pip compile setup.py --extra dev --generate-hashes --universal --python-version 3.11 --upgrade \
	    --no-emit-index-url --no-emit-find-links --no-annotate --no-header --quiet -o requirements.lock

clean: ## Remove what set-up and the tools made; DATA_DIR stays.
	rm -rf $(VENV) dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

preflight:
	@test -n "$(PYTHON)" || { echo 'preflight: no Python starts; install Python 3.11, or pass PYTHON=/path/to/python3.11' >&2; exit 2; }
	@$(PYTHON) scripts/preflight.py --disk-gib $(if $(wildcard $(STAMPS)/packages),0.5,6)

$(STAMPS)/venv: | preflight
	$(PYTHON) -m venv $(VENV)
	@mkdir -p $(STAMPS) && touch $@

# pyspark comes as source: its build uses the locked setuptools, not one fetched unseen into an isolated environment.
$(STAMPS)/packages: requirements.lock $(STAMPS)/venv | preflight
	awk '/^(packaging|setuptools|wheel)==/ {keep = 1} keep {print} !/\\$$/ {keep = 0}' requirements.lock > $(STAMPS)/build-tools.txt
	$(BIN)/pip install --disable-pip-version-check -q --require-hashes -r $(STAMPS)/build-tools.txt
	$(BIN)/pip install --disable-pip-version-check -q --require-hashes --no-build-isolation --use-pep517 -r requirements.lock
	@touch $@

$(STAMPS)/jars: requirements-jars.lock scripts/fetch_jars.py $(STAMPS)/packages | preflight
	$(BIN)/python -m scripts.fetch_jars --jars $(VENV)/delta-jars
	@touch $@

# From a copy: a build in place would leave its folders among the sources, and old modules in the next wheel.
$(STAMPS)/wheel: setup.py $(SOURCES) $(STAMPS)/packages | preflight
	@rm -rf $(VENV)/build dist && mkdir -p $(VENV)/build
	@cp -R setup.py pyproject.toml metrics expectations jobs $(VENV)/build
	$(BIN)/pip wheel --disable-pip-version-check -q --no-index --no-deps --no-build-isolation -w dist $(VENV)/build
	$(BIN)/pip install --disable-pip-version-check -q --no-index --no-deps --force-reinstall dist/watchlift-*.whl
	@touch $@

# Another Java needs another archive; without one everything works, only slower.
$(ARCHIVE_STAMP): scripts/class_archive.py scripts/class_training.py $(STAMPS)/jars | $(STAMPS)/wheel
	$(BIN)/python -m scripts.class_archive $(ARCHIVE)
	@touch $@
