# Needs a Python >= 3.12, make and a POSIX shell; everything else is set up here, under .venv/.
# A certain interpreter: `make test PYTHON=/path/to/python`.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
PYTHON ?=
# Tried in this order; each is run, since a name on the path may be old or a shim that fails.
CANDIDATES := $(PYTHON) python3 python3.14 python3.13 python3.12
# A checkout builds its machine code itself (`kernels` below): no second set of packages for that.
INSTALL := BAYESLMM_PURE=1 $(BIN)/python -m pip install -qq --disable-pip-version-check --no-input \
	--no-compile --constraint constraints.txt

.PHONY: help demo test test-compiled test-slow test-lowest test-spark bench lint format docs clean

help:
	@echo 'make demo       fit models/sleepstudy.toml and write results/sleepstudy/'
	@echo 'make test       run the test suite'
	@echo 'make test-compiled  run the core'\''s tests on kernels that Numba compiles here'
	@echo 'make test-slow  run the tests that take minutes'
	@echo 'make test-lowest  install a wheel with the lowest versions on Python 3.12, and fit'
	@echo 'make test-spark run the tests of all engines; installs PySpark (480 MB), needs Java'
	@echo 'make bench      run the benchmark suite (an hour and more) into docs/benchmarks.md'
	@echo 'make lint       check style, formatting and types'
	@echo 'make format     format the code'
	@echo 'make docs       build the documentation into site/'
	@echo 'make clean      remove the environment, results and caches'

demo: $(STAMPS)/run
	$(BIN)/bayeslmm fit models/sleepstudy.toml

# Two processes; a file's tests stay together, because they share fits.
test: $(STAMPS)/test
	$(BIN)/python -m pytest -n 2 --dist loadfile

# `make test` runs the machine code that was built; this, what runs where there is none.
test-compiled: $(STAMPS)/test
	BAYESLMM_COMPILE=1 $(BIN)/python -m pytest -n 2 --dist loadfile tests/kernels tests/gram/test_elimination.py \
		tests/gram/test_reduction.py

test-slow: $(STAMPS)/test
	$(BIN)/python -m pytest -m slow

# Needs the registry of packages, and skips where there is no Python 3.12.
test-lowest: $(STAMPS)/test
	$(BIN)/python -m pytest -m slow tests/test_wheel.py -k lowest

test-spark: $(STAMPS)/engines
	$(BIN)/python -m pytest tests/test_engines.py tests/test_gram_table.py

# One part: make bench ONLY=rows
bench: $(STAMPS)/bench
	$(BIN)/python benchmarks/suite.py $(addprefix --only ,$(ONLY))

lint: $(STAMPS)/lint
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(STAMPS)/lint
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# Every warning of Sphinx is an error.
docs: $(STAMPS)/docs
	$(BIN)/python -m sphinx -q --fresh-env --fail-on-warning --keep-going -b html docs site
	@echo 'Open site/index.html'

clean:
	rm -rf $(VENV) .venv-bench build dist results site jupyter_execute docs/generated docs/notebooks .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment that works is kept; one that is missing, broken or too old is made anew.
$(STAMPS)/venv:
	@if ! $(BIN)/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then \
		found=; seen=; \
		for candidate in $(CANDIDATES); do \
			if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; \
			then found=$$candidate; break; fi; \
			version=$$("$$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) \
				|| version='not found'; \
			seen="$$seen  $$candidate: $$version\n"; \
		done; \
		if [ -z "$$found" ]; then \
			printf 'bayeslmm needs Python 3.12 or newer. Tried:\n' >&2; \
			printf "$$seen" >&2; \
			printf 'Install one, or name it: make PYTHON=/path/to/python ...\n' >&2; \
			exit 1; \
		fi; \
		echo "Creating $(VENV) with $$found ($$("$$found" --version 2>&1))"; \
		"$$found" -m venv --clear $(VENV) || { \
			echo "$$found cannot create virtual environments; on Debian and Ubuntu its" \
				"python3-venv package is missing." >&2; exit 1; }; \
	fi
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/run: $(STAMPS)/venv pyproject.toml constraints.txt
	@echo 'Installing bayeslmm (some minutes the first time)'
	@$(INSTALL) --editable .
	@$(call bytecode)
	@$(call kernels)
	@touch $@

$(STAMPS)/test: $(STAMPS)/run
	@echo 'Installing what the tests need'
	@$(INSTALL) --editable '.[test]'
	@$(call bytecode)
	@touch $@

$(STAMPS)/bench: $(STAMPS)/run
	@$(INSTALL) --editable '.[bench]'
	@touch $@

$(STAMPS)/engines: $(STAMPS)/test
	@echo 'Installing PySpark'
	@$(INSTALL) --editable '.[engines]'
	@touch $@

$(STAMPS)/lint: $(STAMPS)/run
	@echo 'Installing what the checks need'
	@$(INSTALL) --editable '.[lint]'
	@touch $@

$(STAMPS)/docs: $(STAMPS)/run
	@echo 'Installing what the documentation needs'
	@$(INSTALL) --editable '.[docs]'
	@touch $@

# Where PYTHONDONTWRITEBYTECODE is set, every start would compile PyMC's thousand modules anew.
# Some packages ship files that are not meant to compile: their failures are no failure here.
define bytecode
$(BIN)/python -m compileall -q -j 0 $(VENV)/lib >/dev/null 2>&1 || true
endef

# The numerical core's machine code, built once per environment: no fit or test pays for it later.
# Where it cannot be built (another Numba, a read-only tree) it is compiled, now or by the first fit.
define kernels
$(BIN)/python -m bayeslmm.build_core || $(BIN)/python -m bayeslmm.warm || true
endef
