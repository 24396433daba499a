# Suites under checkers and in double precision, the same model in PyTorch, and the layout of the sources. Included by
# the Makefile.
# Each checker has a build of its own, build/NAME.

.PHONY: test-cores format check-format double double-suites double-link asan tsan valgrind peer
# Those that multiply: run under every BLAS core by test-cores.
CORE_SUITES = $(filter attention attention_modules memory_gates batch blas booksum_decoding causal choice cycle decoder empty_memory engine \
    equations facts field field_tasks frozen memorizing optimiser partial perplexity reader regress reuse sliding_window step train train_validation transformer_xl transformer_xl_gradient verify,$(SUITES))
# Those that end in seconds under valgrind, and those that run several threads and that the thread checker sees through
# in minutes, the longest first; the checker of addresses and undefined behaviour runs all fast suites.
VALGRIND_SUITES = base blas block_types booksum booksum_train bpe cells choice command config empty_memory eval gguf \
    journal jsonl keyval lcs mqar optimiser pairs passkey_score passkey_source passkey_variants
TSAN_SUITES = batch cli step facts reader decoder block cycle relay recurrence optimiser perplexity row_kernels

# The suites that multiply under every BLAS core that this processor can run; CORES names some of them.
test-cores double: WITH = build test
test-cores: deps
	@$(MAKE) $(JOBS) $(BINARY) $(CORE_SUITES:%=$(BUILD)/tests/test_%)
	@PALIMPSEST=$(BINARY) SUITE_LIMIT=$(SUITE_LIMIT) CORES='$(CORES)' sh tests/cores.sh $(CORE_SUITES:%=$(BUILD)/tests/test_%)

double-suites:
	@$(MAKE) $(JOBS) BUILD=$(BUILD)/double VARIANT=-DPAL_DOUBLE double-link
double-link: $(DOUBLE_NOW:%=$(BUILD)/tests/test_%)
double: double-suites
	$(suites_run) $(DOUBLE_NOW:%=$(BUILD)/double/tests/test_%)

checked = $(MAKE) $(JOBS) BUILD=$(BUILD)/$@ SUITE_LIMIT=900 OPT=-O1 $(if $(T),FAST_SUITES='$(T)')
# Wrong addresses and undefined behaviour by one build.
asan:
	+@ASAN_OPTIONS=abort_on_error=0:detect_leaks=1 $(checked) run-suites \
	    VARIANT='-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer'
tsan:
	+@$(checked) VARIANT=-fsanitize=thread run-suites $(if $(T),,FAST_SUITES='$(TSAN_SUITES)')
valgrind:
	@command -v valgrind >/dev/null || { echo 'valgrind is missing; type: sudo apt-get install -y valgrind'; exit 1; }
	+@$(checked) run-suites $(if $(T),,FAST_SUITES='$(VALGRIND_SUITES)') \
	    WRAPPER='valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite'

# Other programs beside ours: PyTorch, and those of single parts; llama.cpp too with PEERS='torch llama.cpp', built from source. ROWS names
# some rows.
PEERS = torch
PARTS = $(BUILD)/tests/parts_speed
$(PARTS): $(BUILD)/tests/peer/parts_speed.o $(TEST_OBJECTS)
	@echo '  LINK  $@'
	$(Q)$(CC) $(VARIANT) -pthread $(LDFLAGS) -o $@ $^ $(PKG_LIBS) $(LIBS)
-include $(wildcard $(BUILD)/tests/peer/*.d)
peer: deps
	+@$(MAKE) $(JOBS) $(BINARY) $(PARTS)
	@sh tests/peer/setup.sh $(BUILD)/peer '$(PEERS)'
	@$(BUILD)/peer/venv/bin/python tests/peer/speed.py --binary $(BINARY) --parts $(PARTS) --peers $(BUILD)/peer --with '$(PEERS)' \
	    --rounds $(or $(ROUNDS),5) $(if $(ROWS),--rows '$(ROWS)') $(if $(CPU_TIME),--cpu-time)

C_FILES = $(wildcard $(foreach d,$(DIRS) $(TEST_DIRS) tests/lib tests/fuzz,$(d)/*.c $(d)/*.h)) tests/peer/parts_speed.c tests/peer/cpu_clock.c
format:
	clang-format -i $(C_FILES)
check-format:
	@clang-format --dry-run --Werror $(C_FILES)
compile_commands.json: FORCE
	@for f in $(filter %.c,$(C_FILES)); do printf '{"directory":"%s","file":"%s","command":"%s"},\n' "$(CURDIR)" $$f \
	    "$(CC) $(ALL_CFLAGS) -DKERNELS_ISA=base -DPAL_VERSION= -c $$f"; done | sed '1s/^/[/;$$s/,$$/]/' > $@
