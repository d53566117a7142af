# Twinline. `make help` lists what there is to make.
.DEFAULT_GOAL := help
.PHONY: help setup up test test-postgres demo bench check format lock clean

PY := .venv/bin
# Four at a time also on two cores, for many tests wait. ARGS of your own take the place of all this: one process then.
WORKERS = 4
TOGETHER = -n $(WORKERS) --dist worksteal

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Environment, locked dependencies, front-end libraries (the others call it themselves)
	@scripts/setup

up: setup ## Start Twinline with the simulator; prints the addresses and a login
	@$(PY)/twinline up --simulator $(ARGS)

test: setup ## All tests, the browser story included, on the embedded database (ARGS=tests/rules for a few)
	@scripts/chromium
	$(PY)/pytest $(or $(ARGS),$(TOGETHER))

ON_POSTGRES = tests/accounts tests/contacts tests/costs tests/db tests/inbox tests/laws tests/mirror tests/numbers \
	tests/campaigns/test_planning.py tests/sending/test_lane.py tests/sending/test_service.py

test-postgres: setup ## What touches the database once more, on a Debian PostgreSQL
	scripts/with-postgres $(PY)/pytest $(ON_POSTGRES) $(or $(ARGS),$(TOGETHER))

demo: setup ## The whole story without hands, each step checked (ARGS=--json for machines)
	@$(PY)/twinline demo $(ARGS)

bench: setup ## Measure the goals of docs/performance.md, each against its reference
	$(PY)/python -m bench $(ARGS)

check: setup ## Formatting, lint, types (strict), direction of dependencies
	$(PY)/ruff format --check .
	$(PY)/ruff check .
	$(PY)/mypy
	$(PY)/lint-imports

format: setup ## Put the code into the house's format
	$(PY)/ruff format .
	$(PY)/ruff check --fix .

lock: setup ## Resolve the dependencies anew into requirements.lock
	uv pip compile --universal --python-version 3.11 --group dev --extra s3 pyproject.toml --upgrade --generate-hashes \
		--no-emit-index-url --no-emit-find-links --no-header -q -o requirements.lock

clean: ## Remove the environment and caches, not the data
	rm -rf .venv node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis src/twinline/web/static/vendor
