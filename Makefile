# Everything runs from a virtual environment of its own, .venv, which the first target that needs it creates.
PYTHON ?= python3
PIP_ARGS ?=
BIN := .venv/bin

.PHONY: help demo test test-unit lint format clean

help:  ## What there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

.venv/.demo: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check $(PIP_ARGS) -e ".[demo]"
	@touch $@

.venv/.test: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check $(PIP_ARGS) -e ".[test]"
	@touch $@ .venv/.demo

demo: .venv/.demo  ## Colour the sample photographs through an embedded Redis and S3; ends with a page to look at
	$(BIN)/photochrom demo $(DEMO_ARGS)

test: .venv/.test  ## All tests: unit, then integration with real servers and worker processes
	$(BIN)/pytest tests

test-unit: .venv/.test  ## The fast tests, without servers
	$(BIN)/pytest tests/unit

lint: .venv/.test  ## Style, formatting, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/.test  ## Put the code into the house's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## Remove the virtual environment and everything that was made
	rm -rf .venv build dist demo-out *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
