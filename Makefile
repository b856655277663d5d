# make help lists the targets. Adding a file, a program, a test or a room needs no edit here:
#   <process>/main.c       -> build/<kind>/bin/<process>
#   tools/main_<x>.c       -> build/<kind>/bin/<x>
#   any other .c in common, a process or tools, in whatever room -> the library that all programs link
#   tests/unit/test_*.c, tests/integration/test_*.c, tests/bench/bench_*.c,
#   tests/tools/*.c        -> one program each; tests/fuzz/fuzz_*.c -> one libFuzzer target each, and
#                             one test that runs its corpus and its regressions
# make check, demo, chaos and bench install what is missing first; the other targets do not (make deps does).
PROCS   := ingest assigner learner scorer
MODULES := common $(PROCS) tools
comma   := ,
SAN     ?=
BUILD   := build/$(if $(SAN),$(subst $(comma),-,$(SAN)),release)$(if $(findstring clang,$(CC)),-clang)
GEN     := build/gen
PKGS    := rdkafka libzmq libprotobuf-c yaml-0.1 libmicrohttpd jansson libxxhash zlib libcurl
VERSION := $(shell sed -n 's/^## \[\([0-9.]*\)\].*/\1/p' CHANGELOG.md 2>/dev/null | head -n 1)

CC       ?= cc
CPPFLAGS := -I. -I$(GEN) $(patsubst -I%,-isystem %,$(shell pkg-config --cflags-only-I $(PKGS) 2>/dev/null)) \
            -D_POSIX_C_SOURCE=200809L -DAA_VERSION='"$(or $(VERSION),0.0.0)"'
# known OPTIONS: those that the compiler knows
known     = $(shell for o in $1; do $(CC) -Werror $$o -E -x c /dev/null >/dev/null 2>&1 && echo $$o; done)
WARN     := -Wall -Wextra -Wpedantic -Wshadow -Wvla -Wundef -Wformat=2 -Wstrict-prototypes \
            -Wmissing-prototypes -Wpointer-arith -Wcast-qual -Wcast-align -Wwrite-strings \
            -Wimplicit-fallthrough -Wnull-dereference -Wdouble-promotion -Wconversion -Wsign-conversion \
            $(call known,-Wduplicated-cond -Wlogical-op -Wno-gnu-statement-expression -Wno-enum-float-conversion)
OPT      ?= $(if $(SAN),-O1 -fno-omit-frame-pointer -fsanitize=$(SAN) -fno-sanitize-recover=all,-O2 -fno-math-errno)
# A product and a sum stay two roundings: clang fuses them unless told, even where it computes constants.
CFLAGS   := -std=c17 -ffp-contract=off -g $(WARN) -Werror $(OPT) -MMD -MP
LDLIBS   := $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lm -lpthread

