# The fuzz harnesses: `make fuzz SECONDS=60` runs each of them for so long. Included by the Makefile.
FUZZ_CC = clang
FUZZERS := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))

.PHONY: fuzz fuzz-build fuzz-link
fuzz: fuzz-build
	@sh tests/fuzz/run.sh $(BUILD)/fuzz $(or $(SECONDS),10) $(FUZZERS)
fuzz-build:
	@command -v $(lastword $(FUZZ_CC)) >/dev/null || { echo 'clang is missing; type: sudo apt-get install -y clang'; exit 1; }
	@$(MAKE) $(JOBS) BUILD=$(BUILD)/fuzz CC='$(FUZZ_CC)' OPT=-O1 \
	    VARIANT='-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer' fuzz-link
fuzz-link: $(FUZZERS:%=$(BUILD)/fuzz_%)

$(BUILD)/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o $(filter-out $(MAIN),$(OBJECTS))
	@echo '  LINK  $@'
	$(Q)$(CC) $(VARIANT) -fsanitize=fuzzer -pthread $(LDFLAGS) -o $@ $^ $(PKG_LIBS) $(LIBS)
-include $(wildcard $(BUILD)/tests/fuzz/*.d)
