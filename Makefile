# Zoo's commands.  `make` alone prints them.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
HOME_DIR := $(or $(ZOO_HOME),.zoo)
DISTRIBUTIONS := sdk inspection . client workers vision plugins/zoo_torch plugins/zoo_onnxruntime plugins/zoo_openvino plugins/zoo_tensorrt plugins/zoo_tflite plugins/zoo_darknet plugins/zoo_keras onebox demo
SOURCES := zoo_server sdk inspection client workers vision plugins onebox demo bench tests manage.py
PIP := $(BIN)/python -m pip --disable-pip-version-check install -qq -c constraints.txt
export MLFLOW_DISABLE_TELEMETRY := true

.DEFAULT_GOAL := help
.PHONY: help install demo up down test check fmt lock openapi bench clean

help: ## print this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.installed ## make .venv with every room, its frameworks and the tools (3 minutes, 7 GB)

$(VENV)/.installed: constraints.txt $(addsuffix /pyproject.toml,$(DISTRIBUTIONS) tests/example_plugin)
	@echo "Installing into $(VENV) (about 3 minutes) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) 'pip>=25.1' setuptools wheel
	@$(PIP) --no-build-isolation $(addprefix -e ./,$(DISTRIBUTIONS) tests/example_plugin) --group dev
	@touch $@

demo: install ## from a base model to a compressed, evaluated, approved and fetched version (5 minutes with the installation)
	@$(BIN)/zoo demo

up: install ## start the whole Zoo on this machine; Ctrl-C stops it
	@$(BIN)/zoo up

down: install ## stop a Zoo that was started with `zoo up --detach`
	@$(BIN)/zoo down

check: install ## ruff, mypy, import-linter, migrations, OpenAPI, spelling
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/lint-imports
	@$(BIN)/mypy zoo_server sdk/zoo_sdk inspection/zoo_inspection client/zoo_client workers/zoo_worker vision/zoo_vision onebox/zoo_onebox demo/zoo_demo
	@$(BIN)/python -m pytest -q tests/architecture/test_checked_in.py
	@$(BIN)/codespell $(SOURCES) docs README.md ARCHITECTURE.md
	@echo "All checks passed."

test: install ## every test, on real servers (17 minutes)
	@$(BIN)/python -m pytest -n 2 --dist loadgroup --instafail --maxfail 30 --session-timeout 3600

fmt: install ## format and mend what can be mended
	@$(BIN)/ruff format $(SOURCES)
	@$(BIN)/ruff check --fix $(SOURCES)

openapi: install ## write openapi.yaml from the views
	@$(BIN)/python -m zoo_server spectacular --validate --fail-on-warn --file openapi.yaml

bench: install ## the figures of bench/ (about 2 hours); results in bench/results
	@$(BIN)/python -m bench.run

lock: ## write constraints.txt from what is installed now
	@{ head -2 constraints.txt; $(BIN)/python -m pip freeze --all | grep -v -E '^-e|^#|^zoo| @ ' | LC_ALL=C sort -f -u; } > constraints.new
	@mv constraints.new constraints.txt

clean: ## remove caches and the demo's home (asks nothing; keeps .venv)
	@rm -rf $(HOME_DIR) .pytest_cache .ruff_cache .mypy_cache .import_linter_cache demo-report.json
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
