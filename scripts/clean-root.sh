#!/usr/bin/env bash
# Proves that a fresh Debian 12 with git is enough: makes one under build/clean-root, clones the last
# commit into it, and runs each command there twice, the second time without network.
#
#   scripts/clean-root.sh [--keep] [COMMAND...]     (as root; default: ./quickstart ./test)
#
# --keep reuses the root of an earlier call, with the packages that it installed. Packages come from this
# machine's apt sources. All mounts and processes end with the script.
set -euo pipefail
# shellcheck source=scripts/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

readonly target=$root/build/clean-root

# The configured Debian archives, as one `deb` line each.
archives() {
  # shellcheck disable=SC2016
  apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' \
    | grep -E ' bookworm[^ ]* main$' | sort -u
}

make_root() {
  local mirror
  rm -rf "$target"
  mirror=$(archives | awk '$3 == "bookworm" { print $2 }')
  [ -n "$mirror" ] || fail "apt has no archive of bookworm: run apt-get update first"
  say "debootstrap of a minimal Debian 12 with git"
  quietly debootstrap.log debootstrap --variant=minbase --include=git bookworm "$target" "$mirror"
  archives >"$target/etc/apt/sources.list"
  apt-config dump | grep '^Acquire::' >"$target/etc/apt/apt.conf.d/90machine"
  cp /etc/hosts /etc/resolv.conf "$target/etc/"
}

clone() {
  say "git clone of $(git -C "$root" log -1 --format='%h %s')"
  rm -rf "$target/root/masformer"
  git clone --quiet --no-hardlinks "$root" "$target/root/masformer"
}

# inside COMMAND [UNSHARE OPTION...]: runs it in the clone, in its own namespaces.
inside() {
  # shellcheck disable=SC2016
  unshare --mount --pid --fork --kill-child "${@:2}" bash -c '
    mount --rbind /dev "$1/dev" && mount --rbind /sys "$1/sys" || exit
    mount -t proc proc "$1/proc" || exit
    ip link set lo up
    exec env -i HOME=/root TERM="${TERM:-dumb}" PATH=/usr/sbin:/usr/bin:/sbin:/bin \
      chroot "$1" sh -c "cd /root/masformer && exec $2"' inside "$target" "$1" </dev/null
}

# timed WHAT COMMAND...
timed() {
  local start=$SECONDS
  say "clean root: $1"
  "${@:2}"
  say "clean root: $1: passed in $((SECONDS - start)) s"
}

main() {
  local keep=0 command
  [ "$(id -u)" = 0 ] || fail "needs root: chroot and mount"
  if [ "${1:-}" = --keep ]; then keep=1 && shift; fi
  [ $# -gt 0 ] || set -- ./quickstart ./test
  if ! command -v debootstrap >/dev/null || ! command -v ip >/dev/null; then apt_install debootstrap iproute2; fi
  if [ "$keep" = 0 ] || [ ! -d "$target/root" ]; then make_root; fi
  clone
  for command in "$@"; do
    timed "$command" inside "$command"
    timed "$command, again without network" inside "$command" --net
  done
}

main "$@"
