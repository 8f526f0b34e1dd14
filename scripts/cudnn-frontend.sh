#!/usr/bin/env bash
# Fetches the headers of cuDNN's C++ frontend into build/cudnn-frontend if the CUDA toolkit is installed.
# They come from the Python package that cudnn-frontend.txt names, checked against its digest. It uses the
# network only if they are missing. If they can't be fetched, the build continues without cuDNN. ./test and
# scripts/bundle.sh call it, since their builds contain the CUDA backend.
set -euo pipefail
# shellcheck source=scripts/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

readonly pinned=$root/scripts/cudnn-frontend.txt folder=$root/build/cudnn-frontend

has_toolkit() {
  local place
  for place in ${CUDA_HOME:+"$CUDA_HOME"} ${CUDA_PATH:+"$CUDA_PATH"} /usr/local/cuda; do
    [ ! -x "$place/bin/nvcc" ] || return 0
  done
  command -v nvcc >/dev/null
}

# Fetches the wheel for one Python version: all have the same headers, but each has its own digest.
fetch() {
  local new=$folder.new
  python3 -m pip --version >/dev/null 2>&1 || need cuda
  rm -rf "$new"
  mkdir -p "$new"
  quietly cudnn-frontend.log python3 -m pip download --no-cache-dir --no-deps \
    --require-hashes --only-binary :all: --python-version 3.11 --platform manylinux_2_27_x86_64 \
    --dest "$new" --requirement "$pinned"
  python3 - "$new" <<'PYTHON'
import glob, sys, zipfile
for wheel in glob.glob(sys.argv[1] + "/*.whl"):
    with zipfile.ZipFile(wheel) as files:
        files.extractall(sys.argv[1], [n for n in files.namelist() if n.startswith("include/")])
PYTHON
  rm "$new"/*.whl
  cp "$pinned" "$new/"
  rm -rf "$folder"
  mv "$new" "$folder"
}

if has_toolkit && ! cmp --silent "$pinned" "$folder/${pinned##*/}"; then
  say "fetching the headers of cuDNN's frontend"
  (fetch) || say "they can't be fetched: the build continues without cuDNN, and attention on GPUs will be slow"
fi
