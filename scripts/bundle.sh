#!/usr/bin/env bash
# Makes build/masformer-VERSION-linux-x86_64.tar.xz: the program with MPI, its launcher, HDF5, oneDNN and
# Boost. It needs a Linux with glibc 2.36, and NVIDIA's driver and libraries for devices. It runs from
# wherever it is unpacked: everything is found relative to bin/.
#
#   scripts/bundle.sh [--check] [--tests]
#
#   --check   trains with the bundle in a root that contains nothing else (needs root)
#   --tests   adds bin/gpu-check and bin/gpu-suite with the tests and benchmarks that they run
set -euo pipefail
# shellcheck source=scripts/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

readonly build=$root/build/bundle
version=$(sed -n 's/^project(masformer VERSION \([0-9.]*\).*/\1/p' "$root/CMakeLists.txt")
readonly name=masformer-$version-linux-x86_64
readonly target=$root/build/$name

# For any x86-64 processor of the last ten years; oneDNN chooses newer instructions at run time.
make_program() {
  say "building build/bundle (x86-64-v3)"
  "$root/scripts/cudnn-frontend.sh"
  quietly bundle-configure.log cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
    -DMASFORMER_ARCH=x86-64-v3
  quietly bundle-build.log cmake --build "$build" --target masformer plugins ${with_tests:+gpu_tests}
}

# Fabrics' libraries, and the MPI components that need them, are left out: they must match the machine's
# drivers, and NCCL would load our copy instead of the machine's. MPI uses TCP instead.
readonly fabrics='/lib(ibverbs|rdmacm|fabric|efa|psm2|psm_infinipath|infinipath|uc[mpst]|nl|nl-route)[-.0-9]*so'

# libraries FILE...: the libraries that these need, without glibc's and NVIDIA's.
libraries() {
  ldd "$@" 2>/dev/null | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u \
    | grep -vE '/(ld-linux|libc|libm|libdl|librt|libpthread|libresolv|libutil)[-.]' \
    | grep -vE '/lib(cuda|cublas|cudnn|nv|nccl)'
}

# mpi_path NAME: one of this MPI's folders, as ompi_info names it.
mpi_path() { ompi_info --path "$1" --parsable | sed -n 's/^path:[a-z]*://p'; }

copy_files() {
  local components prefix data
  components=$(mpi_path pkglibdir) prefix=$(mpi_path prefix) data=$(mpi_path pkgdatadir)
  rm -rf "$target"
  mkdir -p "$target"/{bin,lib/masformer} "$target/${components#"$prefix"/}" "$target/share"
  cp "$build/masformer" "$target/lib/masformer/"
  find "$build" -maxdepth 1 -name 'libmasformer_*.so' -exec cp {} "$target/lib/masformer/" \;
  cp "$(command -v orterun)" "$target/lib/masformer/mpirun"
  cp "$(command -v orted)" "$target/lib/masformer/"
  cp "$components"/mca_*.so "$target/${components#"$prefix"/}/"
  cp -r "$data" "$target/share/"
  cp -r "$root"/{README.md,ARCHITECTURE.md,CONTRIBUTING.md,LICENSE,docs} "$target/"
  cp -r "$root/launch/configs" "$target/configs"
}

copy_tests() {
  local tests=$target/lib/masformer/tests program
  mkdir -p "$tests" "$target/share/golden"
  cp "$root"/tests/golden/*.h5 "$target/share/golden/"
  cp "$build/gpu-tests.txt" "$tests/list.txt"
  cp "$root/tests/support/mpirun" "$tests/"
  cp "$root/tests/support/gpu_suite" "$target/bin/gpu-suite"
  cp "$root/scripts/gpu-check.sh" "$target/bin/gpu-check"
  cp "$root"/scripts/gpu-check-*.sh "$root"/tests/benchmark/{gpu_table,loss_curve}.py "$target/lib/masformer/"
  cp "$build/tests/benchmark/masformer_ops_benchmark" "$tests/"
  while read -r _ program _; do
    find "$build/tests" -type f -name "$program" -exec cp {} "$tests/" \;
  done <"$build/gpu-tests.txt"
}

# MPI components whose libraries are missing on this machine are left out: MPI itself would skip them.
copy_libraries() {
  local file
  while read -r file; do
    if grep -qE "not found|$fabrics" <<<"$(ldd "$file")"; then rm "$file"; fi
  done < <(find "$target" -name 'mca_*.so')
  mapfile -t files < <(find "$target" -type f \( -name '*.so' -o -perm -u+x \))
  mapfile -t files < <(libraries "${files[@]}")
  ! printf '%s\n' "${files[@]}" | grep -E "$fabrics" || fail "a fabric's library is needed"
  cp -L "${files[@]}" "$target/lib/"
  copy_licences "${files[@]}"
}

# copy_licences LIBRARY...: the licences of the Debian packages that these libraries come from, and of Chart.js
# if Debian's is embedded in the program.
copy_licences() {
  local file package chart=/usr/share/doc/libjs-chart.js/copyright
  mkdir -p "$target/share/licences"
  for file; do dpkg -S "*x86_64-linux-gnu*/$(basename "$(readlink -f "$file")")"; done | cut -d : -f 1 | sort -u \
    | while read -r package; do
      cp -L "/usr/share/doc/$package/copyright" "$target/share/licences/$package"
    done
  if grep -qa 'Chart\.js v[0-9]' "$build/masformer" && [ -e "$chart" ]; then
    cp -L "$chart" "$target/share/licences/libjs-chart.js"
  fi
}

