# `make demo` and `make test` need nothing but Python 3.11+ and make.
PYTHON ?= python3
BIN := .venv/bin
MINUTES ?= 60
# Which build of PyTorch: cpu, cuda (what fits this machine's driver), or empty for what pip's index offers.
TORCH ?=
# Processes of `make test`, each with a Ray of its own; files stay whole and in order.
WORKERS ?= 2
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt
INSTALL_BY_HASH := $(BIN)/pip install --quiet --require-hashes --no-deps --no-build-isolation --requirement

.PHONY: help demo audiobook dataset test check soak lock locked licenses site clean

help:
	@echo "make demo       synthesize configs/demo.yaml into demo/ (a second call resumes); TORCH=cpu or TORCH=cuda"
	@echo "                chooses the build of PyTorch that is installed first"
	@echo "make audiobook  read chapter I of Alice aloud, into demo-audiobook/chapters (a second call resumes)"
	@echo "make dataset    a small data set with the demo voice, into demo-dataset/snapshots; NIGHT=2026-11-30 names the night"
	@echo "make test       make check, then the tests"
	@echo "make check      format, lint, types, imports and spelling only"
	@echo "make soak       an hour of kills and storage faults (MINUTES=...)"
	@echo "make site       the documents as a site, with every command, setting and public name: site/index.html"
	@echo "make licenses   list the licenses of all that is installed"
	@echo "make locked     install from requirements.lock, by hash"
	@echo "make clean      remove the virtual environment and caches"

demo: .venv/demo
	@$(BIN)/python -m jobs.synthesize --config configs/demo.yaml

audiobook: .venv/books
	@$(BIN)/python -m jobs.audiobooks --config configs/audiobook_demo.yaml

dataset: .venv/demo
	@$(BIN)/python -m jobs.dataset --config configs/dataset_demo.yaml $(if $(NIGHT),--night $(NIGHT))

# A hundred processes import the sources, so compiled ones are kept even where the environment says otherwise.
test: export PYTHONDONTWRITEBYTECODE :=
test: check
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

check: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/codespell
	$(BIN)/hadolint Dockerfile

# In place of what the other targets install: nothing but files whose hashes are known, torch aside.
locked: requirements.lock
	$(PYTHON) -m venv .venv
	@awk '/^setuptools==/ {on = 1} on && /^ *#/ {exit} on' requirements.lock > .venv/build.txt
	$(INSTALL_BY_HASH) .venv/build.txt
	$(INSTALL) torch
	$(INSTALL_BY_HASH) requirements.lock
	$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch .venv/base .venv/demo .venv/books .venv/dev

# After a change of pyproject.toml or constraints.txt.
lock: .venv/dev
	$(INSTALL) uv
	$(BIN)/uv pip compile --quiet --constraint constraints.txt pyproject.toml --output-file requirements.lock

# mkdocs-material is kept until May 2027; what follows it reads the same file but knows no pages made by code yet.
site: .venv/dev
	$(INSTALL) mkdocs-material 'mkdocstrings[python]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --config-file .mkdocs.yml
	@echo "open site/index.html"

licenses: .venv/dev
	$(INSTALL) pip-licenses
	@$(BIN)/pip-licenses --format markdown --ignore-packages spark-tts-batch pip-licenses prettytable wcwidth

soak: .venv/dev
	$(BIN)/python -m tests.soak --minutes $(MINUTES)

clean:
	rm -rf .venv .mypy_cache .ruff_cache .import_linter_cache .pytest_cache .hypothesis build *.egg-info

# torch first, so that a build of the pinned version that is there already (README) is kept.
.venv/base: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=..."; exit 1; }
	@echo "Once, some minutes: PyTorch, Ray and others are installed into .venv: 1.6 GB, with CUDA several times that."
	@echo "PyTorch is 2.7 GB of wheels on the public index, 192 MB for CPUs only: make TORCH=cpu, make TORCH=cuda."
	@case "$(TORCH)" in ""|cpu|cuda) ;; *) echo "TORCH=$(TORCH): expected cpu, cuda, or nothing"; exit 1;; esac
	$(PYTHON) -m venv .venv
ifneq ($(TORCH),)
	$(INSTALL) uv
	$(BIN)/uv pip install --python .venv --torch-backend $(if $(filter cuda,$(TORCH)),auto,cpu) --constraint constraints.txt torch \
		|| echo "The builds of PyTorch cannot be reached from here; what pip's index offers is taken."
endif
	$(filter-out --quiet,$(INSTALL)) torch
	@$(BIN)/python -W ignore -c 'import torch; print("PyTorch", torch.__version__, "for", "CUDA " + torch.version.cuda if torch.version.cuda else "CPUs")'
	@touch $@

.venv/demo: .venv/base pyproject.toml
	$(INSTALL) --editable .
	@touch $@

.venv/books: .venv/base pyproject.toml
	$(INSTALL) --editable '.[books]'
	@touch $@ .venv/demo

.venv/dev: .venv/base pyproject.toml
	$(INSTALL) --editable '.[s3,dev]'
	@touch $@ .venv/demo .venv/books
