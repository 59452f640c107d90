# SPDX-License-Identifier: Apache-2.0
# `make demo` and `make test` do all the set-up on a bare machine; `make setup` alone makes .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
C_SOURCES := $(wildcard heron_otel/native/*.c heron_otel/native/*.h) heron_otel/native/build_native.py
DEMO_DATA := .cache/demo
DEMO_CASES := agents-workday anthropic-agent gemini-agent openai-chat-agent
DEMO_CAPTURES = $(foreach case,$(DEMO_CASES),$(wildcard tests/replay/cases/$(case)/input.*))
FUZZ_SECONDS ?= 20

.PHONY: setup demo test test-setup lint format fuzz search bench wheel clean

setup: $(VENV)/.setup

$(VENV)/.setup: pyproject.toml setup.py constraints.txt $(C_SOURCES)
	@deploy/system-packages.sh build
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "heron-otel needs Python 3.11 or newer, found %s" % sys.version.split()[0])'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing heron-otel into $(VENV) (the first time downloads about 400 MB)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: setup
	@$(BIN)/heron-otel replay --data-dir $(DEMO_DATA) $(DEMO_CAPTURES)

test-setup: setup
	@deploy/system-packages.sh test

test: test-setup
	@$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile

lint: test-setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror heron_otel/native/*.[ch] tests/fuzz/native/*.c

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i heron_otel/native/*.[ch] tests/fuzz/native/*.c

fuzz: test-setup
	$(MAKE) -C tests/fuzz/native run SECONDS=$(FUZZ_SECONDS)

search: test-setup
	$(BIN)/python -m pytest -q --hypothesis-profile=search tests/fuzz

bench: setup
	@$(BIN)/python -m benchmarks

wheel: setup
	@$(BIN)/python -m build --wheel

clean:
	rm -rf $(VENV) build dist *.egg-info .cache .mypy_cache .ruff_cache .pytest_cache
	find heron_otel -name '*.so' -delete
