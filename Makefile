# Everything from a bare machine with Python, make and a C++ compiler:
#   make demo     set up, then the quickstart scenario (a minute)
#   make test     set up, then the default tests
#   make bench    how far each step is from its floor
# The environment is .venv in this folder; uv is put into .uv if it is not installed.

UV := $(shell command -v uv || echo .uv/bin/uv)
PYTHON := .venv/bin/python

# The scenarios of a group: see scenarios/__main__.py. Of the studies, whole trainings on real
# images, what figures/data holds already is not computed again.
CIRCUITS = $$($(PYTHON) -m scenarios --names circuit)
STUDIES = $$($(PYTHON) -m scenarios --names training)

.PHONY: help demo test slow lint types bench figures gpu wheel clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# *\(make .*\)/\1/p' Makefile
	@echo "make slow | lint | types | figures | gpu | wheel | clean"

demo: .venv/ready
	$(PYTHON) -m scenarios.quickstart --overwrite

test: .venv/ready
	$(PYTHON) -m pytest -n auto --dist worksteal

slow: .venv/ready
	$(PYTHON) -m pytest -n auto --dist worksteal -m "slow and not gpu"

lint: .venv/ready
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

types: .venv/ready
	.venv/bin/pyrefly check

bench: .venv/ready
	$(PYTHON) -m scenarios.bench

figures: .venv/ready
	$(PYTHON) -m scenarios.quickstart --overwrite --figure figures/quickstart.png
	for name in $(CIRCUITS); do \
	  $(PYTHON) -m scenarios.$$name --overwrite || exit 1; \
	done
	$(PYTHON) -m scenarios.ladder
	for name in $(STUDIES); do $(PYTHON) -m scenarios.$$name || exit 1; done

gpu: .venv/ready
	$(PYTHON) -c "import torch; assert torch.cuda.is_available(), 'make gpu needs a CUDA device'"
	$(PYTHON) -m neurodyn backends
	$(PYTHON) -m pytest -m gpu -rs
	$(PYTHON) -m scenarios.bench --device cuda --out runs/bench-gpu.json
	for name in $(STUDIES); do \
	  $(PYTHON) -m scenarios.$$name --preset quick --device cuda --out runs/gpu_$$name || exit 1; \
	done

wheel: $(UV)
	rm -rf dist
	$(UV) build --wheel --quiet --out-dir dist

.venv/ready: pyproject.toml .python-version | $(UV)
	UV_PROJECT_ENVIRONMENT=.venv $(UV) sync --quiet --compile-bytecode
	touch $@

# Run from / so that a version manager does not read .python-version: any Python will do.
.uv/bin/uv:
	cd / && { python3 -m venv "$(CURDIR)/.uv" && "$(CURDIR)/.uv/bin/python" -m pip install --quiet uv; } \
	  || python3 -m pip install --quiet --target "$(CURDIR)/.uv" uv

clean:
	rm -rf .venv .uv dist uv.lock