SRC   := $(sort $(shell find $(MODULES) -name '*.c'))
MAINS := $(filter %/main.c,$(SRC)) $(filter tools/main_%,$(SRC))
PROTO := $(wildcard schemas/*.proto)
PBC   := $(PROTO:%.proto=$(GEN)/%.pb-c.c)
LIB   := $(BUILD)/libautoassign.a
EMBED := $(sort $(shell find scorer -name '*.html' -o -name '*.yaml')) # become arrays in the binary
OBJ   := $(patsubst %.c,$(BUILD)/%.o,$(filter-out $(MAINS),$(SRC))) $(PBC:$(GEN)/%.c=$(BUILD)/%.o) \
         $(EMBED:%=$(BUILD)/%.o)
name_of = $(patsubst main_%,%,$(patsubst main,$(notdir $(patsubst %/,%,$(dir $1))),$(basename $(notdir $1))))
BIN   := $(foreach m,$(MAINS),$(BUILD)/bin/$(call name_of,$m))
TESTS := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_*.c))
ITESTS:= $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/integration/test_*.c))
BENCH := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/bench/bench_*.c))
TTOOLS:= $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/tools/*.c))
FUZZ  := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZES:= $(FUZZ:$(BUILD)/tests/fuzz/fuzz_%=$(BUILD)/tests/fuzz_replay/replay_%)
# tests that write a reference with REFERENCE=write
REFS  := $(BUILD)/tests/unit/test_conf_print $(BUILD)/tests/unit/test_metrics_reference
RUNS  := $(TESTS:=.run) $(FUZZES:=.run)
TIDY  := $(SRC:%.c=build/tidy/%.ok)
SCRIPTS := $(sort $(shell find .ci compose scripts tests -name '*.sh' -o -name '*.bash') .ci/run)
FUZZ_SECONDS ?= 600
# librdkafka's threads, as ThreadSanitizer knows them
SHIM   := $(if $(findstring thread,$(SAN)),$(BUILD)/tests/tsan_threads.o)
KEYS   ?= autoassign-keys.env
PREFIX ?= /usr/local
SHARE  := $(DESTDIR)$(PREFIX)/share/autoassign
DOC    := $(DESTDIR)$(PREFIX)/share/doc/autoassign
UNITS  := $(DESTDIR)$(PREFIX)/lib/systemd/system

all: $(BIN) ; @: ## build every program (CC=clang: in build/release-clang)
build-tests: $(TESTS) $(ITESTS) $(TTOOLS) $(FUZZES) ; @:
build-bench: $(BENCH) ; @:
deps: ; @scripts/deps.sh ## install what building and running need (apt packages, Kafka's jars)
check: ; @scripts/check.sh ## every test, a real Kafka included; SANITIZE=1: under ASan and UBSan; =thread: TSan; GATES=1: gates too
demo: ; @scripts/demo.sh ## the whole pipeline once; DATA=file POSITIVE=n, or EVENTS=n generated
chaos: ## FAULTS=100 random faults (SEED=n) in replays: the state must be an undisturbed run's; then three brokers, a bad network
	@tests/chaos/chaos.sh
	@TURNS=6 EVENTS=400000 tests/e2e/three_brokers.sh
	@FAULTS=100 EVENTS=200000 tests/e2e/bad_network.sh
keys: $(BUILD)/bin/keys ## a new CURVE key pair for the links into KEYS=autoassign-keys.env, mode 0600
	@test ! -e $(KEYS) || { echo "$(KEYS): there already, not overwritten" >&2; exit 1; }
	@umask 077; set -C; $< --env >$(KEYS) && echo "$(KEYS): for the environment of all processes"
bench: ; @scripts/bench.sh ## rates of the pipeline and of each stage
curve: ; @tests/bench/curve.sh ## AUC against the learner's speed, by model.step and model.dense_step; STREAMS="file:positive ..." SEEDS
eval: ; @tests/eval/eval.sh ## every mode on recorded streams: report.html and results.csv; STREAMS MODES SEEDS MODELS
rankings: all ; @tests/eval/rankings.sh ## what rankings of all known items are worth: recall, NDCG, AUC per user; STREAM=file:positive SHARE USERS SETTINGS
scaling: ; @tests/eval/scaling.sh ## memory by dimension, IDs and skew; what assignment costs
sizing: ; @tests/bench/sizing.sh ## measure, and compute docs/SIZING.md from it
memory: ; @scripts/memory.sh ## what the whole pipeline holds, in bytes per ID: MODES SIZES SETTINGS; build/memory/summary.json
opponents: ; @tests/opponents/opponents.sh ## Vowpal Wabbit, River and PyTorch on the same stream; STREAM=file POSITIVE=n TORCH=0
peers: opponents ; @:
platforms: ; @tests/platforms/run.sh ## Debian 12 and 13 with gcc and clang, each in a root of its own; as root; PLATFORMS ONLY
image-test: ; @tests/image/run.sh ## the image and docker-compose.yaml's containers for real, by podman; as root; BASE COMPOSE
test: $(RUNS) ; @: ## unit tests: no network, no sleep (-O -j2: two at a time)
$(RUNS): %.run: % ; @$(RUN) $<
fuzz: ## each fuzz target for FUZZ_SECONDS (600), FUZZ_JOBS (1) at a time; TARGETS="wire conf": only these
	@scripts/deps.sh fuzz
	@$(MAKE) --no-print-directory $(FUZZ_MAKE) run-fuzz
fuzz-corpus: ## rebuild tests/fuzz/corpus from itself and from what make fuzz has found, as small as possible
	@scripts/deps.sh fuzz
	@$(MAKE) --no-print-directory $(FUZZ_MAKE) run-fuzz FUZZ_DO=merge
FUZZ_MAKE := CC=clang WARN=-w BUILD=build/fuzz \
    OPT='-O1 -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all \
         -DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION'
FUZZ_DO   := run
run-fuzz: $(if $(TARGETS),$(TARGETS:%=$(BUILD)/tests/fuzz/fuzz_%),$(FUZZ))
	@FUZZ_SECONDS=$(FUZZ_SECONDS) FUZZ_JOBS=$(or $(FUZZ_JOBS),1) tests/fuzz/fuzz.sh $(FUZZ_DO) $(BUILD) $^
reference: $(REFS) ## compose/autoassign.yaml, docs/CONFIGURATION.md and docs/METRICS.md from the code
	@set -e; for t in $(REFS); do REFERENCE=write $$t; done
# Of the gates' tools one version: another lays out and finds differently. scripts/deps.sh gates installs them.
format: ; @clang-format-14 -i $(FMT) ## rewrite sources in house layout
format-check: ; @clang-format-14 --dry-run -Werror $(FMT) ## fail if layout differs
shellcheck: ; @printf "%s\n" $(SCRIPTS) | xargs -n 8 -P "$$(nproc)" shellcheck -f gcc ## static checks of the scripts
tidy: $(TIDY) ; @: ## static checks of the sources (-k -j2: all findings, two at a time)
# One file per run: version 14 carries false va_list reports from one file to the next.
build/tidy/%.ok: %.c .clang-tidy | $(PBC)
	@mkdir -p $(@D); $(CC) $(CPPFLAGS) -std=c17 -MM -MP -MT $@ -MF $(@:.ok=.d) $<
	@clang-tidy-14 --quiet $< -- -std=c17 $(CPPFLAGS) 2>/dev/null
	@touch $@
gates: ; @GATES=1 ONLY=^scripts/gates/ scripts/check.sh ## scripts/gates: layout, tidy, shellcheck, rooms, units by clang and under sanitizers
coverage: ## lines that the units and the fuzz targets' corpus run, by room
	@$(MAKE) --no-print-directory BUILD=build/coverage OPT='-O0 --coverage' WARN=-w test >build/coverage.log 2>&1 || \
	    { tail -n 30 build/coverage.log; exit 1; }
	@scripts/coverage.sh build/coverage
compdb: ## compile_commands.json, from what make would run
	@$(MAKE) --no-print-directory -Bn all build-tests build-bench | grep -oE '\<$(CC) .* -c [^ ]+[.]c -o [^ ]+$$' | \
	    jq -R '{directory: "$(CURDIR)", file: capture(" -c (?<f>[^ ]+) -o").f, command: .}' | \
	    jq -s . >compile_commands.json
install: all ## programs as autoassign-<name>, default configuration, schemas, documents, systemd units
	install -d $(DESTDIR)$(PREFIX)/bin $(SHARE)/schemas
	for p in $(BIN); do install -m 755 $$p $(DESTDIR)$(PREFIX)/bin/autoassign-$${p##*/} || exit 1; done
	install -m 644 $(wildcard compose/autoassign.yaml) $(SHARE)
	install -m 644 $(PROTO) $(SHARE)/schemas
	install -d $(DOC)/docs/images $(DOC)/schemas $(DOC)/scorer/api $(UNITS)
	install -m 644 README.md ARCHITECTURE.md CHANGELOG.md CONTRIBUTING.md SECURITY.md LICENSE $(DOC)
	install -m 644 $(wildcard docs/*.md) $(DOC)/docs
	install -m 644 $(wildcard docs/images/*) $(DOC)/docs/images
	install -m 644 schemas/README.md $(PROTO) $(DOC)/schemas
	install -m 644 scorer/api/openapi.yaml $(DOC)/scorer/api
	for u in compose/systemd/autoassign*; do \
	    sed 's|@PREFIX@|$(PREFIX)|' $$u >$(UNITS)/$${u##*/} && chmod 644 $(UNITS)/$${u##*/} || exit 1; done
uninstall: ## remove what install put there
	rm -f $(foreach p,$(BIN),$(DESTDIR)$(PREFIX)/bin/autoassign-$(notdir $p))
	rm -rf $(SHARE) $(DOC)
	rm -f $(UNITS)/autoassign.target $(UNITS)/autoassign-fetcher@.service $(PROCS:%=$(UNITS)/autoassign-%.service)
clean: ; rm -rf build ## remove build/
help: ## list the targets
	@sed -nE 's/^([a-z-]+):[^#]* ## (.*)/\1\t\2/p' Makefile | expand -t 16
FMT := $(sort $(shell find $(MODULES) tests -name '*.[ch]'))
.PHONY: all build-tests build-bench deps curve eval rankings scaling sizing memory opponents peers platforms image-test test fuzz fuzz-corpus run-fuzz reference check demo chaos keys bench install \
        uninstall format format-check shellcheck tidy gates coverage $(RUNS) compdb clean help
.SECONDARY:

define program_rule
$(BUILD)/bin/$(call name_of,$1): $(BUILD)/$(1:.c=.o) $(SHIM) $(LIB)
	@mkdir -p $$(@D); $(CC) $(CFLAGS) $$^ $(LDLIBS) -o $$@
endef
$(foreach m,$(MAINS),$(eval $(call program_rule,$m)))
$(BUILD)/tests/fuzz/%: $(BUILD)/tests/fuzz/%.o $(LIB)
	@mkdir -p $(@D); $(CC) $(CFLAGS) -fsanitize=fuzzer $^ $(LDLIBS) -o $@
$(BUILD)/tests/fuzz_replay/replay_%: $(BUILD)/tests/fuzz/fuzz_%.o $(BUILD)/tests/fuzz/replay.o $(SHIM) $(LIB)
	@mkdir -p $(@D); $(CC) $(CFLAGS) $^ -lcmocka $(LDLIBS) -o $@
$(BUILD)/tests/%: $(BUILD)/tests/%.o $(SHIM) $(LIB)
	@mkdir -p $(@D); $(CC) $(CFLAGS) $^ -lcmocka $(LDLIBS) -o $@
$(LIB): $(OBJ)
	@rm -f $@; $(AR) rcs $@ $^
# numeric loops: let the compiler vectorise them
KERNELS := $(shell grep -l '"common/model/kernel.h"' $(SRC))
$(KERNELS:%.c=$(BUILD)/%.o): CFLAGS += $(if $(SAN),,-O3)
$(BUILD)/tests/%.o: tests/%.c | $(PBC)
	@mkdir -p $(@D); $(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@
$(BUILD)/%.o: %.c | $(PBC)
	@mkdir -p $(@D); $(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@
$(BUILD)/%.pb-c.o: $(GEN)/%.pb-c.c | $(PBC)
	@mkdir -p $(@D); $(CC) $(CPPFLAGS) -std=c17 -w $(OPT) -c $< -o $@
$(BUILD)/%.o: $(GEN)/%.c
	@mkdir -p $(@D); $(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@
$(GEN)/scorer/%.c: scorer/% # page.html: const unsigned char page_html[] and page_html_bytes
	@mkdir -p $(@D); n=$$(basename $< | tr .- __); { \
	    echo "extern const unsigned char $$n[]; extern const unsigned long $${n}_bytes;"; \
	    echo "const unsigned char $$n[] = {"; od -An -v -tx1 $< | sed 's/ \(..\)/0x\1,/g'; echo "0};"; \
	    echo "const unsigned long $${n}_bytes = sizeof $$n - 1;"; } >$@
$(GEN)/%.pb-c.c: %.proto
	@mkdir -p $(GEN); protoc-c --c_out=$(GEN) $<
$(GEN)/%.pb-c.h: $(GEN)/%.pb-c.c ;
-include $(shell find $(BUILD) build/tidy -name '*.d' 2>/dev/null)
