# shellcheck shell=bash
# shellcheck disable=SC2034,SC2054,SC2154 # variables of gpu-check.sh
# The parts of gpu-check, which sources this file. A part is a function without arguments. Its output is kept, and
# its status says whether it passed. It starts programs by `within`, and reports by `row`, `figure` and `details`.

# number, limit in seconds, function, what
readonly parts="\
1 30 smoke the device, its libraries, an op of each kind and a training step
2 150 suite the GPU tests, the most basic first, until the time is gone
3 110 training masformer-1.3b-8k: tokens/s, MFU, memory beside its plan, time by kind of op
4 100 torch the same model in PyTorch
5 25 ops each op's time, and windowed beside full attention
6 50 curve 200 steps in bf16 beside fp32 on the CPU
7 40 nccl two ranks on one GPU, by NCCL
8 35 sanitizer compute-sanitizer on the smallest tests of ops"

# A model that trains in seconds even on the fake of CUDA.
readonly tiny=(--model.layers 2 --model.spans full,window:8 --model.hidden 32 --model.heads 4 --train.sequence 32
  --train.global_batch 2)
# Since version 2.30, NCCL lets ranks share a device if the environment asks for it.
readonly shared_device=(NCCL_MULTI_RANK_GPU_ENABLE=1 NCCL_NVLS_ENABLE=0 NCCL_MAX_CTAS=4)

# skip WHY: the end of a part that this machine cannot run.
skip() {
  printf '%s\n' "$*"
  return "$skipped"
}

# train_words NAME OPTION...: sets the array `words` to the command of a run in $scratch/NAME.
train_words() {
  words=("$masformer" train --data.path "$scratch/tokens.h5" --run.dir "$scratch/$1" --runtime.device "$device"
    --train.dtype bf16 --checkpoint.every -1 --checkpoint.resume none "${@:2}")
}

# Prints the folders where pip installed NVIDIA's libraries, separated by colons.
python_libraries() {
  python3 -c '
import glob, sysconfig
print(":".join(sorted(glob.glob(sysconfig.get_paths()["purelib"] + "/nvidia/*/lib"))))' 2>/dev/null || true
}

