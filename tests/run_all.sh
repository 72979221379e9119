#!/usr/bin/env bash
# Everything that proves Weir, step by step. A failing step does not keep the others from running,
# a missing tool is a failure, and the last line says it all: N passed, N failed, N skipped.
#
# usage: tests/run_all.sh [STEP...]      all steps when none is named
#        BUILD_ROOT=directory            where build, build-asan, -tsan, -fuzz go (default: here)
#        FUZZ_RUNS=200000 FUZZ_SEED=1    how long to fuzz, and from where
# docs/TESTING.md says what each step proves.
set -euo pipefail
cd "$(dirname "$0")/.."

build_root=$(realpath -m "${BUILD_ROOT:-.}")
build=$build_root/build
logs=$build_root/build/run_all
mkdir -p "$logs"

# Debian names it by its version; suppressions of leaks work by the names that it finds.
export ASAN_SYMBOLIZER_PATH=${ASAN_SYMBOLIZER_PATH:-/usr/bin/llvm-symbolizer-14}

all_steps=(build unit purity floors rules format spelling shell cppcheck analyzer blackbox torture contract oracle ops
    asan asan_blackbox tsan fuzz tidy package)
steps=("${@:-${all_steps[@]}}")

passed=0
failed=0
skipped=0
table=()

if [ -t 1 ]; then
    bold=$'\e[1m' red=$'\e[31m' green=$'\e[32m' plain=$'\e[0m'
else
    bold='' red='' green='' plain=''
fi

missing() {
    echo "$1 is missing: make deps"
    return 1
}

need() {
    command -v "$1" >/dev/null || missing "$1"
}

c_files() {
    local folders=()
    for folder in src sim bench fuzz examples clients; do
        [ -d "$folder" ] && folders+=("$folder")
    done
    find "${folders[@]}" -name '*.[ch]' "$@" | sort
}

# --- steps: each prints what it does; those with cases of their own write them into $counts -------

configure() { # directory, compiler, options...
    local directory=$1 compiler=$2
    shift 2
    need meson && need ninja && need "$compiler" || return 1
    if [ ! -f "$directory/build.ninja" ]; then
        CC=$compiler meson setup "$directory" "$@" || return 1
    elif ! grep -q libcmocka "$directory/build.ninja"; then
        # It was configured where only the program had to be built.
        meson setup --reconfigure "$directory" || return 1
    fi
}

setup() { # directory, compiler, options...
    configure "$@" && ninja -C "$1"
}

asan_options=(-Db_lundef=false '-Db_sanitize=address,undefined' -Dc_args=-fno-sanitize-recover=all)

setup_asan() {
    setup "$build_root/build-asan" clang-14 "${asan_options[@]}"
}

run_meson_tests() { # directory, options of meson test...
    local directory=$1 status=0
    shift
    rm -f "$directory/meson-logs/testlog.json"
    meson test -C "$directory" --no-rebuild --print-errorlogs "$@" || status=$?
    if [ ! -f "$directory/meson-logs/testlog.json" ]; then
        echo 'no test ran'
        return 1
    fi
    "$python" tests/counts.py meson "$directory/meson-logs/testlog.json" >"$counts"
    [ "$(cut -d' ' -f1 "$counts")" -gt 0 ] || { echo 'no case passed' && return 1; }
    return "$status"
}

step_build() {
    setup "$build" gcc
}

step_unit() {
    setup "$build" gcc && run_meson_tests "$build"
}

step_asan() {
    setup_asan && UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
            LSAN_OPTIONS=suppressions=$PWD/tests/lsan.supp:print_suppressions=0 \
            run_meson_tests "$build_root/build-asan" --timeout-multiplier 4
}

step_tsan() {
    local wrapper=()
    # clang 14's ThreadSanitizer does not know the wider address randomization of newer kernels.
    if [ "$(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 28)" -gt 28 ]; then
        wrapper=(--wrapper 'setarch -R')
    fi
    setup "$build_root/build-tsan" clang-14 -Db_lundef=false -Db_sanitize=thread &&
        TSAN_OPTIONS=halt_on_error=1 run_meson_tests "$build_root/build-tsan" --suite threads \
            --timeout-multiplier 4 "${wrapper[@]}"
}

