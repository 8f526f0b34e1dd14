#!/usr/bin/env bash
# fuzz.sh [SECONDS]: fuzzes each target of tests/fuzz for SECONDS (30 by default). The last line says how
# many targets passed and failed.
#
# Inputs that reach new code are kept in build/fuzz/corpus, where the next call continues. An input that
# breaks a target is left in build/fuzz/found: fix the fault, and move the input to tests/fuzz/corpus, which
# every run of the suite replays.
set -euo pipefail
# shellcheck source=scripts/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

readonly seconds=${1:-30}
readonly learnt=$root/build/fuzz/corpus found=$root/build/fuzz/found

[[ $seconds =~ ^[1-9][0-9]*$ ]] || fail "\"$seconds\" is not a number of seconds"

# figure NAME: prints that figure of the statistics at the end of libFuzzer's output.
figure() { sed -n "s/^stat::$1: *//p" "$log"; }

fuzz() {
  local name=$1 log=$root/build/logs/fuzz-$1.log status=0
  mkdir -p "$learnt/$name" "$found"
  "$root/build/fuzz/tests/fuzz/fuzz_${name}_fuzzer" -max_total_time="$seconds" -timeout=10 \
    -rss_limit_mb=2048 -malloc_limit_mb=512 -print_final_stats=1 -artifact_prefix="$found/$name-" \
    "$learnt/$name" "$root/tests/fuzz/corpus/$name" </dev/null >"$log" 2>&1 || status=$?
  if [ "$status" != 0 ]; then
    grep -E 'ERROR|runtime error|does not hold|what\(\)|Test unit written' "$log" || tail -n 20 "$log"
  fi
  printf '%s: %s runs, %s\n' "$name" "$(figure number_of_executed_units)" \
    "$(sed -n 's/.*\(cov: [0-9]* ft: [0-9]*\).*/\1/p' "$log" | tail -n 1)"
  return "$status"
}

main() {
  local passed=0 failed=0 corpus name
  need build test fuzz
  build fuzz fuzzers
  mkdir -p "$root/build/logs"
  # Targets write many small files, fastest in memory. The folder is removed with whatever a failed target
  # leaves in it.
  [ ! -w /dev/shm ] || export TMPDIR=/dev/shm
  TMPDIR=$(mktemp -d -t masformer-fuzz-XXXXXX)
  export TMPDIR
  trap 'rm -rf "$TMPDIR"' EXIT
  for corpus in "$root"/tests/fuzz/corpus/*/; do
    name=$(basename "$corpus")
    say "fuzzing $name for $seconds seconds"
    if fuzz "$name"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
  done
  printf '\n%d passed, %d failed\n' "$passed" "$failed"
  [ "$failed" = 0 ]
}

main
