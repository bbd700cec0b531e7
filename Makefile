.DEFAULT_GOAL := help
.PHONY: help setup setup-tests quickstart test test-slow check format bench data lock clean
BIN := .venv/bin

help: ## print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: ## make .venv with everything in it; does nothing when it is up to date
	@scripts/setup.sh

setup-tests: setup
	@scripts/setup-browser.sh

quickstart: setup ## set up, then run the main job on the embedded sample
	$(BIN)/curate run manifests/quickstart.yaml

test: setup-tests ## set up, then run the tests that take seconds, with coverage
	$(BIN)/pytest -m "not slow" -n 2 --dist loadscope --cov --cov-report=term

test-slow: setup-tests ## the tests that take minutes: kill and resume, large pools, a wheel in a clean environment
	$(BIN)/pytest -m slow

check: setup ## lint, formatting and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/uv lock --check

format: setup ## repair what ruff can repair
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: setup ## speed per step, as ratios to plain loops over the same libraries
	$(BIN)/python -m benchmarks

data: setup ## larger real pools, from packages
	$(BIN)/python -m benchmarks.data

lock: setup ## resolve the dependencies of pyproject.toml anew into uv.lock
	$(BIN)/uv lock
	@scripts/setup.sh

clean: ## remove everything that runs have generated
	rm -rf workspace
