# Each verb is one purpose; `make help` lists them. The environment is made when it is missing or out of date.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.DEFAULT_GOAL := help
.PHONY: help train test faults lint format types benchmark wheel clean

help: ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[demo,voices,metrics,tensorboard,search,joblib,dashboard,hub,onnx,serve,peers,dev]'
	$(BIN)/python -m pip install --quiet --no-deps asteroid==0.7.0 # it asks for torchmetrics 0.11, which its network does not use
	touch $@

train: $(READY) ## train the demo model on the built-in corpus and evaluate it on unseen speakers
	$(BIN)/python -m convtasnet_lit.train experiment=demo resume=true
	$(BIN)/python -m convtasnet_lit.evaluate checkpoint=runs/experiment-demo

test: $(READY) ## run all tests and doctests
	$(BIN)/python -m pytest -n auto

faults: $(READY) ## kill, fill the disk and change bytes, as docs/reliability.md says
	FAULTS_SHARE=1 $(BIN)/python -m pytest -n auto tests/faults

lint: $(READY) ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY) ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(READY) ## check types alone
	$(BIN)/mypy

benchmark: $(READY) ## measure speed and memory on this machine, beside the peers
	$(BIN)/python -m benchmarks --json runs/benchmark.json

wheel: $(READY) ## build the wheel into dist/
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean: ## remove what was built, but no data and no runs
	rm -rf dist build .pytest_cache .mypy_cache .ruff_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
