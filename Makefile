# Everything a person types. Each target installs what it needs, from the locks beside this file.
PYTHON  ?= python3
PYTHONS ?= 3.11 3.12 3.13
TESTS   ?= tests/unit
ENV     ?= default
UV      := .venv-uv/bin/uv
PY      := .venv/bin/python
SAM     := SAM_CLI_TELEMETRY=0 .venv-sam/bin/sam
PYTEST  := -n 2 --dist loadfile
# With a stack: two workers wait for it most of the time, two compute (tests/support/scheduling.py).
ALL     := -n 4 --dist loadfile

.DEFAULT_GOAL := help
# Container images like to set it. Then each of some hundred processes compiles whatever it imports.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: help install run check test lint sam-validate format unit coverage test-pythons witness bench faults simulate mutants fuzz sam-local build deploy adopt lock clean

help: ## Show what can be typed
	@grep -hE '^[a-z%-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: .venv/.ready .venv-sam/.ready .venv-aws/.ready ## Install every tool into .venv*

# Environments ---------------------------------------------------------------------------------------------------------

# An environment is made under another name and renamed when it is complete, so an interrupted install leaves nothing
# that a later one trips over. --relocatable, because the scripts in it must survive the renaming.
define environment
@echo "Installing $(2) into $(@D)" >&2
@rm -rf $(@D).new
@$(UV) venv -q --relocatable --no-python-downloads --python "$(1)" $(@D).new
@$(UV) pip install -q --python $(@D).new/bin/python --require-hashes -r $(2)
$(if $(3),@$(UV) pip install -q --python $(@D).new/bin/python --no-deps --no-build-isolation -e .)
@touch $(@D).new/.ready
@rm -rf $(@D) && mv $(@D).new $(@D)
endef

define check_python
@command -v "$(PYTHON)" >/dev/null || \
	{ echo "$(PYTHON) is not on the PATH. Name a Python from 3.11 on: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
@"$(PYTHON)" -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v >= (3, 11) else \
	"Bellhop needs Python 3.11 or later; this is %d.%d. Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)" % v)'
endef

