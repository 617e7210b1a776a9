# Everything runs from a virtual environment of its own, .venv, which the first target that needs it creates.
PYTHON ?= python3
PIP_ARGS ?=
BIN := .venv/bin

.PHONY: help demo demo-training test test-unit chaos chaos-short fuzz bench bench-memory bench-producer study-recipes study-autoencoder kill-control kill-training lint format clean

help:  ## What there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

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

demo-training: .venv/.demo  ## A model learns on a schedule, is judged, promoted, served, rolled back; ends with a page
	$(BIN)/photochrom demo-training $(DEMO_ARGS)

test: .venv/.test  ## All tests: unit, then integration with real servers and worker processes
	$(BIN)/pytest tests

test-unit: .venv/.test  ## The fast tests, without servers
	$(BIN)/pytest tests/unit

chaos: .venv/.test  ## 20,000 images while processes are killed, Redis is lost and S3 fails (docs/chaos.md)
	$(BIN)/python -m tests.chaos --images 20000 --kills 60 --redis-restarts 5 --redis-losses 1 --s3-fault-rate 0.05 $(CHAOS_ARGS)

chaos-short: .venv/.test  ## The same with 600 images, in a minute or two
	$(BIN)/python -m tests.chaos --images 600 --kills 6 --redis-restarts 1 --redis-losses 1 --s3-restarts 1 --again 6 $(CHAOS_ARGS)

fuzz: .venv/.test  ## Thousands of damaged JPEG, PNG and TIFF files; each must end as a picture or as a reason
	$(BIN)/python -m tests.fuzz $(FUZZ_ARGS)

bench: .venv/.test  ## A 12 MP gray JPEG spliced, against decoding, joining and encoding it
	$(BIN)/python -m tests.benchmarks.jpeg $(BENCH_ARGS)

bench-memory: .venv/.test  ## Peak memory of the whole story for 16-bit TIFFs of 12 to 100 MP
	$(BIN)/python -m tests.benchmarks.memory $(BENCH_ARGS)

bench-producer: .venv/.test  ## Keys a second from listing to queue, and memory, at 10 thousand to 1 million keys
	$(BIN)/python -m tests.benchmarks.producer

study-recipes: .venv/.test  ## Recipes against each other on one budget: PHOTOGRAPHS=folder (docs/recipes.md)
	$(BIN)/python -m training.study recipes $(PHOTOGRAPHS) $(STUDY_ARGS)

study-autoencoder: .venv/.test  ## The autoencoder's sizes against each other: PHOTOGRAPHS=folder (docs/autoencoder.md)
	$(BIN)/python -m training.study autoencoder $(PHOTOGRAPHS) $(STUDY_ARGS)

kill-control: .venv/.test  ## Kill the control process a hundred times in one submission
	PHOTOCHROM_TEST_KILLS=100 $(BIN)/pytest tests/acceptance/test_control_killed.py

kill-training: .venv/.test  ## Kill the training process ten times in a run; its weights must come out the same
	PHOTOCHROM_TEST_KILLS=10 $(BIN)/pytest tests/acceptance/test_training.py

lint: .venv/.test  ## Style, formatting, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/.test  ## Put the code into the house's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## Remove the virtual environment and everything that was made
	rm -rf .venv build dist demo-out demo-training-out *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
