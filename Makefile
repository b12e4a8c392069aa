# Two commands: `make run` and `make test`. Each sets up what is missing first.

VENV ?= .venv
# Which Python to set up with: the first that works here and is new enough.
PYTHON ?=
# Seconds that `make run` lasts; 0: until Ctrl-C.
DURATION ?= 10
# For `make objects`: another clang, another folder.
CLANG ?=
OUT ?=
# For `make test-all` and `make kernels`: the kernels of guests.
KERNELS ?= 6.1,6.12,7.2
LIBBPF ?=
# For `make test-long`: how many random cases, and from which seed.
N ?=
SEED ?=
# For `make bench`: only this one.
ONLY ?=
# More arguments for pytest, or for the benchmarks.
ARGS ?=

# ziglang, where it serves as C compiler, wants a place to write: HOME may be none.
export ZIG_GLOBAL_CACHE_DIR ?= $(abspath $(VENV))/.cache/zig

BOOTSTRAP = '$(or $(PYTHON),$(shell sh tools/python.sh))' tools/bootstrap.py --venv '$(VENV)'
PY = '$(VENV)/bin/python'

.PHONY: run test test-all test-long kernels setup objects lint bench wheel-check clean help

help:
	@echo 'make run          set up, then show the files that processes open, live'
	@echo '                  (DURATION=seconds, default 10; 0: until Ctrl-C)'
	@echo 'make test         set up, then run the tests; those of real kernels in a guest with 6.12'
	@echo 'make test-all     the same, with guests of 6.1, 6.12 and 7.2 (KERNELS=names)'
	@echo 'make test-long    long random tests (N=cases; SEED=number, default random). Without N: 1000,'
	@echo '                  but 120,000 programs for executors and a million broken ones: 20 minutes'
	@echo 'make kernels      try everything on all kernels, and write it into docs/kernels.md'
	@echo '                  (LIBBPF=path: with another libbpf)'
	@echo 'make setup        set up only: then $(VENV)/bin/pylibbpf works'
	@echo 'make objects      compile the BPF programs of examples and tests'
	@echo '                  (CLANG=command OUT=folder: with another compiler, elsewhere)'
	@echo 'make lint         ruff, mypy, import-linter, objects against their sources'
	@echo 'make bench        the benchmarks, beside C, BCC and PyPI (ONLY=name ARGS="--rounds 5")'
	@echo 'make wheel-check  build a wheel, import the extension out of it, and run a project with it'
	@echo 'make clean        remove what setting up and building made'
	@echo 'PYTHON= names the Python to set up with, VENV= the virtual environment.'

setup:
	@$(BOOTSTRAP)

run:
	@$(BOOTSTRAP)
	@$(PY) tools/foreground.py $(PY) examples/opensnoop.py --seconds $(DURATION) --demo

test:
	@$(BOOTSTRAP) --with test
	@$(PY) -m pytest $(ARGS)

test-all:
	@$(BOOTSTRAP) --with test
	@$(PY) -m pytest --bpf-kernels=$(KERNELS) $(ARGS)

test-long:
	@$(BOOTSTRAP) --with test
	@PYLIBBPF_TEST_N='$(N)' PYLIBBPF_TEST_SEED='$(SEED)' $(PY) -m pytest -m long $(ARGS)

kernels:
	@$(BOOTSTRAP) --with test
	@$(PY) tools/kernels.py --kernels '$(KERNELS)' $(if $(LIBBPF),--libbpf '$(LIBBPF)')

objects:
	@$(BOOTSTRAP)
	@$(PY) tools/objects.py $(if $(CLANG),--clang '$(CLANG)') $(if $(OUT),--out '$(OUT)')

lint:
	@$(BOOTSTRAP) --with test --with dev
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@'$(VENV)/bin/lint-imports' --no-cache
	@$(PY) tools/objects.py --check

bench:
	@$(BOOTSTRAP)
	@$(PY) bench $(if $(ONLY),--only '$(ONLY)') $(ARGS)

wheel-check:
	@$(BOOTSTRAP) --with test --with dev
	@$(PY) tools/wheel_check.py

clean:
	rm -rf .venv .cache build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -f pylibbpf/engine/kernel/*.so pylibbpf/engine/kernel/*.so.* pylibbpf/engine/kernel/_libbpf.c
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
