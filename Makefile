# The two commands: `make run` and `make test`. Everything they need is installed below .venv and .local.
PYTHON ?= python3
PORT ?= 4566
MINUTES ?= 15

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv/bin
STACK_PYTHON := .local/ministack/bin/python
SAM := .local/sam/bin/sam
UV := .local/uv/bin/uv
export PYTHONPATH := layers/common:cli
export SAM_CLI_TELEMETRY := 0
# uv works with the interpreters and the certificates of this machine, and with no settings files.
export UV_PYTHON_DOWNLOADS := never
export UV_SYSTEM_CERTS := 1
export UV_NO_CONFIG := 1
# uv leaves bytecode to the first use, which has to keep it, or each start would compile anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.PHONY: run
run: .venv/.installed .local/ministack/.installed .local/sam/.installed ## bring up the whole stack on this machine until Ctrl-C (PORT= moves it)
	@exec $(STACK_PYTHON) local/stack.py --port $(PORT) --sam $(SAM) --unitstream $(VENV)/unitstream

.PHONY: replay
replay: .venv/.installed ## send every event of events/ to the running local stack and compare the answers
	@$(VENV)/python local/forget_events.py
	@$(VENV)/python local/compare_answers.py

.PHONY: test
test: lint types unit integration runtime e2e ## everything that CI checks

.PHONY: build
build: WITHOUT_RUNTIME = echo "$(NO_RUNTIME)" >&2; exit 1
build: .local/sam/.installed .local/runtime ## what `sam deploy` deploys: `sam build`, and its bytecode (ARCHITECTURE= overrides the template's)
	@.local/runtime/bin/python local/build.py --sam $(SAM) $(if $(ARCHITECTURE),--architecture $(ARCHITECTURE))

.PHONY: lint
lint: .venv/.installed .local/sam/.installed .local/checkov/.installed ## lint and format, of code and template
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(SAM) validate --lint --region us-east-1
	.local/checkov/bin/checkov --framework cloudformation --file template.yaml --skip-download --quiet --compact

.PHONY: types
types: .venv/.installed ## strict types
	$(VENV)/mypy

.PHONY: unit
unit: .venv/.installed ## tests without a server
	$(VENV)/pytest -p no:schemathesis -n 2 tests/unit

.PHONY: integration
integration: .venv/.installed dynamodb-local ## tests on DynamoDB Local
	$(VENV)/pytest -p no:schemathesis -n 2 --dist loadfile tests/integration

.PHONY: runtime
runtime: .venv/.installed .local/sam/.installed .local/runtime dynamodb-local ## tests of what `make build` makes, in Lambda's runtime (RUNTIME_PYTHON= names its interpreter)
	$(VENV)/pytest tests/runtime

.PHONY: e2e
e2e: .venv/.installed .local/ministack/.installed .local/sam/.installed .local/client/.installed browser ## tests over HTTP on a local stack of their own
	$(VENV)/pytest -n 2 --dist loadfile tests/e2e

.PHONY: openapi
openapi: .venv/.installed ## write openapi.json anew from the validators, the routes and events/
	@PYTHONPATH=layers/common:functions $(VENV)/python local/openapi.py

.PHONY: bench
bench: .venv/.installed .local/sam/.installed .local/runtime dynamodb-local ## measure CPU, cost and memory against plain boto3 (QUICK=1: within a minute)
	@PYTHONPATH=layers/common:functions:local:tests \
	  $(VENV)/python tests/benchmarks/bench.py $(if $(QUICK),--quick) $(if $(PROFILE),--profile)

.PHONY: starts
starts: .venv/.installed .local/sam/.installed .local/runtime ## measure cold starts in Lambda's emulator, with bytecode and without (AGAINST= another checkout)
	@PYTHONPATH=layers/common:cli:local:tests $(VENV)/python tests/benchmarks/starts.py $(if $(AGAINST),--against $(AGAINST))

.PHONY: soak
soak: .venv/.installed dynamodb-local ## a long run of requests with every fault (MINUTES=15, SEED= repeats one)
	$(VENV)/python tests/soak.py --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

.PHONY: push-million
push-million: .venv/.installed dynamodb-local ## push a million rows through faults and a kill, and compare the table (ROWS= for fewer)
	@PYTHONPATH=layers/common:cli:functions:local:tests $(VENV)/python tests/benchmarks/push.py $(if $(ROWS),--rows $(ROWS))

.PHONY: screenshots
screenshots: .venv/.installed browser ## take the pictures of the explorer in docs/ anew, beside `make run`
	@PYTHONPATH=layers/common:cli:tests $(VENV)/python tests/screenshots.py

.PHONY: format
format: .venv/.installed ## mend what ruff can mend
	$(VENV)/ruff check --fix .
	$(VENV)/ruff format .

.PHONY: lock
lock: .local/uv/.installed ## pin the dependencies anew
	@for name in uv layer ministack sam runtime checkov client dev; do \
	  target=requirements/$$name.txt; \
	  constraint=(); \
	  [ $$name = layer ] && target=layers/common/requirements.txt; \
	  [ $$name = dev ] && constraint=(--constraint layers/common/requirements.txt); \
	  $(UV) pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
	    --no-annotate "$${constraint[@]}" requirements/$$name.in --output-file $$target; \
	done

.PHONY: clean
clean: ## remove all that make made
	rm -rf .venv .local .bench .aws-sam .mypy_cache .pytest_cache .ruff_cache .hypothesis

# --- installing -------------------------------------------------------------------------------------------------------
# Prints where PYTHON is, or what it lacks.
PYTHON_PATH = $(PYTHON) -c 'import sys; sys.exit("unitstream needs Python 3.11 or newer: make PYTHON=python3.13") \
  if sys.version_info < (3, 11) else print(sys.executable)'

