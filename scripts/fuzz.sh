#!/usr/bin/env bash
# Looks for inputs that break a promise: scripts/fuzz.sh [SECONDS [TARGET...]]
#
# SECONDS is for all targets together (an hour unless told), two of which run at a time. What was found lies in
# target/fuzz/found, the inputs that went new ways in target/fuzz/corpus; both are gone with target/.
#
#   scripts/fuzz.sh planted   fuzzes with a mistake made on purpose, which must be found
#   scripts/fuzz.sh keep      adds to fuzz/corpus what goes ways that nothing there goes
set -euo pipefail
cd "$(dirname "$0")/.."

host=$(rustc -vV | sed -n 's/^host: //p')
program=target/fuzz/$host/debug/longshore-fuzz
# As cargo-fuzz builds for `--sanitizer none`, which needs no nightly compiler: the code is safe Rust, and its promises
# are checked by the targets themselves.
flags="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares"
limits=(-timeout=10 -rss_limit_mb=1024)

# With --target, so that build scripts get no flags. Its lock follows Cargo.toml by itself: whoever adds a library need not
# know of this package.
build() {
  RUSTFLAGS=$flags cargo build --manifest-path fuzz/Cargo.toml --target "$host" --target-dir target/fuzz
}

# run TARGET SECONDS
run() {
  local target=$1 log=target/fuzz/log/$1
  mkdir -p "target/fuzz/corpus/$target" "target/fuzz/found/$target" target/fuzz/log
  if ! FUZZ_TARGET=$target "$program" "${limits[@]}" -max_total_time="$2" -print_final_stats=1 \
    -artifact_prefix="target/fuzz/found/$target/" "target/fuzz/corpus/$target" "fuzz/corpus/$target" >"$log" 2>&1; then
    grep -v '^#' "$log" | tail -n 40
    echo "$target: FAILED; when it is mended, the input named above goes to fuzz/corpus/$target" >&2
    return 1
  fi
  # A fuzzer that tried nothing has found nothing.
  awk -v target="$target" '
    / cov: / { for (i = 1; i < NF; i++) if ($i == "cov:") coverage = $(i + 1) }
    /^stat::number_of_executed_units/ { units = $2 }
    END { printf "%-8s %10d inputs, %5d edges\n", target, units, coverage; exit units < 100 }' "$log"
}

# From nothing: who finds this one finds others.
planted() {
  local found
  empty=$(mktemp -d)
  trap 'rm -rf "$empty"' EXIT
  if found=$(PLANTED_MISTAKE=let-climb FUZZ_TARGET=path "$program" -max_total_time=20 -artifact_prefix="$empty/" \
    "$empty" 2>&1); then
    echo "the mistake let-climb was planted, and not found in 20 s" >&2
    return 1
  fi
  grep -q 'panicked at .*src/fuzzing.rs' <<<"$found" || { echo "$found"; return 1; }
  echo "planted let-climb: found with $(cat "$empty"/crash-* | head -c 40 | od -An -c | tr -s ' ')"
}

if [[ ${1-} == one ]]; then
  run "$2" "$3"
  exit
fi
build
case ${1-} in
  planted) planted ;;
  keep)
    for folder in fuzz/corpus/*/; do
      target=$(basename "$folder")
      mkdir -p "target/fuzz/corpus/$target"
      FUZZ_TARGET=$target "$program" "${limits[@]}" -use_counters=0 -set_cover_merge=1 "$folder" "target/fuzz/corpus/$target" 2>&1 | tail -n 1
    done
    ;;
  *)
    seconds=${1:-3600}
    shift || true
    targets=("$@")
    if ((${#targets[@]} == 0)); then
      mapfile -t targets < <(ls fuzz/corpus)
    fi
    each=$((seconds * 2 / ${#targets[@]}))
    echo "fuzzing ${#targets[@]} targets, ${each} s each"
    printf '%s\0' "${targets[@]}" | xargs -0 -P 2 -I {} "$0" one {} "$each"
    ;;
esac
