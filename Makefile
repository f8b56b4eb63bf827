# `make report` does everything at the default scale, `make test` tests everything; both set themselves up first.
# `make help` lists the rest.

BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: report smoke test test-faults test-slurm test-container bench gpu-check publish docs artifact lock help

report: .venv/.complete    ## train, tabulate, draw, judge and report the default scale
	snakemake --cores all

smoke: .venv/.complete    ## the same from two epochs, in about half a minute
	snakemake --cores all --config scale=smoke

test: .venv/.complete    ## lint, check types and run every test
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	mypy
	snakemake --lint
	pytest -n auto --dist loadfile

test-faults: .venv/.complete    ## 52 kills at random instants, and the same results in the end
	pytest tests/faults.py

test-slurm: .venv/.complete    ## the pipeline on a Slurm cluster of this machine
	pytest tests/slurm.py

# Needs root and debootstrap.
test-container: .venv/.complete    ## the smoke scale as an ordinary user in a root that is like the container's
	pytest tests/container.py

bench: .venv/.complete    ## measure what docs/performance.md and docs/precision.md show
	python bench/run.py

gpu-check: .venv/.complete    ## what a GPU does, in under eight minutes
	PYTHONPATH=src:tests python bench/gpu_check.py

publish: .venv/.complete    ## write docs/results.md and README's results from finished scales
	python -m sharpness publish

# Tests say when one of them is behind.
docs: .venv/.complete    ## write the pages that are made from what they describe
	python docs/generate/config_readme.py
	python docs/generate/rule_graph.py

artifact: .venv/.complete    ## write ARTIFACT.md, with the numbers of a finished laptop scale
	python docs/generate/artifact.py

# Needs uv; pins stay as they are unless pyproject.toml asks for others.
lock:    ## resolve requirements.lock again
	UV_CUSTOM_COMPILE_COMMAND="make lock" uv pip compile pyproject.toml --extra pipeline --extra dev --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --quiet --output-file requirements.lock

.venv/.complete: requirements.lock pyproject.toml workflow/set_up.sh
	@PYTHON="$(PYTHON)" UV="$(UV)" TORCH_INDEX="$(TORCH_INDEX)" workflow/set_up.sh

help:    ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s%s\n", $$1, $$2 }' Makefile
	@echo 'The first of them sets .venv up, for which you may add:'
	@sed -n 's/^#   /  /p' workflow/set_up.sh
