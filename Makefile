## make book      paint the data, execute the notebooks, build the book (only what changed)
##                make book PARAMETERS="-p seed 1"   executes them with other parameters
##                make executed CHAPTERS="1*"        executes some of them alone
##                SOLUTIONS=off make book            leaves the exercises' solutions out of the pages
## make pdf       the book as one document, _build/book.pdf (needs Chromium)
## make zip       the book and its notebooks in one archive for reading offline, _build/book-offline.zip
## make slides    figures and messages of the chapters as slides in one file, _build/slides.html
## make questions all exercises without their solutions, _build/questions.md
## make course    what students work with, notebooks without outputs and solutions, _build/course.zip
## make test      check code and spelling, and run the tests
## make lint      check code, spelling and the form of the notebooks, without the tests
## make study     do the runs that chapters 8 and 9 report, or what is missing of them, and record them in book/records
## make scores    measure every anomaly score for chapters 3a and 3b, if their record in book/records is outdated
## make answers   make ood_lib/answers.json, by which exercises check themselves, from book/answers
## make sweep     execute the chapters with other parameters, seeds 1 to 5 among them, and list what fails (some two hours)
## make weights   train the shipped closed-set weights again from nothing
## make benchmarks   measure this machine, into benchmarks/results, for the page "How fast it is" (some twenty minutes)
## make gpu       measure a machine with an NVIDIA card, into benchmarks/results; PARTS="network meta" for some parts,
##                SMALL=--small tries it without a card, GPU_PYTHON=... names a Python that has PyTorch (CONTRIBUTING.md)
## make wheels    what `make gpu` needs beside PyTorch where there is no network, in wheels, for WHEELS_PYTHON=3.12
## make clean     remove everything built (_build); the painted data and .venv stay
##
## Everything is installed into .venv first where that is needed. Options: JOBS=2 notebooks at once,
## PYTHON=python3.12 to choose the interpreter, EXTRAS=book,test,models,cluster to install Ray too,
## BACKEND= (nothing) to have PyTorch with CUDA where no NVIDIA card is found, OOD_LIB_CACHE=folder for the painted data,
## STUDY=folder for the runs of make study.

VENV := .venv
PY := $(VENV)/bin/python
BUILD := _build
JOBS ?= 2
PARAMETERS ?=
STUDY ?= study
STUDIES ?= repetitions proxy proxy_equal_weight proxy_chosen
APART ?= published draws verdicts
OMP_NUM_THREADS ?= 1
EXTRAS ?= book,test,models
# Where no NVIDIA card is found: PyTorch without CUDA, if the installer can reach it.
BACKEND ?= $(if $(shell command -v nvidia-smi),,--torch-backend cpu)
export PARAMETERS OMP_NUM_THREADS
# Containers set it; without compiled files every process here would compile what it imports, PyTorch for seconds.
unexport PYTHONDONTWRITEBYTECODE
# A tensor's memory is kept for the next one, in huge pages: a forward pass takes a fifth less, a training step a tenth.
export MALLOC_MMAP_THRESHOLD_ := 33554432
export MALLOC_TRIM_THRESHOLD_ := 1073741824
export THP_MEM_ALLOC_ENABLE := 1

SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11,\
  $(shell $(p) -c '$(SUPPORTED)' >/dev/null 2>&1 && echo $(p))))

CHAPTERS ?= *
NOTEBOOKS := $(sort $(wildcard notebooks/$(CHAPTERS).ipynb))
LAST := $(BUILD)/executed/13_conclusion.ipynb
# Chapter 3 trains the network of most others and chapter 1 measures that before it, so they begin, beside one that needs
# neither; the others by how long they took, the longest first, so that all processors end together.
ORDER := 03_ 02_ 01_ 04_ 12_ 03b_ 11_ 09_ 06_ 07_ 03a_ 10_ 08_ 05_ your_p your_d
FIRST := $(foreach chapter,$(ORDER),$(filter notebooks/$(chapter)%,$(NOTEBOOKS)))
EXECUTED := $(patsubst notebooks/%,$(BUILD)/executed/%,$(FIRST) $(filter-out $(FIRST),$(NOTEBOOKS)))

.PHONY: help book executed painted pdf zip slides questions course test lint study scores answers sweep weights benchmarks wheels gpu clean key FORCE
.DELETE_ON_ERROR:

help:
	@sed -n 's/^## \{0,1\}//p' Makefile

