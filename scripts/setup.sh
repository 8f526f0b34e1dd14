# shellcheck shell=bash
# Functions that quickstart, test and the scripts share: messages, Debian packages, builds. To be sourced.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
self=$(realpath "$0")  # the script that sources this
readonly root self

say() { printf '\n== %s\n' "$*"; }

fail() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# Prints the comment at the script's head.
usage() { sed -n '2,/^set/ { /^#/ s/^# \{0,1\}//p }' "$self"; }

# quietly LOG COMMAND...: writes its output to build/logs/LOG, and to the screen only if it fails.
quietly() {
  local log=$root/build/logs/$1 status=0
  shift
  mkdir -p "${log%/*}"
  "$@" </dev/null >"$log" 2>&1 || status=$?
  [ "$status" = 0 ] || { cat "$log" >&2; fail "exit status $status of: $*"; }
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    fail "neither root nor sudo. As root: $*"
  fi
}

# packages_of SECTION...: the packages in those sections of scripts/packages.txt.
packages_of() {
  awk -v wanted=" $* " '
    /^\[/ { taken = index(wanted, " " substr($1, 2, length($1) - 2) " ") }
    taken && /^[a-z0-9]/ { print $1 }' "$root/scripts/packages.txt"
}

# missing_of PACKAGE...: prints the packages that are not installed.
missing_of() {
  local package
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] \
      || printf '%s\n' "$package"
  done
}

# apt_install PACKAGE...: installs from the network. It keeps documentation even if dpkg is configured to
# leave it out, as in container images.
apt_install() {
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -y
    -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
  say "installing $*"
  quietly apt-update.log as_root "${apt[@]}" update
  quietly apt-install.log as_root "${apt[@]}" install --no-install-recommends --reinstall \
    -o Dpkg::Options::=--path-include='/usr/share/doc/python3*' "$@"
}

# need SECTION...: installs the missing packages of these sections. Uses the network only if some are missing.
need() {
  local packages missing
  mapfile -t packages < <(packages_of "$@")
  if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    say "this system is not Debian: install the equivalents of these packages yourself"
    printf '%s\n' "${packages[*]}"
    return
  fi
  mapfile -t missing < <(missing_of "${packages[@]}")
  if [ "${#missing[@]}" = 0 ]; then
    say "all Debian packages are installed"
  else
    apt_install "${missing[@]}"
  fi
}

# build PRESET [TARGET]: configures and builds. By default it builds all targets; these include the CUDA backend,
# so it fetches that backend's headers first. MASFORMER_WERROR=ON makes compiler warnings errors.
build() {
  [ $# -gt 1 ] || "$root/scripts/cudnn-frontend.sh"
  say "building build/$1 (preset $1)"
  cd "$root" || exit
  quietly "configure-$1.log" cmake --preset "$1" ${MASFORMER_WERROR:+-DMASFORMER_WERROR=$MASFORMER_WERROR}
  cmake --build --preset "$1" --target "${2:-all}" </dev/null
}
