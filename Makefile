# Every task in one word; `make` lists them. Tasks install what they need once, in .local and .aws-sam, and nowhere else.

# Choices of the tasks:
ARCHITECTURE ?=#                   build: arm64 or x86_64; empty: as in samconfig.toml, else as in the template
ENV ?= default#                    build, deploy: the environment of samconfig.toml: default, staging or production
ENGINE ?= postgresql#              demo, invoke, aws: the database: postgresql, mysql, mariadb or sqlserver (a stand-in)
EVENT ?= create-secret#            invoke: create-secret, set-secret, test-secret, finish-secret, or the path of a file
AWS ?=#                            invoke: laptop; or account: that of your credentials, or of AWS_ENDPOINT_URL
ADDRESS ?=#                        aws: for `sam local invoke`: the address at which a container reaches this machine
AUDIT_REQUIRED ?=#                 check, audit: true: it is an error if vulnerabilities cannot be looked up
STACK ?=#                          uninstall: the name of the stack
OPERATION_ARGS ?=#                 preflight, doctor, attach, rotate, uninstall: --help, --yes, --json, --detach, --profile NAME, --region NAME …
WEB ?=#                            demo: 1: a page with buttons, at 127.0.0.1, until Ctrl-C
SECRET ?=#                         preflight, doctor, attach, rotate: the name or the ARN of a secret
SCHEDULE ?=#                       attach: rate(…) or cron(…)
BENCH_ARGS ?=#                     bench: --engine mysql --starts 30, or --against another function: --help lists all
PYTEST_ARGS ?=#                    test: -k alternating, --durations=15, -n 0 (one process instead of one per core) …

# Each installation is a virtual environment of Python 3.13. It sees no other package of this machine.
BIN := .local/python/bin
DEVELOPMENT := .local/python/.complete
SAM := .local/sam/.complete
RUNTIME := .local/runtime/.complete
CHECKOV := .local/checkov/.complete
AWS_STAND_IN := .local/aws/.complete
SUPPLY := .local/supply/.complete
EXAMPLES := .local/examples/.complete
DOCS := .local/docs/.complete
UV := .local/uv/.complete
COMPILE := UV_CUSTOM_COMPILE_COMMAND="make renew" .local/uv/bin/uv pip compile --quiet --upgrade --universal --generate-hashes \
	--emit-build-options --python .local/uv/bin/python --python-version 3.13
INSTALL := -m pip install --quiet --quiet --disable-pip-version-check --no-input --require-hashes

# The operator's commands need boto3, which comes with SAM, and the package of the layer.
OPERATION := PYTHONPATH=layers/common .local/sam/bin/python -m operations
ON_SECRET = $(if $(SECRET)$(OPERATION_ARGS),,$(error Name a secret: make $@ SECRET=orders/postgresql))$(OPERATION)
ON_STACK = $(if $(STACK)$(OPERATION_ARGS),,$(error Name the stack: make $@ STACK=secret-rotation))$(OPERATION)

# Tests and demo run the same artifacts as are deployed, built for this machine's processor, in a folder of their own.
HOST_ARCHITECTURE := $(if $(filter arm64 aarch64,$(shell uname -m)),arm64,x86_64)
HOST_BUILD := .local/build/template.yaml
# Tests wait for servers a third of the time, so there are three workers for two processors, and four at most.
WORKERS := $(shell workers=$$(( $$(nproc) * 3 / 2 )); echo $$(( workers < 4 ? workers : 4 )))
# One Region of each partition, and the one that has everything: they must have all that the template uses.
REGIONS := us-east-1 eu-central-1 cn-north-1 us-gov-west-1
SOURCES := template.yaml samconfig.toml $(shell find functions layers supply ! -name '__pycache__' ! -name '*.pyc')

export SAM_CLI_TELEMETRY := 0
ifdef AWS_REGION # SAM reads the other name only
export AWS_DEFAULT_REGION ?= $(AWS_REGION)
endif
.DELETE_ON_ERROR:
.PHONY: help demo test test-all faults bench check audit format build libraries package deployer renew validate invoke aws dashboard pictures docs deploy \
	preflight doctor attach rotate rotate-all uninstall clean

help: ## list these tasks
	@awk -F ': .*## ' '/^[a-z-]+: .*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(DEVELOPMENT) $(RUNTIME) $(HOST_BUILD) ## watch a real credential rotate, on this machine alone (ENGINE=mysql …; WEB=1: in a browser)
	@$(BIN)/python -m tests.local.demo --engine $(ENGINE) $(if $(WEB),--web)

