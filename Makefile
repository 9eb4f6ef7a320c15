# halab: every target does its own set-up. `make help` lists them.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# Where Python keeps no bytecode, each of the tests' hundreds of `halab` takes 0.9 s and not 0.3.
unexport PYTHONDONTWRITEBYTECODE
# Four processes at most: each collects all tests first.
UNIT := tests/unit --numprocesses=auto --maxprocesses=4 --dist=worksteal
# A busy machine may starve a test of a real lab once. Three second tries in all, so that a lab which
# never starts is not tried for each test; none after a time limit, as all tries of a test share it.
RERUN := --reruns=1 --max-suite-reruns=3 --rerun-except='from pytest-timeout' --rerun-show-tracebacks
# $(call step,NAME,COMMAND): one line where all is well, and else all that the command said.
step = @printf '%-8s' '$(1)'; if said=$$($(2) 2>&1); then printf '%s\n' "$$said" | tail -n 1; else printf '\n%s\n' "$$said"; exit 1; fi

.PHONY: help engine browser start test check unit docker e2e test-k3s test-addons test-ceph test-lessons test-services test-engines test-engine-smoke test-recipes bench pictures images clean destroy

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 20

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "halab needs Python 3.11 or newer: set PYTHON=python3.x" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq python3-venv && $(PYTHON) -m venv .venv; }
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

engine: $(READY)
	@$(BIN)/halab doctor --fix --machine

start: $(READY) ## set everything up and start the reference lab, 3 masters and 3 workers
	@$(BIN)/halab doctor --fix --machine
	@$(BIN)/halab start topologies/3m3w.yaml

images: engine ## build the images that labs are made of
	@$(BIN)/halab images build

check: $(READY) ## style, types and unit tests; no Docker
	$(call step,style,$(BIN)/ruff check .)
	$(call step,format,$(BIN)/ruff format --check .)
	$(call step,types,$(BIN)/mypy)
	$(call step,unit,$(BIN)/pytest -q $(UNIT))

unit: $(READY) ## unit tests; no Docker
	@$(BIN)/pytest $(UNIT)

docker: images ## each image on its own
	@$(BIN)/pytest $(RERUN) tests/docker

e2e: images ## a real 3m3w lab, with the installed halab; without add-ons, Ceph, a database and the longer lessons
	@$(BIN)/pytest $(RERUN) tests/e2e -m "not addons and not ceph and not lessons and not services"

browser: # for the tests that look at a page; where none can be installed they are skipped, and say so
	@for name in chromium chromium-browser google-chrome google-chrome-stable; do command -v $$name >/dev/null && exit 0; done; \
	[ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null || { echo "no Chromium: the tests that look at a page will be skipped" >&2; exit 0; }; \
	echo "installing Chromium"; apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null

test: images browser ## set everything up and run all tests
	@$(BIN)/pytest $(UNIT) --durations=20
	@$(BIN)/pytest $(RERUN) tests/docker tests/e2e --durations=20 \
		-m "not addons and not ceph and not lessons and not services and not double"
	@$(BIN)/pytest $(RERUN) tests/e2e --halab-distribution k3s -m distribution --durations=10
	@$(BIN)/python tests/engines/run.py --smoke

test-addons: images browser ## every add-on used on a real lab; the first time their programs are built, which takes minutes
	@$(BIN)/halab images build --addons
	@$(BIN)/pytest $(RERUN) tests/e2e -m addons

test-ceph: images ## Ceph made with two nodes down, on a real lab; the first time its images are built, which takes minutes
	@$(BIN)/halab images build --addons
	@$(BIN)/pytest $(RERUN) tests/e2e -m ceph

test-lessons: images ## every lesson played on a real lab, half an hour; the first time Ceph's images are built, which takes minutes
	@$(BIN)/halab images build --addons
	@$(BIN)/pytest $(RERUN) tests/e2e -m lessons

test-services: images ## a database and a shop of one's own measured while their node dies, on a real lab; some five minutes
	@$(BIN)/pytest $(RERUN) tests/e2e -m services

test-k3s: images ## all e2e tests on K3s: yours, the release, or the double where neither can be had
	@$(BIN)/pytest $(RERUN) tests/docker -m double
	@$(BIN)/pytest $(RERUN) tests/e2e --halab-distribution k3s

test-engines: images ## the docker tests and a part of the e2e tests on Docker 26 and 28, both image stores; ENGINES=28-containerd for one
	@$(BIN)/python tests/engines/run.py $(ENGINES)

test-engine-smoke: images ## the smallest part of that, on Docker 28 with containerd's image store; skipped where no other engine can run
	@$(BIN)/python tests/engines/run.py --smoke $(ENGINES)

test-recipes: $(READY) ## the recipes for CI: yamllint, actionlint, and each step of the action and the release walked in an empty home
	@$(BIN)/python tests/recipes/run.py

bench: images ## measure start, memory, stop, failover, beside kubeadm and with 1 to 16 nodes; prints tables
	@$(BIN)/python tests/bench/bench.py
	@$(BIN)/python tests/bench/kubeadm.py --snapshot --others
	@$(BIN)/python tests/bench/growth.py

pictures: $(READY) ## make README's pictures anew: the watch, a status, a report's time-line; no Docker
	@$(BIN)/python tests/bench/pictures.py

destroy: $(READY) ## remove every lab of this engine
	@$(BIN)/halab destroy --all

clean: ## remove the virtual environment and caches of tools
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