# Tokens for the fuzzer: every field name and word the readers know.
step_fuzz() {
    local directory=$build_root/build-fuzz
    configure "$directory" clang-14 -Dfuzz=true "${asan_options[@]}" &&
        ninja -C "$directory" fuzz/fuzz_json fuzz/fuzz_resp fuzz/fuzz_protobuf || return 1
    grep -ohE '"[a-z_]{2,}"' src/wire/*.c | sort -u | sed -E 's/"(.*)"/"\\"\1\\""/' >"$logs/words"
    grep -ohE '"[A-Z]{3,}"' src/wire/resp_parse.c | sort -u >>"$logs/words"
    # shellcheck disable=SC2016 # a bulk string of RESP begins with a dollar
    printf '%s\n' '"*1\x0d\x0a"' '"$4\x0d\x0a"' '"\x0d\x0a"' '"PING"' >>"$logs/words"
    local reader
    for reader in json resp protobuf; do
        UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 "$directory/fuzz/fuzz_$reader" \
            -runs="${FUZZ_RUNS:-200000}" -seed="${FUZZ_SEED:-1}" -max_len=4096 -dict="$logs/words" \
            -artifact_prefix="$logs/fuzz_$reader-" -print_final_stats=1 || return 1
    done
}

step_purity() {
    need nm && "$python" tests/purity.py "$build"
}

step_floors() {
    "$python" tests/floors.py
}

# Every numbered rule and every reason code is shown by a test.
step_rules() {
    "$python" tests/rules.py
}

step_format() {
    need clang-format-14 && c_files | xargs clang-format-14 --dry-run -Werror
}

# Suppressed: what cppcheck 2.10 believes of switches over enums that are exhaustive (both compilers
# check those), its own parser's complaints about compound literals, and system headers.
step_cppcheck() {
    need cppcheck && cppcheck --version && c_files -name '*.c' -not -name '*_test.c' >"$logs/files" &&
        cppcheck --quiet -j "$(nproc)" --std=c11 --enable=warning,performance,portability \
            --inline-suppr --error-exitcode=1 -I src \
            --suppress=missingReturn --suppress=internalAstError --suppress=missingIncludeSystem \
            --file-list="$logs/files"
}

# gcc's own, path by path through whole files, on the floors where nothing but memory can go wrong.
step_analyzer() {
    need gcc && gcc --version | head -n 1 && find src/base src/engine -name '*.c' -not -name '*_test.c' |
        sort | xargs -P "$(nproc)" -I '{}' gcc -std=gnu17 -O2 -Isrc -fanalyzer -Werror -c -o /dev/null '{}' &&
        echo 'no finding'
}

step_tidy() {
    need run-clang-tidy-14 && need clang-tidy-14 &&
        setup_asan &&
        run-clang-tidy-14 -quiet -j "$(nproc)" -p "$build_root/build-asan" \
            '/(src|bench)/(?!.*_test\.c$).*\.c$'
}

step_spelling() {
    local places=()
    for place in README.md docs api ops packaging src tests sim bench fuzz examples demo console clients SECURITY.md CONTRIBUTING.md CHANGELOG.md man; do
        [ -e "$place" ] && places+=("$place")
    done
    need codespell && codespell "${places[@]}" && echo 'no misspelling found'
}

step_shell() {
    local scripts=(.ci/run)
    mapfile -t -O 1 scripts < <(find tests bench demo sim examples man packaging -name '*.sh' 2>/dev/null | sort)
    need shellcheck && shellcheck "${scripts[@]}" && echo "${#scripts[@]} scripts"
}

run_pytest() { # program, folder
    local status=0 report=$logs/$2.xml
    [ -x "$1" ] || { echo "$1 is missing" && return 1; }
    "$python" -c 'import pytest' || missing python3-pytest || return 1
    rm -f "$report"
    WEIR_BIN=$1 "$python" -m pytest "tests/$2" -q -p no:cacheprovider --junitxml "$report" ||
        status=$?
    [ -f "$report" ] && "$python" tests/counts.py junit "$report" >"$counts"
    return "$status"
}

step_blackbox() {
    setup "$build" gcc && run_pytest "$build/weir" blackbox
}

# Requests generated from the server's own document, every answer judged by it; the guide's examples.
step_contract() {
    "$python" -c 'import jsonschema, yaml' || missing 'python3-jsonschema or python3-yaml' || return 1
    setup "$build" gcc && run_pytest "$build/weir" contract
}

# Attacks beside a client that behaves (tests/torture/torture.py --long takes 30 s for each).
step_torture() {
    need openssl && setup "$build" gcc && WEIR_BIN=$build/weir "$python" tests/torture/torture.py
}

step_oracle() {
    setup "$build" gcc && WEIR_RUNS=${WEIR_RUNS:-30} run_pytest "$build/weir" oracle
}

# What make deps unpacked is found last.
step_ops() {
    PATH=$PATH:$PWD/build/prometheus/usr/bin
    need prometheus && need promtool && setup "$build" gcc && run_pytest "$build/weir" ops
}

# Reports go to files, so that none is missed where a test does not look at how its server ended.
step_asan_blackbox() {
    local status=0 reports=$logs/sanitizer
    setup_asan || return 1
    rm -f "$reports".*
    ASAN_OPTIONS=log_path=$reports UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1:log_path=$reports \
        LSAN_OPTIONS=suppressions=$PWD/tests/lsan.supp:print_suppressions=0 \
        run_pytest "$build_root/build-asan/weir" blackbox || status=$?
    if compgen -G "$reports.*" >/dev/null; then
        cat "$reports".*
        return 1
    fi
    return "$status"
}

# In a mount namespace of its own, which takes with it whatever the test mounts.
step_package() {
    local tool status=0 report=$logs/package.xml
    for tool in dpkg-buildpackage dh lintian mmdebstrap unshare nsenter; do need "$tool" || return 1; done
    [ "$(id -u)" = 0 ] || { echo 'a clean system takes root to make' && return 1; }
    "$python" -c 'import pytest' || missing python3-pytest || return 1
    BUILD=$build packaging/build.sh || return 1
    rm -f "$report"
    WEIR_DEB=$(compgen -G "$build/package/weir_*.deb") timeout --signal=KILL 900 \
        unshare --mount --propagation private "$python" -m pytest tests/package -q \
        -p no:cacheprovider --basetemp="$build/package/machine" --junitxml "$report" || status=$?
    rm -rf "$build/package/machine"
    [ -f "$report" ] && "$python" tests/counts.py junit "$report" >"$counts"
    return "$status"
}

# --- the run ---------------------------------------------------------------------------------------

python=python3
if ! python3 -c 'import pytest' 2>/dev/null && /usr/bin/python3 -c 'import pytest' 2>/dev/null; then
    python=/usr/bin/python3
fi

run_step() { # name
    local name=$1 status=0 log=$logs/$1.log started=$SECONDS
    local -a case_counts
    counts=$logs/$name.counts
    rm -f "$counts"
    printf '\n%s== %s %s%s\n' "$bold" "$name" "${line:0:$((70 - ${#name}))}" "$plain"
    # A subshell without errexit: each step says by its own status what failed.
    (set +e && "step_$name") >"$log" 2>&1 || status=$?
    if [ "$status" -eq 0 ]; then tail -n 12 "$log"; else tail -n 80 "$log"; fi

    if [ -s "$counts" ]; then
        read -ra case_counts <"$counts"
        # A runner that failed though every case passed still failed.
        if [ "$status" -ne 0 ] && [ "${case_counts[1]}" -eq 0 ]; then case_counts[1]=1; fi
    elif [ "$status" -eq 0 ]; then
        case_counts=(1 0 0)
    else
        case_counts=(0 1 0)
    fi
    passed=$((passed + case_counts[0]))
    failed=$((failed + case_counts[1]))
    skipped=$((skipped + case_counts[2]))
    local verdict="${green}ok${plain}    "
    if [ "${case_counts[1]}" -gt 0 ]; then verdict="${red}FAILED${plain}"; fi
    table+=("$(printf '  %-13s %s %7d %7d %8d %6ds' "$name" "$verdict" "${case_counts[@]}" \
        $((SECONDS - started)))")
}

line=----------------------------------------------------------------------
for step in "${steps[@]}"; do
    if ! declare -F "step_$step" >/dev/null; then
        echo "no such step: $step (there are: ${all_steps[*]})"
        exit 2
    fi
done
for step in "${steps[@]}"; do
    run_step "$step"
done

printf '\n%s  step                   passed  failed  skipped    time%s\n' "$bold" "$plain"
printf '%s\n' "${table[@]}"
printf '\n  logs: %s\n\n' "$logs"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
