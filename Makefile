# One word per chore, the same on a laptop and in CI. What is published is never overwritten, so a file that exists is
# never made again: remove it (`make clean` removes everything) to have it made anew.
SHELL := /bin/bash
PYTHON ?= python3.11
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

ENCODER := model_repository/text_encoder/1/manifest.json
SMALL_ENCODER := model_repository/text_encoder/2/manifest.json
GENERATOR := model_repository/generator/1/manifest.json
CATALOGUE := var/catalogues/demo/manifest.json
RELEASE := var/releases/demo-1/release.json

.DEFAULT_GOAL := help
.PHONY: help setup check test fuzz demo up down export stubs bench wheel bento clean

help: ## Show what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | column -t -s $$'\t'

setup: .venv/ready ## Make the environment in .venv, from pinned versions

.venv/ready: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "expected $(PYTHON) on the path; install Python 3.11 or set PYTHON" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --progress-bar off --no-compile --constraint constraints.txt --editable ".[export,serve,triton,cpu,dev]"
	$(BIN)/python -m compileall -qq -j 0 .venv/lib || true # on every core; pip would on one. torch has a file of a later Python
	touch $@

check: setup ## Format, lint, types, import rules
	ruff format --check .
	ruff check .
	mypy
	lint-imports

test: setup export wheel ## The whole suite, on real models and a real Triton, against the built wheel
	bash .ci/wheelcheck

demo: setup export ## Recommend for one MovieLens user, from nothing
	LONGTAIL_RELEASE=demo-1 longtail up -- longtail recommend --user-id 196 --save var/demo.json

up: setup export ## Start Triton and the service, and watch both
	longtail up

down: ## End what `make up` started
	longtail down

export: $(RELEASE) ## Models, catalogue, release and interactions of the demo
	longtail interactions load var/catalogues/demo/interactions.parquet

$(ENCODER): | setup
	longtail export encoder --source minilm-l6 --precision bf16 --version 1

$(SMALL_ENCODER): | $(ENCODER)
	longtail export encoder --source minilm-l6 --precision int8 --version 2

$(GENERATOR): | setup
	longtail export generator --source smollm2-135m --version 1

$(CATALOGUE): | $(ENCODER) $(SMALL_ENCODER)
	longtail up --triton-only -- longtail export catalogue --dataset ml-100k --name demo

$(RELEASE): | $(CATALOGUE) $(GENERATOR)
	longtail release create --name demo-1 --catalogue demo

fuzz: setup export ## 2,000 cases an operation against the documentation of the HTTP API, and 100 against the real models
	LONGTAIL_FUZZ_CASES=2000 pytest tests/bento/test_openapi.py
	LONGTAIL_FUZZ_CASES=100 pytest tests/live/test_live_openapi.py

bench: setup export ## Measure what the documents claim
	python -m bench

stubs: setup ## Write the gRPC stubs anew, after recommend.proto changed
	cd client && python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. --grpc_python_out=. longtail_client/v1/recommend.proto

wheel: setup ## Build dist/longtail-*.whl
	rm -rf dist && python -m build --wheel --outdir dist .

bento: wheel ## Build a Bento with the wheel inside
	python deploy/bento/build.py

clean: ## Remove everything that was built
	rm -rf .venv var dist model_repository/*/[0-9]*