# ---- installation: again only when a requirement changed; the stamp comes last, so an interrupted one is redone ----
$(VENV)/.installed: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "No Python 3.11, 3.12 or 3.13 was found on the PATH. Install one, or name it:" \
	  "make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@{ $(PY) -V && { uv --version || $(PY) -m pip --version; }; } >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@uv --version >/dev/null 2>&1 || $(PY) -m pip install --quiet uv
	@export PATH="$$PATH:$(CURDIR)/$(VENV)/bin"; set -- --python $(PY) --constraint constraints.txt --editable ".[$(EXTRAS)]"; \
	  uv pip install "$$@" $(BACKEND) $(if $(BACKEND),2>/dev/null || uv pip install "$$@")
	@touch $@

# ---- the book ----
book: executed
	@$(MAKE) --no-print-directory -j$(JOBS) $(BUILD)/html.done
	@echo "The book is ready: open $(CURDIR)/$(BUILD)/html/index.html"

executed: $(VENV)/.installed key
	@test -n "$(EXECUTED)" || { echo "There is no notebooks/$(CHAPTERS).ipynb; try CHAPTERS=\"$(CHAPTERS)*\"." >&2; exit 1; }
	@$(MAKE) -q $(EXECUTED) || \
	  exec $(PY) book/tools/kernel_server.py $(MAKE) --no-print-directory -j$(JOBS) painted $(EXECUTED)

painted:
	@$(PY) -m ood_lib.miniature

# Asked for together, the data come first; whether a notebook is outdated is asked without them.
$(EXECUTED): | $(filter painted,$(MAKECMDGOALS))

# What every notebook's outputs depend on, by content: touching a file executes nothing, and an edit of the library's
# comments and docstrings neither. The pages depend on those, too, and on all that is written for them.
key:
	@mkdir -p $(BUILD)
	@{ echo "$$PARAMETERS" && $(PY) book/tools/library_digest.py && \
	  cksum constraints.txt $(addprefix book/tools/,execute.py figure_output.py forked_kernels.py kernel_server.py) && \
	  find book/records -type f | LC_ALL=C sort | xargs cksum; } > $(BUILD)/key.new
	@find ood_lib -name '*.py' | LC_ALL=C sort | xargs cksum > $(BUILD)/docstrings.new
	@{ echo "$(SOLUTIONS)"; git remote get-url origin 2>/dev/null; \
	  find book benchmarks/results _config.yml _toc.yml -type f ! -name "*.pyc" | LC_ALL=C sort | xargs cksum; } > $(BUILD)/pages.new
	@for name in key docstrings pages; do if cmp -s $(BUILD)/$$name.new $(BUILD)/$$name; \
	  then rm $(BUILD)/$$name.new; else mv $(BUILD)/$$name.new $(BUILD)/$$name; fi; done

# The last chapter reads what all others found.
$(LAST): $(filter-out $(LAST),$(EXECUTED))

$(BUILD)/executed/%.ipynb: notebooks/%.ipynb $(BUILD)/key
	@echo "executing $<"
	@$(PY) book/tools/execute.py $< $@ $(PARAMETERS)

