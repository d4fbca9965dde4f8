# `make help` lists the verbs. Everything lands in .venv and .cache; nothing else on the machine changes.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=
WITH_PROMETHEUS := PATH="$(CURDIR)/.cache/prometheus/usr/bin:$$PATH"

.DEFAULT_GOAL := help
.PHONY: help run test fuzz check e2e bed day node-day hero bench lock proto wheel clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/.run ## a day of LLM traffic on a laptop: foresail demo (ARGS="--seconds 60 --plain")
	$(BIN)/foresail demo $(ARGS)

test: $(VENV)/.dev .cache/prometheus ## the tests, with a real Prometheus (ARGS="-k name")
	$(WITH_PROMETHEUS) $(BIN)/pytest -n auto $(ARGS)

fuzz: $(VENV)/.dev ## inputs without end for every parser of foreign bytes (ARGS="settings --runs 1000")
	$(BIN)/python -m tests.fuzz $(ARGS)

check: $(VENV)/.dev ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

e2e: $(VENV)/.dev .cache/prometheus .cache/faketime bed-programs ## the real KEDA, HPA, scheduler and Karpenter drive it (needs Go; ARGS="-k name")
	$(WITH_PROMETHEUS) FORESAIL_BED=.cache/bed $(BIN)/pytest tests/e2e -n 2 --dist loadfile $(ARGS)

bed: $(VENV)/.dev .cache/prometheus bed-programs ## leave that control plane running until Ctrl-C
	$(WITH_PROMETHEUS) $(BIN)/python -m tests.e2e bed

day: $(VENV)/.dev .cache/prometheus bed-programs ## play a recorded day through it and draw docs/day.svg
	$(WITH_PROMETHEUS) $(BIN)/python -m tests.e2e day $(ARGS)

node-day: $(VENV)/.run ## draw docs/node-day.svg: a generated day of GPU nodes (ARGS="--shape diurnal")
	$(BIN)/foresail policy day latency-first --svg docs/node-day.svg $(ARGS)

hero: $(VENV)/.run ## draw docs/hero.svg: the demo's day, its replicas and its dollars
	$(BIN)/python -m bench hero

bench: $(VENV)/.bench ## every number in docs/results.md: make bench ARGS="rpc --objects 2000"
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

.PHONY: bed-programs
bed-programs:
	scripts/bed.sh .cache/bed

.cache/prometheus: scripts/prometheus.sh scripts/unpack.sh
	scripts/prometheus.sh $@

.cache/faketime: scripts/unpack.sh
	scripts/unpack.sh libfaketime $@
