#include "tests/support/layout_mutations.h"

#include <functional>
#include <string>
#include <utility>

#include "model/layers/attention_layer.h"
#include "model/layers/context_attention.h"
#include "model/layers/head_attention.h"
#include "runtime/error.h"

namespace masformer::test {
namespace {

// The first parameter whose first tensor has a name with this ending.
template <class Parameters>
auto& parameter_named(Parameters& parameters, const std::string& ending) {
  for (auto& parameter : parameters) {
    if constexpr (requires { parameter.spec; }) {
      if (parameter.spec.tensors.front().name.ends_with(ending)) return parameter;
    } else {
      if (parameter.tensors.front().name.ends_with(ending)) return parameter;
    }
  }
  throw Error("no parameter " + ending);
}

// Changes every step of every layer's exchange that has calls with rows of other ranks.
std::function<void(StageSpec&)> with_steps(std::function<void(ExchangeStep&)> change) {
  return [change](StageSpec& stage) {
    for (const auto& layer : stage.layers) {
      auto* const attention = dynamic_cast<AttentionLayer*>(layer.get());
      if (attention == nullptr) continue;
      auto* const by_tokens = dynamic_cast<ContextAttention*>(&attention->attention());
      if (by_tokens == nullptr) continue;
      for (ExchangeStep& step : by_tokens->plan().steps) {
        if (!step.held.empty() && !step.calls.empty()) change(step);
      }
    }
  };
}

// Changes the exchange by heads of every layer that has one.
std::function<void(StageSpec&)> with_heads(std::function<void(HeadExchange&)> change) {
  return [change](StageSpec& stage) {
    for (const auto& layer : stage.layers) {
      auto* const attention = dynamic_cast<AttentionLayer*>(layer.get());
      if (attention == nullptr) continue;
      auto* const by_heads = dynamic_cast<HeadAttention*>(&attention->attention());
      if (by_heads != nullptr) change(by_heads->plan());
    }
  };
}

// Faults of the exchange by heads. All ranks still send and expect messages of the same sizes.
void add_broken_head_exchanges(std::vector<Broken>& all) {
  all.push_back(
      {"a rank exchanges the heads of two shares", {.stage = with_heads([](HeadExchange& plan) {
                                                      if (world().rank() == 0)
                                                        std::swap(plan.shares[0], plan.shares[1]);
                                                    })}});
  all.push_back({"the rows of two ranks change places",
                 {.stage = with_heads([](HeadExchange& plan) {
                    HeldSegment &first = plan.segments[0], &second = plan.segments[1];
                    std::swap(first.rank, second.rank);
                    std::swap(first.rows, second.rows);
                  })}});
  all.push_back({"a row stays behind", {.stage = with_heads([](HeadExchange& plan) {
                                          HeldSegment& segment = plan.segments.front();
                                          ++segment.rows.begin, ++segment.positions.begin;
                                        })}});
}

// In zigzag, every rank exchanges rows with every other in each step of a full layer, so all ranks
// can repeat the last one. From 3 ranks on, there are buffers for it.
void repeat_last_step(StageSpec& stage) {
  for (const auto& layer : stage.layers) {
    if (layer->kind() != "attention full") continue;
    auto& attention = dynamic_cast<AttentionLayer&>(*layer).attention();
    std::vector<ExchangeStep>& steps = dynamic_cast<ContextAttention&>(attention).plan().steps;
    const ExchangeStep last = steps.back();
    steps.push_back(last);
  }
}

// Faults of the exchange between context ranks.
void add_broken_exchanges(std::vector<Broken>& all) {
  all.push_back({"a halo is one row short", {.stage = with_steps([](ExchangeStep& step) {
                                               AttentionCall& call = step.calls.front();
                                               ++call.keys.begin, ++call.key_offset;
                                             })}});
  all.push_back({"a step computes nothing",
                 {.stage = with_steps([](ExchangeStep& step) { step.calls.clear(); })}});
  all.push_back(
      {"a step's result replaces the others",
       {.stage = with_steps([](ExchangeStep& step) { step.calls.back().merges = false; })}});
  all.push_back({"merges ignore the log-sum-exps", {.merges_ignore_lse = true}});
  all.push_back({"rows arrive at the wrong place", {.stage = with_steps([](ExchangeStep& step) {
                                                      step.calls.back().query_offset += 1;
                                                    })}});
  all.push_back({"gradients are averaged over the context ranks, not summed",
                 {.gradients = [](const auto& parameters) {
                   for (const Parameter& parameter : parameters) {
                     for_each_element(parameter.gradient, [](float& x, std::int64_t) { x /= 2; });
                   }
                 }}});
  all.push_back({"only the first context rank's rows count in the norm", {.stage = [](auto& stage) {
                   for (ParameterSpec& parameter : stage.parameters) {
                     parameter.primary = parameter.primary && parameter.owned.begin == 0;
                   }
                 }}});
}

}  // namespace

std::vector<Broken> broken_runs(const LayoutCase& c) {
  std::vector<Broken> all{
      {"a window is one key too wide", {.spans = "full,window:6,block:8,window:16"}},
      {"a micro-batch counts twice, another never",
       {.micro_batch = [](int m) { return m == 1 ? 0 : m; }}},
      {"a gradient of q is doubled", {.gradients = [](const auto& parameters) {
         const Parameter& qkv = parameter_named(parameters, "q_proj.weight");
         const Tensor q = qkv.rows(qkv.gradient, qkv.spec.tensors.front());
         for_each_element(q, [](float& x, std::int64_t) { x *= 2; });
       }}}};
  if (c.mesh.tensor > 1) {
    all.push_back(
        {"a norm's gradient is not summed over the tensor ranks", {.stage = [](auto& stage) {
           parameter_named(stage.parameters, "ln_1.weight").partial = false;
         }}});
  }
  if (c.mesh.pipe > 1) {
    all.push_back({"the token table's gradients are not summed over first and last stage",
                   {.stage = [](auto& stage) { stage.shared_table.reset(); }}});
  }
  // The exchanges of batches with documents are planned anew, so changing a layer's has no effect.
  if (c.mesh.context > 2 && c.order == "zigzag" && c.documents.empty() && c.full == "ring") {
    all.push_back({"a step of a full layer is done twice", {.stage = repeat_last_step}});
  }
  if (c.mesh.context > 1 && c.documents.empty()) {
    c.full == "heads" ? add_broken_head_exchanges(all) : add_broken_exchanges(all);
  }
  if (!c.documents.empty()) {
    all.push_back({"a document starts one token late in the mask",
                   {.document_starts = [](auto& starts) { ++starts[1]; }}});
  }
  if (c.mesh.context > 1 && c.positions != PositionsKind::none) {
    all.push_back({"a context rank counts positions from its first row",
                   {.position = [](std::int64_t row, std::int64_t) { return row; }}});
  }
  if (c.mesh.data > 1) {
    const int own = c.samples / c.mesh.data / c.micro_batch;
    const int rank = c.mesh.coordinate(world().rank()).data;
    all.push_back({"all data ranks are fed what the first is",
                   {.micro_batch = [=](int m) { return m - own * rank; }}});
  }
  return all;
}

}  // namespace masformer::test
