# For readers: make lab, make run. For maintainers: the rest. `make` alone lists them all.
VENV := .venv
PY := $(VENV)/bin/python
# Another Python for .venv: make lab PYTHON=/path/to/python3.12
PYTHON ?=
CANDIDATES := $(or $(PYTHON),python3.13 python3.12 python3.11 python3 python)
# Environments beside .venv: Colab's versions, and the oldest that requirements.txt admits.
COLAB := .venv-colab
FLOORS := .venv-floors
# Most of what pip would compile there is never imported.
ONCE := --disable-pip-version-check --no-compile
BROWSER := $(wildcard tests/test_browser*.py)
LESSONS := $(sort $(wildcard notebooks/[0-9]*.ipynb))
SOLUTIONS := $(sort $(wildcard notebooks/solutions/*.ipynb))
# Two files at a time: what needs no order. Runs that are killed get the machine for themselves, for
# a write of milliseconds must be caught.
PARALLEL := -n 2 --dist loadfile
KILLED := tests/test_trainer.py
UNIT := tests $(BROWSER:%=--ignore=%) --ignore=$(KILLED)
NBVAL := --nbval --nbval-current-env

# A .venv whose Python is gone (moved, upgraded) counts as not installed.
$(shell $(PY) -c '' 2>/dev/null || rm -f $(VENV)/.installed $(VENV)/.installed-tests)

.PHONY: help lab run notebooks test test-colab test-floors unit lint bench samples weights ablation resolve stamp clean chromium
.DEFAULT_GOAL := help

help: ## list these targets
	@grep -E '^[a-z-]+:.*## ' Makefile | sed 's/:.*## /\t/' | expand -t 12

lab: $(VENV)/.installed ## install what is needed and open JupyterLab on the notebooks
	@root=; [ "$$(id -u)" != 0 ] || root=--allow-root; \
	$(PY) -m jupyterlab $$root --LabApp.default_url=/lab/tree/notebooks $(LAB)

run: $(VENV)/.installed ## execute all notebooks in order into build/notebooks/
	@$(PY) scripts/maintain/run_notebooks.py --into build/notebooks

notebooks: $(VENV)/.installed ## execute the committed notebooks in place
	@$(PY) scripts/maintain/run_notebooks.py --in-place

test: $(VENV)/.installed-tests chromium lint ## everything: lint, unit tests, notebooks, browser
	$(PY) -m pytest $(PARALLEL) $(NBVAL) $(UNIT) $(SOLUTIONS)
	$(PY) -m pytest $(NBVAL) $(KILLED) $(LESSONS) $(BROWSER)

test-colab: $(COLAB)/.installed chromium ## the lessons and panels with Colab's versions
	$(COLAB)/bin/python -m pytest $(PARALLEL) $(NBVAL) tests/test_env.py tests/test_photo.py \
	  tests/test_reference.py tests/test_widgets.py $(SOLUTIONS)
	$(COLAB)/bin/python -m pytest $(NBVAL) $(LESSONS) $(BROWSER)

# Without the tests of `make bench`, which is the maintainers' and measures today's versions.
test-floors: $(FLOORS)/.installed ## the unit tests with the oldest versions that are admitted
	$(FLOORS)/bin/python -m pytest $(KILLED)
	$(FLOORS)/bin/python -m pytest $(PARALLEL) $(UNIT) --ignore-glob='*/test_bench*.py'

unit: $(VENV)/.installed-tests lint ## lint and unit tests: no notebook, no browser
	$(PY) -m pytest $(KILLED)
	$(PY) -m pytest $(PARALLEL) $(UNIT)

lint: $(VENV)/.installed-tests ## ruff, over the notebooks too
	$(PY) -m ruff check

# The package that it installs is another dark channel prior, to measure ours beside.
bench: $(VENV)/.installed-tests ## measure seconds and memory, beside another dark channel prior
	@$(PY) -c 'import adrishyam' 2>/dev/null || \
	  $(PY) -m pip install -q --disable-pip-version-check -r scripts/maintain/bench-requirements.txt
	@$(PY) scripts/maintain/bench.py $(BENCH)
	@$(PY) scripts/maintain/bench_training.py
	@$(PY) scripts/maintain/bench_data.py
	@$(PY) scripts/maintain/bench_panels.py

samples: $(VENV)/.installed-tests ## rebuild sample_data from clear photographs and scene files
	$(PY) scripts/maintain/make_samples.py

weights: $(VENV)/.installed ## train the shipped weights: make weights DATA="--real DIR --clear DIR"
	$(PY) scripts/maintain/train_weights.py
	$(PY) scripts/maintain/train_improved.py $(DATA)

ablation: $(VENV)/.installed ## the table of notebook 05: make ablation DATA="--real DIR --clear DIR"
	$(PY) scripts/maintain/ablation.py $(DATA)

resolve: $(VENV)/.installed ## check that the requirements resolve for every supported Python
	@for version in 3.11 3.12 3.13; do \
	  $(PY) -m pip install -qq --dry-run --python-version $$version --only-binary=:all: \
	    --target build/resolve -r requirements.txt && echo "Python $$version: resolves" || exit 1; \
	done

stamp: $(VENV)/.installed ## write the address in pyproject.toml into badges, setup cells, README, CITATION.cff
	@$(PY) scripts/maintain/stamp_repository.py

clean: ## remove build/ and caches; runs/ and .venv/ stay
	rm -rf build .pytest_cache .ruff_cache
	find . -path './.venv*' -prune -o -path ./runs -prune -o -type d \
	  \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +

# Without a stamp an install never ended, and pip cannot be trusted to mend what it left: start anew.
$(VENV)/.installed: requirements.txt
	@if [ -e $@ ]; then rm $@; else \
	  fits='import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'; \
	  for python in $(CANDIDATES) ""; do \
	    [ -z "$$python" ] || ! "$$python" -c "$$fits" 2>/dev/null || break; \
	  done; \
	  if [ -z "$$python" ]; then \
	    found=$$($(or $(PYTHON),python3) -V 2>&1 | head -n 1); \
	    echo "Python 3.11, 3.12 or 3.13 with its venv module is needed, and here is only: $$found." \
	      "Install one, or name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 1; \
	  fi; \
	  echo "Making $(VENV) with $$("$$python" -V) and installing requirements.txt (minutes, once)"; \
	  "$$python" -m venv --clear $(VENV); \
	fi
	$(PY) -m pip install --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/.installed-tests: tests/requirements.txt $(VENV)/.installed
	$(PY) -m pip install --disable-pip-version-check -r tests/requirements.txt
	@touch $@

$(COLAB)/.installed: tests/colab-requirements.txt requirements.txt tests/requirements.txt $(VENV)/.installed
	$(PY) -m venv --clear $(COLAB)
	$(COLAB)/bin/python -m pip install $(ONCE) -r tests/colab-requirements.txt \
	  -r tests/requirements.txt
	@touch $@

# A floor is the number behind >= in requirements.txt.
$(FLOORS)/.installed: requirements.txt tests/requirements.txt $(VENV)/.installed
	$(PY) -m venv --clear $(FLOORS)
	sed -n 's/^\([a-z-]*\)>=\([^,]*\),.*/\1==\2/p' requirements.txt > $(FLOORS)/floors.txt
	$(FLOORS)/bin/python -m pip install $(ONCE) -r $(FLOORS)/floors.txt \
	  -r tests/requirements.txt
	@touch $@

# The browser test is skipped without Chromium, but never in CI.
chromium:
	@if [ "$$CI" = true ] && ! command -v chromium >/dev/null; then \
	  export DEBIAN_FRONTEND=noninteractive; \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; \
	fi
