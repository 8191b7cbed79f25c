# The day's work. `make help` lists it. Each target sets up what it needs; none needs another first.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test check lock up down upgrade status logs login bench golden clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# GPU=1 also installs NVIDIA's libraries, some 4 GB; an environment that has them keeps them from then on.
GPU ?= $(if $(wildcard $(VENV)/.ready-gpu*),1,)
# CLUSTER=1 also installs what several machines need (docker/README.md), some 0.4 GB; kept likewise. The tests run it.
CLUSTER ?= $(if $(or $(wildcard $(VENV)/.ready*-cluster),$(filter test,$(MAKECMDGOALS))),1,)
CLUSTER_LOCKS := requirements-cluster.lock requirements-services.lock
LOCKS := requirements.lock $(if $(filter-out 0,$(GPU)),requirements-gpu.lock) $(if $(filter-out 0,$(CLUSTER)),$(CLUSTER_LOCKS))
READY := $(VENV)/.ready$(if $(filter-out 0,$(GPU)),-gpu)$(if $(filter-out 0,$(CLUSTER)),-cluster)
# Files of tests side by side, in the order of tests/conftest.py.
PARALLEL := --maxprocesses=4 --dist loadscope --no-loadscope-reorder
# One process more than cores: the tests with a running stack wait half of the time.
AND_ONE := $(shell echo $$(($$(nproc) + 1)))
export TF_CPP_MIN_LOG_LEVEL ?= 2
export GX_ANALYTICS_ENABLED ?= false
export MLFLOW_DISABLE_TELEMETRY ?= true
RUNTIME := $(or $(CXR_HOME),var)

help: ## what there is to do
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

demo: $(READY) ## synthetic X-rays to a served model and its report, through Airflow
	@$(BIN)/python -m cxr_tasks.cli.demo

test: $(READY) chromium services ## lint, types and all tests
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy
	@$(BIN)/python -m pytest -n $(AND_ONE) $(PARALLEL) $(ARGS)

check: $(READY) ## lint, types and the fast tests: the daily loop
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy
	@$(BIN)/python -m pytest -q -n auto $(PARALLEL) -m "not tf and not gx and not mlflow and not serving and not airflow_db and not cluster and not stack and not browser and not data" $(ARGS)

COMPILE := uv pip compile --quiet --universal --python-version 3.11 --extra dev --generate-hashes \
    --no-header --no-annotate --no-emit-index-url --no-emit-find-links

lock: $(READY) ## renew the locks: newest versions that fit pyproject.toml, for Python 3.11 to 3.13
	@$(BIN)/$(COMPILE) --upgrade --output-file requirements.lock pyproject.toml
	@$(MAKE) --no-print-directory lock-gpu lock-cluster
	@$(MAKE) --no-print-directory lock-services

# What an extra adds to requirements.lock and nothing else, so that with it all other versions stay the same. A package
# that is then needed on more systems than before counts as added.
.PHONY: lock-gpu lock-cluster lock-services
lock-gpu: ADDED_TO := requirements.lock
lock-cluster: ADDED_TO := requirements.lock
lock-services: ADDED_TO := requirements.lock requirements-cluster.lock
lock-gpu lock-cluster lock-services: lock-%:
	@all=$$(mktemp) known=$$(mktemp); trap 'rm -f "$$all" "$$known"' EXIT; cat $(ADDED_TO) > "$$known"; \
	$(BIN)/$(COMPILE) --extra $* $(if $(filter services,$*),--extra cluster) --constraint "$$known" --output-file "$$all" pyproject.toml; \
	awk 'NR == FNR {if (/^[^ ]/) known[$$0]; next} /^[^ ]/ {take = !($$0 in known)} take' "$$known" "$$all" \
	    > requirements-$*.lock
	@if grep -n '://' requirements*.lock; then echo 'a lock names an address; it must not' >&2; exit 1; fi

