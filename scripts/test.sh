#!/usr/bin/env bash
# Checks everything, or only the steps named: scripts/test.sh format lint
#
# All steps share one target directory, one profile and one set of flags, so that
# nothing is compiled twice. A failed step does not stop the others: the summary at the
# end says of each whether it passed, failed, or could not run and why.
# shellcheck disable=SC2317  # the steps are reached by name
set -euo pipefail
cd "$(dirname "$0")/.."
exec </dev/null

PATH=$PWD/target/parts/venv/bin:$PATH:/usr/sbin:/sbin
mkdir -p target/parts
log=target/parts/test.log

have() { command -v "$1" >/dev/null; }

# A step returns 0 when it passed, 1 when it failed, and `not_run WHY` when it could not.
why=
not_run() {
  why=$1
  return 2
}

step_parts() { scripts/test-parts.sh; }

step_format() { cargo fmt --all --check && cargo fmt --manifest-path fuzz/Cargo.toml --check; }

# With the planted mistakes, as the tests are built, and the program once more without.
step_lint() {
  cargo clippy --locked --all-targets --features planted -- --deny warnings &&
    cargo clippy --locked -- --deny warnings
}

step_docs() { RUSTDOCFLAGS="--deny warnings" cargo doc --locked --no-deps; }

# run_tests [FILTER...]
run_tests() {
  : >"$log"
  # With mistakes that can be planted: the crash tests show that they catch them.
  cargo test --locked --features planted "$@" 2>&1 | tee "$log" || return 1
  # A run that finds no test has proved nothing.
  grep -q '^test result: ok\. [1-9]' "$log"
}

step_test() { run_tests; }

# The tests that have a long form, in their long form. One at a time: each uses the machine well.
step_torture() {
  TORTURE=1 run_tests --test it -- --nocapture --test-threads 1 power:: crash:: fills:: planted::
}

# Five minutes over all targets, after one mistake that is there on purpose.
step_fuzz() {
  have c++ || { not_run "a C++ compiler is not here"; return; }
  scripts/fuzz.sh planted && scripts/fuzz.sh 300
}

step_manifests() {
  have kubectl || { not_run "kubectl is not here"; return; }
  local directory
  for directory in k8s/base k8s/overlays/*/; do
    echo "kubectl kustomize $directory"
    kubectl kustomize "$directory" >/dev/null || return 1
  done
}

step_licences() {
  have cargo-deny || { not_run "cargo-deny is not here"; return; }
  cargo deny --locked check licenses bans sources
}

step_advisories() {
  have cargo-deny || { not_run "cargo-deny is not here"; return; }
  if ! GIT_TERMINAL_PROMPT=0 timeout 60 cargo deny --locked fetch db >target/parts/advisories.log 2>&1; then
    not_run "the advisory database cannot be reached"
    return
  fi
  cargo deny --locked check --disable-fetch advisories
}

steps=("$@")
if ((${#steps[@]} == 0)); then
  steps=(parts format lint docs test fuzz manifests licences advisories)
fi
for step in "${steps[@]}"; do
  if ! declare -F "step_$step" >/dev/null; then
    echo "error: no step '$step'" >&2
    exit 2
  fi
done

summary=()
failed=0
for step in "${steps[@]}"; do
  printf '\n=== %s\n' "$step"
  started=$SECONDS
  # `set -e` is off inside a condition, so each step returns its outcome by hand.
  if "step_$step"; then outcome=0; else outcome=$?; fi
  case $outcome in
    0) result=passed note="" ;;
    2) result="not run" note=$why ;;
    *) result=FAILED note="" failed=1 ;;
  esac
  summary+=("$(printf '%-11s %-8s %4d s  %s' "$step" "$result" $((SECONDS - started)) "$note")")
done

printf '\n=== summary\n'
printf '%s\n' "${summary[@]}"
if [[ " ${steps[*]} " == *" test "* || " ${steps[*]} " == *" torture "* ]]; then
  awk '/^test result:/ { passed += $4; failed += $6; ignored += $8 }
       END { printf "\ntests: %d passed, %d failed, %d skipped\n", passed, failed, ignored }' "$log"
fi
exit "$failed"
