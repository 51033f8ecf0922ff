# Each target sets up what it needs in .venv, and again when pyproject.toml changes.
# PYTHON=/path/to/python chooses the interpreter.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# TensorFlow has no wheels for the newest Python at first: prefer those it has.
CANDIDATES := python3 python3.13 python3.12 python3.11 python3.10 python
SUITS = import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for p in $(CANDIDATES); do \
	"$$p" -c '$(SUITS)' 2>/dev/null && { echo "$$p"; break; }; done)

.PHONY: demo test test-versions recipes lint docs mutants clean help
.NOTPARALLEL:
.DELETE_ON_ERROR:

help:
	@echo "make demo   run the demonstration (sets up $(VENV) first)"
	@echo "make test   run the tests"
	@echo "make test-versions  run the fast ones with lowest and newest versions"
	@echo "make recipes  run those of cluster/ that this machine has the programs for"
	@echo "make lint   run ruff, mypy and the import contract"
	@echo "make docs   build the documentation: site/index.html"
	@echo "make mutants  look for faults that no test notices"
	@echo "make clean  remove $(VENV) and what the tools left"

demo: $(VENV)/.installed-demo
	@$(BIN)/fcdcc-keras demo

# Three at a time for two cores, since many wait for processes; more threads of NumPy's
# would spin.
test: $(VENV)/.installed-test
	@OPENBLAS_NUM_THREADS=1 \
		$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

# The fast part, and with it what is assumed of others, with the lowest versions that
# are supported, which have no wheels for Python 3.13, and with the newest.
SLOW := system cluster benchmarks commands
test-versions: $(VENV)-lowest/.installed $(VENV)-newest/.installed
	@for versions in lowest newest; do \
		echo "With the $$versions versions:"; \
		OPENBLAS_NUM_THREADS=1 $(VENV)-$$versions/bin/python -m pytest \
			-n 2 --dist loadfile --no-loadscope-reorder \
			$(SLOW:%=--ignore=tests/%) || exit; \
	done

# One after another: each brings a cluster of its own up.
recipes: $(VENV)/.installed-recipes
	@OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -m recipes tests/recipes

lint: $(VENV)/.installed-lint
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

# A quarter of an hour: what no test notices, in the mathematics and the rules.
mutants: $(VENV)/.installed-mutants
	@OPENBLAS_NUM_THREADS=1 nice $(BIN)/mutmut run
	@$(BIN)/mutmut results

docs: $(VENV)/.installed-docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) $(VENV)-lowest $(VENV)-newest build dist site mutants \
		.pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Made by a pattern, it would be taken for a step on the way, and deleted.
.PRECIOUS: %/.created
%/.created:
	@test -n "$(PYTHON)" || { \
		echo "No suitable Python: 3.10 to 3.13 with venv is needed." >&2; \
		echo "Received: $$(python3 --version 2>&1)" >&2; \
		echo "Install one (Debian, Ubuntu: apt install python3 python3-venv)," >&2; \
		echo "or name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; \
		exit 1; }
	@echo "Setting up $* with $$($(PYTHON) --version) ..."
	@$(PYTHON) -m venv $*
	@touch $@

$(VENV)/.installed-demo: EXTRAS := cpu,examples,worker
$(VENV)/.installed-test: EXTRAS := cpu,examples,test
$(VENV)/.installed-recipes: EXTRAS := cpu,recipes
$(VENV)/.installed-lint: EXTRAS := cpu,dev
$(VENV)/.installed-mutants: EXTRAS := cpu,mutants
$(VENV)/.installed-docs: EXTRAS := docs

$(VENV)/.installed-%: pyproject.toml $(VENV)/.created
	@echo "Installing fcdcc-keras[$(EXTRAS)] (with TensorFlow: a minute or so) ..."
	@$(PIP) --editable '.[$(EXTRAS)]'
	@touch $@

PIP_OF = $(@D)/bin/python -m pip install --quiet --disable-pip-version-check

$(VENV)-lowest/.installed: pyproject.toml tests/lowest.txt $(VENV)-lowest/.created
	@echo "Installing the lowest versions that fcdcc-keras supports ..."
	@$(PIP_OF) --editable '.[cpu,test]' --constraint tests/lowest.txt
	@touch $@

# Each time: newer ones may be out.
.PHONY: $(VENV)-newest/.installed
$(VENV)-newest/.installed: $(VENV)-newest/.created
	@echo "Installing the newest versions ..."
	@$(PIP_OF) --upgrade --upgrade-strategy eager --editable '.[cpu,test]'