# pip brings uv, and uv all else: the same hashed requirements, which are complete, so that nothing is left to resolve.
.local/uv/.installed: requirements/uv.txt
	@python=$$($(PYTHON_PATH)); echo "Installing $< into .local/uv"; rm -rf .local/uv; $$python -m venv .local/uv
	@.local/uv/bin/python -m pip install --quiet --quiet --disable-pip-version-check --no-deps --require-hashes --requirement $<
	@touch $@

define environment
	@python=$$($(PYTHON_PATH)); echo "Installing $(2) into $(1)"; rm -rf $(1); $(UV) venv --quiet --no-project --python $$python $(1)
	@$(UV) pip install --quiet --python $(1) --no-deps --require-hashes --requirement $(2) $(3)
endef

# With the command itself, in editable form: all that it needs is among the requirements.
.venv/.installed: requirements/dev.txt | .local/uv/.installed
	$(call environment,.venv,$<)
	@$(UV) pip install --quiet --python .venv --no-deps --no-build-isolation --offline --editable .
	@touch $@

.local/%/.installed: requirements/%.txt | .local/uv/.installed
	$(call environment,.local/$*,$<)
	@touch $@

# Lambda's version of Python. pyenv's own commands start only what is set there, so its versions are looked at before
# them, newest first.
RUNTIME := $(shell sed -n 's/^ *Default: python//p' template.yaml)
PYENV_VERSIONS = $$(ls -d "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/*/bin 2>/dev/null | sort -rV | tr '\n' ':')
FIND_RUNTIME = PATH="$(PYENV_VERSIONS)$$PATH" $(UV) python find --no-project --system $(RUNTIME) 2>/dev/null
NO_RUNTIME := No Python $(RUNTIME) here, which template.yaml deploys to
WITHOUT_RUNTIME = echo "$(NO_RUNTIME): taking $$($(PYTHON) --version)" >&2; echo $(PYTHON)

# What stands for Lambda's runtime. Lambda's boto3 comes with its bytecode.
.PHONY: .local/runtime
.local/runtime: .local/uv/.installed
	@python=$$($(if $(RUNTIME_PYTHON),echo $(RUNTIME_PYTHON),$(FIND_RUNTIME) || { $(WITHOUT_RUNTIME); })); \
	version=$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	$(MAKE) --silent PYTHON=$$python .local/runtime-$$version/.installed; \
	ln -sfn runtime-$$version .local/runtime

.local/runtime-%/.installed: requirements/runtime.txt | .local/uv/.installed
	$(call environment,.local/runtime-$*,$<,--compile-bytecode)
	@touch $@

# AWS's own emulator, and a browser with what looks for barriers in a page, as npm packages carry them. Without npm their
# tests are skipped, which CI does not allow.
DYNAMODB_LOCAL_SHA512 := c5379e44bbf311fab2779961ddb1f8734907bd21c79a6843e590ec1c5280439836665e89aa515dbad6908422c7cf1129e91cb5a3b4c1ea7888a17b9002749ec1
CHROMIUM_SHA512 := e1929e01041af2ea769adebbe6a4a2b73b4b75b42b95ff0129d0b99da79aa7ee4cbf5395d4e94974fa14f84242fe9e6c414254426378afeab9f8485a68e507a5
AXE_SHA512 := 8a561a9c453cbf1c417b1a4977c716338125490ab841cb422ca8a1d1349f8c87c24137b21ffeb356b98825f2cfaca4ca2516e21be71f9d96d02230252661758d

# $(1): where to, $(2): the package and its version, $(3): its SHA-512. Leaves it unpacked in $(1)/package.
define npm_package
	@echo "Installing $(2) into $(1)"
	@rm -rf $(1) && mkdir -p $(1)
	@cd $(1) && npm pack --silent $(2) >/dev/null && mv *.tgz package.tgz
	@cd $(1) && $(PYTHON) -c 'import hashlib, sys; \
	  sys.exit(hashlib.sha512(open("package.tgz", "rb").read()).hexdigest() != sys.argv[1] and "unexpected content")' $(3)
	@tar -xzf $(1)/package.tgz -C $(1) && rm $(1)/package.tgz
endef

.PHONY: dynamodb-local
dynamodb-local:
	@if command -v npm >/dev/null; then $(MAKE) .local/dynamodb/.installed; else echo "npm is missing: no DynamoDB Local"; fi

.local/dynamodb/.installed:
	$(call npm_package,.local/dynamodb,amplify-dynamodb-simulator@2.9.30,$(DYNAMODB_LOCAL_SHA512))
	@mv .local/dynamodb/package/emulator/* .local/dynamodb/ && rm -r .local/dynamodb/package
	@touch $@

.PHONY: browser
browser:
	@if command -v npm >/dev/null; then $(MAKE) .local/chromium/.installed .local/axe/.installed; else echo "npm is missing: no browser"; fi

.local/chromium/.installed: | .venv/.installed
	$(call npm_package,.local/chromium,@sparticuz/chromium@147.0.0,$(CHROMIUM_SHA512))
	@cd .local/chromium && ../../$(VENV)/python -c 'import brotli, pathlib; \
	  pathlib.Path("chromium").write_bytes(brotli.decompress(pathlib.Path("package/bin/chromium.br").read_bytes()))'
	@chmod +x .local/chromium/chromium && rm -r .local/chromium/package
	@touch $@

.local/axe/.installed:
	$(call npm_package,.local/axe,axe-core@4.11.0,$(AXE_SHA512))
	@touch $@
