UV := .tools/bin/uv
PY := .venv/bin
GROUPS := shared gateway scheduler git runner audit cli embedded tools
COMPILE := $(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --python-version 3.11 --custom-compile-command "make lock"

.PHONY: check test bench fidelity big bare chaos lock format

check: ## everything that needs no server
	$(PY)/ruff check .
	$(PY)/ruff format --check .
	$(PY)/pyright
	$(PY)/lint-imports
	$(PY)/pytest -q --numprocesses 2 --dist loadfile tests/unit tests/contract

test: ## everything
	./async-code test

TASKS ?= 300
bench: ## what it costs beside its peers, into docs/performance.md (as root; about 20 minutes, more with more TASKS)
	$(PY)/python -m benchmarks --tasks $(TASKS)

fidelity: ## what an agent makes against what is published: EXAMPLES new ones (a second each)
	ASYNC_CODE_FIDELITY_EXAMPLES=$(or $(EXAMPLES),300) $(PY)/pytest -q tests/integration/fidelity/test_line.py

big: ## 5,000 files and 20,000 commits through the line, beside plain git (two minutes)
	ASYNC_CODE_BIG=1 $(PY)/pytest -q tests/integration/fidelity/test_big_repository.py

bare: ## the demo on a bare Debian, made by debootstrap beside the running Docker engine (as root; minutes)
	tests/bare/run

chaos: ## every process killed and restarted in every phase, then many tasks under random kills (an hour; as root)
	CHAOS=full $(PY)/pytest -q --capture=no tests/chaos

format:
	$(PY)/ruff check --fix .
	$(PY)/ruff format .

lock: ## dev first: every other group takes its versions from it
	$(COMPILE) --group pyproject.toml:dev --output-file requirements/dev.txt
	for group in $(GROUPS); do $(COMPILE) --constraint requirements/dev.txt --group pyproject.toml:$$group --output-file requirements/$$group.txt || exit 1; done
	$(COMPILE) --no-deps --group pyproject.toml:agents --output-file requirements/agents.txt
