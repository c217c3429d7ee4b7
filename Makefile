# jupyfleet's few commands; each sets up all it needs. `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help up verify down setup test test-unit test-jupyter-mcp test-e2e test-browser test-faults test-conformance test-full-profile test-environments test-fleet test-hosts test-guests test-arm64 bench-mcp bench-environment test-fleet-faults bench-fleet lint lock docs clean

PYTHON ?= python3
INVENTORY ?= inventories/local.py
# The stories of guests to test: all, or a file of them.
GUESTS ?= tests/guests
VENV := .venv
VENV_JUPYTER := .venv-jupyter
RUN := $(VENV)/bin
# Programs of test machines, each with Debian's package.
INSTALL_PROGRAMS := tests/machines/install-programs
SSHD := sshd:openssh-server
FILE_TREES := mmdebstrap:mmdebstrap ssh-keygen:openssh-client
EMULATED_PROCESSES := qemu-aarch64-static:qemu-user-static
EMULATED_MACHINES := qemu-system-x86_64:qemu-system-x86 qemu-system-aarch64:qemu-system-arm qemu-img:qemu-utils mke2fs:e2fsprogs
SLOW_OF_JUPYTER_MCP := tests/test_faults.py tests/test_kills.py tests/test_many.py tests/test_model.py

help: ## List these commands.
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):[^#]*## /\1\t/' | expand -t 20

up: $(VENV)/ready ## Provision this machine (inventories/local.py) and verify it.
	@$(RUN)/jupyfleet up $(INVENTORY)

verify: $(VENV)/ready ## Prove that the local site works; changes nothing.
	@$(RUN)/jupyfleet verify $(INVENTORY)

down: $(VENV)/ready ## Stop and remove the local site; the workspace stays.
	@$(RUN)/jupyfleet down $(INVENTORY)

setup: $(VENV)/ready ## Only make .venv, from the lock.

test: lint test-unit test-jupyter-mcp test-e2e test-browser ## Pass the fast tests; test-faults and test-full-profile are slow.

test-unit: $(VENV)/ready-for-tests ## Pure functions and host scripts: seconds.
	@$(RUN)/python -m pytest tests/unit
	@# By themselves: what runs their cases patches the standard library of its whole process.
	@$(RUN)/python -m pytest tests/operations

test-jupyter-mcp: $(VENV_JUPYTER)/ready ## The server extension, by itself.
	@cd files/jupyter_mcp && ../../$(VENV_JUPYTER)/bin/python -m pytest $(SLOW_OF_JUPYTER_MCP:%=--ignore=%)

test-e2e: $(VENV)/ready-for-tests ## Deploys into temporary homes, with everything real.
	@$(RUN)/python -m pytest tests/e2e

test-browser: $(VENV)/ready-for-tests ## A real browser in a real JupyterLab.
	@tests/browser/install-chromium
	@$(RUN)/python -m pytest tests/browser

test-faults: $(VENV)/ready-for-tests $(VENV_JUPYTER)/ready ## Deploys and servers that are interrupted and killed; minutes.
	@cd files/jupyter_mcp && ../../$(VENV_JUPYTER)/bin/python -m pytest $(SLOW_OF_JUPYTER_MCP)
	@$(RUN)/python -m pytest tests/faults

test-conformance: $(VENV)/ready-for-tests ## The official MCP conformance suite, against a deployed site.
	@tests/conformance/install-suite
	@$(RUN)/python -m pytest tests/conformance

test-hosts: $(VENV)/ready-for-tests ## Machines with systemd, over SSH, from bare to bare; minutes.
	@$(INSTALL_PROGRAMS) $(FILE_TREES) systemd-nspawn:systemd-container
	@$(RUN)/python -m pytest -rP tests/hosts

test-guests: $(VENV)/ready-for-tests ## Guests of QEMU, emulated: firewall, SELinux, a virtiofs workspace, arm64. Most of an hour.
	@$(INSTALL_PROGRAMS) $(FILE_TREES) $(EMULATED_PROCESSES) $(EMULATED_MACHINES)
	@$(RUN)/python -m pytest -rP $(GUESTS)

test-arm64: $(VENV)/ready-for-tests ## A host for arm64 over SSH, emulated; needs root. Minutes.
	@$(INSTALL_PROGRAMS) $(SSHD) $(FILE_TREES) $(EMULATED_PROCESSES)
	@$(RUN)/python -m pytest tests/arm64

test-full-profile: $(VENV)/ready-for-tests ## Profile full, every package of it; minutes.
	@$(RUN)/python -m pytest tests/full_profile

test-fleet: $(VENV)/ready-for-tests ## Thirty hosts over SSH, each with a real JupyterLab; needs root. Minutes.
	@$(INSTALL_PROGRAMS) $(SSHD)
	@$(RUN)/python -m pytest tests/fleet

test-fleet-faults: $(VENV)/ready-for-tests ## Deploys over SSH killed at sixty points, and broken hosts; needs root.
	@$(INSTALL_PROGRAMS) $(SSHD)
	@$(RUN)/python -m pytest tests/fleet_faults

test-environments: $(VENV)/ready-for-tests ## Releases: built, broken, interrupted, rolled back; minutes.
	@$(RUN)/python -m pytest tests/environments

bench-environment: $(VENV)/ready-for-tests ## Measure installs, releases and rollbacks beside bare uv; minutes. BENCH=--help tells more.
	@$(RUN)/python -m tests.benchmarks_environment $(BENCH)

bench-mcp: $(VENV)/ready-for-tests $(VENV_JUPYTER)/ready ## Measure jupyter_mcp beside its strongest peer; minutes. BENCH=--help tells more.
	@$(VENV_JUPYTER)/bin/python -m tests.benchmarks $(BENCH)

bench-fleet: $(VENV)/ready-for-tests .venv-ansible/ready ## Measure a run with nothing to do beside Ansible and pyinfra. BENCH=--help tells more.
	@$(INSTALL_PROGRAMS) $(SSHD)
	@$(RUN)/python -m tests.benchmarks_fleet $(BENCH)

lint: $(VENV)/ready-for-tests $(VENV_JUPYTER)/ready ## ruff and mypy.
	@$(RUN)/ruff check . && $(RUN)/ruff format --check . && $(RUN)/mypy
	@cd files/jupyter_mcp && ../../$(VENV_JUPYTER)/bin/ruff check . && ../../$(VENV_JUPYTER)/bin/mypy

lock: $(VENV)/ready ## Resolve every lock anew; with UPGRADE=1 to the newest versions.
	@$(RUN)/python -m deploy.environment.lock $(if $(UPGRADE),--upgrade)

docs: $(VENV)/ready ## Make the pages that are made from the code.
	@$(RUN)/python -m deploy.documentation

clean: ## Remove what these commands made in the checkout.
	rm -rf $(VENV) $(VENV_JUPYTER) .venv-ansible .cache

# An environment is ready when its lock is installed; the lock names hashes, and the index is this machine's own.
$(VENV)/ready: requirements/controller.txt requirements/uv.txt pyproject.toml requirements/install
	@requirements/install $(VENV) $(PYTHON) controller .
	@touch $@

$(VENV)/ready-for-tests: requirements/controller-test.txt $(VENV)/ready
	@requirements/install $(VENV) $(PYTHON) controller-test
	@touch $@

.venv-ansible/ready: requirements/peer-ansible.txt $(VENV)/ready
	@requirements/install .venv-ansible $(PYTHON) peer-ansible
	@touch $@

$(VENV_JUPYTER)/ready: requirements/jupyter-test.txt files/jupyter_mcp/pyproject.toml $(VENV)/ready
	@requirements/install $(VENV_JUPYTER) $(PYTHON) jupyter-test ./files/jupyter_mcp
	@touch $@
