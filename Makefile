# Every task in one word; `make` lists them. What a task needs is installed once, below .local and .aws-sam, and nowhere else.

# For the tasks that have a choice:
ARCHITECTURE ?=#                   arm64 or x86_64, for build; empty: what samconfig.toml or else the template says
ENV ?= default#                    for build and deploy: the environment of samconfig.toml: default, staging or production
ENGINE ?= postgresql#              for demo, invoke and aws: the database: postgresql, mysql, mariadb or sqlserver (a stand-in)
EVENT ?= create-secret#            for invoke: create-secret, set-secret, test-secret, finish-secret, or the path of a file
AWS ?=#                            for invoke: laptop, or account: the one of your credentials, or that AWS_ENDPOINT_URL names
ADDRESS ?= host.docker.internal#   for aws: where a container reaches this machine
AUDIT_REQUIRED ?=#                 for check and audit: true: not to learn which vulnerabilities are known is an error
PYTEST_ARGS ?=#                    for test: -k alternating, --durations=15, -n 0 (one process instead of one per core) …

# Of the Python 3.13 that works here, and of no package that happens to be installed beside it.
BIN := .local/python/bin
DEVELOPMENT := .local/python/.complete
SAM := .local/sam/.complete
RUNTIME := .local/runtime/.complete
CHECKOV := .local/checkov/.complete
AWS_STAND_IN := .local/aws/.complete
SUPPLY := .local/supply/.complete
UV := .local/uv/.complete
COMPILE := UV_CUSTOM_COMPILE_COMMAND="make renew" .local/uv/bin/uv pip compile --quiet --upgrade --universal --generate-hashes \
	--emit-build-options --python .local/uv/bin/python --python-version 3.13
INSTALL := -m pip install --quiet --quiet --disable-pip-version-check --no-input --require-hashes

# What the tests and the demo run: the same artifacts, for this machine's processor, beside those that are deployed.
HOST_ARCHITECTURE := $(if $(filter arm64 aarch64,$(shell uname -m)),arm64,x86_64)
HOST_BUILD := .local/build/template.yaml
# One of each partition, and the one where everything is: what the template uses must be there.
REGIONS := us-east-1 eu-central-1 cn-north-1 us-gov-west-1
SOURCES := template.yaml samconfig.toml $(shell find functions layers supply ! -name '__pycache__' ! -name '*.pyc')

export SAM_CLI_TELEMETRY := 0
.DELETE_ON_ERROR:
.PHONY: help demo test faults check audit format build libraries renew validate invoke aws deploy clean

help: ## list these tasks
	@awk -F ': .*## ' '/^[a-z]+: .*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(DEVELOPMENT) $(RUNTIME) $(HOST_BUILD) ## watch a real credential rotate, on this machine alone (ENGINE=postgresql, mysql, mariadb or sqlserver)
	@$(BIN)/python -m tests.local.demo --engine $(ENGINE)

test: $(DEVELOPMENT) $(RUNTIME) $(AWS_STAND_IN) $(HOST_BUILD) ## run all tests, against real servers and the built artifacts (PYTEST_ARGS="-k …")
	@$(BIN)/python -m tests.local.servers.fetch || test -z "$$CI" # without: those tests are skipped, except in CI
	@$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal $(or $(PYTEST_ARGS),--cov --cov-report=)
	@$(if $(PYTEST_ARGS),,$(BIN)/python -m tests.local.coverage_floors)

faults: $(DEVELOPMENT) ## kill and cut off rotations at every message, on all cores; the table is kept in .local (PYTEST_ARGS="-k mysql")
	@$(BIN)/python -m tests.local.servers.fetch
	@$(BIN)/python -m pytest --numprocesses logical --dist worksteal --verbose --every-crash-point tests/faults/test_killed.py $(PYTEST_ARGS)

