#!/usr/bin/env bash
# Checks and measures this machine's GPU, in at most nine minutes. It is bin/gpu-check of a bundle made by
# scripts/bundle.sh --tests, and needs bash, coreutils, sed and awk; two of its parts need python3, one torch.
#
#   bin/gpu-check [--output DIR] [--part N]... [--device cpu] [--small]
#
#   --output DIR   where the results go: results.md, results.json, log.txt, loss.svg (default: gpu-check)
#   --part N       runs this part alone; may be repeated
#   --device cpu   runs on the CPU, to try the script without a GPU
#   --small        takes a tiny model instead of masformer-1.3b-8k, for the same purpose
#
# Each part has its own time limit, and one that fails or runs out of time does not stop the next.
# results.md has rows for the table "What was measured" of docs/gpu.md. All results are rewritten after every
# part, so that an interrupted check loses one part at most.
#
# Exit status: 0 every part that ran passed; 1 a part failed; 2 nothing could run, for example without a device.
set -euo pipefail

bundle=$(dirname "$(dirname "$(readlink -f "$0")")")
readonly bundle
readonly library=$bundle/lib/masformer
readonly masformer=$bundle/bin/masformer tests=$library/tests
readonly total=540    # seconds, for all parts together
readonly skipped=77   # the status of a part that this machine cannot run

output=gpu-check device=cuda small=
chosen=()
part_deadline=$total  # in seconds since the start, as SECONDS counts

stop() {
  printf 'gpu-check: %s\n' "$*" >&2
  exit 2
}

[ -r "$tests/list.txt" ] \
  || stop "this is not a bundle with tests: make one by scripts/bundle.sh --tests, unpack it, call bin/gpu-check"
# shellcheck source=scripts/gpu-check-parts.sh
source "$library/gpu-check-parts.sh"
# shellcheck source=scripts/gpu-check-results.sh
source "$library/gpu-check-results.sh"

usage() {
  sed -n '2,/^set/ { /^#/ s/^# \{0,1\}//p; }' "$0"
  printf '\nParts, with their limits in seconds:\n'
  local number limit function what
  while read -r number limit function what; do
    printf '  %s %4s   %s\n' "$number" "$limit" "$what"
  done <<<"$parts"
}

parse() {
  while [ $# -gt 0 ]; do
    case $1 in
      --output) output=${2:?--output needs a folder} && shift ;;
      --part) chosen+=("${2:?--part needs a number}") && shift ;;
      --device) device=${2:?--device needs cuda or cpu} && shift ;;
      --small) small=1 ;;
      --help | -h) usage && exit ;;
      *) usage >&2 && exit 2 ;;
    esac
    shift
  done
  [[ $device =~ ^(cpu|cuda)$ ]] || stop "--device is cuda or cpu, not $device"
  local number
  for number in ${chosen[@]+"${chosen[@]}"}; do
    [[ $'\n'$parts == *$'\n'"$number "* ]] || stop "there is no part $number; --help lists them"
  done
}

# within SECONDS COMMAND...: runs COMMAND with a time limit: SECONDS, or the rest of the part's time if that
# is less. On timeout the status is 124 (137 if SIGKILL was needed).
within() {
  local left=$((part_deadline - SECONDS)) status=0
  [ "$left" -le "$1" ] || left=$1
  shift
  [ "$left" -gt 0 ] || return 124
  # In the background, because bash handles no signal while it waits for a program in the foreground.
  timeout -k 5 "$left" "$@" </dev/null &
  wait "$!" || status=$?
  case $status in 124 | 137) printf 'stopped after %s s: %s\n' "$left" "$*" ;; esac
  return "$status"
}

# is_chosen NUMBER
is_chosen() { [ ${#chosen[@]} = 0 ] || [[ " ${chosen[*]} " == *" $1 "* ]]; }

# in_own_shell FUNCTION: the body of a part's own shell, so that an error in the part's code does not end the
# check.
in_own_shell() {
  trap end_programs EXIT
  trap 'exit 124' TERM
  "$1" || exit
}

# await PROCESS SECONDS: waits for a part, and ends it when its time and that of `within` to kill a program are over.
# Its programs keep to their own limits; this is for what runs without one.
await() {
  local deadline=$((SECONDS + $2 + 6)) signal
  for signal in TERM KILL; do
    while [ "$SECONDS" -lt "$deadline" ] && kill -0 "$1" 2>/dev/null; do sleep 0.2; done
    kill -s "$signal" "$1" 2>/dev/null || break
    deadline=$((deadline + 3))
  done
  wait "$1"
}

# run_part NUMBER LIMIT FUNCTION WHAT
run_part() {
  local start=$SECONDS status=0 verdict
  part_deadline=$((SECONDS + $2))
  [ "$part_deadline" -le "$total" ] || part_deadline=$total
  printf '\n== part %s: %s\n' "$1" "$4"
  begin_part
  if [ "$part_deadline" -gt "$SECONDS" ]; then
    in_own_shell "$3" >"$scratch/log" 2>&1 &
    await "$!" $((part_deadline - SECONDS)) || status=$?
  else
    status=$skipped
    echo "no time is left" >"$scratch/log"
  fi
  case $status in
    0) verdict=passed ;;
    "$skipped") verdict=skipped ;;
    124 | 137) verdict="ran out of time" ;;
    *) verdict=failed ;;
  esac
  end_part "$1" "$4" "$verdict" $((SECONDS - start))
}

# Ends what runs in the background, and waits for it.
end_programs() {
  local started
  mapfile -t started < <(jobs -p)
  [ ${#started[@]} = 0 ] || kill "${started[@]}" 2>/dev/null || true
  wait
}

clean_up() {
  end_programs
  rm -rf "$scratch"
}

main() {
  local number limit function what
  parse "$@"
  mkdir -p "$output"
  output=$(readlink -f "$output")
  scratch=$(mktemp -d)
  trap clean_up EXIT
  trap 'exit 130' INT TERM HUP
  begin_results
  find_device
  while read -r number limit function what <&3; do
    if is_chosen "$number"; then run_part "$number" "$limit" "$function" "$what"; fi
  done 3<<<"$parts"
  summary
}

main "$@"
