# SPDX-License-Identifier: GPL-3.0-or-later
DATAPATHS := splice portarp waypoint gateway onetime resoa
AGENTS    := broker translator peer dns portarp dhcp waypoint gateway onetime resoa resoad

# make demo | demo-portarp | demo-waypoint | demo-onetime | demo-resoa | test | bench | vmtest | fuzz | install | uninstall | deps | format | format-check | clean
# V=1 shows commands, SAN=1 builds with ASan and UBSan, CC=clang builds userspace with clang.

VERSION := 0.1.0
B       := build$(if $(SAN),-san)
PREFIX  ?= /usr/local
DESTDIR ?=
CLANG   ?= clang
Q       := $(if $(V),,@)
say      = $(if $(V),,@printf '  %-8s %s\n' $(1) $(2))

all: build
include deps.mk

# ---- flags
PKGS     := libbpf libelf zlib libevent libevent_openssl libevent_pthreads openssl jansson sqlite3 libmnl libcap-ng libsystemd
PKG_C     = $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
LIBS_LOADER = $(shell pkg-config --libs libbpf libelf zlib jansson libmnl 2>/dev/null)
LIBS_AGENT  = $(shell pkg-config --libs $(PKGS) 2>/dev/null) -linih -lpthread
LIBS_dns    = $(shell pkg-config --libs libknot libzscanner libdnssec 2>/dev/null)
WARN     := -Wall -Wextra -Werror -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 -Wundef
OPT      ?= -O2 -g
HARDEN   := -fstack-protector-strong -fPIE $(if $(SAN),,-D_FORTIFY_SOURCE=2)
comma    := ,
SANFLAGS := $(if $(SAN),-fsanitize=address$(comma)undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
CFLAGS_ALL = -std=gnu11 $(OPT) $(WARN) $(HARDEN) $(SANFLAGS) -D_GNU_SOURCE -DISTHMUS_VERSION='"$(VERSION)"' -I. -I$B $(PKG_C) $(CFLAGS)
LDFLAGS_ALL = -pie -Wl,-z,relro,-z,now $(SANFLAGS) $(LDFLAGS)
ARCH     := $(shell uname -m | sed 's/x86_64/x86/;s/aarch64/arm64/')
TRIPLE    = $(shell $(CC) -print-multiarch 2>/dev/null)
BPF_CFLAGS = -std=gnu11 -O2 -g --target=bpf -mcpu=v3 -D__bpf__ -D__TARGET_ARCH_$(ARCH) -I. -I/usr/include/$(TRIPLE) \
             -Wall -Wextra -Werror -Wno-unused-parameter -Wno-address-of-packed-member -fno-strict-aliasing

# ---- what is built from what
PROGRAMS   := $B/isthmus $(AGENTS:%=$B/isthmus-%) $B/isthmus-srv-run
PRELOADED  := $B/isthmus-srv.so
LOADER_SRC := $(wildcard loader/*.c maps/*.c)
AGENT_LIB  := $(wildcard agents/lib/*.c)
TESTS      := $(patsubst selftests/%.c,$B/selftests/%,$(filter-out %.bpf.c,$(wildcard selftests/*.c)))
ASSUME     := $(patsubst selftests/%.c,$B/selftests/%,$(filter-out %.bpf.c,$(wildcard selftests/assume/*.c)))
TEST_BIN   := $(patsubst %,$B/selftests/lib/%,resoa_calls resoa_peer)
BENCH_BIN  := $(patsubst selftests/%.c,$B/selftests/%,$(filter-out %.bpf.c,$(wildcard selftests/bench/*.c)))
BENCH_BPF  := $(patsubst selftests/%.bpf.c,$B/selftests/%.bpf.o,$(wildcard selftests/*/*.bpf.c selftests/*.bpf.c))
SKELS      := $(DATAPATHS:%=$B/bpf/%.skel.h)
objects     = $(patsubst %.c,$B/obj/%.o,$(1))

build: $(DEPS_OK) ; $(Q)$(MAKE) --no-print-directory -j$$(nproc) everything
everything: $(PROGRAMS) $(PRELOADED) $(TESTS) $(TEST_BIN) $(ASSUME) $(BENCH_BIN) $(BENCH_BPF)

$B/bpf/%.bpf.o: bpf/%.bpf.c
	$(call say,BPF,$@)
	$(Q)mkdir -p $(@D) && $(CLANG) $(BPF_CFLAGS) -MMD -MP -MT $@ -MF $B/bpf/$*.bpf.d -c $< -o $@.tmp && llvm-strip -g $@.tmp && mv $@.tmp $@
$B/bpf/%.skel.h: $B/bpf/%.bpf.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name $*_bpf > $@.tmp && mv $@.tmp $@
$B/selftests/%.bpf.o: selftests/%.bpf.c
	$(call say,BPF,$@)
	$(Q)mkdir -p $(@D) && $(CLANG) $(BPF_CFLAGS) -MMD -MP -MF $(@:.o=.d) -c $< -o $@
$B/obj/%.o: %.c | $(SKELS)
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(CFLAGS_ALL) -MMD -MP -c $< -o $@

$B/isthmus: $(call objects,$(LOADER_SRC))
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_LOADER)
define AGENT_RULE
$B/isthmus-$(1): $$(call objects,$$(wildcard agents/$(1)/*.c) $$(AGENT_LIB) $$(wildcard maps/*.c))
	$$(call say,LINK,$$@)
	$$(Q)$$(CC) $$(LDFLAGS_ALL) -o $$@ $$^ $$(LIBS_AGENT) $$(LIBS_$(1))
endef
$(foreach agent,$(AGENTS),$(eval $(call AGENT_RULE,$(agent))))

# What unmodified programs are run with: without sanitizers, which they do not have.
$B/isthmus-srv-run: $(call objects,agents/srv/run.c)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^
$B/isthmus-srv.so: $(wildcard agents/srv/*.[ch])
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(filter-out -fPIE $(SANFLAGS),$(CFLAGS_ALL)) -fPIC -fvisibility=hidden -shared -Wl,-z,relro,-z,now \
	  -o $@ $(filter-out %/run.c %.h,$^) -lresolv && chmod 644 $@

# A test links what its sources name: `/* link: agents/lib/msg.c maps/pin.c */` in the test file.
.SECONDEXPANSION:
linked = $(call objects,$(shell sed -n 's|^/\* link: \(.*\) \*/|\1|p' selftests/$(1).c))
$B/selftests/%: selftests/%.c $$(call linked,$$*) | $(SKELS)
	$(call say,TEST,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(CFLAGS_ALL) -Wno-missing-prototypes -MMD -MP -MF $@.d -o $@ $< $(call linked,$*) $(LDFLAGS_ALL) $(LIBS_AGENT) -lcmocka -Wl,--as-needed $(LIBS_dns) -lresolv

-include $(wildcard $B/bpf/*.d) $(shell find $B/obj $B/selftests -name '*.d' 2>/dev/null)

# ---- what one runs
AS_ROOT := $(shell [ "$$(id -u)" = 0 ] || echo sudo -E)
test: build ; $(Q)$(AS_ROOT) env B=$(abspath $B) selftests/run
demo: build ; $(Q)$(AS_ROOT) env B=$(abspath $B) selftests/demo.sh
demo-%: build ; $(Q)$(AS_ROOT) env B=$(abspath $B) selftests/demo_$*.sh
bench: build ; $(Q)$(AS_ROOT) env B=$(abspath $B) BENCH=$(BENCH) selftests/bench/run
vmtest: build ; $(Q)$(AS_ROOT) env B=$(abspath $B) vmtest/run
fuzz: $(DEPS_OK) ; $(Q)env B=$(abspath $B) selftests/fuzz/run $(FUZZ)

FORMATTED = $(shell git ls-files '*.c' '*.h')
format: ; clang-format -i $(FORMATTED)
format-check: $(DEPS_OK) ; $(Q)clang-format --dry-run --Werror $(FORMATTED)
clean: ; rm -rf build build-san

include install.mk

.PHONY: all build everything test demo bench vmtest fuzz format format-check clean install uninstall deps
.DELETE_ON_ERROR:
.SECONDARY:
