# make demo   a corpus, a trained model and its test table, in about ten minutes
# make test   the whole test suite
# make lint   the checks of style
# make results   the demo's figures into results/demo and README.md
# make faults   the complete matrix of faults, into results/faults (half an hour)
# make bench  the benchmarks, into results/ (five hours on two cores)
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
SUMMARY := $(RUN)/test_summary.md

.PHONY: demo results bench faults test lint upstream clean

demo: $(SUMMARY)
	@cat $(SUMMARY)
	@echo
	@echo "Written:"
	@echo "  $(CORPUS)  the corpus"
	@echo "  $(RUN)/train_log.txt  one line per epoch"
	@echo "  $(RUN)/save  manifests, audit and checkpoints"
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
		hparams/convtasnet_demo.yaml --data_folder=$(UP)/$(CORPUS) \
		--output_folder=$(UP)/$(RUN)
	@echo $$(($$(date +%s) - $$(cat $(DEMO)/started))) > $(DEMO)/seconds

# The figures of results/demo and of the README.
results: demo
	$(BIN)/python tools/publish_demo.py $(RUN) $(DEMO)/seconds
	$(BIN)/python tools/screenshot.py $(RUN)/report.html results/demo/report.png

bench: $(SUMMARY) $(VENV)/.installed_dev
	$(BIN)/python tools/bench_scoring.py bench results/scoring
	$(BIN)/python tools/bench_checkpoints.py bench results/checkpoints
	$(BIN)/python tools/bench_data.py bench results/data
	$(BIN)/python tools/bench_streaming.py results/streaming
	cd $(RECIPE)/separation && $(BIN)/python train.py \
		hparams/convtasnet_demo.yaml --data_folder=$(UP)/$(CORPUS) \
		--task=SB --output_folder=$(UP)/bench/convtasnet_SB
	$(BIN)/python tools/bench_separation.py bench/convtasnet_SB $(CORPUS) \
		bench results/separation
	$(BIN)/python tools/bench_training.py bench results/benchmark
	$(BIN)/python $(RECIPE)/separation/benchmark.py --output_folder results/benchmark \
		--step_limit 60
	$(BIN)/python tools/profile_step.py results/benchmark
	$(BIN)/python tools/half_precision.py results/half_precision
	$(BIN)/python tools/bench_precision.py bench results/precision

faults: $(VENV)/.installed_dev
	OMP_NUM_THREADS=1 $(BIN)/python tools/fault_table.py results/faults

test: $(VENV)/.installed_dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

lint: $(VENV)/.installed_dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/yamllint --strict .
	$(BIN)/codespell

# The checkout is not changed. The patch and a text go to build/upstream.
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