# name_device: sets device_name and driver of the first device, as nvidia-smi prints them. nvidia-smi fails or
# hangs if a device fell off its bus.
name_device() {
  local said
  said=$(within 20 nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>&1) || return 0
  said=${said%%$'\n'*}
  device_name=${said%, *} driver=${said##*, }
}

# Sets device_name and driver, prepares the token store, and trains a tiny model for two steps. If that run
# finds no device or misses a library, it ends with status 2; find_device then tries again with the libraries
# of Python's packages on LD_LIBRARY_PATH, and stops the check if that fails, too. All parts use that path,
# because those packages often have a newer NCCL than the toolkit.
find_device() {
  local status=0 folders
  today=$(date +%F)
  version=$(within 20 "$masformer" --version 2>&1 | tr '\n' ' ') || stop "bin/masformer does not start: $version"
  if [ "$device" = cpu ]; then
    device_name=CPU driver=none
  elif command -v nvidia-smi >/dev/null; then
    name_device
  fi
  within 20 "$masformer" prepare --input "$bundle/docs" --suffix .md --output "$scratch/tokens.h5" \
    >"$scratch/prepare.txt" 2>&1 || stop "no token store could be made: $(tail -n 3 "$scratch/prepare.txt")"
  train_words tiny "${tiny[@]}" --train.steps 2
  within 60 "${words[@]}" >"$scratch/tiny.txt" 2>&1 || status=$?
  folders=$(python_libraries)
  [ -z "$folders" ] || export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$folders"
  if [ "$status" = 2 ] && [ -n "$folders" ]; then
    cp "$scratch/tiny.txt" "$scratch/without-python.txt"
    status=0
    within 60 "${words[@]}" >"$scratch/tiny.txt" 2>&1 || status=$?
  fi
  tiny_status=$status
  if [ "$status" = 2 ]; then
    cp "$scratch/tiny.txt" "$output/log.txt"
    stop "nothing can run: $(tail -n 1 "$scratch/tiny.txt")"
  fi
}

# library_path NAME: where the loader finds a library, such as libnccl.
library_path() {
  local folder file
  local IFS=:
  for folder in ${LD_LIBRARY_PATH-} ${CUDA_HOME:+"$CUDA_HOME/lib64"} /usr/local/cuda/lib64; do
    for file in "$folder/$1".so.*; do
      [ ! -e "$file" ] || { readlink -f "$file" && return; }
    done
  done
  ldconfig -p 2>/dev/null | awk -v name="$1.so" 'index($1, name) == 1 { print $NF; exit }'
}

smoke() {
  local name path
  cat "$scratch/tiny.txt"
  ! command -v nvidia-smi >/dev/null || within 20 nvidia-smi || true
  for name in libcuda libcublasLt libcudnn libnvrtc libnccl; do
    path=$(library_path "$name")
    printf '%s: %s\n' "$name" "${path:-not found}"
  done
  if [ -s "$scratch/without-python.txt" ]; then
    row "NVIDIA's libraries" "found only with Python's folders on LD_LIBRARY_PATH" bin/gpu-check
    cat "$scratch/without-python.txt"
  fi
  [ "$tiny_status" = 0 ] || { echo "the tiny training ended with status $tiny_status"; return 1; }
  within "$total" "$bundle/bin/gpu-suite" ops_bf16_test || return
  row "an op of each kind in bf16, and training steps of a tiny model" passed "bin/gpu-check --part 1"
}

suite() {
  local status=0
  within "$total" "$bundle/bin/gpu-suite" --limit 45 --seconds $((part_deadline - SECONDS - 2)) >"$scratch/suite.txt" 2>&1 \
    || status=$?
  cat "$scratch/suite.txt"
  row "the ops, the model's fixtures, the communicators, layouts of 1, 2 and 4 ranks on one GPU" \
    "$(tail -n 1 "$scratch/suite.txt")" bin/gpu-suite
  return "$status"
}

# Sets `model`, the options of part 3, and `steps`.
set_model() {
  steps=12 model=(--config "$bundle/configs/masformer-1.3b-8k.ini")
  if [ -n "$small" ]; then
    steps=5
    model+=("${tiny[@]}" --model.ffn 128 --model.vocab 300 --model.positions 32)
  fi
  model+=(--train.global_batch 8 --train.steps "$steps" --train.warmup_steps 1 --train.lr 2e-5 --eval.every 0)
}

# median KEY FILE: prints the median of that metric over the steps after the third.
median() {
  sed -n "4,\$ s/.*\"$1\":\\([^,}]*\\).*/\\1/p" "$2" | sort -g \
    | awk '{ value[NR] = $1 } END { if (NR) print value[int((NR + 1) / 2)]; else print 0 }'
}

# percent SHARE, gib BYTES, times A B: a number as text; A over B.
percent() { awk -v x="$1" 'BEGIN { printf "%.1f%%", 100 * x }'; }
gib() { awk -v x="$1" 'BEGIN { if (x == "") print "unknown"; else printf "%.2f GiB", x / 2^30 }'; }
times() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.3f", b ? a / b : 0 }'; }

# planned FILE: prints the planned bytes, from the memory table that a run prints at its start.
planned() { awk '/^ *0: layer/ { printf "%.0f", $NF * 2^20; exit }' "$1"; }

# sampled FILE: prints the largest memory use that nvidia-smi sampled, in bytes; nothing if there is no
# sample.
sampled() { sort -g "$1" | awk 'END { if (NR) printf "%.0f", $1 * 2^20 }'; }

# train_large RECOMPUTE: measures the large model with that value of train.recompute.
train_large() {
  local status=0 sampler='' metrics=$scratch/large-$1/metrics.jsonl log=$scratch/large-$1.txt words=() key result
  local plan seen
  train_words "large-$1" "${model[@]}" --train.recompute "$1"
  if [[ $(within 20 "$masformer" train --help) == *--train.profile_step* ]]; then
    words+=(--train.profile_step $((steps - 1)))
  fi
  : >"$scratch/samples"
  if command -v nvidia-smi >/dev/null; then
    nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits -lms 250 >"$scratch/samples" 2>/dev/null &
    sampler=$!
  fi
  within 70 "${words[@]}" >"$log" 2>&1 || status=$?
  [ -z "$sampler" ] || kill "$sampler" 2>/dev/null || true
  cat "$log"
  if [ "$status" = 2 ]; then
    row "masformer-1.3b-8k, recompute $1" "refused: $(tail -n 1 "$log")" "$(shown "${words[@]}")"
    return 1
  fi
  [ -s "$metrics" ] && [ "$(awk 'END { print NR }' "$metrics")" -gt 3 ] || return "$((status ? status : 1))"
  for key in tokens_per_second mfu mfu_dense peak_memory_bytes; do
    printf -v "$key" %s "$(median "$key" "$metrics")"
    figure "recompute_$1_$key" "${!key}"
  done
  plan=$(planned "$log") seen=$(sampled "$scratch/samples")
  figure "recompute_$1_planned_bytes" "$plan"
  figure "recompute_$1_nvidia_smi_bytes" "$seen"
  result=$(printf '%.0f tokens/s, MFU %s (all pairs: %s), peak %s, plan %s, nvidia-smi %s' "$tokens_per_second" \
    "$(percent "$mfu")" "$(percent "$mfu_dense")" "$(gib "$peak_memory_bytes")" "$(gib "$plan")" "$(gib "$seen")")
  row "masformer-1.3b-8k${small:+, shrunk}, 8 sequences per step, recompute $1" "$result" "$(shown "${words[@]}")"
  details "masformer-1.3b-8k${small:+, shrunk}, recompute $1: the run's output" "$log"
  printf '%s %s\n' "$tokens_per_second" "$mfu" >>"$scratch/own-speed"
  return "$status"
}

training() {
  local steps model status=0 tokens_per_second mfu mfu_dense peak_memory_bytes
  set_model
  train_large none || status=$?
  train_large block || status=$?
  return "$status"
}

torch() {
  local words settings=() speed peak own=0 mfu=0 status=0
  within 40 python3 -c 'import torch' 2>/dev/null || status=$?
  case $status in
    0) ;;
    124 | 137) return "$status" ;;
    *) skip "python3 has no torch" || return ;;
  esac
  [ -z "$small" ] || settings=(--set model.spans=full,window:8 --set model.hidden=32 --set model.heads=4
    --set model.ffn=128 --set model.vocab=300 --set model.positions=32 --set train.sequence=32)
  words=(python3 "$library/gpu_table.py" "$masformer" "$scratch/tokens.h5" --torch-only --device "$device" --steps 3 --compile blocks
    --config "$bundle/configs/masformer-1.3b-8k.ini" --set train.global_batch=8 "${settings[@]}"
    --limit $((part_deadline - SECONDS - 3)))
  within "$total" "${words[@]}" >"$scratch/torch.txt" || { cat "$scratch/torch.txt"; return 1; }
  cat "$scratch/torch.txt"
  read -r speed peak < <(awk '$1 == "torch" { print $3, $NF }' "$scratch/torch.txt") || return 1
  figure torch_tokens_per_second "$speed"
  figure torch_peak_gib "$peak"
  [ ! -s "$scratch/own-speed" ] || read -r own mfu < <(sort -g "$scratch/own-speed" | tail -n 1)
  row "the same model in PyTorch" "$speed tokens/s, peak $peak GiB$(compared "$own" "$mfu" "$speed")" "$(shown "${words[@]}")"
}

