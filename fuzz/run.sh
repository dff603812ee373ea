#!/usr/bin/env bash
# Fuzzes each target, for 60 seconds or as many as are given: fuzz/run.sh [SECONDS [TARGET..]]
#
# Needs a nightly compiler. SANITIZER=address looks for faults of memory as well, more slowly. What is found goes to fuzz/artifacts;
# what only covers more, to fuzz/target/corpus: the committed corpus stays small.
set -euo pipefail
cd "$(dirname "$0")"

seconds="${1:-60}"
shift || true
targets=("$@")
[ "${#targets[@]}" -gt 0 ] || targets=(path_normaliser forwarded_parsing config_file header_rewriting chunked_body
    request_head request_reading response_head answer_reading proxy_protocol client_hello)

rustc +nightly --version >/dev/null 2>&1 || { echo "fuzzing needs a nightly compiler: rustup toolchain install nightly"; exit 69; }
host="$(rustc +nightly -vV | sed -n 's/^host: //p')"
export CARGO_TARGET_DIR="$PWD/target"
binaries="$CARGO_TARGET_DIR/$host/release"

# What `cargo fuzz` passes, so that it need not be installed. It works here as well: cargo +nightly fuzz run TARGET.
flags="--cfg fuzzing -Cdebug-assertions -Ccodegen-units=1 -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-simplifycfg-branch-fold-threshold=0"
[ -z "${SANITIZER:-}" ] || flags="$flags -Zsanitizer=$SANITIZER"
RUSTFLAGS="$(echo $flags)" cargo +nightly build --locked --release --bins --target "$host"

status=0
for target in "${targets[@]}"; do
    echo "== $target, $seconds s"
    mkdir -p "target/corpus/$target" "artifacts/$target"
    "$binaries/$target" -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=4096 -print_final_stats=1 \
        -artifact_prefix="artifacts/$target/" "target/corpus/$target" "corpus/$target" >"target/$target.log" 2>&1 || {
        status=1
        tail -n 40 "target/$target.log"
    }
    sed -n 's/^stat::\(number_of_executed_units\|new_units_added\): */   \1 /p' "target/$target.log"
done
exit "$status"