test: $(DEVELOPMENT) $(RUNTIME) $(AWS_STAND_IN) $(DOCS) $(HOST_BUILD) ## run all tests, against real servers and the built artifacts (PYTEST_ARGS="-k …")
	@$(BIN)/python -m tests.local.servers.fetch || test -z "$$CI" # if it fails, the tests of those servers are skipped, except in CI
	@$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal $(or $(PYTEST_ARGS),--cov --cov-report=)
	@$(if $(PYTEST_ARGS),,$(BIN)/python -m tests.local.coverage_floors)

test-all: $(DEVELOPMENT) $(RUNTIME) $(AWS_STAND_IN) $(DOCS) $(EXAMPLES) $(HOST_BUILD) ## run what make test leaves out: more versions, more cases, the examples (needs npm)
	@$(BIN)/python -m tests.local.servers.fetch --every-version
	@$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal --every-version tests/contract $(PYTEST_ARGS)
	@$(if $(PYTEST_ARGS),,$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal --thorough -m thorough --ignore tests/contract)

faults: $(DEVELOPMENT) ## kill and cut off rotations at every message, on all cores; the table is kept in .local (PYTEST_ARGS="-k mysql")
	@$(BIN)/python -m tests.local.servers.fetch
	@$(BIN)/python -m pytest --numprocesses logical --dist worksteal --verbose --every-crash-point tests/faults/test_killed.py $(PYTEST_ARGS)

bench: $(DEVELOPMENT) $(RUNTIME) $(HOST_BUILD) ## measure starts, rotations, messages, sizes; writes docs/bench.md (BENCH_ARGS="--help")
	@$(BIN)/python -m tests.local.servers.fetch
	@PYTHONPATH=layers/common $(BIN)/python -m tests.bench $(BENCH_ARGS)