# compared OWN MFU TORCH: prints PyTorch's MFU and our speed relative to it, from part 3's best speed and MFU,
# if part 3 has run.
compared() {
  [ "$1" != 0 ] || return 0
  printf ', MFU %s; masformer is %s times as fast' "$(percent "$(times "$3" "$(times "$1" "$2")")")" "$(times "$1" "$3")"
}

ops() {
  local words=("$tests/masformer_ops_benchmark" 1 0.1 bf16) environment status=0 result="in the table of ops"
  environment=("MASFORMER_TEST_DEVICE=$device" "MASFORMER_PLUGINS=$library")
  [ -z "$small" ] || words=("${words[0]}" 1 0.001 bf16 16x32x2x100)
  within "$total" env "${environment[@]}" "${words[@]}" >"$scratch/ops.txt" 2>&1 || status=$?
  cat "$scratch/ops.txt"
  [ "$status" = 0 ] || result+=", which ends where the time ran out or an op failed"
  row "each op: its time, its share of the device's rate" "$result" \
    "MASFORMER_TEST_DEVICE=$device MASFORMER_PLUGINS=lib/masformer $(shown "${words[@]}")"
  details "ops" "$scratch/ops.txt"
  windowed || status=$((status ? status : 1))
  return "$status"
}

# windowed: prints the time of windowed attention relative to full attention, from the table of ops. Its rows
# have name, milliseconds, GFLOP/s and share of peak; milliseconds times GFLOP/s is proportional to the
# visible pairs.
windowed() {
  local figures
  figures=$(awk '/^in a step/ { exit }
    $1 == "attention" {
      kind = ($2 == "full" ? "full" : "window") ($3 == "backward" ? "_backward" : "")
      time[kind] = $(NF - 2); work[kind] = $(NF - 2) * $(NF - 1)
    }
    END {
      if (!(time["full"] > 0 && time["full_backward"] > 0 && time["window"] > 0)) exit 1
      printf "%.3f %.3f %.3f", time["window"] / time["full"], time["window_backward"] / time["full_backward"],
        (work["full"] > 0 ? work["window"] / work["full"] : 0)
    }' "$scratch/ops.txt") || { echo "the table of ops has no attention"; return 1; }
  # shellcheck disable=SC2086 # words
  set -- $figures
  figure windowed_over_full_forward "$1"
  figure windowed_over_full_backward "$2"
  figure windowed_over_full_pairs "$3"
  row "windowed attention over full" "forward $1, backward $2 of the time, for $3 of the query-key pairs" \
    "bin/gpu-check --part 5"
}

curve() {
  local words
  command -v python3 >/dev/null || skip "there is no python3" || return
  words=(python3 "$library/loss_curve.py" "$masformer" "$scratch/tokens.h5" "$output/loss.svg" --device "$device"
    --name "$device_name")
  [ -z "$small" ] || words+=(--steps 8 --set model.spans=full,window:8 --set model.hidden=32 --set train.sequence=32
    --set train.global_batch=4)
  local status=0
  within "$total" "${words[@]}" >"$scratch/curve.txt" 2>&1 || status=$?
  cat "$scratch/curve.txt"
  [ "$status" = 0 ] || return "$status"
  row "bf16 beside fp32 on the CPU" "$(tail -n 1 "$scratch/curve.txt")" "$(shown "${words[@]}")"
}

nccl() {
  local test status=0 words=() version
  [ "$device" = cuda ] || skip "NCCL needs devices" || return
  train_words ranks2 "${tiny[@]}" --train.steps 2 --parallel.tensor 2 --runtime.transport nccl
  within 20 env "${shared_device[@]}" NCCL_DEBUG=WARN "$masformer" run -n 2 -- "${words[@]:1}" \
    >"$scratch/ranks2.txt" 2>&1 || status=1
  cat "$scratch/ranks2.txt"
  version=$(sed -n 's/.*\(NCCL version [^ ]*\).*/\1/p' "$scratch/ranks2.txt" | head -n 1)
  if [[ $(cat "$scratch/ranks2.txt") == *"Duplicate GPU"* ]]; then
    skip "$version lets no ranks share a device; 2.30 does: put its folder first on LD_LIBRARY_PATH" || return
  fi
  for test in communicator_test.gpu.ranks2 executor_test.gpu.ranks2; do
    within "$total" "$bundle/bin/gpu-suite" "$test" || status=1
  done
  [ "$status" = 0 ] || return "$status"
  row "NCCL with two ranks on one GPU" \
    "${version:+$version: }tests pass; loss $(last_loss ranks2) on two ranks, $(last_loss tiny) on one" \
    "bin/gpu-check --part 7"
}

# last_loss RUN: prints the loss of its last step.
last_loss() { sed -n '$ s/.*"loss":\([0-9.]*\).*/\1/p' "$scratch/$1/metrics.jsonl"; }

sanitizer() {
  local program=compute-sanitizer tool name folder verdict status=0 result=
  for folder in "${CUDA_HOME:-/usr/local/cuda}/bin" /usr/local/cuda/compute-sanitizer; do PATH=$PATH:$folder; done
  command -v "$program" >/dev/null || skip "there is no compute-sanitizer" || return
  for tool in memcheck racecheck; do
    for name in gelu elementwise embedding; do
      verdict=0
      within 12 env "MASFORMER_TEST_DEVICE=$device" "MASFORMER_PLUGINS=$library" "$program" --tool "$tool" \
        --error-exitcode 9 "$tests/runtime_ops_${name}_test" >"$scratch/sanitizer.txt" 2>&1 || verdict=$?
      [ "$verdict" = 0 ] || status=1
      result+="${result:+, }$tool of $name: status $verdict"
      grep -v '^\[ ' "$scratch/sanitizer.txt" | tail -n 12
    done
  done
  row "no access out of bounds, no race (status 0)" "$result" \
    "compute-sanitizer --tool memcheck, racecheck: bin/gpu-check --part 8"
  return "$status"
}
