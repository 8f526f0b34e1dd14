#!/usr/bin/env bash
# Checks all C++ files with clang-format, the .cpp files outside tests/ with clang-tidy (rules: .clang-format
# and .clang-tidy), and the shell scripts with shellcheck. The last line says how many of the three passed and
# failed.
#
# clang-tidy checks sources as they are compiled, several at once, and again only if one of them, a header or the
# rules have changed since they passed.
set -euo pipefail
# shellcheck source=scripts/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

readonly passed_folder=$root/build/lint

# files PATTERN...: the tree's files, committed or not yet added.
files() { git ls-files --cached --others --exclude-standard -- "$@"; }

format() { files '*.h' '*.cpp' '*.cu' '*.cuh' | xargs clang-format --dry-run --Werror; }

# sources FILE: the file, and the sources that it includes if several are compiled at once.
sources() { printf '%s\n' "$1" && sed -n 's/^#include "\(.*\.cpp\)"$/\1/p' "$1"; }

# tidy_one FILE: prints the findings. clang-tidy does not know some of g++'s options.
tidy_one() {
  local mark=$passed_folder/${1#"$root"/} found newest
  newest=$(sources "$1" | xargs ls -t "$newest_rule" | sed -n 1p)
  [ "$mark" -nt "$newest" ] && return
  if found=$(clang-tidy --quiet -p "$root/build/release" \
    --extra-arg=-Wno-unknown-warning-option --extra-arg=-Wno-zero-as-null-pointer-constant \
    "$1" 2>&1); then
    mkdir -p "${mark%/*}" && touch "$mark"
  else
    printf '%s\n' "$found" && return 1
  fi
}

# longest_first: sorts the files of its input by the lines of their sources, so that none is left to one core at the end.
longest_first() {
  local file
  while read -r file; do
    printf '%d %s\n' "$(sources "$file" | xargs cat | wc -l)" "$file"
  done | sort -rn | cut -d ' ' -f 2-
}

tidy() {
  # shellcheck disable=SC2012
  newest_rule=$root/$(files '*.h' .clang-tidy | xargs ls -t | sed -n 1p)
  export root passed_folder newest_rule
  export -f tidy_one sources
  # shellcheck disable=SC2016
  awk -F '"' '$2 == "file" && $4 ~ /\.(cpp|cxx)$/ && $4 !~ /\/tests\// { print $4 }' \
    build/release/compile_commands.json | longest_first \
    | xargs -P "$(nproc)" -I {} bash -c 'tidy_one "$1"' tidy {}
}

# Most scripts have no extension: they are recognized by their first line.
shell() {
  files | xargs awk '/^#!.*[\/ ](ba)?sh$|^# shellcheck shell=/ { print FILENAME } { nextfile }' \
    | xargs shellcheck -x
}

# check NAME: runs that check and counts the result.
check() {
  say "$1"
  if "$1"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}

main() {
  local passed=0 failed=0
  cd "$root"
  need build test lint
  "$root/scripts/cudnn-frontend.sh"
  quietly configure-release.log cmake --preset release
  check format
  check tidy
  check shell
  printf '\n%d passed, %d failed\n' "$passed" "$failed"
  [ "$failed" = 0 ]
}

main "$@"
