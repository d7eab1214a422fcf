# The front door. `make help` lists what it does; the work is done by cargo and cc.

CARGO   ?= cargo
CC      ?= cc
CFLAGS  ?= -O2 -g
PREFIX  ?= /usr/local
DESTDIR ?=

BINDIR     = $(PREFIX)/bin
LIBDIR     = $(PREFIX)/lib
INCLUDEDIR = $(PREFIX)/include
MANDIR     = $(PREFIX)/share/man
MACRODIR   = $(PREFIX)/share/dsm

VERSION  := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
SONAME   := libdsm.so.0
TOOLS    := dsmexec dsmwrap dsm
TARGET   := $(or $(CARGO_TARGET_DIR),target)

C_EXAMPLES    := $(patsubst examples/%.c,bin/%,$(wildcard examples/*.c))
RUST_EXAMPLES := $(patsubst crates/dsm/examples/%.rs,bin/%-rs,$(wildcard crates/dsm/examples/*.rs))
TEST_PROGRAMS := $(patsubst tests/programs/%.c,bin/test/%,$(wildcard tests/programs/*.c))
PR204_BOTH    := turns scan idle
PR204_STUBS   := launcher libpeer.a ref/dsmwrap seed/dsmwrap rank/dsmwrap plain pick exemple-stub truc-stub \
                 $(PR204_BOTH:=-stub) $(PR204_BOTH:=-ours)
PR204_PEERS   := $(PR204_STUBS:%=bin/test/pr204/%)
PARMACS_PARTS := $(patsubst share/dsm/parmacs/%.c,lib/parmacs/%.o,$(wildcard share/dsm/parmacs/*.c))
MAN_PAGES     := $(wildcard man/*.1 man/*.3)
# What `cc` needs beside libdsm.a; `rustc --print native-static-libs` tells.
STATIC_LIBS   := -lpthread -ldl -lm

C_STANDARD := -std=c11 -D_DEFAULT_SOURCE -Wall -Wextra -pedantic
COMPILE     = $(CC) $(CFLAGS) $(C_STANDARD) -Iinclude

# Copies only what differs, so that nothing that depends on it is built again.
define refresh
cmp -s $(1) $(2) || install -m $(3) $(1) $(2)
endef

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.PHONY: all products parmacs syscalls examples test-programs bench-programs applications run test prove faults growth install uninstall clean help

all: products parmacs syscalls examples ## build everything into bin/, lib/ and include/ (the default)

# One cargo call for what is shipped. dsm-sim is never part of it: cargo would unify features, and with them plant
# the simulator's bugs in the library.
products:
	$(CARGO) build --release --locked -p dsm-cli -p dsm-capi
	@scripts/no-mutants $(CARGO)
	@mkdir -p bin lib
	@$(foreach tool,$(TOOLS),$(call refresh,$(TARGET)/release/$(tool),bin/$(tool),755) &&) true
	@$(call refresh,$(TARGET)/release/libdsm_capi.so,lib/$(SONAME),755)
	@$(call refresh,$(TARGET)/release/libdsm_capi.a,lib/libdsm.a,644)
	@ln -sf $(SONAME) lib/libdsm.so

# What programs with PARMACS macros link with beside libdsm; see docs/parmacs.md.
parmacs: lib/libdsm_parmacs.a

lib/libdsm_parmacs.a: $(PARMACS_PARTS)
	rm -f $@
	$(AR) rcs $@ $^

lib/parmacs/%.o: share/dsm/parmacs/%.c share/dsm/parmacs/internal.h include/dsm_parmacs.h include/dsm.h
	@mkdir -p lib/parmacs
	$(COMPILE) -fPIC -c $< -o $@

# What programs preload where system calls do not wait for pages; see docs/running.md.
syscalls: lib/libdsm_syscalls.so

lib/libdsm_syscalls.so: share/dsm/syscalls/syscalls.c
	@mkdir -p lib
	$(COMPILE) -fPIC -fno-builtin -shared $< -o $@ -ldl

examples: $(C_EXAMPLES) $(if $(RUST_EXAMPLES),rust-examples)

bin/%: examples/%.c examples/example.h include/dsm.h | products
	$(COMPILE) $< -o $@ -Llib -Wl,-rpath,'$$ORIGIN/../lib' -Wl,--as-needed -ldsm -lpthread -lm

.PHONY: rust-examples
rust-examples: | products
	$(CARGO) build --release --locked -p dsm-rt --examples
	@$(foreach example,$(RUST_EXAMPLES),\
	  $(call refresh,$(TARGET)/release/examples/$(patsubst bin/%-rs,%,$(example)),$(example),755) &&) true

test-programs: $(TEST_PROGRAMS) $(PR204_PEERS) bench-programs ## build the C programs the tests start

bin/test/%: tests/programs/%.c $(wildcard tests/programs/*.h) include/dsm.h | products
	@mkdir -p bin/test
	$(COMPILE) $< -o $@ -Llib -Wl,-rpath,'$$ORIGIN/../../lib' -Wl,--as-needed -ldsm -lpthread

# The C peers of tests/pr204: stubs of other members of the PR204 family. Only NAME-ours uses our header and library.
PR204_COMPILE = mkdir -p $(@D) && $(CC) $(CFLAGS) $(C_STANDARD) -Itests/pr204

bin/test/pr204/launcher: $(wildcard tests/pr204/launcher*.c) tests/pr204/launcher.h tests/pr204/pr204.h
	$(PR204_COMPILE) $(filter %.c,$^) -o $@

bin/test/pr204/%/dsmwrap: tests/pr204/wrapper.c tests/pr204/pr204.h
	$(PR204_COMPILE) -DFORM='"$*"' $< -o $@

bin/test/pr204/plain bin/test/pr204/pick: bin/test/pr204/%: tests/pr204/%.c tests/pr204/pr204.h
	$(PR204_COMPILE) $< -o $@

bin/test/pr204/%.o: tests/pr204/%.c tests/pr204/peer.h tests/pr204/pr204.h tests/pr204/dsm.h
	$(PR204_COMPILE) -c $< -o $@

bin/test/pr204/libpeer.a: $(patsubst tests/pr204/%.c,bin/test/pr204/%.o,$(wildcard tests/pr204/peer*.c))
	rm -f $@
	$(AR) rcs $@ $^

bin/test/pr204/%-stub: tests/pr204/%.c tests/pr204/phases.h tests/pr204/dsm.h bin/test/pr204/libpeer.a
	$(PR204_COMPILE) $< -o $@ bin/test/pr204/libpeer.a -lpthread

bin/test/pr204/%-stub: examples/%.c tests/pr204/dsm.h bin/test/pr204/libpeer.a
	$(PR204_COMPILE) $< -o $@ bin/test/pr204/libpeer.a -lpthread

bin/test/pr204/%-ours: tests/pr204/%.c tests/pr204/phases.h include/dsm.h | products
	@mkdir -p $(@D)
	$(COMPILE) $< -o $@ -Llib -Wl,-rpath,'$$ORIGIN/../../../lib' -Wl,--as-needed -ldsm -lpthread

# The kernels of bench/applications without dsm, by messages over TCP, and over MPI where it is installed.
KERNELS       := jacobi matmul isort ep lu barnes
MPICC         := $(shell command -v mpicc)
BENCH_PROGRAMS := $(KERNELS:%=bin/bench/plain/%) $(KERNELS:%=bin/bench/tcp/%) $(if $(MPICC),$(KERNELS:%=bin/bench/mpi/%))
BENCH_COMPILE  = mkdir -p $(@D) && $(1) $(CFLAGS) $(C_STANDARD) -Ibench/plain $(2) -o $@ -lm

bench-programs: $(BENCH_PROGRAMS) ## build what bench/applications compares the examples with

bin/bench/plain/%: examples/%.c examples/example.h bench/plain/dsm.h
	$(call BENCH_COMPILE,$(CC),$<)

bin/bench/tcp/%: bench/mp/%.c bench/mp/tcp.c bench/mp/mp.h bench/mp/kernel.h examples/%.c examples/example.h bench/plain/dsm.h
	$(call BENCH_COMPILE,$(CC),$(filter bench/mp/%,$(filter %.c,$^)))

bin/bench/mpi/%: bench/mp/%.c bench/mp/mpi.c bench/mp/mp.h bench/mp/kernel.h examples/%.c examples/example.h bench/plain/dsm.h
	$(call BENCH_COMPILE,$(MPICC),$(filter bench/mp/%,$(filter %.c,$^)))

applications: all bench-programs ## compare kernels with message passing, MPI and no dsm at all (five minutes, on a quiet machine)
	bench/applications

run: all ## build, then start exemple and token on three ranks of this machine
	bin/dsmexec examples/machine_file bin/exemple
	bin/dsmexec examples/machine_file bin/token

test: all test-programs ## run every test (installs or names missing Debian packages)
	@scripts/test-packages
	@scripts/test $(CARGO)

prove: all ## show the figures behind the promises of consistency (twenty minutes; MINUTES=n for longer)
	@scripts/prove

faults: all test-programs ## let 250 jobs fail on hosts in network namespaces (four minutes, as root; RUNS=n SEED=s)
	$(CARGO) run --locked --quiet -p dsm-lab --bin faults -- --seed $(or $(SEED),1) --n $(or $(RUNS),250)

growth: ## simulate 2 to 1,024 ranks: the tables and the plot of docs/performance (half a minute)
	$(CARGO) build --release --locked -p dsm-sim
	$(TARGET)/release/dsm-sim grow --into docs/performance/growth.md --svg docs/performance/growth.svg $(GROWTH)

install: all ## install under PREFIX (default /usr/local), below DESTDIR if given
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(INCLUDEDIR)
	install -m 755 $(addprefix bin/,$(TOOLS)) $(DESTDIR)$(BINDIR)
	install -m 755 lib/$(SONAME) $(DESTDIR)$(LIBDIR)/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/libdsm.so
	install -m 644 lib/libdsm.a $(DESTDIR)$(LIBDIR)/libdsm.a
	install -m 644 lib/libdsm_parmacs.a $(DESTDIR)$(LIBDIR)/libdsm_parmacs.a
	install -m 755 lib/libdsm_syscalls.so $(DESTDIR)$(LIBDIR)/libdsm_syscalls.so
	install -m 644 include/dsm.h include/dsm_parmacs.h $(DESTDIR)$(INCLUDEDIR)
	install -D -m 644 share/dsm/c.m4.dsm $(DESTDIR)$(MACRODIR)/c.m4.dsm
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' \
	  -e 's|@VERSION@|$(VERSION)|' -e 's|@STATIC_LIBS@|$(STATIC_LIBS)|' dsm.pc.in \
	  >$(DESTDIR)$(LIBDIR)/pkgconfig/dsm.pc
	sed -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@MACRODIR@|$(MACRODIR)|' -e 's|@VERSION@|$(VERSION)|' share/dsm/dsm-parmacs.pc.in \
	  >$(DESTDIR)$(LIBDIR)/pkgconfig/dsm-parmacs.pc
	for page in $(MAN_PAGES); do install -D -m 644 $$page $(DESTDIR)$(MANDIR)/man$${page##*.}/$${page##*/} || exit; done
	@if [ -z "$(DESTDIR)" ] && [ "$$(id -u)" = 0 ]; then ldconfig; fi

uninstall: ## remove what install put there
	rm -f $(addprefix $(DESTDIR)$(BINDIR)/,$(TOOLS))
	rm -f $(addprefix $(DESTDIR)$(LIBDIR)/,$(SONAME) libdsm.so libdsm.a pkgconfig/dsm.pc)
	rm -f $(addprefix $(DESTDIR)$(LIBDIR)/,libdsm_parmacs.a libdsm_syscalls.so pkgconfig/dsm-parmacs.pc)
	rm -f $(addprefix $(DESTDIR)$(INCLUDEDIR)/,dsm.h dsm_parmacs.h) $(DESTDIR)$(MACRODIR)/c.m4.dsm
	for page in $(MAN_PAGES); do rm -f $(DESTDIR)$(MANDIR)/man$${page##*.}/$${page##*/}; done
	@if [ -z "$(DESTDIR)" ] && [ "$$(id -u)" = 0 ]; then ldconfig; fi

clean: ## remove everything that was built
	$(CARGO) clean
	rm -rf bin lib logs

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
