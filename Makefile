# make demo   a corpus, a trained model and its test table, in about ten minutes
# make test   the tests, in about four minutes
# make test-all   all tests, with what is heavy and every case of faults
# make lint   the checks of style
# make results   the demo's figures into results/demo and README.md
# make faults   what the matrix of faults finds, into results/faults
# make mutations   which tests catch deliberate faults, into results/mutations
# make bench  the benchmarks, into results/ (hours on two cores)
# make upstream SPEECHBRAIN=/path/to/checkout   SpeechBrain's checks, a patch for it
#             ROWS=0: without trainings; LIBRARY=installed: with .venv's speechbrain
# Another interpreter: make demo PYTHON=/path/to/python3.11

SUPPORTED := import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))
PYTHON ?= $(shell for python in python3.12 python3.11 python3.10 python3 python; do \
	if $$python -c "$(SUPPORTED)" 2>/dev/null; then echo $$python; break; fi; done)

VENV := .venv
BIN := "$(CURDIR)/$(VENV)/bin"
RECIPE := recipes/PolSESS
DEMO := demo
CORPUS := $(DEMO)/PolSESS
RUN := $(DEMO)/convtasnet_ES
UP := ../../..
# A network that learns in minutes on two cores.
DEMO_FLAGS := --N=128 --kernel_size=32 --stride=16 --B=64 --H=128 --X=6 --R=2 \
	--segment_seconds=2.0 --grad_accumulation_factor=1 --lr=0.002 \
	--weight_decay=0.0 --num_workers=1 --ckpt_interval_minutes=1
SUMMARY := $(RUN)/test_summary.md

.PHONY: demo results bench faults mutations test nightly test-all lint upstream clean

demo: $(SUMMARY)
	@cat $(SUMMARY)
	@echo
	@echo "Written:"
	@echo "  $(CORPUS)  the corpus"
	@echo "  $(RUN)/train_log.txt  one line per epoch"
	@echo "  $(RUN)/save  manifests and checkpoints"
	@echo "  $(RUN)/test_scores.csv  one row per mixture, variant and source"
	@echo "  $(RUN)/test_summary.csv  one row per variant, and the means"
	@echo "  $(RUN)/report.html  plots, and examples to hear"
	@echo "  $(SUMMARY)  the table above"

# The table is the last file that a run writes: where it stands, all is done.
# Every step before it goes on where it was interrupted.
$(SUMMARY): | $(VENV)/.installed
	@mkdir -p $(DEMO); test -e $(DEMO)/started || date +%s > $(DEMO)/started
	$(BIN)/python $(RECIPE)/simulate/make_corpus.py --output_folder $(CORPUS) \
		--n_train 1000 --n_val 40 --n_test 60 --seed 1234
	cd $(RECIPE)/separation && $(BIN)/python train.py \
		hparams/convtasnet.yaml $(DEMO_FLAGS) \
		--data_folder=$(UP)/$(CORPUS) --output_folder=$(UP)/$(RUN)
	@echo $$(($$(date +%s) - $$(cat $(DEMO)/started))) > $(DEMO)/seconds

# The figures of results/demo and of the README.
results: demo
	$(BIN)/python tools/publish_demo.py $(RUN) $(DEMO)/seconds
	$(BIN)/python tools/screenshot.py $(RUN)/report.html results/demo/report.png

bench: $(SUMMARY) $(VENV)/.installed_dev
	$(BIN)/python benchmarks/network.py results/network
	$(BIN)/python benchmarks/sizes.py results/networks
	$(BIN)/python benchmarks/leaderboard.py $(CORPUS) bench/leaderboard \
		results/networks/demo
	$(BIN)/python benchmarks/training.py $(CORPUS) bench/training \
		results/training/demo --arms baseline mean_of_5 remix speed \
		moving_average all
	$(BIN)/python benchmarks/training.py $(CORPUS) bench/training \
		results/training/demo_rates --seeds 1 \
		--arms baseline lr_0.001 lr_0.0005 decay_1e-5 decay_1e-4
	$(BIN)/python benchmarks/training.py $(CORPUS) bench/training \
		results/training/demo_original --arms baseline original
	$(BIN)/python benchmarks/training.py $(CORPUS) bench/training_few \
		results/training/demo_few --n_train 200 --steps 5000 --seeds 1 \
		--arms baseline mean_of_5 remix -- --n_valid=20
	$(BIN)/python benchmarks/pipeline.py bench results/pipeline
	$(BIN)/python benchmarks/scoring.py bench results/scoring
	$(BIN)/python benchmarks/streaming.py results/streaming
	$(BIN)/python benchmarks/threads.py bench results/threads -- $(DEMO_FLAGS)
	$(BIN)/python benchmarks/precision.py bench results/precision -- $(DEMO_FLAGS)
	cd $(RECIPE)/separation && $(BIN)/python train.py \
		hparams/convtasnet.yaml $(DEMO_FLAGS) --task=SB \
		--data_folder=$(UP)/$(CORPUS) --output_folder=$(UP)/bench/convtasnet_SB
	$(BIN)/python benchmarks/long_recordings.py bench/convtasnet_SB $(CORPUS) \
		bench results/long_recordings

faults: $(VENV)/.installed_dev
	OMP_NUM_THREADS=1 $(BIN)/python tools/fault_table.py results/faults

mutations: $(VENV)/.installed_dev
	OMP_NUM_THREADS=1 $(BIN)/python tools/mutations.py results/mutations

# A user's own files in recipes/ are not tested.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal \
	tests $(shell git ls-files "recipes/*.py")

test: $(VENV)/.installed_dev
	$(PYTEST)

# What make test leaves out.
nightly: $(VENV)/.installed_dev
	$(PYTEST) --nightly -m nightly

test-all: test nightly

lint: $(VENV)/.installed_dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/yamllint --strict .
	$(BIN)/codespell

# The checkout is not changed. Tree, patch and request go to build/upstream.
ROWS ?= 1
LIBRARY ?= copy
upstream: $(VENV)/.installed_dev
	@test -n "$(SPEECHBRAIN)" || { echo "name a git checkout of SpeechBrain: \
	make upstream SPEECHBRAIN=/path/to/speechbrain" >&2; exit 1; }
	OMP_NUM_THREADS=1 $(BIN)/python tools/upstream.py "$(SPEECHBRAIN)" \
		--rows $(ROWS) --library $(LIBRARY)

clean:
	rm -rf $(DEMO) bench $(VENV)

# Stamps, so that an interrupted installation is taken up again.
$(VENV)/.made:
	@test -n "$(PYTHON)" || { echo "Python 3.10, 3.11 or 3.12 is needed and none \
	was found; install one, or name it: make demo PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c "$(SUPPORTED)" || { echo "$(PYTHON) is not Python 3.10 to 3.12" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	touch $@

$(VENV)/.installed: requirements.txt | $(VENV)/.made
	$(BIN)/python -m pip install -r requirements.txt
	touch $@

$(VENV)/.installed_dev: requirements-dev.txt $(VENV)/.installed
	$(BIN)/python -m pip install -r requirements-dev.txt
	touch $@