# Without what computes in the page it is tried again the next time.
$(BUILD)/playground.done: $(BUILD)/key $(wildcard book/tools/playground*.py book/playground/* book/_static/playground/*)
	@$(PY) book/tools/playground.py --out $(BUILD)/playground && { test ! -f $(BUILD)/playground/runtime.js || touch $@; }

$(BUILD)/stage.done: $(BUILD)/pages $(EXECUTED)
	@$(PY) book/tools/stage.py && touch $@

# Another file only if the staged book is another one.
$(BUILD)/stage.digest: $(BUILD)/stage.done
	@:

# The library's docstrings are pages of the book.
$(BUILD)/sphinx.done: $(BUILD)/stage.digest $(BUILD)/docstrings
	@echo "building the pages"
	@$(PY) book/tools/pages.py $(BUILD)/stage $(BUILD)/sphinx >$(BUILD)/sphinx.log 2>&1 || { cat $(BUILD)/sphinx.log; exit 1; }
	@touch $@

# Built aside, so that a failed build leaves the last good book; beside the playground, which takes as long.
$(BUILD)/html.done: $(BUILD)/sphinx.done $(BUILD)/playground.done
	@rm -rf $(BUILD)/html && cp -r $(BUILD)/sphinx/html $(BUILD)/html && cp $(BUILD)/playground/* $(BUILD)/html/_static/playground
	@touch $@

pdf: book
	@$(PY) book/tools/print_book.py $(BUILD)/html $(BUILD)/book.pdf

zip: book
	@$(PY) book/tools/pack_offline.py $(BUILD)/html $(BUILD)/book-offline.zip

# ---- for teachers ----
slides: executed
	@$(PY) book/tools/slides.py

questions: $(VENV)/.installed
	@$(PY) book/tools/question_bank.py

course: $(VENV)/.installed
	@$(PY) book/tools/pack_course.py

# ---- checks ----
# By files, so that what the tests of one share is made once.
test: $(VENV)/.installed
	$(PY) -m ruff check .
	$(PY) -m codespell_lib
	$(PY) -m pytest -n 2 --dist loadfile

lint: $(VENV)/.installed
	@mkdir -p $(BUILD)
	$(PY) -m ruff check .
	$(PY) -m codespell_lib
	$(VENV)/bin/lint-imports >$(BUILD)/imports.log || { cat $(BUILD)/imports.log; exit 1; }
	$(PY) benchmarks/house.py
	$(PY) -m nbstripout --verify --keep-id $(NOTEBOOKS)
	$(PY) book/tools/answers.py --check
	$(PY) book/tools/lint.py

study: $(VENV)/.installed
	for name in $(STUDIES); do $(PY) -m ood_lib.studies run $$name --out $(STUDY) || exit 1; done
	$(PY) -m ood_lib.studies pack $(STUDY) book/records
	for name in $(APART); do $(PY) -m ood_lib.studies run $$name --out $(STUDY)/$$name && \
	  $(PY) -m ood_lib.studies pack $(STUDY)/$$name book/records/$$name || exit 1; done

scores: $(VENV)/.installed
	$(PY) -m ood_lib.studies scores book/records

answers: $(VENV)/.installed
	$(PY) book/tools/answers.py

sweep: $(VENV)/.installed
	$(PY) book/tools/sweep.py --jobs $(JOBS)

weights: $(VENV)/.installed
	$(PY) book/tools/train_weights.py

# ---- how fast it is here, in small sizes; ONLY="meta imports" measures these ----
ONLY ?= segments metrics meta loaders coco_index network imports score_command
SIZE_segments := --repeats 2
SIZE_metrics := --frames 40 --repeats 2
SIZE_meta := --sizes 300 --loop-folds 1 --repeats 1
SIZE_loaders := --frames 4 --passes 2 --repeats 1
SIZE_coco_index := --images 5000
SIZE_network := --networks deeplabv3plus_wrn38 --size 256 512 --crop 240 --batch 1 --seconds 1
benchmarks: $(ONLY:%=benchmark-%)
benchmark-%: $(VENV)/.installed FORCE
	PYTHONPATH=$(CURDIR) $(PY) benchmarks/$*.py $(SIZE_$*) --out benchmarks/results/cpu-$*.json

# ---- a machine with an NVIDIA card, and perhaps without network, whose PyTorch stays as it is ----
WHEELS_PYTHON ?= 3.12
MANYLINUX := 2_28 2_27 2_17
wheels: $(VENV)/.installed
	@mkdir -p $(BUILD) && rm -rf wheels
	@export PATH="$$PATH:$(CURDIR)/$(VENV)/bin"; printf '%s\n' pytest papermill ipykernel ipywidgets | \
	  uv pip compile - pyproject.toml --quiet --python-version $(WHEELS_PYTHON) --constraint constraints.txt --no-annotate \
	  --no-header | grep -vE '^(torch|torchvision|triton|nvidia-[a-z0-9-]+|cuda-[a-z0-9-]+)==' > $(BUILD)/wheels.txt
	$(PY) -m pip download --quiet --no-deps --only-binary :all: --python-version $(WHEELS_PYTHON) \
	  $(MANYLINUX:%=--platform manylinux_%_x86_64) --platform manylinux2014_x86_64 -r $(BUILD)/wheels.txt -d wheels

WHEELS := $(wildcard wheels/*.whl)
GPU_PYTHON ?= $(if $(WHEELS),python3,$(PY))
GPU_SITE := $(BUILD)/gpu-site
$(GPU_SITE)/.installed: $(WHEELS)
	@rm -rf $(GPU_SITE)
	$(GPU_PYTHON) -m pip install --quiet --no-index --no-deps --target $(GPU_SITE) wheels/*.whl
	@touch $@

SMALL ?=
PARTS ?=
gpu: $(if $(WHEELS),$(GPU_SITE)/.installed,$(if $(filter $(PY),$(GPU_PYTHON)),$(VENV)/.installed))
	PYTHONPATH=$(CURDIR)$(if $(WHEELS),:$(CURDIR)/$(GPU_SITE)) $(GPU_PYTHON) benchmarks/gpu.py $(PARTS) $(SMALL)

clean:
	rm -rf $(BUILD)
