# `make help` lists the verbs. Everything lands in .venv and .cache; nothing else on the machine changes.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=

.DEFAULT_GOAL := help
.PHONY: help run test check bench lock proto wheel clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/.run ## a day of LLM traffic on a laptop: foresail demo (ARGS="--seconds 60 --plain")
	$(BIN)/foresail demo $(ARGS)

test: $(VENV)/.dev .cache/prometheus ## the tests, with a real Prometheus (ARGS="-k name")
	PATH="$(CURDIR)/.cache/prometheus/usr/bin:$$PATH" $(BIN)/pytest -n auto $(ARGS)

check: $(VENV)/.dev ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.bench ## every number in the README: make bench ARGS="rpc --objects 2000"
	$(BIN)/python -m bench $(ARGS)

lock: $(VENV)/.dev ## pin and hash the dependencies again, from pyproject.toml
	scripts/lock.sh $(BIN)/uv

proto: $(VENV)/.dev ## the gRPC stubs in scaler/rpc, from proto/
	scripts/proto.sh $(BIN)/python

wheel: $(VENV)/.dev ## the wheel, in dist/
	$(BIN)/python -m hatchling build -t wheel

clean: ## remove everything that make made
	rm -rf $(VENV) .cache dist

$(VENV)/.run: pyproject.toml requirements/run.txt requirements/build.txt
	scripts/environment.sh $(PYTHON) $(VENV) run build
	@touch $@

$(VENV)/.dev: pyproject.toml requirements/run.txt requirements/dev.txt
	scripts/environment.sh $(PYTHON) $(VENV) run dev
	@touch $@ $(VENV)/.run

$(VENV)/.bench: pyproject.toml requirements/run.txt requirements/dev.txt requirements/bench.txt
	scripts/environment.sh $(PYTHON) $(VENV) run dev bench
	@touch $@ $(VENV)/.dev $(VENV)/.run

.cache/prometheus: scripts/prometheus.sh
	scripts/prometheus.sh $@
