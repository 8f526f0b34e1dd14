// When each pipeline stage does what: for each stage, an ordered list of actions on micro-batches.
// A schedule is plain data. It is made by a pure function, validated, and executed as it stands.
//
// The model is cut into stages * chunks parts; part p lives on stage p % stages as its chunk
// p / stages, takes its input from part p - 1 and hands its output to part p + 1.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace masformer {

enum class ActionKind : std::uint8_t {
  forward,
  backward,         // both of the following, layer by layer
  backward_input,   // the gradient that the previous part waits for
  backward_weight,  // the gradients of the part's own weights
};

struct Action {
  ActionKind kind = ActionKind::forward;
  int micro_batch = 0;
  int chunk = 0;

  bool operator==(const Action&) const = default;
};

struct Schedule {
  int stages = 1;
  int chunks = 1;
  int micro_batches = 1;
  std::vector<std::vector<Action>> actions;  // actions[stage], in order

  int parts() const { return stages * chunks; }
  int part(int stage, int chunk) const { return chunk * stages + stage; }
};

// All forwards, then all backwards (GPipe, Huang et al., arXiv 1811.06965).
Schedule gpipe(int stages, int micro_batches);

// Stage s starts min(micro_batches, stages - s) forwards, then alternates one backward and one
// forward (PipeDream-Flush, Narayanan et al., arXiv 2006.09503): at most stages - s micro-batches'
// activations are held.
Schedule one_forward_one_backward(int stages, int micro_batches);

// Forwards alone, for evaluation.
Schedule forward_only(int stages, int micro_batches);

// By the option's name: "gpipe", "1f1b". Throws UsageError that names the choices.
Schedule make_schedule(std::string_view name, int stages, int micro_batches);

// Throws Error that names stage and action unless
// - every part does every micro-batch's forward once, and either no backward at all (evaluation) or
//   each gradient once: a backward, or a backward_input followed by its backward_weight;
// - no micro-batch's backward precedes its forward; weight gradients come in the order of
//   micro-batches on every part;
// - it runs to its end over channels that hold nothing: a message leaves its sender only when the
//   receiver asks for it, in order. A sender with a message still waiting on a channel asks for the
//   input of its next action that sends on it, but does not start it; it does not even ask where
//   both are backwards of one chunk (the input may take the message's place) and in evaluation.
//   A channel leads from one stage to another and carries outputs and gradients of all chunks.
void validate(const Schedule& schedule);

// Whether no stage does anything but forwards.
bool is_evaluation(const Schedule& schedule);

// The stage whose message an action waits for before it starts, and the stage that gets a message
// when it ends: the neighbour parts' stages, none at the ends of the model and for backward_weight.
std::optional<int> receives_from(const Schedule& schedule, int stage, const Action& action);
std::optional<int> sends_to(const Schedule& schedule, int stage, const Action& action);

std::string to_string(const Action& action);  // "forward of micro-batch 3 on chunk 1"

}  // namespace masformer