# An RPATH relative to each file takes precedence over LD_LIBRARY_PATH, which on a cluster may lead to another
# MPI.
set_paths() {
  local file
  while read -r file; do
    file -b "$file" | grep -q ELF || continue
    chmod u+w "$file"
    strip --strip-unneeded "$file"
    patchelf --force-rpath --set-rpath "\$ORIGIN/$(realpath --relative-to="${file%/*}" "$target/lib")" "$file"
  done < <(find "$target" -type f)
}

# launcher NAME: writes bin/NAME, which starts lib/masformer/NAME with the bundle's MPI.
launcher() {
  sed "s/NAME/$1/" >"$target/bin/$1" <<'END'
#!/bin/sh
# Starts the program with the bundle's libraries and MPI.
here=$(dirname "$(readlink -f "$0")")
export OPAL_PREFIX="${here%/bin}" PATH="$here:$PATH"
# If there is neither ssh nor rsh, MPI would refuse to start even on this host alone.
[ -n "$SLURM_JOB_ID" ] || command -v ssh >/dev/null || command -v rsh >/dev/null || export OMPI_MCA_plm=isolated
# PMIx, which connects the processes, looks for its compression library in the system's folders only.
export PMIX_MCA_pcompress_base_silence_warning=1
# A cluster's module may select a fabric that this MPI does not have.
for part in pml mtl btl osc; do
  eval "asked=\${OMPI_MCA_$part-}"
  case $asked in *ucx* | *ofi* | *psm* | *openib* | cm) unset "OMPI_MCA_$part" ;; esac
done
exec "$OPAL_PREFIX/lib/masformer/NAME" "$@"
END
  chmod +x "$target/bin/$1"
}

pack() {
  local archive=$target.tar.xz
  tar -C "$root/build" -cf - "$name" | xz -T0 -6 >"$archive"
  say "$archive: $(($(stat -c %s "$archive") >> 20)) MiB"
  [ "$(stat -c %s "$archive")" -lt $((60 << 20)) ] || fail "that is more than 60 MiB"
}

# Makes a root with glibc, a shell and the commands that every Linux has, but none of the packages that this
# project installs.
make_bare_root() {
  local bare=$root/build/bare-root file
  rm -rf "$bare"
  mkdir -p "$bare"/{bin,lib64,tmp,proc,dev,sys,etc}
  for file in sh bash cat dirname readlink basename hostname rm cp mkdir mktemp date timeout sed awk grep tr head tail; do
    cp -L "$(command -v "$file")" "$bare/bin/"
  done
  cp -L --parents /usr/bin/env "$bare"
  ldd "$bare"/bin/* "$bare/usr/bin/env" \
    | awk '{ for (i = 1; i <= NF; ++i) if ($i ~ /^\//) print $i }' | tr -d : | sort -u \
    | grep -v "^$bare" | xargs -I{} cp -L --parents {} "$bare"
  # Libraries that glibc opens at run time, and others that every Linux has.
  for file in libm.so.6 libdl.so.2 librt.so.1 libpthread.so.0 libresolv.so.2 libutil.so.1 libnss_files.so.2; do
    cp -L --parents "/lib/x86_64-linux-gnu/$file" "$bare"
  done
  printf 'root:x:0:0::/tmp:/bin/sh\n' >"$bare/etc/passwd"
  printf '127.0.0.1 localhost %s\n' "$(hostname)" >"$bare/etc/hosts"
  tar -C "$bare/tmp" -xf "$target.tar.xz"
  cat "$root"/docs/*.md >"$bare/tmp/text.txt"
}

# The program's messages if NVIDIA's libraries or the plugin for them are missing.
readonly without_device='searched: the loader|this build has no libmasformer_cuda.so'

check() {
  local bare=$root/build/bare-root said
  [ "$(id -u)" = 0 ] || fail "--check needs root: chroot and mount"
  say "training in a root that has nothing else"
  make_bare_root
  # shellcheck disable=SC2016
  unshare --mount --pid --fork --kill-child bash -c '
    mount --rbind /dev "$1/dev" && mount --rbind /sys "$1/sys" && mount -t proc proc "$1/proc" || exit
    exec env -i PATH=/bin HOME=/tmp OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 \
      "$(command -v chroot)" "$1" sh -c "cd /tmp && masformer=/tmp/$2/bin/masformer &&
        \$masformer prepare --input text.txt --output tokens.h5 &&
        \$masformer run -n 2 -- train --data.path tokens.h5 --run.dir run --model.spans full,window:32 \
          --model.hidden 64 --model.heads 4 --train.sequence 64 --train.steps 3 --parallel.tensor 2 &&
        \$masformer inspect --verify run/checkpoints/step-00000003 &&
        ! \$masformer train --data.path tokens.h5 --run.dir device --runtime.device cuda >device.txt 2>&1 &&
        if [ -e /tmp/$2/bin/gpu-check ]; then
          /tmp/$2/bin/gpu-check >gpu-check.txt 2>&1 && exit 1 || [ \$? = 2 ]
        fi"
    ' bare "$bare" "$name" </dev/null
  # NVIDIA's libraries are missing there, or the plugin is, where no toolkit built it.
  for said in device.txt ${with_tests:+gpu-check.txt}; do
    grep -qE "$without_device" "$bare/tmp/$said" || fail "without NVIDIA's libraries it says: $(cat "$bare/tmp/$said")"
  done
  say "the bundle works in a bare root"
}

main() {
  local with_tests='' checked='' option
  for option in "$@"; do
    case $option in
      --check) checked=1 ;;
      --tests) with_tests=1 ;;
      *) fail "bundle.sh takes --check and --tests" ;;
    esac
  done
  cd "$root"
  need build bundle
  make_program
  copy_files
  [ -z "$with_tests" ] || copy_tests
  copy_libraries
  set_paths
  launcher masformer
  launcher mpirun
  launcher orted
  pack
  if [ -n "$checked" ]; then check; fi
}

main "$@"
