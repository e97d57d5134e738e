# For readers: make lab, make run. For maintainers: the rest. `make` alone lists them all.
# Without make (Windows), CONTRIBUTING.md has the same as plain lines.
PY := .venv/bin/python
OLDEST := .venv-oldest/bin/python
# Another Python for .venv: make lab PYTHON=/path/to/python3.12
PYTHON ?=
CANDIDATES := $(or $(PYTHON),python3.13 python3.12 python3.11 python3 python)
# tests/conftest.py says which worker gets what.
TEST := -m pytest -n 2
# A photograph of 24 megapixels is larger than the 10 MB that a server takes in one message.
UPLOADS := "--ServerApp.tornado_settings={'websocket_max_message_size':104857600}"
NBVAL := --nbval --nbval-current-env

# $(call install,PYTHON,WHAT): by uv, which is quicker, where it is there.
install = @if ! { command -v uv >/dev/null && uv pip install --python $(1) $(2); }; then \
	$(1) -m pip install --disable-pip-version-check $(2); fi

# A .venv whose Python is gone (moved, upgraded) counts as not installed.
$(shell $(PY) -c '' 2>/dev/null || rm -f .venv/.installed .venv/.installed-tests)

.PHONY: help lab run test test-oldest unit lint notebooks bench samples weights clean
.DEFAULT_GOAL := help

help: ## list these targets
	@grep -E '^[a-z-]+:.*## ' Makefile | sed 's/:.*## /\t/' | expand -t 14

lab: .venv/.installed ## install what is needed and open JupyterLab on the notebooks
	@root=; [ "$$(id -u)" != 0 ] || root=--allow-root; \
	$(PY) -m jupyterlab $$root --LabApp.default_url=/lab/tree/notebooks $(UPLOADS) $(LAB)

run: .venv/.installed ## execute all notebooks in order into build/notebooks/
	@$(PY) scripts/maintain/run_notebooks.py --into build/notebooks

test: lint ## everything: lint, unit tests, notebooks compared, panels in a browser
	$(PY) $(TEST) $(NBVAL) tests notebooks

# The training of notebook 05 is shortened here; tests/ignored_cells.toml says what that changes.
test-oldest: .venv-oldest/.installed ## the same with the oldest versions that requirements.txt admits
	DEHAZE_STEPS=40 $(OLDEST) $(TEST) $(NBVAL) tests notebooks

unit: lint ## lint and unit tests: no notebook, no browser
	$(PY) $(TEST) tests --ignore-glob='*/test_browser*'

lint: .venv/.installed-tests ## ruff, over the notebooks too
	$(PY) -m ruff check

notebooks: .venv/.installed ## execute the committed notebooks in place
	@$(PY) scripts/maintain/run_notebooks.py --in-place

bench: .venv/.installed-tests ## measure training, inference, pairing and the panels
	@$(PY) scripts/maintain/bench_training.py
	@$(PY) scripts/maintain/bench.py $(BENCH)
	@$(PY) scripts/maintain/bench_pairs.py
	@$(PY) scripts/maintain/bench_panels.py

samples: .venv/.installed-tests ## rebuild sample_data from clear photographs and scene files
	$(PY) scripts/maintain/make_samples.py

weights: .venv/.installed ## train the shipped weights: make weights DATA="--real DIR ..." (see CONTRIBUTING.md)
	$(PY) scripts/maintain/train_weights.py
	$(PY) scripts/maintain/train_improved.py $(DATA)

clean: ## remove build/ and caches; runs/ and the environments stay
	rm -rf build .pytest_cache .ruff_cache
	find . -path './.venv*' -prune -o -path ./runs -prune -o -type d \
	  \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +

# Without a stamp an install never ended, and pip cannot be trusted to mend what it left: start anew.
.venv/.installed: requirements.txt pyproject.toml
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
	  echo "Making .venv with $$("$$python" -V) and installing requirements.txt (minutes, once)"; \
	  "$$python" -m venv --clear .venv; \
	fi
	$(call install,$(PY),-e .)
	@touch $@

.venv/.installed-tests: tests/requirements.txt .venv/.installed
	$(call install,$(PY),-e . -r tests/requirements.txt)
	@touch $@

# A floor is the number behind >= in requirements.txt.
.venv-oldest/.installed: requirements.txt tests/requirements.txt tests/oldest-requirements.txt .venv/.installed
	$(PY) -m venv --clear .venv-oldest
	sed -n 's/^\([a-z-]*\)>=\([^,]*\),.*/\1==\2/p' requirements.txt > .venv-oldest/floors.txt
	$(call install,$(OLDEST),-e . -r .venv-oldest/floors.txt -r tests/oldest-requirements.txt \
	  -r tests/requirements.txt)
	@touch $@