up: $(READY) ## start Airflow, MLflow and the model server on 127.0.0.1
	@$(BIN)/python -m cxr_tasks.stack up

down: ## stop every process of the stack
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m cxr_tasks.stack down; else echo 'nothing is installed in $(VENV), so nothing of it runs'; fi

upgrade: ## after a git pull: stack down, databases backed up, install, migrate, check, up
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m cxr_tasks.stack before-upgrade; fi
	@$(MAKE) --no-print-directory $(READY)
	@$(BIN)/python -m cxr_tasks.stack migrate
	@$(BIN)/python -m cxr_tasks.stack up
	@$(BIN)/cxr doctor

status: ## what runs, where, how healthy
	@$(INSTALLED)
	@$(BIN)/python -m cxr_tasks.stack status

logs: ## last log lines; NAME=scheduler for one program
	@$(INSTALLED)
	@$(BIN)/python -m cxr_tasks.stack logs $(NAME)

login: ## addresses and generated logins of the web pages
	@$(INSTALLED)
	@$(BIN)/python -m cxr_tasks.stack login

# Containers (docker/README.md): docker, or podman, with its compose.
COMPOSE = $(shell if docker compose version >/dev/null 2>&1; then echo docker compose; \
    elif command -v podman-compose >/dev/null && command -v podman >/dev/null; then echo podman-compose; fi)
ENGINE = @[ -n "$(COMPOSE)" ] || { echo 'no container engine is found here: expected docker with its compose plugin, or podman with podman-compose; on Debian: apt-get install podman, pip install podman-compose. Without containers: docker/README.md' >&2; exit 1; }
IN_DOCKER = $(COMPOSE) --env-file docker/.env -f docker/compose.yaml
.PHONY: cluster-env cluster-up cluster-down cluster-status cluster-demo cluster-backup cluster-test containers containers-test
cluster-env: $(READY) ## settings and generated secrets of docker/compose.yaml
	@$(BIN)/python -m cxr_tasks.stack.cluster_env

cluster-up: ## build and start the platform in containers
	$(ENGINE)
	@$(MAKE) --no-print-directory cluster-env
	@CXR_REVISION="$$(git describe --always --dirty 2>/dev/null || echo unknown)" $(IN_DOCKER) build prepare
	@$(IN_DOCKER) up --detach $(if $(findstring podman,$(COMPOSE)),,--wait)

cluster-down: ## stop them; what they made stays in their volumes
	$(ENGINE)
	@$(IN_DOCKER) down

cluster-status: ## what runs in containers, how healthy
	$(ENGINE)
	@$(IN_DOCKER) ps --all

cluster-demo: ## the demo of both families through the containers
	$(ENGINE)
	@$(MAKE) --no-print-directory cluster-up
	@$(IN_DOCKER) exec worker-release python -m cxr_tasks.cli.demo --no-start

cluster-backup: ## all that the containers keep as one file of docker/backups; FILE=its name
	$(ENGINE)
	@$(IN_DOCKER) run --rm backup cxr backup /backups/$(or $(FILE),cxr-$(shell date -u +%Y-%m-%dT%H-%M-%S).tar.gz)

cluster-test: ## the tests of several machines: Postgres, Redis, an S3 store and workers, without containers
	@$(MAKE) --no-print-directory test ARGS="tests/docker $(ARGS)"

containers-test: containers ## docker/ built and run: image, compose.yaml, a family's chain; half an hour, root, Debian
	@$(MAKE) --no-print-directory CLUSTER=1 $(VENV)/.ready$(if $(filter-out 0,$(GPU)),-gpu)-cluster
	@$(BIN)/python -m pytest -s -x tests/docker/proof_of_containers.py $(ARGS)

