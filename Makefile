# `make` lists the targets. Each sets up what it needs: .venv, its packages, and nothing outside this folder.

BIN := .venv/bin
# Two test workers share two cores: one thread each.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1
QUICKSTART := specs/examples/digits.hawq
SOURCES := pyproject.toml constraints.txt tools/environment

.DEFAULT_GOAL := help
.PHONY: help quickstart test check fix golden bench docs site editor wheel clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.venv/.installed-run: $(SOURCES)
	tools/environment run

.venv/.installed-dev: $(SOURCES)
	tools/environment dev

.venv/.installed-docs: $(SOURCES)
	tools/environment docs

quickstart: .venv/.installed-run ## build, verify, evaluate and time the example; sets everything up first
	$(BIN)/hawqc build $(QUICKSTART)
	$(BIN)/hawqc verify build/digits
	$(BIN)/hawqc eval build/digits
	$(BIN)/hawqc bench build/digits
	@printf '%s\n' '' \
	  'The artifact is in build/digits: card.md says what it is, program.txt is the integer program,' \
	  'allocation.json holds the bits of each layer, tvm/ the library and its sources.' \
	  'Next: . .venv/bin/activate; hawqc init mine; docs/tutorial.md'

test: check ## all checks, then the tests that need no GPU; what CI runs
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: .venv/.installed-dev ## lint, format, types, layers, module lengths
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tools/module_length.py hawqlang codegen tests benchmarks tools
	$(BIN)/lint-imports
	$(BIN)/pyright --pythonpath $(BIN)/python

fix: .venv/.installed-dev ## apply the linter's fixes and the formatter
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

golden: .venv/.installed-dev ## rewrite tests/golden; the diff is what changed
	$(BIN)/python -m pytest -n 2 --update-golden
	git diff --stat -- tests/golden

bench: .venv/.installed-dev ## measure on this machine; writes benchmarks/results
	$(BIN)/python benchmarks/build_steps.py
	$(BIN)/python benchmarks/cpu.py --layers
	$(BIN)/python benchmarks/start_up.py
	$(BIN)/python benchmarks/lsp.py

docs: .venv/.installed-docs ## rewrite the recorded outputs in README.md and docs/, test every code block, build the site
	$(BIN)/python docs/record.py
	$(BIN)/python -m pytest -q tests/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@printf '%s\n' 'The site is in build/site: open build/site/index.html'

site: .venv/.installed-docs ## build the site as the pages are, with tables made anew; runs no command of theirs
	$(BIN)/python docs/record.py --files-only
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

editor: ## check, test and package the VS Code extension; takes Node.js, and is skipped without it
	@if command -v npm >/dev/null; then \
	  cd editors/vscode && npm ci && npm run check && npm test && npm run package; \
	else \
	  echo 'skipped: npm is not there, https://nodejs.org has it'; \
	fi

wheel: .venv/.installed-dev ## build sdist and wheel into dist/, and test the wheel
	$(BIN)/python -m build
	$(BIN)/python -m pytest -q -m 'slow or not slow' tests/packaging

clean: ## remove build outputs; keeps .venv and the cache of results
	rm -rf build dist .pytest_cache .ruff_cache .import_linter_cache .hypothesis