check: $(DEVELOPMENT) ## check format, lint, types, workflows, known vulnerabilities; change nothing
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/mypy
	@$(BIN)/actionlint .github/workflows/*.yml
	@$(MAKE) --no-print-directory audit

audit: $(SUPPLY) ## look up known vulnerabilities of all that is deployed (AUDIT_REQUIRED=true)
	@.local/supply/bin/python -m supply.audit

format: $(DEVELOPMENT) ## fix what format and lint can fix
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

build: $(SUPPLY) $(SAM) ## build the artifacts into .aws-sam/build, and their bills of materials into .aws-sam/sbom (ARCHITECTURE=arm64 or x86_64)
	@$(call build_into,.aws-sam/build,$(ARCHITECTURE))
	@echo ".aws-sam/build: the artifacts. .aws-sam/sbom: what is in them."

libraries: build ## build, and print the C libraries inside, with their versions (ARCHITECTURE=arm64 or x86_64)
	@.local/supply/bin/python -m supply.libraries .aws-sam/sbom/*.json

package: build ## make a plain template, without loops and macros, and its zip files, in .aws-sam/package (ARCHITECTURE=…)
	@.local/sam/bin/python -m supply.package .aws-sam/build .aws-sam/package

deployer: $(SUPPLY) ## print a template of the IAM role with which CloudFormation deploys, found from the resources: docs/deploying.md
	@.local/supply/bin/python -m supply.deployer

renew: $(UV) ## rewrite every requirements file with the newest versions, and their hashes
	@for file in functions/*/requirements.in layers/*/requirements.in tests/requirements/*.in; do \
		echo "Renewing $${file%in}txt …"; $(COMPILE) $$file --output-file $${file%in}txt || exit 1; done

validate: $(SAM) $(CHECKOV) ## check the templates: CloudFormation's rules in every partition, and security; no AWS account needed
	@.local/sam/bin/sam validate --lint
	@.local/sam/bin/cfn-lint --regions $(REGIONS) -- template.yaml examples/events/*.yaml
	@.local/sam/bin/python tests/local/aws/transform.py < tests/local/aws/everything.json > .local/transformed.json
	@.local/checkov/bin/checkov --config-file .checkov.yaml --file .local/transformed.json

invoke: $(DEVELOPMENT) $(RUNTIME) $(HOST_BUILD) ## run one step, on this machine (ENGINE=mysql EVENT=set-secret) or in your account (AWS=account)
	@$(BIN)/python -m tests.local.invoke $(EVENT) --engine $(ENGINE) $(if $(AWS),--aws $(AWS))

aws: $(DEVELOPMENT) $(RUNTIME) $(HOST_BUILD) ## run a laptop-sized AWS until Ctrl-C, for make preflight, rotate and so on (ENGINE=mysql); or for `sam local invoke` (ADDRESS=172.17.0.1)
	@$(BIN)/python -m tests.local.invoke.$(if $(ADDRESS),waiting_rotation --address $(ADDRESS),running_functions) --engine $(ENGINE)

dashboard: $(DEVELOPMENT) ## draw what the stack's dashboard shows on the fortieth day, into .local/dashboard.svg
	@PYTHONPATH=layers/common $(BIN)/python -m tests.local.dashboard

pictures: $(DEVELOPMENT) $(RUNTIME) $(HOST_BUILD) ## draw docs/pictures anew, from runs on this machine; crash points: of the last make faults, or a sample
	@PYTHONPATH=layers/common $(BIN)/python -m tests.local.pictures

docs: $(DOCS) ## build the pages of docs/ as a site, into .local/site; a link that leads nowhere is an error
	@NO_MKDOCS_2_WARNING=1 .local/docs/bin/python -m mkdocs build # with --quiet it would build in spite of warnings
	@echo .local/site/index.html

deploy: $(SAM) ## build, show what would change in your AWS account, ask, deploy, protect from deletion (ENV=default, staging or production)
	@test -z "$(ARCHITECTURE)" || { echo "Name the architecture in samconfig.toml instead: build and deployment must use the same one every time."; exit 1; }
	@mkdir -p .aws-sam
	@.local/sam/bin/python supply/parameters.py $(ENV) > .aws-sam/parameters.yaml # all of them: a value that was removed is gone
	@$(OPERATION).account --config-env $(ENV)
	@$(MAKE) build
	.local/sam/bin/sam deploy --config-env $(ENV) --parameter-overrides file://.aws-sam/parameters.yaml
	@$(OPERATION).protect --config-env $(ENV)

preflight: $(SAM) ## ask the function that is attached to a secret whether a rotation would succeed (SECRET=name; OPERATION_ARGS="--help")
	@$(ON_SECRET).preflight $(OPERATION_ARGS) $(SECRET)

doctor: $(SAM) ## ask the function that is attached to a secret what happened to a stuck rotation, and what repairs it (SECRET=name; OPERATION_ARGS="--repair")
	@$(ON_SECRET).doctor $(OPERATION_ARGS) $(SECRET)

attach: $(SAM) ## attach a rotation function to a secret, without rotating it (SECRET=name ENGINE=mysql SCHEDULE="rate(7 days)"; OPERATION_ARGS="--help")
	@$(ON_SECRET).attach $(OPERATION_ARGS) $(if $(filter-out file,$(origin ENGINE)),--engine $(ENGINE)) $(if $(SCHEDULE),--schedule '$(SCHEDULE)') $(SECRET)

rotate: $(SAM) ## rotate a secret now, and watch the steps (SECRET=name; OPERATION_ARGS="--wait 60")
	@$(ON_SECRET).rotate $(OPERATION_ARGS) $(SECRET)

rotate-all: $(SAM) ## rotate many secrets at once, a few of each server at a time (OPERATION_ARGS="--help", "--tag key=value --dry-run" …)
	@$(OPERATION).rotate_all $(OPERATION_ARGS)

uninstall: $(SAM) ## show which secrets a stack still rotates, ask, and delete it (STACK=name; OPERATION_ARGS="--help")
	@$(ON_STACK).uninstall $(OPERATION_ARGS) $(STACK)

clean: ## remove everything that these tasks built or installed
	rm -rf .aws-sam .local
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# SAM builds into folder $(1), for architecture $(2), from wheels that were downloaded with hashes. It asks no index.
build_into = .local/supply/bin/python -m supply.build $(1) --config-env $(ENV) $(if $(2),--architecture $(2))

$(HOST_BUILD): $(SUPPLY) $(SAM) $(SOURCES)
	@$(call build_into,$(@D),$(HOST_ARCHITECTURE))

# Each installation begins from nothing and is marked complete at its end: an interrupted one begins again.
$(DEVELOPMENT): tests/requirements/development.txt
	@echo "Installing the development tools into $(@D), once …" >&2
	@rm -rf $(@D)
	@python=$$(tests/local/find-python.sh) && "$$python" -m venv $(@D)
	@$(@D)/bin/python $(INSTALL) --requirement $<
	@touch $@

# SAM, the security linter, the AWS of a test's deployment …: each has its own environment, because they pin many versions.
$(SAM) $(CHECKOV) $(AWS_STAND_IN) $(SUPPLY) $(EXAMPLES) $(DOCS) $(UV): .local/%/.complete: tests/requirements/%.txt
	@echo "Installing what $< lists into $(@D), once …" >&2
	@rm -rf $(@D)
	@python=$$(tests/local/find-python.sh) && "$$python" -m venv $(@D)
	@$(@D)/bin/python $(INSTALL) --requirement $<
	@touch $@

$(RUNTIME): tests/requirements/runtime.txt $(DEVELOPMENT)
	@echo "Installing the packages of the Lambda runtime into $(@D), once …" >&2
	@rm -rf $(@D)
	@$(BIN)/python $(INSTALL) --target $(@D) --requirement $<
	@touch $@
