# Every target sets itself up: the first one to run makes .venv and installs the tested versions into it.
# Afterwards nothing is fetched again until pyproject.toml or constraints.txt changes.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

# Tests and builds start many processes, which would each compile torch anew where no bytecode may be written.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test lint types clean

help:
	@echo "make demo    draw twins, train on them, age faces, score the result (8 minutes, 2 cores)"
	@echo "make test    lint, types and tests"
	@echo "make lint    ruff alone;  make types  mypy alone"
	@echo "make clean   remove .venv and the demo"

# uv takes torch and torchvision from the index as one build; pip may pick a local torch that does not fit.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("nenrin needs Python 3.11 or later: name one, as in make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	$(BIN)/uv pip install --python $(BIN)/python --constraint constraints.txt --editable ".[dev]"
	touch $(READY)

demo: $(READY)
	$(BIN)/nenrin demo

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

test: lint types
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

clean:
	rm -rf .venv demo
