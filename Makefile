# Everything a newcomer and CI need; `make help` lists it. The environment is .venv, made from pyproject.toml.
PYTHON ?= python3
VENV := .venv
# `mlflow run --env-manager local` takes `python` from PATH, so the environment must come first.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# Generated data and caches of this checkout stay inside it.
export QBIAS_CACHE ?= $(CURDIR)/.qbias
# Nothing here needs the network: MLflow's usage reports would only wait for it.
export MLFLOW_DISABLE_TELEMETRY ?= true
# MLflow's own default store, named so that `make ui` finds it from anywhere.
export MLFLOW_TRACKING_URI ?= sqlite:///$(CURDIR)/mlflow.db

.DEFAULT_GOAL := help
.PHONY: help demo test check bench calibrate ui clean

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/'

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

demo: $(VENV)/installed ## the whole study on the drawn world, then one review and one promotion
	MLFLOW_EXPERIMENT_NAME=$${MLFLOW_EXPERIMENT_NAME:-qbias} mlflow run . --env-manager local
	MLFLOW_EXPERIMENT_NAME=$${MLFLOW_EXPERIMENT_NAME:-qbias} python -m entrypoints.demo
	@echo "Now: make ui, then open http://127.0.0.1:5000"

test: $(VENV)/installed ## all tests
	python -m pytest --numprocesses 2 --no-loadscope-reorder

check: $(VENV)/installed ## ruff, mypy and the layer rules
	ruff check .
	ruff format --check .
	mypy
	python -m pytest -q tests/test_layers.py tests/test_versions_agree.py

bench: $(VENV)/installed ## speed and memory, as ratios measured in one run
	python -m benches

calibrate: $(VENV)/installed ## how often tests, intervals and bands are right on simulated data; writes docs/calibration.md
	python -m benches.calibration

ui: $(VENV)/installed ## MLflow's UI on the demo's store, http://127.0.0.1:5000
	mlflow ui --backend-store-uri $(MLFLOW_TRACKING_URI)

clean: ## remove the demo's store and caches (not the environment)
	rm -rf .qbias mlflow.db mlruns mlartifacts
