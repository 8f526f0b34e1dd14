// Trains the same small model under any layout.
#pragma once

#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "data/loader.h"
#include "tests/support/single_rank.h"
#include "tests/support/tensors.h"
#include "tests/support/world.h"

namespace masformer::test {

struct LayoutCase {
  Mesh mesh;
  std::string schedule = "1f1b";
  std::string partition = "even";
  int samples = 8;  // of a step, over all data ranks
  int micro_batch = 1;
  bool tied = true;
  bool sequence_parallel = true;
  std::string recompute = "none";
  std::int64_t sequence = 33;
  std::int64_t hidden = 48;
  std::int64_t heads = 8;
  std::string spans = "full,window:5,block:8,window:16";  // also sets the number of layers
  DType dtype = DType::f32;
  int steps = 4;  // the first shows what a step computes, the others the optimizer's state
  std::string order = "contiguous";  // of the context ranks: or "zigzag"
  std::int64_t ffn_block = 0;        // rows that MLPs compute at a time; 0: all at once
  std::string full = "ring";         // how context ranks share full layers: or "heads"
  PositionsKind positions = PositionsKind::learned;
  // Lengths of the documents that the first sample starts with, as in "7,5,1"; what is left is one
  // more, unless nothing is. The next samples have the same in turned order. Empty: no document
  // mask.
  std::string documents{};
  // If above 0, the case is one document, cut out of the sample of `cut_from` tokens at place
  // `cut_at`: its last token has no label.
  std::int64_t cut_from = 0, cut_at = 0;
  int chunks = 0;  // parts per stage; 0: the schedule's own number

  bool operator==(const LayoutCase&) const = default;
};

std::ostream& operator<<(std::ostream& out, const LayoutCase& c);

// Where the documents of a sample start.
std::vector<std::int64_t> document_starts(const LayoutCase& c, int sample);
// Of a step, over all ranks.
std::int64_t predicted_tokens(const LayoutCase& c);

// Faults that a test makes on purpose in a run, to check that the comparison finds them.
struct Mutation {
  std::string spans{};
  std::function<void(StageSpec&)> stage{};
  std::function<void(const ParameterSet&)>
      gradients{};                        // called with the summed gradients before they are used
  std::function<int(int)> micro_batch{};  // returns the micro-batch to use instead of the given one
  std::function<void(std::vector<std::int64_t>&)> document_starts{};  // changes the mask alone
  // Returns the position to use for a row of this rank, instead of its own.
  std::function<std::int64_t(std::int64_t row, std::int64_t position)> position{};
  bool merges_ignore_lse = false;  // see merge_fault.h
};

// Training by one rank of a layout.
class LayoutRun {
 public:
  // Makes the rank's groups, for tensors on the stream's device.
  using MakeGroups = std::function<ProcessGroups(const Stream&)>;
  LayoutRun(const LayoutCase& c, const Mesh& mesh, const MakeGroups& make_groups,
            Mutation mutation = {});

  ParameterSet& parameters() { return under_test_.stage.parameters(); }
  MemoryTable memory() const { return under_test_.stage.memory(); }
  const Stage& stage() const { return under_test_.stage; }
  const ProcessGroups& groups() const { return groups_; }

  // Moves every weight up or down by its rounding error.
  void nudge_weights();
  // Forward and backward of a step. Gradients are summed, but weights are not updated.
  void forward_backward(int step);
  void update_weights(int step);
  double evaluate(int step);
  double loss() const { return loss_; }
  double norm() const { return norm_; }
  // Whether both copies of a shared token table have the same bits.
  bool copies_are_equal();

 private:
  void feed(int step);
  // Appends this rank's part of a sample.
  void append(int step, int sample, Batch& batch) const;
  // Mean over all ranks, in nats per token.
  double mean_loss();

  LayoutCase case_;
  Mesh mesh_;
  Mutation mutation_;
  Stream stream_{device(), 1, world().rank()};
  ProcessGroups groups_;
  StageUnderTest under_test_;
  double loss_ = 0, norm_ = 0;
};

// The groups of all ranks of the world on a mesh, for tensors on the stream's device.
ProcessGroups groups_of_all_ranks(const Stream& stream, const Mesh& mesh);

// The same run on this rank alone, whatever the mesh of the case.
LayoutRun on_one_rank(const LayoutCase& c);

// This rank's part of a case that all ranks of the world run.
LayoutRun over_all_ranks(const LayoutCase& c, const Mutation& mutation = {});

}  // namespace masformer::test
