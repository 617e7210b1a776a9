# Everything runs from a virtual environment of its own, .venv, which the first target that needs it creates.
PYTHON ?= python3
PIP_ARGS ?=
# a process a core, each with whole files, those of real servers first
TEST_ARGS ?= -n logical --dist loadfile --no-loadscope-reorder
BIN := .venv/bin

.PHONY: help demo demo-training test test-unit chaos chaos-short fuzz bench bench-short bench-memory bench-producer study-recipes study-autoencoder kill-control kill-training kill-colorize lint lint-deploy lock audit format clean

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
	$(BIN)/pytest tests $(TEST_ARGS)

test-unit: .venv/.test  ## The fast tests, without servers
	$(BIN)/pytest tests/unit $(TEST_ARGS)

chaos: .venv/.test  ## 20,000 images while processes are killed and Redis, S3 and credentials go away (docs/chaos.md)
	$(BIN)/python -m tests.chaos --images 20000 --kills 60 --redis-restarts 5 --redis-losses 1 --s3-fault-rate 0.05 \
		--outage all --sparse 2 $(CHAOS_ARGS)

chaos-short: .venv/.test  ## The same with 600 images and one outage of each group, in three minutes
	$(BIN)/python -m tests.chaos --images 600 --kills 6 --redis-restarts 1 --redis-losses 1 --s3-restarts 1 --again 6 \
		--outage turns --sparse 1 --seconds-an-image 0.2 --deadline 400 $(CHAOS_ARGS)

FUZZ_TIMES ?= 20

fuzz: .venv/.test  ## Hypothesis at random, FUZZ_TIMES=20 times the examples; then thousands of damaged files (FUZZ_ARGS)
	PHOTOCHROM_TEST_EXAMPLES=$(FUZZ_TIMES) $(BIN)/pytest tests/unit -m hypothesis $(TEST_ARGS)
	$(BIN)/python -m tests.fuzz $(FUZZ_ARGS)

bench: .venv/.test  ## All figures of speed, with their targets, in one run of half an hour; also bench.json
	$(BIN)/python -m tests.benchmarks $(BENCH_ARGS)

bench-short: .venv/.test  ## The same with small pictures, once: that everything runs
	$(BIN)/python -m tests.benchmarks --short $(BENCH_ARGS)

bench-memory: .venv/.test  ## Peak memory of the whole story for 16-bit TIFFs of 12 to 100 MP
	$(BIN)/python -m tests.benchmarks.memory $(BENCH_ARGS)

bench-producer: .venv/.test  ## Keys a second from listing to queue, and memory, at 10 thousand to 1 million keys
	$(BIN)/python -m tests.benchmarks.producer

study-recipes: .venv/.test  ## Recipes against each other on one budget: PHOTOGRAPHS=folder (docs/recipes.md)
	$(BIN)/python -m photochrom.training.study recipes $(PHOTOGRAPHS) $(STUDY_ARGS)

study-autoencoder: .venv/.test  ## The autoencoder's sizes against each other: PHOTOGRAPHS=folder (docs/autoencoder.md)
	$(BIN)/python -m photochrom.training.study autoencoder $(PHOTOGRAPHS) $(STUDY_ARGS)

kill-control: .venv/.test  ## Kill the control process a hundred times in one submission
	PHOTOCHROM_TEST_KILLS=100 $(BIN)/pytest tests/acceptance/test_control_killed.py

kill-training: .venv/.test  ## Kill the training process ten times in a run; its weights must come out the same
	PHOTOCHROM_TEST_KILLS=10 $(BIN)/pytest tests/acceptance/test_training.py

kill-colorize: .venv/.test  ## Kill `photochrom colorize` fifty times in one run over 40 files
	PHOTOCHROM_TEST_KILLS=50 $(BIN)/pytest tests/acceptance/test_local_files.py -k killed_at_any_moment

lint: .venv/.test  ## Style, formatting, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lint-deploy: .venv/.test  ## Container, cluster, AWS and monitoring files, checked without an engine
	$(BIN)/python -m tests.deploy

LOCKS := deploy/docker
UV_COMPILE := $(BIN)/uv pip compile --quiet --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
	--generate-hashes --custom-compile-command "make lock" $(LOCK_ARGS)
# of cuda.lock, what is not for CPUs: torch comes from an index of its own there, without CUDA
FOR_GPUS := torch|torchvision|triton|(nvidia|cuda)-[a-z0-9-]+

lock: .venv/.test  ## Versions and hashes of all that the images hold; LOCK_ARGS=--upgrade takes the newest
	echo "setuptools>=77" | $(UV_COMPILE) - --output-file $(LOCKS)/build.lock
	$(UV_COMPILE) pyproject.toml --output-file $(LOCKS)/submit.lock
	$(UV_COMPILE) pyproject.toml --extra training --output-file $(LOCKS)/cuda.lock
	$(UV_COMPILE) pyproject.toml --extra training --output-file $(LOCKS)/cpu.lock \
		$$(sed -nE 's/^($(FOR_GPUS))==.*/--no-emit-package \1/p' $(LOCKS)/cuda.lock)
	{ echo "# written by: make lock"; echo "--index-url https://download.pytorch.org/whl/cpu"; \
		sed -nE 's/^(torch(vision)?==[0-9.]+).*/\1/p' $(LOCKS)/cuda.lock; } > $(LOCKS)/torch-cpu.txt

audit: .venv/.test  ## Known vulnerabilities of what the images hold (asks PyPI)
	for lock in build submit cpu cuda; do \
		$(BIN)/pip-audit --disable-pip --require-hashes --requirement $(LOCKS)/$$lock.lock || exit 1; done

format: .venv/.test  ## Put the code into the house's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## Remove the virtual environment and everything that was made
	rm -rf .venv build dist demo-out demo-training-out *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
