// Which pipeline stage holds which parts of the model. The model is cut into stages * chunks parts
// of consecutive layers, numbered in the order of the model; a stage calls the parts that it holds
// its chunks. A placement is plain data: schedules carry it, and everything that follows from where
// a part is (messages, memory, parameters) is derived from it.
#pragma once

#include <vector>

namespace masformer {

class Placement {
 public:
  struct Place {
    int stage = 0;
    int chunk = 0;

    bool operator==(const Place&) const = default;
  };

  // parts[stage][chunk] is the part. Throws Error unless every stage holds the same number of
  // parts, in ascending order, and each part is on one stage.
  explicit Placement(std::vector<std::vector<int>> parts);

  // Part p on stage p % stages, as its chunk p / stages: one part per stage, or the interleaved
  // placement of Megatron-LM (Narayanan et al., arXiv 2104.04473, section 2.2).
  static Placement round_robin(int stages, int chunks = 1);
  // Parts s and 2 * stages - 1 - s on stage s, so that the last stage hands over to itself and the
  // first stage holds both ends of the model (ZB-V; Qi et al., arXiv 2401.10241, section 4).
  static Placement v_shape(int stages);

  int stages() const { return static_cast<int>(parts_.size()); }
  int chunks() const { return static_cast<int>(parts_.front().size()); }
  int parts() const { return static_cast<int>(places_.size()); }
  int part(int stage, int chunk) const;
  Place place(int part) const { return places_[static_cast<std::size_t>(part)]; }
  // Whether the part exists and is on this stage.
  bool holds(int stage, int part) const;

  bool operator==(const Placement&) const = default;

 private:
  std::vector<std::vector<int>> parts_;  // [stage][chunk]
  std::vector<Place> places_;            // [part]
};

}  // namespace masformer
