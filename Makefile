# Two commands: `make search` sets up and runs the main job, `make test` sets up and runs every check.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# pyright's own node comes with the `dev` extra; it looks nothing up and downloads nothing.
PYRIGHT := PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/python -m pyright
SETUP := pyproject.toml constraints.txt
PEERS := .venv-peers
QUERY_PEERS := .venv-query-peers

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install install-test install-peers browser search test lint types unit wheel wheel-check table bench-layers \
	bench-metarl bench-meta bench-compiled bench-query bench-surrogate study-metarl study-learned study-few-shot \
	study-winners clean

help: ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## /make \1: /p' $(MAKEFILE_LIST)

# The environment. A stamp file makes a second call quick; a changed pyproject.toml or constraints.txt installs again.
$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "metabench needs Python 3.11 or newer: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(SETUP) | $(BIN)/python
	$(PIP) install --quiet -c constraints.txt torch
	$(PIP) install --quiet -c constraints.txt -e .
	@touch $@

# learn2learn 0.2.0 ships C files that no longer compile: `build_ext` makes it generate them again, which only a PEP 517 build
# passes on; --no-deps keeps its torchvision from replacing torch.
$(VENV)/installed-test: $(VENV)/installed
	$(PIP) install --quiet -c constraints.txt -e '.[test,dev,learn2learn,jobqueue,parquet,cvx,fast,tensorboard]'
	$(PIP) install --quiet --no-deps --use-pep517 --config-settings=--build-option=build_ext learn2learn==0.2.0
	@touch $@

# The layers' peers have an environment of their own, because their requirements contradict each other and ours. torch goes in
# first and everything else without dependencies, so nothing replaces it.
$(PEERS)/installed: tests/benchmarks/peers.txt constraints.txt pyproject.toml
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip --disable-pip-version-check install --quiet -c constraints.txt torch
	$(PEERS)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps -r tests/benchmarks/peers.txt
	$(PEERS)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps -e .
	@touch $@

$(QUERY_PEERS)/installed: tests/benchmarks/query-peers.txt
	$(PYTHON) -m venv $(QUERY_PEERS)
	$(QUERY_PEERS)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps -r tests/benchmarks/query-peers.txt
	@touch $@

install: $(VENV)/installed ## make .venv

install-test: $(VENV)/installed-test ## make .venv with what the tests need

install-peers: $(PEERS)/installed ## make .venv-peers with the libraries that the layers are compared with

search: install ## set up, then run the main job: three searchers on the shipped table
	$(BIN)/metabench search random regularized-evolution smac --on cells-v1/annuli-v1 \
		--trials 100 --seeds 10 --out runs/quickstart
	$(BIN)/metabench report runs/quickstart

test: lint types wheel-check unit ## set up, then run every check: lint, types, wheel, tests

lint: install-test ## ruff, format and rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: install-test ## pyright
	$(PYRIGHT)

browser: ## Chromium for the report's browser tests, where this user may install it
	@if ! command -v chromium >/dev/null || ! command -v chromedriver >/dev/null; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
			apt-get install -y -qq --no-install-recommends chromium chromium-driver fonts-dejavu-core >/dev/null; \
		then :; else echo "no Chromium here: the report's browser tests are skipped"; fi; fi

unit: install-test browser ## pytest
	$(BIN)/python -m pytest -n 2

wheel: install-test ## build the wheel into dist/
	$(BIN)/python -m build --wheel --no-isolation --outdir dist .

wheel-check: install-test ## build the wheel and use it from an empty environment
	.ci/wheel-check $(BIN)/python

table: install ## train what is missing of the small table, and pack it
	$(BIN)/metabench build --space cells2-v1

bench-layers: install-peers ## compare the layers with their peers, and write the table and figures of metabench/layers/README.md
	$(PEERS)/bin/python tests/benchmarks/layers.py --page
	$(PEERS)/bin/python tests/benchmarks/layers_figure.py

study-metarl: install ## train the meta-RL agents on the environments with known optima, three seeds each
	tests/studies/metarl $(BIN)/metabench

study-learned: install ## meta-train variants of the learned optimizer's recipe, and compare them where recipes are chosen
	OMP_NUM_THREADS=1 $(BIN)/python tests/studies/learned.py

study-few-shot: install ## MAML, Meta-SGD, ANIL and Reptile on the few-shot tasks at full length, three seeds
	OMP_NUM_THREADS=1 $(BIN)/python tests/studies/few_shot.py

study-winners: install ## train what joint-v1's surrogates take for the best, and compare
	OMP_NUM_THREADS=1 $(BIN)/python tests/studies/winners.py

bench-metarl: install-test ## time the meta-RL environments, beside gymnasium's vector of single ones, and the agents
	OMP_NUM_THREADS=1 $(BIN)/python tests/benchmarks/envs.py
	OMP_NUM_THREADS=1 $(BIN)/python tests/benchmarks/metarl.py

bench-meta: install-test ## our MAML's speed against learn2learn's, in one run
	OMP_NUM_THREADS=1 $(BIN)/python tests/benchmarks/meta.py

bench-compiled: install-test ## what compiled solves save, block by block
	OMP_NUM_THREADS=1 $(BIN)/python tests/benchmarks/compiled.py

bench-query: install $(QUERY_PEERS)/installed ## compare queries with nas-bench-graph, nats-bench, mf-prior-bench, yahpo-gym and Syne Tune
	$(BIN)/python tests/benchmarks/query.py --peers $(QUERY_PEERS)/bin/python

bench-surrogate: install-test ## how fast surrogates fit and predict
	PYTHONPATH=. OMP_NUM_THREADS=1 $(BIN)/python tests/benchmarks/surrogate.py

# The searchers' peers have another; their requirements go in without dependencies, so nothing of the tested set-up is replaced.
SEARCH_PEERS := .venv-search-peers
$(SEARCH_PEERS)/installed: tests/benchmarks/search_peers.txt $(SETUP)
	$(PYTHON) -m venv $(SEARCH_PEERS)
	$(SEARCH_PEERS)/bin/python -m pip --disable-pip-version-check install --quiet -c constraints.txt torch
	$(SEARCH_PEERS)/bin/python -m pip --disable-pip-version-check install --quiet -c constraints.txt -e .
	$(SEARCH_PEERS)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps -r tests/benchmarks/search_peers.txt
	@touch $@

# Optuna's TPE is one of the study's searchers. With options of your own (STUDY="--seeds 3") the claims go into the run folder, and
# what is shipped stays as it is.
$(VENV)/installed-study: $(VENV)/installed
	$(PIP) install --quiet -c constraints.txt -e '.[optuna]'
	@touch $@

.PHONY: study
study: $(VENV)/installed-study ## all searchers on cells-v1, 20 seeds of 200 trials; STUDY="--dry-run" says what it costs
	OMP_NUM_THREADS=1 $(BIN)/python tests/studies/search.py \
		$(if $(STUDY),$(STUDY),--claims surrogates/cells-v1/study --readme README.md)

.PHONY: bench-search
bench-search: $(SEARCH_PEERS)/installed ## own cost of a trial: our searchers beside Optuna's and Syne Tune's
	OMP_NUM_THREADS=1 $(SEARCH_PEERS)/bin/python tests/benchmarks/search_overhead.py

clean: ## remove what builds and tests leave; virtual environments and runs stay
	rm -rf build dist .pytest_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +
