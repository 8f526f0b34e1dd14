// The options of `masformer train`: they describe a run completely.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "launch/options/choices.h"
#include "launch/options/option_table.h"
#include "model/config.h"
#include "parallel/comm/process_groups.h"
#include "parallel/context/context_order.h"
#include "parallel/context/head_exchange.h"
#include "runtime/tensor.h"

namespace masformer {

// Options that default to a value derived from others are 0 or "" until that is known; the help of
// each says what it is derived from.
struct RuntimeOptions {
  Device device = Device::cpu;
  std::optional<Transport> transport;  // of tensors on devices; none: NCCL if it can be used
  bool deterministic = false;          // the same bits every time, on devices too
  std::int64_t threads = 0;            // of each op on CPUs; 0: see choose_threads()
};

struct Options {
  struct {
    std::int64_t layers = 0, hidden = 256, heads = 4, ffn = 0, vocab = 0, positions = 0;
    std::string spans;
    AttentionScale attention_scale = AttentionScale::one;
    PositionsKind positions_kind = PositionsKind::learned;
    double rotary_theta = 10000, rotary_theta_window = 0;
    bool tied = true;
    double init_deviation = 0.02;
  } model;
  struct {
    std::int64_t tensor = 1, pipeline = 1, context = 1, data = 0;
    bool sequence_parallel = true;
    std::optional<ContextOrder> context_order;  // none: what costs least
    std::optional<ContextFull> context_full;    // none: what costs least
    std::string schedule = "1f1b";
    std::int64_t chunks = 0;
    std::string partition = "auto";
  } parallel;
  struct {
    std::int64_t steps = 1000, sequence = 1024, global_batch = 8, micro_batch = 1;
    double lr = 6e-4, min_lr = -1;
    std::int64_t warmup_steps = 20;
    double weight_decay = 0.1, beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8, clip = 1;
    std::int64_t seed = 1;
    DType dtype = DType::f32;
    std::string recompute = "auto";
    std::int64_t ffn_block = 0;
    std::int64_t dump_gradients_at = 0, profile_step = 0;
  } train;
  struct {
    std::string device;  // a row of device_figures(); empty: that of runtime.device
    double memory_gib = 0;
    bool profile = false;
  } plan;
  struct {
    std::string path;
    double held_out = 0.05;
    bool document_mask = false;
  } data;
  struct {
    std::int64_t every = 0, windows = 64;
  } eval;
  struct {
    std::int64_t every = 100, keep = 3;
    std::string resume = std::string(name_of(ResumeWord::newest)), init;  // a word, or a path
  } checkpoint;
  struct {
    std::string dir = "run";
  } run;
  RuntimeOptions runtime;
  struct {
    std::int64_t every = 10;
    LiveLine live = LiveLine::automatic;
    bool tensorboard = false;
  } log;
};

// Declares all options of `options`, which outlives the table.
OptionTable describe(Options& options);

// Declare one section each, for commands that need only some.
void describe_model(OptionTable& table, Options& options);
void describe_parallel(OptionTable& table, Options& options);
void describe_train(OptionTable& table, Options& options);
void describe_data(OptionTable& table, Options& options);
void describe_runtime(OptionTable& table, Options& options);

}  // namespace masformer
