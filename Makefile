# `make help` lists the verbs. Everything lands in .venv and .cache; nothing else on the machine changes.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=
IMAGE  ?= registry.example/foresail:0.1.0
# Of the commit, so that a second build of it has the same bytes; 1980 where there is no git.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 315532800)
SITE   := -E -W --keep-going -q -c docs -d .cache/docs . dist/docs
WITH_PROMETHEUS := PATH="$(CURDIR)/.cache/prometheus/usr/bin:$$PATH"

.DEFAULT_GOAL := help
.PHONY: help run test fuzz check docs e2e integration bed day node-day hero bench lock proto wheel chart image sbom audit clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/.run $(if $(findstring --web,$(ARGS)),$(VENV)/.console) ## a day of LLM traffic on a laptop: foresail demo (ARGS="--seconds 60 --plain", ARGS=--web)
	$(BIN)/foresail demo $(ARGS)

test: $(VENV)/.dev .cache/prometheus ## the tests, with a real Prometheus (ARGS="-k name")
	$(WITH_PROMETHEUS) $(BIN)/pytest -n auto --dist worksteal $(ARGS)

fuzz: $(VENV)/.fuzz ## inputs without end for every parser of foreign bytes (ARGS="settings --runs 1000")
	$(BIN)/python -m tests.fuzz $(ARGS)

check: $(VENV)/.dev ## format, lint, types, import contracts, documentation, known vulnerabilities
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/sphinx-build $(SITE)
	scripts/audit.sh $(BIN)/uv requirements/run.txt

docs: $(VENV)/.dev ## the documentation as a site, in dist/docs
	$(BIN)/sphinx-build $(SITE)
	@echo "open dist/docs/index.html"

# The tests start foresail some hundred times: its bytecode is kept, whatever the environment says.
e2e: $(VENV)/.dev .cache/prometheus .cache/faketime .cache/chromium bed-programs ## the real KEDA, HPA, scheduler and Karpenter drive it (needs Go; ARGS="-k name")
	$(WITH_PROMETHEUS) PYTHONDONTWRITEBYTECODE= FORESAIL_BED=.cache/bed $(BIN)/pytest tests/e2e -n 4 --dist loadfile $(ARGS)

integration: $(VENV)/.dev .cache/prometheus ## real LiteLLM, MLflow, Ray Serve and OpenTelemetry beside it (ARGS="-k name")
	scripts/integration.sh $(BIN)/python .cache/integration
	$(WITH_PROMETHEUS) FORESAIL_INTEGRATION=.cache/integration $(BIN)/pytest tests/integration -rs $(ARGS)

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

wheel: $(VENV)/.dev ## the wheel and the sdist, in dist/; the same bytes from the same commit
	SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) $(BIN)/python -m hatchling build -t wheel -t sdist

chart: ## the Helm chart's package and plain manifests, in dist/ (needs Go)
	scripts/chart.sh .cache/bed dist

image: wheel ## the container image (IMAGE=name BUILD_BASE=…@sha256:… RUN_BASE=…@sha256:…)
	scripts/image.sh "$(IMAGE)" "$(BUILD_BASE)" "$(RUN_BASE)"

sbom: $(VENV)/.dev ## the software bill of materials of what the image installs, in dist/
	scripts/sbom.sh $(BIN)/uv requirements/run.txt dist/foresail.cdx.json

audit: $(VENV)/.dev ## known vulnerabilities of the locked requirements, where their data can be had
	scripts/audit.sh $(BIN)/uv requirements/run.txt

clean: ## remove everything that make made
	rm -rf $(VENV) .cache dist

$(VENV)/.run: pyproject.toml requirements/run.txt requirements/build.txt
	scripts/environment.sh $(PYTHON) $(VENV) run build
	@touch $@

$(VENV)/.console: pyproject.toml requirements/run.txt requirements/build.txt requirements/console.txt
	scripts/environment.sh $(PYTHON) $(VENV) run build console
	@touch $@ $(VENV)/.run

$(VENV)/.dev: pyproject.toml requirements/run.txt requirements/dev.txt requirements/console.txt
	scripts/environment.sh $(PYTHON) $(VENV) run dev console
	@touch $@ $(VENV)/.run $(VENV)/.console

$(VENV)/.bench: pyproject.toml requirements/run.txt requirements/dev.txt requirements/bench.txt
	scripts/environment.sh $(PYTHON) $(VENV) run dev console bench
	@touch $@ $(VENV)/.dev $(VENV)/.run $(VENV)/.console

$(VENV)/.fuzz: pyproject.toml requirements/run.txt requirements/dev.txt requirements/fuzz.txt
	scripts/environment.sh $(PYTHON) $(VENV) run dev fuzz
	@touch $@ $(VENV)/.dev $(VENV)/.run

.PHONY: bed-programs
bed-programs:
	scripts/bed.sh .cache/bed

.cache/prometheus: scripts/prometheus.sh scripts/unpack.sh
	scripts/prometheus.sh $@

.cache/chromium: scripts/chromium.sh scripts/apt-install.sh
	scripts/chromium.sh $@

.cache/faketime: scripts/unpack.sh
	scripts/unpack.sh libfaketime $@
