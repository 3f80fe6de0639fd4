# Everything a person types. Each target installs what it needs, from the locks beside this file.
PYTHON  ?= python3
UV      := .venv/bin/uv
PY      := .venv/bin/python
UV_VERSION := 0.13.9
RUNTIME ?= python3.13
SAM     := SAM_CLI_TELEMETRY=0 .venv-sam/bin/sam

.DEFAULT_GOAL := help
.PHONY: help install run test bench sam-local build deploy lock clean

help: ## Show what can be typed
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.venv/.ready: requirements-dev.txt pyproject.toml
	@test -x $(PY) || $(PYTHON) -m venv .venv
	@test -x $(UV) || .venv/bin/pip install -q --disable-pip-version-check uv==$(UV_VERSION)
	@$(UV) pip install -q --python $(PY) -r requirements-dev.txt
	@$(UV) pip install -q --python $(PY) --no-deps --no-build-isolation -e .
	@touch $@

.venv-sam/.ready: requirements-sam.txt .venv/.ready
	@test -x .venv-sam/bin/python || $(UV) venv -q --python $(PY) .venv-sam
	@$(UV) pip install -q --python .venv-sam/bin/python -r requirements-sam.txt && touch $@

.venv-aws/.ready: requirements-aws.txt .venv/.ready
	@test -x .venv-aws/bin/python || $(UV) venv -q --python $(PY) .venv-aws
	@$(UV) pip install -q --python .venv-aws/bin/python -r requirements-aws.txt && touch $@

test: install ## Everything that CI checks: lint, types, tests, the template deployed on the embedded AWS
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@AWS_DEFAULT_REGION=us-east-1 SAM_CLI_TELEMETRY=0 .venv-sam/bin/sam validate --lint
	@.venv/bin/pytest -n 2 --dist loadfile

sam-local: install ## Each function in a Lambda container by sam local invoke; needs a Docker engine
	@$(PY) -m infra.local.samlocal

run: install ## Show it working on an embedded AWS: webhooks out, a broken app switched off, the mail
	@$(PY) -m infra.local.demo

bench: install ## Measure processor time, isolation, AWS cost and cold starts against baselines, in six minutes
	@$(PY) -m tests.bench

build: install ## Build the functions for AWS, as RUNTIME=python3.13 says, with bytecode
	@command -v $(RUNTIME) >/dev/null || { echo "$(RUNTIME) is not on the PATH; sam build needs it. Another one: make $(MAKECMDGOALS) RUNTIME=python3.x"; exit 1; }
	@$(SAM) build --parameter-overrides Runtime=$(RUNTIME)
	@for bundle in .aws-sam/build/*Function; do \
		$(RUNTIME) -m compileall -q -s $$bundle -p /var/task --invalidation-mode unchecked-hash $$bundle || exit; done

deploy: build ## Deploy to an AWS account; asks for the parameters the first time
	@$(SAM) deploy $(shell grep -qs '^parameter_overrides' samconfig.toml || echo --guided --parameter-overrides Runtime=$(RUNTIME))

clean: ## Remove what was built; the tools in .venv* stay
	@rm -rf .aws-sam .local .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find functions infra tests -name __pycache__ -type d -prune -exec rm -rf {} +

install: .venv/.ready .venv-sam/.ready .venv-aws/.ready ## Install every tool into .venv*

lock: ## Resolve the dependency groups anew into the lock files
	$(UV) pip compile -q --no-header --python-version 3.11 --group bundle -o functions/requirements.txt
	$(UV) pip compile -q --no-header --python-version 3.11 --group dev -c functions/requirements.txt -o requirements-dev.txt
	$(UV) pip compile -q --no-header --python-version 3.11 --group sam -o requirements-sam.txt
	$(UV) pip compile -q --no-header --python-version 3.11 --group aws -o requirements-aws.txt
