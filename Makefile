# Everything here works on a fresh clone: each target builds what it needs first. State lives outside
# the checkout (make debug says where), so clones do not disturb each other.

PYTHON = .venvs/airflow/bin/python
LOCAL = $(PYTHON) -m include.local
ENVIRONMENTS = scripts/build_environments.sh

# Our folder is no package of the environment, and bytecode does not belong in it.
export PYTHONPATH = $(CURDIR)
export PYTHONDONTWRITEBYTECODE = 1

.DEFAULT_GOAL := help
.PHONY: help run up warehouse env down dsn psql dbt debug releases diff rollback publish export replay ledger repairs baseline moving notebook test browser drills containers standalone workers fuzz mutants damages costs bench diagrams lint lock clean environments

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2} /^## / {print substr($$0, 4)}' $(MAKEFILE_LIST)

## Use the warehouse

# What is not said to make is left as the shell has it; empty means the default.
run: export GAMEBOT_SOURCE := $(or $(SOURCE),$(GAMEBOT_SOURCE))
run: export GAMEBOT_SOURCE_DIR := $(or $(SOURCE_DIR),$(GAMEBOT_SOURCE_DIR))
run: export GAMEBOT_REF := $(or $(REF),$(GAMEBOT_REF))
run: export GAMEBOT_ACCEPT_FALLS := $(or $(ACCEPT_FALLS),$(GAMEBOT_ACCEPT_FALLS))
run: export GAMEBOT_TARGET_LAYER := $(or $(TARGET_LAYER),$(GAMEBOT_TARGET_LAYER))
run: export GAMEBOT_FORCE := $(or $(FORCE),$(GAMEBOT_FORCE))
run: environments ## build and publish a release [SOURCE=auto|upstream|snapshot|directory SOURCE_DIR= REF= ACCEPT_FALLS=dataset,… TARGET_LAYER=bronze|silver|gold FORCE=1]
	@$(LOCAL) run

# Only what is named here: a variable of the shell would mean another run.
replay: export GAMEBOT_SOURCE_DIR := $(SOURCE_DIR)
replay: export GAMEBOT_REF := $(REF)
replay: export GAMEBOT_TARGET_LAYER := $(or $(TARGET_LAYER),$(GAMEBOT_TARGET_LAYER))
replay: environments ## build and audit an earlier state of survivoR, unseen by readers [REF=commit SOURCE_DIR=folder TARGET_LAYER=]
	@$(LOCAL) replay

up: environments ## start Airflow with its UI on localhost
	@$(LOCAL) up

warehouse: environments ## start the warehouse alone, for `astro dev start --standalone` [WAREHOUSE_HOST_PORT=5433]
	@$(LOCAL) warehouse

env: environments ## prepare .env for `astro dev`; lines of your own stay [WAREHOUSE_HOST_PORT=5433]
	@$(LOCAL) env

down: environments ## stop Airflow and Postgres; nothing is lost
	@$(LOCAL) down

dsn: environments ## print the URI for reading the warehouse
	@$(LOCAL) dsn

psql: environments ## open psql on the warehouse [ARGS=--as-pipeline]
	@$(LOCAL) psql $(ARGS)

releases: environments ## list the releases
	@$(LOCAL) releases

# One release alone is the older one: the newer is then what readers see.
diff: environments ## tell what differs between two releases [A=n B=n], or what the published one changed
	@$(LOCAL) diff $(or $(A),$(if $(B),$(error name the older release too: make diff A=n B=n))) $(B)

rollback: environments ## show an earlier release again [RELEASE=n]
	@$(LOCAL) rollback $(or $(RELEASE),$(error name the release: make rollback RELEASE=n (make releases lists them)))

publish: environments ## show readers a replay [RELEASE=n]
	@$(LOCAL) publish $(or $(RELEASE),$(error name the release: make publish RELEASE=n (make releases lists them)))

export: export GAMEBOT_EXPORT_TO := $(TO)
export: export GAMEBOT_EXPORT_RELEASE := $(RELEASE)
export: environments ## write the published release as Parquet, DuckDB and SQLite files [TO=folder RELEASE=n]
	@$(LOCAL) export

debug: environments ## check everything that a run needs
	@$(LOCAL) debug

# Whoever cleans often does so because an environment is broken: that must not keep the rest from going.
clean: ## stop everything and delete state and environments
	@[ -x $(PYTHON) ] && $(LOCAL) clean || echo "Skipped, for want of a working $(PYTHON):" \
		"stopping what runs and deleting the state folder. make debug builds one; then make clean does both."
	@echo Removing .venvs
	@rm -rf .venvs

## Work on the project