# RUNLEVEL=1: Debian starts nothing of it.
containers:
	@if command -v podman >/dev/null && command -v runc >/dev/null && command -v mmdebstrap >/dev/null; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo 'installing podman and what a base image is made with'; \
	    apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	        podman runc netavark aardvark-dns iptables mmdebstrap >/dev/null; \
	else \
	    echo 'containers cannot be run here: expected podman, runc and mmdebstrap, or root on Debian, who may install them (apt-get install podman runc netavark aardvark-dns iptables mmdebstrap)' >&2; exit 1; \
	fi

bench: $(READY) ## speed against plain alternatives, as ratios; also var/bench.json
	@$(BIN)/python -m tests.benchmarks $(ARGS)

golden: $(READY) ## rewrite generated golden files (expectations/*.json); read the diff like code
	@$(BIN)/python -m expectations

clean: ## stop the stack, remove the environment and everything made at run time
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m cxr_tasks.stack down; fi
	@rm -rf $(VENV) var build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

# Looking at a stack and stopping it never installs: what runs was started with the environment that is there.
INSTALLED := [ -x $(BIN)/python ] || { echo 'nothing is installed in $(VENV) yet, so no stack of it runs; make up installs and starts one' >&2; exit 1; }

# uv installs the lock many times faster than pip; pip itself fetches uv, held to the lock's hashes like all the rest.
# HOME: a user id without an entry in the user database has none, and uv and pip need one.
# Compiled at once and once: every task and every program of the stack imports the same large libraries, at half the
# cost when they are, and where PYTHONDONTWRITEBYTECODE is set nothing else would ever compile them.
$(READY): $(LOCKS) pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else f"Python 3.11, 3.12 or 3.13 is expected, {sys.executable} is {v[0]}.{v[1]}; name one: make PYTHON=python3.12 ...")'
	@$(PYTHON) -m cxr_tasks.installation.folders >/dev/null
	@if [ -x $(BIN)/python ] && [ -e "$(RUNTIME)/stack/settings.json" ]; then \
	    echo 'requirements.lock is newer than what is installed, and the stack runs from it: make upgrade (or make down first)' >&2; exit 1; fi
	@echo "installing into $(VENV) (about $(if $(filter-out 0,$(GPU)),8,3.5) GB)"
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV) || { echo 'python3 -m venv failed; on Debian: apt-get install python3-venv' >&2; exit 1; }
	@awk '/^uv==/{take=1} take{print} take && !/\\$$/{exit}' requirements.lock > $(VENV)/uv.txt
	@export HOME="$$($(PYTHON) -m cxr_tasks.installation.folders)"; $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.txt
	@export HOME="$$($(PYTHON) -m cxr_tasks.installation.folders)"; $(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes $(LOCKS)
	@export HOME="$$($(PYTHON) -m cxr_tasks.installation.folders)"; $(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@rm -f $(VENV)/.ready*
	@touch $(READY)

# The browser test drives Debian's chromium.
.PHONY: chromium
chromium:
	@if command -v chromium >/dev/null; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo 'installing chromium for the browser test'; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; \
	else \
	    echo 'chromium is not installed and may not be installed here: the browser test will be skipped (apt-get install chromium)'; \
	fi

# The tests of several machines run Debian's Postgres and Redis on ports of their own; RUNLEVEL=1: Debian starts neither.
.PHONY: services validator
services: validator
	@if command -v redis-server >/dev/null && ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo 'installing Postgres, Redis and promtool for the tests of several machines'; \
	    apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	        postgresql redis-server prometheus >/dev/null; \
	else \
	    echo 'Postgres and Redis are not installed and may not be installed here: the tests of several machines will be skipped (apt-get install postgresql redis-server)'; \
	fi

# Holds the DICOM files that are written here against the standard.
validator:
	@if command -v dciodvfy >/dev/null; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq \
	    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends dicom3tools >/dev/null; then \
	    echo 'installed dicom3tools, whose dciodvfy checks DICOM files'; \
	else \
	    echo 'dciodvfy is not installed and may not be installed here: three tests of DICOM files will be skipped (apt-get install dicom3tools)'; \
	fi
