PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin/python
DEMO = runs/demo

export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: install demo ablations test lint format lock clean

# Everything is installed at the versions of requirements.lock; EXTRAS=gpu
# brings TensorFlow with CUDA, EXTRAS=app,serving,notebook the page, the local
# server and what runs notebooks.
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

# A first lesson in actions, then single actors, then the test, and at last
# two sentences about a clip of its own.
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
	test -d $(DEMO)-clip || \
		$(RUN) -m keras_vas.data.moving_actors --clip=3 \
		--output=$(DEMO)-clip
	test -d $(DEMO)-segmented || \
		$(RUN) segment.py --model=$(DEMO) --video=$(DEMO)-clip \
		--query="the red square going down" \
		--query="the purple square that goes to the right" \
		--output=$(DEMO)-segmented
	@echo "Look at $(DEMO)/samples.png, $(DEMO)/overlay.mp4 and" \
		"$(DEMO)-segmented/; the numbers are in $(DEMO)/metrics.json."

# Two hours on 2 processors; QUICK=1 takes ten minutes.
ablations: install
	$(RUN) benchmarks/ablations.py --output=runs/ablations$(if $(QUICK),-quick --quick)

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
		--extra test --extra lint --extra gpu --extra app --extra serving \
		--extra notebook \
		--no-annotate --no-header --output-file requirements.lock

clean:
	rm -rf $(DEMO) $(DEMO)-*