dbt: export GAMEBOT_DBT_ARGS := $(or $(ARGS),$(GAMEBOT_DBT_ARGS))
dbt: environments ## run dbt on the published bronze, into schemas of your own [ARGS="build --select silver"]
	@$(LOCAL) dbt

baseline: environments ## train a simple winner model on the published gold; an alarm for leaks
	@$(ENVIRONMENTS) baseline
	@$(LOCAL) baseline

ledger: environments ## write down how many rows each season has in the published release
	@$(LOCAL) ledger

repairs: environments ## date the seed upstream_repairs anew [SNAPSHOTS=folder of commits]
	@$(PYTHON) scripts/date_repairs.py $(or $(SNAPSHOTS),$(GAMEBOT_SURVIVOR_SNAPSHOTS),../shared/survivoR)

test: environments ## run all tests, in two processes [ARGS="tests/unit -x" WORKERS=2]
	@$(ENVIRONMENTS) baseline
	@$(PYTHON) -m pytest -q --numprocesses $(or $(WORKERS),2) --dist loadfile $(ARGS)

browser: environments ## run the tests in a real Chromium on a real Airflow [ARGS="--headed -k rollback"]
	@$(PYTHON) -m pytest -q tests/browser $(ARGS)

fuzz: export FUZZ_FILES := $(or $(FILES),20000)
fuzz: environments ## make up damaged .rda files for the reader, other ones each time [FILES=20000]
	@$(PYTHON) -m pytest -q --hypothesis-show-statistics tests/unit/ingestion/test_reader_fuzz.py $(ARGS)

drills: environments ## inject every fault, and write the table of docs/drills.md anew [ARGS="-k clock"]
	@$(PYTHON) -m pytest -q -m "drill or not drill" tests/drills --drills-page $(or $(PAGE),docs/drills.md) $(ARGS)

containers: environments ## build the image with podman and run the pipeline in the dev stack's containers
	@$(PYTHON) -m pytest -v -m containers tests/astro $(ARGS)

workers: environments ## run the pipeline on two Celery workers that share nothing, and kill one; as root [ARGS="-k kill"]
	@$(PYTHON) -m pytest -q -s -m workers tests/workers $(ARGS)

standalone: environments ## run the pipeline as `astro dev start --standalone` does, in a copy of the checkout
	@$(PYTHON) -m pytest -q -m standalone tests/standalone $(ARGS)

mutants: environments ## plant every known defect and show which tests notice it [ARGS="-k B12"]
	@$(PYTHON) -m pytest -q -s tests/integration/mutations $(ARGS)

damages: export ONE_BY_ONE := $(ONE_BY_ONE)
damages: environments ## damage a good release as life does and show which checks notice [ONE_BY_ONE=1 ARGS="-k winner"]
	@$(PYTHON) -m pytest -q -s tests/integration/damages $(ARGS)

costs: environments ## count again what a run costs, and record it: tests/costs/recorded.json
	@$(PYTHON) -m pytest -q -s --record-costs tests/costs $(ARGS)

notebook: environments ## execute the notebooks of docs/ on the data that the client finds [GAMEBOT_DATA=package]
	@$(PYTHON) scripts/run_notebook.py

moving: environments ## compare with the package gamebot-lite again: docs/moving-from-gamebot-lite.md
	@$(PYTHON) scripts/moving_from_gamebot_lite.py

bench: export GAMEBOT_SOURCE_DIR := $(or $(SOURCE_DIR),$(GAMEBOT_SOURCE_DIR))
bench: environments ## measure how fast everything is, and write it into docs/performance.md if asked to [QUICK=1 ONLY=bronze,… SOURCE_DIR= DOCS=1]
	@$(PYTHON) -m benchmarks $(if $(QUICK),--quick) $(if $(DOCS),--docs) $(if $(ONLY),--only $(ONLY))

diagrams: environments ## draw the diagrams of docs/architecture.md from the code
	@$(PYTHON) scripts/diagrams.py

lint: ## run the linters
	@$(ENVIRONMENTS) airflow lint
	@.venvs/lint/bin/pre-commit run --all-files

lock: ## refresh the locked versions of all environments
	@$(ENVIRONMENTS) --lock

# Strict: a package that cannot be looked up is no package without vulnerabilities.
.PHONY: audit
audit: ## look up every locked version among the known vulnerabilities; needs the internet
	@$(ENVIRONMENTS) lint
	@failed=0; for lock in $(wildcard include/*/*.lock); do \
		echo "$$lock"; \
		.venvs/lint/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off \
			--requirement $$lock || failed=1; \
	done; exit $$failed

environments:
	@$(ENVIRONMENTS) airflow dbt quality
