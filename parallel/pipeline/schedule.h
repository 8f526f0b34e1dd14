// A schedule says what each pipeline stage does, and in which order: for each stage, a list of
// actions on micro-batches. A schedule is plain data. A pure function makes it
// (schedules/schedules.h), validate() checks it, and the executor runs it as it is.
//
// Part p of the model takes its input from part p - 1 and hands its output to part p + 1. Where
// both parts are on one stage, the stage hands the tensor over itself and nothing is sent.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "parallel/comm/link.h"
#include "parallel/pipeline/placement.h"
#include "runtime/enum_names.h"

namespace masformer {

// backward_input computes the gradient of the part's input, for which the previous part waits;
// backward_weight the gradients of the part's weights; backward both, layer by layer.
#define MASFORMER_ACTION_KINDS(VALUE)     \
  VALUE(forward, "forward")               \
  VALUE(backward, "backward")             \
  VALUE(backward_input, "backward-input") \
  VALUE(backward_weight, "backward-weight")
MASFORMER_NAMED_ENUM(ActionKind, MASFORMER_ACTION_KINDS);
#undef MASFORMER_ACTION_KINDS

struct Action {
  ActionKind kind = ActionKind::forward;
  int micro_batch = 0;
  int chunk = 0;

  bool operator==(const Action&) const = default;
};

struct Schedule {
  Placement placement = Placement::round_robin(1);
  int micro_batches = 1;
  std::vector<std::vector<Action>> actions;  // actions[stage], in order

  int stages() const { return placement.stages(); }
  int chunks() const { return placement.chunks(); }
};

// Throws Error that names stage and action unless
// - every part runs the forward of every micro-batch once, and either no backward (evaluation) or
//   each gradient once: a backward, or a backward_input followed by its backward_weight;
// - the backward of a micro-batch comes after its forward, and every part computes its weight
//   gradients in the order of micro-batches, so that their sums have the same bits in all
//   schedules; the last part also its input gradients, since the head computes both at once. (The
//   sum for a table that is both embedding and head of one stage depends on the schedule. So do
//   the sums of norms, and of MLPs by blocks, if a schedule reorders the input gradients of
//   another part: they are computed with these.)
// - it ends without deadlock over links that buffer nothing (deadlock_check.h).
void validate(const Schedule& schedule);

// Whether these actions, or those of all stages, are only forwards.
bool is_evaluation(const std::vector<Action>& actions);
bool is_evaluation(const Schedule& schedule);

// receives_from: the stage whose message an action waits for before it starts. sends_to: the stage
// that gets a message when it ends. Nothing at the ends of the model, for backward_weight, and if
// the other part is on the same stage.
std::optional<int> receives_from(const Schedule& schedule, int stage, const Action& action);
std::optional<int> sends_to(const Schedule& schedule, int stage, const Action& action);
// The action of the same stage that takes an action's result, and the one that its input comes
// from. None if that part is on another stage or does not exist.
std::optional<Action> hands_over_to(const Schedule& schedule, int stage, const Action& action);
std::optional<Action> takes_over_from(const Schedule& schedule, int stage, const Action& action);

// The links that the pipe axis needs: which stages send to which, in either direction.
std::vector<Link> links_of(const Placement& placement);

std::string to_string(const Action& action);  // "forward of micro-batch 3 on chunk 1"

}  // namespace masformer