# pip checks the hashes of uv, and uv those of everything else. Python's own errors are shown unless it was interrupted.
$(UV): requirements-uv.txt
	$(check_python)
	@echo "Installing the tools into .venv*: once, about half a minute" >&2
	@rm -rf .venv-uv .venv-uv.new && mkdir .venv-uv.new
	@trap 'exit 130' INT; "$(PYTHON)" -m venv .venv-uv.new 2>.venv-uv.new/errors || { cat .venv-uv.new/errors >&2; echo "$(PYTHON) cannot make a virtual environment. \
	On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@.venv-uv.new/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-uv.txt
	@touch .venv-uv.new/bin/uv && mv .venv-uv.new .venv-uv

.venv/.ready: requirements-dev.txt pyproject.toml | $(UV)
	$(check_python)
	$(call environment,$(PYTHON),requirements-dev.txt,editable)

.venv-sam/.ready: requirements-sam.txt | .venv/.ready
	$(call environment,$(PY),requirements-sam.txt)

.venv-aws/.ready: requirements-aws.txt | .venv/.ready
	$(call environment,$(PY),requirements-aws.txt)

# The versions of the libraries that pyproject.toml still allows, the oldest ones.
.venv-lowest/.ready: requirements-lowest.txt pyproject.toml | .venv/.ready
	$(call environment,$(PY),requirements-lowest.txt,editable)

# A shell command that prints where Python $(1) is, on the PATH or under pyenv; nothing when it is on neither.
find_python = for python in python$(1) "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/$(1).*/bin/python$(1); do \
	"$$python" -c 'import sys; print(sys.executable)' 2>/dev/null && break; done

# The one tool that is no Python. Nothing of what it installs runs scripts then, and npm checks every hash of the lock.
.venv-node/.ready: tests/witness/package.json tests/witness/package-lock.json
	@rm -rf $(@D).new && mkdir $(@D).new && cp $^ $(@D).new
	@npm ci --prefix $(@D).new --ignore-scripts --no-audit --no-fund --loglevel error
	@touch $(@D).new/.ready && rm -rf $(@D) && mv $(@D).new $(@D)

# Go checks the hashes of go.sum. -modcacherw, so that it can be removed like the others.
.venv-go/.ready: infra/client-go/go.mod infra/client-go/go.sum
	@cd infra/client-go && GOMODCACHE="$(CURDIR)/.venv-go" GOFLAGS="-mod=readonly -modcacherw" GOTOOLCHAIN=local go mod download
	@touch $@

.PRECIOUS: .venv-3.%/.ready
.venv-3.%/.ready: requirements-dev.txt pyproject.toml | $(UV)
	@test -n "$$($(call find_python,3.$*))" || \
	{ echo "Python 3.$* is neither on the PATH nor under pyenv. Install it, or leave it out." >&2; exit 1; }
	$(call environment,$$($(call find_python,3.$*)),requirements-dev.txt,editable)

# Checks ---------------------------------------------------------------------------------------------------------------

check: lint unit ## Before a commit: lint and the unit tests

test: install lint ## Everything that CI checks on one Python: lint and every test, with the template deployed on the embedded AWS
	@.venv/bin/pytest $(ALL)

lint: .venv/.ready ## ruff, mypy and sam validate
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@$(MAKE) --no-print-directory sam-validate

sam-validate: .venv-sam/.ready ## Check template.yaml alone
	@AWS_DEFAULT_REGION=us-east-1 $(SAM) validate --lint

format: .venv/.ready ## Format the code, and repair what ruff can
	@.venv/bin/ruff check --fix-only -q .
	@.venv/bin/ruff format .

unit: .venv/.ready ## The unit tests, or some of them: TESTS=tests/unit/notify
	@.venv/bin/pytest $(PYTEST) $(TESTS)

unit-%: .venv-%/.ready ## The unit tests on another Python (unit-3.12), or on the oldest libraries allowed (unit-lowest)
	@.venv-$*/bin/pytest $(PYTEST) $(TESTS) $(COVERAGE-$*)

# Only of all unit tests, since pytest fails below the floor in pyproject.toml.
COVERAGE-3.13 = $(if $(filter tests/unit,$(TESTS)),--cov)

coverage: unit-3.13 ## The unit tests on Python 3.13, with their coverage and its floor

test-pythons: $(UV) ## The unit tests on each of PYTHONS="3.11 3.12 3.13" that is here, except EXCEPT=3.11
	@for version in $(filter-out $(EXCEPT),$(PYTHONS)); do \
		if test -n "$$($(call find_python,$$version))" -o "$(origin PYTHONS)" != file; then \
			echo "Python $$version"; $(MAKE) --no-print-directory unit-$$version || exit; \
		else echo "Python $$version is neither on the PATH nor under pyenv: skipped."; fi; done

witness: .venv/.ready ## The tables with moto's, and if Node.js is here with dynalite's, webhooks with JavaScript's library and the client for it; with Go, the client for Go
	@.venv/bin/pytest $(PYTEST) --tables moto -rs $(TESTS)
	@if command -v npm >/dev/null; then \
		$(MAKE) --no-print-directory .venv-node/.ready && .venv/bin/pytest $(PYTEST) --tables dynalite -rs $(TESTS); \
	else echo "Node.js is not here: the tables were not tested with dynalite."; fi
	@if command -v go >/dev/null; then \
		$(MAKE) --no-print-directory .venv-go/.ready && .venv/bin/pytest -q -rs tests/unit/bellhop/client/test_go.py; \
	else echo "Go is not here: the client for Go was not tested."; fi

faults: install ## Deliveries accounted for while AWS calls fail and workers die; FAULT_EVENTS=120 FAULT_SEED=1, some minutes. Outages: python -m tests.faults outages
	@.venv/bin/pytest tests/faults -q

simulate: .venv/.ready ## Stories of random faults around the real functions on a virtual clock; SCHEDULES=1000, a second each
	@$(PY) -m tests.simulation --stories $(or $(SCHEDULES),1000)

mutants: .venv/.ready ## Plant defects in copies of the tree; each must be caught; MUTANT="a text" for some of them
	@$(PY) -m tests.mutants $(if $(MUTANT),"$(MUTANT)")

fuzz: .venv/.ready ## Damaged events, messages, items, URLs, responses and TLS, for hours; PROFILE=minutes for CI's budget
	@.venv/bin/pytest $(PYTEST) --hypothesis-profile $(or $(PROFILE),hours) tests/fuzz tests/unit/deliver/http/test_fuzz.py \
	tests/unit/bellhop/test_events.py tests/unit/cli/registry/test_loading.py

sam-local: install ## Each function in a Lambda container by sam local invoke; needs a Docker engine
	@$(PY) -m infra.local.samlocal

# Running and deploying ------------------------------------------------------------------------------------------------

run: ## Show it working on an embedded AWS: webhooks out, a broken app switched off, the mail
	@echo "Bellhop on an embedded AWS: a minute, the first time two. Ctrl-C ends it."
	@$(MAKE) --no-print-directory -s install
	@trap : INT; $(PY) -m infra.local.demo || test $$? = 130  # interrupted, which it has said itself

bench: install ## Measure processor time, isolation, AWS cost and cold starts against baselines; some minutes
	@$(PY) -m tests.bench

build: .venv/.ready .venv-sam/.ready ## Build the functions for the Python and processor of ENV's stack
	@$(PY) -m infra.deploy build --env "$(ENV)"

# Whoever still types RUNTIME= must not believe that it is obeyed.
deploy: .venv/.ready .venv-sam/.ready ## Deploy to an AWS account; ENV=prod has a file of its own, YES=1 does not ask
	$(if $(filter command,$(origin RUNTIME)),$(error RUNTIME= is not read: write Runtime = "$(RUNTIME)" into \
	infra/environments/$(ENV).toml, below [parameters]))
	@$(PY) -m infra.deploy deploy --env "$(ENV)" $(if $(YES),--yes)

adopt: .venv/.ready ## A new stack takes over what a deleted one left (FROM=its-arn) or what was restored (USE="Apps=name")
	@$(PY) -m infra.deploy adopt --env "$(ENV)" --left-by "$(FROM)" --use "$(USE)" $(if $(YES),--yes)

# Housekeeping ---------------------------------------------------------------------------------------------------------

clean: ## Remove what was built and measured; the environments stay: rm -rf .venv* removes them
	@rm -rf .aws-sam .local .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.*
	@find functions infra tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The libraries whose oldest allowed versions are tested; all others are pinned in requirements-lowest.txt as in -dev.
LOWEST := aws-lambda-powertools|pynamodb|requests|urllib3

COMPILE = $(UV) pip compile -q --no-header --generate-hashes --universal --python-version 3.11 $(UPGRADE)

lock: $(UV) ## Write the locks from pyproject.toml with the pins they have; UPGRADE=-U takes the newest versions
	$(COMPILE) --group uv -o requirements-uv.txt
	$(COMPILE) --group bundle -o functions/requirements.txt
	$(COMPILE) --group dev -c functions/requirements.txt -o requirements-dev.txt
	$(COMPILE) --group sam -o requirements-sam.txt
	$(COMPILE) --group aws -o requirements-aws.txt
	sed -nE '/^($(LOWEST))==/d; s/^([a-z].*==[^\]*).*/\1/p' requirements-dev.txt | \
		$(COMPILE) -U --resolution lowest-direct --group test -c - -o requirements-lowest.txt
