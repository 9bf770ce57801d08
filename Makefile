PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin/python
DEMO = runs/demo

export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: install demo test lint format lock clean

# Everything is installed at the versions of requirements.lock; EXTRAS=gpu
# brings TensorFlow with CUDA.
EXTRAS ?=
INSTALLED = $(VENV)/.installed-$(EXTRAS)
comma = ,

install: $(INSTALLED)

$(INSTALLED): requirements.lock setup.py
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else f"error: Python 3.11 to 3.13 is needed and this is {v[0]}.{v[1]}; give another one: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check \
		--constraint requirements.lock \
		--editable ".[test,lint$(if $(EXTRAS),$(comma)$(EXTRAS))]"
	@touch $@

# A first lesson in actions, then single actors, then the test.
SMALL = --height=64 --width=64
demo: install
	$(RUN) tfrecords/build_moving_actors.py --output=$(DEMO)-actions-records \
		--sentences=actions --train_clips=2000 --test_clips=1 $(SMALL)
	$(RUN) train.py --flagfile=configs/moving_actors_actions.flags \
		--data=$(DEMO)-actions-records --workdir=$(DEMO)-actions
	$(RUN) tfrecords/build_moving_actors.py --output=$(DEMO)-records \
		--train_clips=7500 --test_clips=200 $(SMALL)
	$(RUN) train.py --flagfile=configs/moving_actors.flags \
		--data=$(DEMO)-records --workdir=$(DEMO) --init_run=$(DEMO)-actions
	$(RUN) evaluate.py --workdir=$(DEMO) --data=$(DEMO)-records \
		--split=test --output=$(DEMO)
	@echo "Look at $(DEMO)/samples.png and $(DEMO)/overlay.mp4;" \
		"the numbers are in $(DEMO)/metrics.json."

test: install
	$(RUN) -m pytest -q --durations=10

lint: install
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

format: install
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

# Needs uv (https://docs.astral.sh/uv); one file for Python 3.11 to 3.13.
lock:
	uv pip compile setup.py --universal --python-version 3.11 \
		--extra test --extra lint --extra gpu --no-annotate --no-header \
		--output-file requirements.lock

clean:
	rm -rf $(DEMO) $(DEMO)-*
