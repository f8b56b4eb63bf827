# `make report` does everything at the default scale, `make test` tests everything; both set themselves up first.

BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: report smoke test test-faults test-slurm test-container bench docs artifact lock

report: .venv/.complete
	snakemake --cores all

smoke: .venv/.complete
	snakemake --cores all --config scale=smoke

test: .venv/.complete
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	mypy
	snakemake --lint
	pytest

test-faults: .venv/.complete
	pytest tests/faults.py

test-slurm: .venv/.complete
	pytest tests/slurm.py

# Needs root and debootstrap.
test-container: .venv/.complete
	pytest tests/container.py

bench: .venv/.complete
	python bench/run.py

# The pages that are made from what they describe; tests say when one is behind.
docs: .venv/.complete
	python docs/generate/config_readme.py

# The artifact appendix, with the numbers of a finished laptop scale.
artifact: .venv/.complete
	python docs/generate/artifact.py

# Needs uv; pins stay as they are unless pyproject.toml asks for others.
lock:
	UV_CUSTOM_COMPILE_COMMAND="make lock" uv pip compile pyproject.toml --extra pipeline --extra dev --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --quiet --output-file requirements.lock

.venv/.complete: requirements.lock pyproject.toml workflow/set_up.sh
	@PYTHON="$(PYTHON)" workflow/set_up.sh