check: $(DEVELOPMENT) ## format, lint, types, workflows, known vulnerabilities: say what is wrong, change nothing
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/mypy
	@$(BIN)/actionlint .github/workflows/*.yml
	@$(MAKE) --no-print-directory audit

audit: $(SUPPLY) ## has anything that is deployed a known vulnerability? (AUDIT_REQUIRED=true)
	@.local/supply/bin/python -m supply.audit

format: $(DEVELOPMENT) ## mend what of the format and the lint can be mended by itself
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

build: $(SUPPLY) $(SAM) ## build what is deployed, into .aws-sam/build, and what is in it, into .aws-sam/sbom (ARCHITECTURE=arm64 or x86_64)
	@$(call build_into,.aws-sam/build,$(ARCHITECTURE))

libraries: build ## build, and print which C libraries are inside, in which versions (ARCHITECTURE=arm64 or x86_64)
	@.local/supply/bin/python -m supply.libraries .aws-sam/sbom/*.json

renew: $(UV) ## write every requirements file anew: the newest versions, and their hashes
	@for file in functions/*/requirements.in layers/*/requirements.in tests/requirements/*.in; do \
		echo "Renewing $${file%in}txt …"; $(COMPILE) $$file --output-file $${file%in}txt || exit 1; done

validate: $(SAM) $(CHECKOV) ## check the template against CloudFormation's rules, in every partition, and for its security; no AWS account needed
	@.local/sam/bin/sam validate --lint
	@.local/sam/bin/cfn-lint --regions $(REGIONS) -- template.yaml
	@.local/sam/bin/python tests/local/aws/transform.py < tests/local/aws/everything.json > .local/transformed.json
	@.local/checkov/bin/checkov --config-file .checkov.yaml --file .local/transformed.json

invoke: $(DEVELOPMENT) $(RUNTIME) $(HOST_BUILD) ## have one step done, on this machine (ENGINE=mysql EVENT=set-secret) or in your account (AWS=account)
	@$(BIN)/python -m tests.local.invoke $(EVENT) --engine $(ENGINE) $(if $(AWS),--aws $(AWS))

aws: $(DEVELOPMENT) $(HOST_BUILD) ## run a laptop-sized AWS until Ctrl-C, for `sam local invoke` (ENGINE=mysql ADDRESS=172.17.0.1)
	@$(BIN)/python -m tests.local.invoke.waiting_rotation --engine $(ENGINE) --address $(ADDRESS)

deploy: ## build, show what would change in your AWS account, ask, deploy (ENV=default, staging or production)
	@test -z "$(ARCHITECTURE)" || { echo "Name the architecture in samconfig.toml: build and deployment must agree, next time too."; exit 1; }
	@$(MAKE) build
	.local/sam/bin/sam deploy --config-env $(ENV)

clean: ## remove everything that these tasks have made or installed
	rm -rf .aws-sam .local
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Into folder $(1), for architecture $(2): SAM builds, from wheels that were fetched with hashes, and asks no index.
build_into = .local/supply/bin/python -m supply.build $(1) --config-env $(ENV) $(if $(2),--architecture $(2))

$(HOST_BUILD): $(SUPPLY) $(SAM) $(SOURCES)
	@$(call build_into,$(@D),$(HOST_ARCHITECTURE))

# Each installation begins from nothing and is marked complete at its very end: one that was interrupted begins again.
$(DEVELOPMENT): tests/requirements/development.txt
	@echo "Installing the development tools into $(@D), once …"
	@rm -rf $(@D)
	@python=$$(tests/local/find-python.sh) && "$$python" -m venv $(@D)
	@$(@D)/bin/python $(INSTALL) --requirement $<
	@touch $@

# SAM, the security linter, the AWS that a test deploys to …: each in an environment of its own, for they pin much.
$(SAM) $(CHECKOV) $(AWS_STAND_IN) $(SUPPLY) $(UV): .local/%/.complete: tests/requirements/%.txt
	@echo "Installing $(basename $(notdir $<)) into $(@D), once …"
	@rm -rf $(@D)
	@python=$$(tests/local/find-python.sh) && "$$python" -m venv $(@D)
	@$(@D)/bin/python $(INSTALL) --requirement $<
	@touch $@

$(RUNTIME): tests/requirements/runtime.txt $(DEVELOPMENT)
	@echo "Installing what the Lambda runtime brings along into $(@D), once …"
	@rm -rf $(@D)
	@$(BIN)/python $(INSTALL) --target $(@D) --requirement $<
	@touch $@
