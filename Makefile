# The front door. Everything real is in meson.build and tests/run_all.sh.
BUILD ?= build
SOURCES = $(shell find $(wildcard src sim bench fuzz examples clients) -name '*.[ch]')

# What the program is built from and its demo runs with, on Debian 12 ...
PACKAGES_BUILD = build-essential meson ninja-build pkg-config libsqlite3-dev libyaml-dev \
	libyajl-dev libssl-dev libh2o-evloop-dev libnghttp2-dev libprotobuf-c-dev protobuf-c-compiler \
	curl python3 python3-yaml
# ... what its tests and checks need besides ...
PACKAGES_TEST = $(PACKAGES_BUILD) libcmocka-dev clang-14 clang-tidy-14 clang-format-14 \
	libclang-rt-14-dev llvm-14 cppcheck codespell shellcheck python3-pytest python3-jsonschema python3-redis openssl \
	groff-base redis-tools sqlite3 protobuf-compiler python3-protobuf python3-grpcio python3-h2
# ... its Debian package and the clean system in which that is tried ...
PACKAGES_PACKAGE = $(PACKAGES_BUILD) debhelper lintian mmdebstrap
# ... and its benchmarks. Debian starts nginx and redis as services when it installs them.
PACKAGES_BENCH = $(PACKAGES_BUILD) nginx-light wrk sqlite3 redis-server redis-tools

.PHONY: help deps deps-build deps-package deps-bench build test demo demo-stop package bench format clean

help:
	@echo
	@echo '  Weir: a real-time access engine for metered products'
	@echo
	@echo '    make build      the program: $(BUILD)/weir'
	@echo '    make demo       a server with a small policy, and a walk through it (TRACE=file.csv)'
	@echo '    make demo-stop  ends that server and removes its data'
	@echo '    make test       everything that proves it (tests/run_all.sh NAME... runs some of it)'
	@echo '    make package    a Debian package: $(BUILD)/package/weir_*.deb'
	@echo '    make bench      the performance promises, as ratios'
	@echo
	@echo '    make deps       installs what build and tests need (Debian 12; root or sudo)'
	@echo '    make format     puts every C file into the house format'
	@echo '    make clean      removes what was built'
	@echo

# $(call install,PACKAGES): only what is missing; nothing at all, not even the network, if nothing is.
define install
@missing=; for package in $(1); do \
	status=$$(dpkg-query -W -f='$${db:Status-Status}' "$$package" 2>/dev/null || true); \
	[ "$$status" = installed ] || missing="$$missing $$package"; \
done; \
[ -n "$$missing" ] || exit 0; \
command -v apt-get >/dev/null || { echo "no apt-get here; please install:$$missing"; exit 1; }; \
echo "installing:$$missing"; \
sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
$$sudo env DEBIAN_FRONTEND=noninteractive apt-get update -q && \
$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $$missing
endef

# Prometheus is unpacked, not installed: tests/ops/unpack.sh says why.
deps:
	$(call install,$(PACKAGES_TEST) $(PACKAGES_PACKAGE))
	@tests/ops/unpack.sh build/prometheus

deps-build:
	$(call install,$(PACKAGES_BUILD))

deps-package:
	$(call install,$(PACKAGES_PACKAGE))

deps-bench:
	$(call install,$(PACKAGES_BENCH))

$(BUILD)/build.ninja:
	meson setup $(BUILD)

build: deps-build $(BUILD)/build.ninja
	@ninja -C $(BUILD) weir

test: deps
	@tests/run_all.sh

demo: build
	@BUILD=$(abspath $(BUILD)) TRACE="$(TRACE)" demo/demo.sh

demo-stop:
	@BUILD=$(abspath $(BUILD)) demo/stop.sh

package: deps-package
	@BUILD=$(abspath $(BUILD)) packaging/build.sh

bench: deps-bench build
	@ninja -C $(BUILD) bench/decide bench/lone bench/settle bench/snapshot bench/soak
	@BUILD=$(abspath $(BUILD)) bench/run.sh

format:
	clang-format-14 -i $(SOURCES)

clean:
	rm -rf build build-asan build-tsan build-fuzz
