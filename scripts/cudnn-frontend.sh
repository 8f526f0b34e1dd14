#!/usr/bin/env bash
# Fetches the headers of cuDNN's C++ frontend into build/cudnn-frontend, where the CUDA toolkit is:
# the Python package that cudnn-frontend.txt names, checked against its digest. Needs no network
# once they are there. Called before each build by scripts/setup.sh.
set -euo pipefail
# shellcheck source=scripts/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

readonly pinned=$root/scripts/cudnn-frontend.txt folder=$root/build/cudnn-frontend

has_toolkit() {
  command -v nvcc >/dev/null || [ -x "${CUDA_HOME:-${CUDA_PATH:-/usr/local/cuda}}/bin/nvcc" ]
}

# The wheel for one Python: all have the same headers, but a digest is one wheel's.
fetch() {
  python3 -m pip --version >/dev/null 2>&1 || need cuda
  rm -rf "$folder"
  mkdir -p "$folder"
  quietly cudnn-frontend.log python3 -m pip download --no-deps --require-hashes \
    --only-binary :all: --python-version 3.11 --platform manylinux_2_27_x86_64 \
    --dest "$folder" --requirement "$pinned"
  python3 - "$folder" <<'PYTHON'
import glob, sys, zipfile
for wheel in glob.glob(sys.argv[1] + "/*.whl"):
    with zipfile.ZipFile(wheel) as files:
        files.extractall(sys.argv[1], [n for n in files.namelist() if n.startswith("include/")])
PYTHON
  rm "$folder"/*.whl
  cp "$pinned" "$folder/"
}

if has_toolkit && ! cmp --silent "$pinned" "$folder/${pinned##*/}"; then
  say "fetching the headers of cuDNN's frontend"
  fetch
fi
