// Which pipeline stage holds which parts of the model. The model is cut into stages * chunks parts
// of consecutive layers, numbered in the order of the model. The parts on one stage are its chunks.
// A placement is plain data in a schedule; messages, memory and parameters are derived from it.
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

  // `parts` is [stage][chunk]. Throws Error unless all stages hold the same number of parts, in
  // ascending order, each part is on exactly one stage, the first part is on the first stage, and
  // the last part on the first or the last stage: only these two share a token table.
  explicit Placement(std::vector<std::vector<int>> parts);

  // Part p is chunk p / stages of stage p % stages. With one chunk this is a plain pipeline, with
  // more the interleaved one of Megatron-LM (Narayanan et al., arXiv 2104.04473, section 2.2).
  static Placement round_robin(int stages, int chunks = 1);
  // Stage s holds parts s and 2 * stages - 1 - s. The last stage hands over to itself, and the
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
