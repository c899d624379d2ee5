# Every target sets up what it needs: a fresh clone and Python >= 3.11 (pip and venv) are enough.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

PYTHON ?=
BIN := .venv/bin
# twice quiet: errors only
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check
ARGS ?=

.PHONY: help setup fast test thorough check format lint types docs demo soak soak-gateway bench langchain ray clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 12

setup: .venv/.dev ## make .venv and install batchata with what its development needs

fast: .venv/.dev ## unit and architecture tests, in seconds
	@$(BIN)/python -m pytest tests/unit tests/test_architecture.py tests/test_public_face.py $(ARGS)

# hundreds of interpreters are started: none compiles what another has compiled
test fast thorough: export PYTHONDONTWRITEBYTECODE =
test: .venv/.dev ## every test, on all cores
	@$(BIN)/python -m pytest -n auto -m 'not slow' $(ARGS)

thorough: export THOROUGH = 1
thorough: .venv/.dev ## slow tests, kills at 300 points, more examples of every property
	@$(BIN)/python -m pytest -n auto -m 'hypothesis or sampled or slow' $(ARGS)

check: lint types test ## what a change must pass

format: .venv/.dev ## format the code and fix what ruff can
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format --quiet .

lint: .venv/.dev ## ruff
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: .venv/.dev ## mypy, strict; the examples as a user's checker sees them
	@$(BIN)/mypy
	@$(BIN)/mypy --exclude langchain examples

docs: .venv/.docs ## build the documentation, warnings are errors
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --site-dir site

demo: .venv/.dev ## a few hundred jobs through a local sandbox: no key, no cost
	@$(BIN)/batchata demo $(ARGS)

soak: .venv/.dev ## random runs, killed and disturbed: ARGS="--cycles 1000 --seed 7"
	@$(BIN)/python tests/soak/soak.py $(ARGS)

soak-gateway: .venv/.dev ## a gateway that many clients ask while it is killed
	@$(BIN)/python tests/soak/gateway_soak.py $(ARGS)

bench: .venv/.dev ## measure; prints figures, passes no judgement
	@$(BIN)/python -m benchmarks $(ARGS)

# its plug-ins would take over our own tests
langchain: .venv/.dev ## LangChain's own standard tests, in an environment of their own
	@$(BIN)/python -m venv .venv/langchain
	@.venv/langchain/bin/pip install -qq --disable-pip-version-check --editable '.[dev]' langchain-tests
	@.venv/langchain/bin/python -m pytest -W default -p no:xdist tests/langchain/test_batch_model_standard.py $(ARGS)

ray: .venv/.dev ## generations on a Ray cluster of two nodes, which are killed
	@$(PIP) --editable '.[dev,ray]'
	@$(BIN)/python -m pytest -p no:xdist tests/generate/test_generate_on_ray.py $(ARGS)

clean: ## remove what tools left behind; .venv stays
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis site dist build
	@find batchata tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.dev: pyproject.toml | .venv/bin/pip
	@echo "installing batchata and its development tools into .venv"
	@$(PIP) --editable '.[dev]'
	@touch $@

.venv/.docs: pyproject.toml | .venv/.dev
	@echo "installing the documentation tools into .venv"
	@$(PIP) --editable '.[docs]'
	@touch $@

# bin/pip is the last thing that venv writes, so a venv cut short is made again
.venv/bin/pip:
	@found=; \
	for python in $(or $(PYTHON),python3.11 python3.12 python3.13 python3.14 python3 python); do \
		if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			found=$$python; break; \
		fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "batchata needs Python 3.11 or newer; none was found." >&2; \
		echo "Install one, or name it: make $(or $(MAKECMDGOALS),setup) PYTHON=/path/to/python" >&2; \
		exit 1; \
	fi; \
	echo "making .venv with $$("$$found" --version)"; \
	"$$found" -m venv .venv
