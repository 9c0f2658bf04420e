# A thin front for CMake: every target is a few commands that you could type yourself. `make help` lists them.
#
# Missing Debian packages are installed by scripts/deps.sh, which says what it installs and asks nothing.
# HOLDFAST_DEPS=no leaves packages alone.

PREFIX ?= /usr/local
JOBS ?= $(shell nproc)
NET_JOBS ?= 4
SEEDS ?= 10000
FIRST ?= fresh
LEVEL ?= core tunnel process
PROGRAMS := client server cproxy sproxy
SOURCES = $(shell git ls-files '*.cc' '*.hh')

.DEFAULT_GOAL := release
.PHONY: help release demo test sim bench bench-layers bench-handover bench-false-alarms bench-herd bench-crowd report install clean dev tidy format coverage model tsan mutants fuzz fuzz-merge soak test-systemd

help:           ## this list
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' $(MAKEFILE_LIST) | expand -t 24

release:        ## build ./client ./server ./cproxy ./sproxy (this is what plain `make` does)
	@scripts/deps.sh build
	@test -f build/release/build.ninja || cmake --preset release -DHOLDFAST_TESTS=OFF
	cmake --build build/release -j $(JOBS) --target programs
	@for name in $(PROGRAMS); do \
	  if test -e build/release/apps/$$name; then ln -sf build/release/apps/$$name $$name; fi; done

demo: release   ## a telnet session that lives through a change of address, beside one that dies
	@scripts/deps.sh demo
	@scripts/demo.sh

test:           ## every test: unit, cli and tidy with sanitizers, then all with the release build
	@scripts/deps.sh build test
	@JOBS=$(JOBS) NET_JOBS=$(NET_JOBS) scripts/test.sh

test-systemd: release ## the units under a real systemd, in a container that is made for it: some minutes (ROUNDS=10, SESSIONS=1000, THREADS=2)
	@scripts/deps.sh systemd
	@$(if $(filter 0,$(shell id -u)),,sudo )env ROUNDS=$(or $(ROUNDS),3) SESSIONS=$(or $(SESSIONS),200) THREADS=$(or $(THREADS),1) tests/systemd/run

model:          ## the resume protocol, checked exhaustively with spin (BOUNDS=large: minutes, gigabytes)
	@scripts/deps.sh model
	@tests/model/run.py --bounds $(or $(BOUNDS),small)

tsan:           ## what several threads share, under ThreadSanitizer: some minutes
	@scripts/deps.sh build test
	@cmake --preset tsan -DHOLDFAST_TESTS=ON >/dev/null && cmake --build build/tsan -j $(JOBS) --target unit_net unit_proxy | tail -n 1
	@ctest --test-dir build/tsan -R '^(net\.Mailbox|proxy\.(Owners|Shards|ProxyRecovery\.NobodyNotices))' --output-on-failure -j $(JOBS)

mutants:        ## plant mistakes into the core and see each one caught: half an hour (ONLY="outflow" for some)
	@scripts/deps.sh build test
	@tests/mutants/mutants.py --jobs $(JOBS) --only "$(ONLY)"

soak: release   ## many apps, a link that is cut all the time, for MINUTES=10: nothing may be left (SEED=..., CRASH_EVERY=1)
	@scripts/deps.sh soak
	@tests/soak/soak.py --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED)) $(if $(CRASH_EVERY),--crash-every $(CRASH_EVERY))

sim:            ## worlds in a simulation: make sim SEEDS=100000 [LEVEL=core|tunnel|process] [FIRST=1|fresh]
	@scripts/deps.sh build test
	@cmake --preset release -DHOLDFAST_TESTS=ON >/dev/null && cmake --build build/release -j $(JOBS) --target sim | tail -n 1
	@for level in $(LEVEL); do build/release/tests/sim/sim --level $$level --seeds $(SEEDS) --first $(FIRST) || exit 1; done

bench: release  ## throughput, CPU and latency beside socat, HAProxy, nginx, stunnel, spiped, ssh: ten minutes (ROUNDS=5)
	@scripts/deps.sh bench-peers
	@tests/bench/peers --rounds $(or $(ROUNDS),5) --only "$(ONLY)"

bench-layers: release ## what the proxies, the protocol and TLS cost, one on top of the other: direct, --raw, --insecure, TLS
	@scripts/deps.sh bench
	@tests/bench/run

bench-handover: release ## how long a move is felt, beside ssh, autossh, mosh, MPTCP: half an hour (FULL=1, ONLY="peer=holdfast rtt=0,50")
	@scripts/deps.sh bench-handover
	@cmake --preset release -DHOLDFAST_TESTS=ON >/dev/null && cmake --build build/release -j $(JOBS) --target wan | tail -n 1
	@tests/bench/handover/run --rounds $(or $(ROUNDS),3) --lanes $(or $(LANES),3) $(if $(FULL),--full) --only "$(ONLY)"

bench-false-alarms: release ## reconnects that a bad link caused and nobody needed, MINUTES=2 for each way of being bad
	@scripts/deps.sh bench-handover
	@cmake --preset release -DHOLDFAST_TESTS=ON >/dev/null && cmake --build build/release -j $(JOBS) --target wan | tail -n 1
	@tests/bench/handover/false_alarms --minutes $(or $(MINUTES),2) --only "$(ONLY)"

bench-herd: release ## a thousand clients come back after an outage: how fast, and who waits meanwhile
	@scripts/deps.sh bench
	@$(if $(filter 0,$(shell id -u)),,sudo )tests/bench/herd

bench-crowd: release ## 10,000 sessions in a tunnel, 1,000 tunnels at one sproxy: memory, idle cost, moves (ROUNDS=3)
	@scripts/deps.sh bench
	@$(if $(filter 0,$(shell id -u)),,sudo )tests/bench/crowd --rounds $(or $(ROUNDS),3)

report: docs/report.pdf ## docs/report.pdf from docs/report.md

docs/report.pdf: docs/report.md docs/report.css $(wildcard docs/figures/*)
	@scripts/deps.sh report
	cd docs && pandoc report.md --from markdown --to html5 --standalone --metadata pagetitle="Mobile TCP Proxy" --css report.css \
	  --pdf-engine weasyprint --output report.pdf

install: release ## install under PREFIX (default /usr/local); DESTDIR is honoured
	cmake --install build/release --prefix $(PREFIX)

clean:          ## remove everything that was built
	$(if $(wildcard build/systemd-root),$(if $(filter 0,$(shell id -u)),,sudo )rm -rf build/systemd-root)
	rm -rf build docs/report.pdf
	rm -f $(PROGRAMS)

dev:            ## build everything with ASan and UBSan in build/dev
	@scripts/deps.sh build test
	cmake --preset dev
	cmake --build build/dev -j $(JOBS)

fuzz:           ## look for inputs that break something (SECONDS=60 for each target)
	@scripts/deps.sh build fuzz
	@tests/fuzz/run --seconds $(or $(SECONDS),60) --jobs $(JOBS)

fuzz-merge:     ## add what `make fuzz` found to the corpus in the tree
	@tests/fuzz/run --merge

tidy:           ## run clang-tidy over the sources (FILES="..." for some of them)
	@scripts/deps.sh build test dev
	@JOBS=$(JOBS) scripts/tidy.sh $(FILES)

format:         ## format every source file with clang-format
	@scripts/deps.sh dev
	clang-format -i $(SOURCES)

coverage:       ## what the unit, sim and cli tests never run: build/coverage/report.html
	@scripts/deps.sh build test dev
	@JOBS=$(JOBS) scripts/coverage.sh
