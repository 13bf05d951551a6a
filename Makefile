# Each target sets up what it needs, once: a virtual environment in .venv with
# the versions of constraints.txt. Another interpreter: make test PYTHON=python3.12
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: demo test lint bench docs clean

demo: .venv/.core
	$(BIN)/throughline demo

test: .venv/.dev
	$(BIN)/python -m pytest -n auto --dist worksteal

lint: .venv/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: .venv/.dev
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/world.py
	$(BIN)/python benchmarks/backends.py
	$(BIN)/python benchmarks/video.py
	$(BIN)/python benchmarks/decoding.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/tracking.py
	$(BIN)/python benchmarks/kill_anywhere.py --kills 60
	$(BIN)/python benchmarks/mutants.py 2000
	$(BIN)/python benchmarks/faults.py
	$(BIN)/python benchmarks/faults.py --speed
	$(BIN)/python benchmarks/bootstrap.py
	$(BIN)/python benchmarks/compare.py --cases 5000 --detectors 1000
	$(BIN)/python benchmarks/registry.py
	$(BIN)/python benchmarks/optimize.py
	$(BIN)/python benchmarks/smaller.py
	$(BIN)/python benchmarks/forecasting.py
	$(BIN)/python benchmarks/drift.py
	$(BIN)/python benchmarks/serving.py

docs: .venv/.dev
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/picture.py

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Throughline needs Python 3.11 or newer; $(PYTHON) is older or missing. Try: make PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || \
	  { rm -rf .venv; echo "$(PYTHON) cannot make virtual environments. On Debian: apt install python3-venv" >&2; exit 1; }

.venv/.core: .venv/bin/python pyproject.toml constraints.txt
	@echo "installing the pinned packages into .venv (once)"
	$(PIP) install -c constraints.txt -e .
	@touch $@

.venv/.dev: .venv/bin/python pyproject.toml constraints.txt
	@echo "installing the pinned packages and the tools for development into .venv (once)"
	$(PIP) install -c constraints.txt -e '.[torch,track,optimize,classical,fairness,train,wandb,explain,serve,monitor,dev]'
	@# trackers and trackeval ask for opencv-python, which would overwrite opencv-python-headless
	$(PIP) install -c constraints.txt --no-deps trackers trackeval==1.3.0 tabulate==0.10.0
	@touch $@ .venv/.core
