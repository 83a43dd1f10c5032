SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help install up test lint bench judge rollouts chaos jobs-bench docs lock clean

BIN := .venv/bin
LOCK := $(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	--no-header --no-emit-index-url --no-emit-find-links

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: .venv/.runtime ## Make .venv with everything that running needs (.venv/bin/tidegate)
	@:

up: .venv/.runtime ## Start everything on this machine; options: make up ARGS="--port 0"
	@exec $(BIN)/tidegate up $(ARGS)

test: .venv/.dev ## Install what tests need and run them; options: make test ARGS="tests/unit"
	@$(BIN)/python -m pytest $(ARGS)

lint: .venv/.dev ## Run ruff, mypy and import-linter
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/.dev ## Measure against Triton alone and a plain gateway; writes docs/benchmarks
	@$(BIN)/python -m loadtests.bench $(ARGS)

judge: .venv/.dev ## Simulate the judge of rollouts; writes docs/benchmarks/judge.md
	@$(BIN)/python -m loadtests.judge $(ARGS)

rollouts: .venv/.dev ## Measure rollouts live; writes docs/benchmarks/rollouts.md
	@$(BIN)/python -m loadtests.rollouts $(ARGS)

chaos: .venv/.dev ## Kill everything under 10,000 jobs; defences: make chaos ARGS="--defences"
	@$(BIN)/python -m tests.chaos $(ARGS)

jobs-bench: .venv/.dev ## Measure rates of jobs; writes docs/benchmarks/jobs.md
	@$(BIN)/python -m loadtests.jobs $(ARGS)

docs: .venv/.dev ## Write the generated pages of docs/
	@$(BIN)/python docs/generate.py

lock: .venv/.runtime ## Renew the lock files in requirements/ from pyproject.toml and *.in
	$(LOCK) --upgrade requirements/build.in -o requirements/build.txt
	$(LOCK) --upgrade pyproject.toml requirements/models.in -c requirements/constraints.in \
		--overrides requirements/overrides.in -o requirements/runtime.txt
	$(LOCK) --upgrade requirements/dev.in -o requirements/dev.txt

clean: ## Remove caches, the virtual environment and the data of `make up`
	rm -rf .venv .tidegate .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.runtime: pyproject.toml requirements/build.txt requirements/runtime.txt scripts/install
	@scripts/install

.venv/.dev: .venv/.runtime requirements/dev.txt
	@scripts/install dev
