// The fixtures of tests/golden: a small model, one batch, and the expected results.
// tests/golden/README.md says where the numbers come from.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace masformer::test {

struct NamedArray {
  std::vector<std::int64_t> shape;
  std::vector<float> values;  // row-major
};

struct GoldenCase {
  std::int64_t layers = 0;
  std::int64_t hidden = 0;
  std::int64_t heads = 0;
  std::int64_t ffn = 0;
  std::int64_t vocab = 0;
  std::int64_t positions = 0;
  std::int64_t window = 0;  // GPT-Neo's only window size; 0 if no layer has a window
  std::string spans;        // one entry per layer, as parse_spans() takes it
  double epsilon = 0;       // of the layer norms
  double attention_scale = 1;
  bool tied = true;  // false: the head is lm_head.weight
  // Of full layers and of all others; none: positions are learned.
  std::optional<double> rotary_theta, rotary_theta_window;

  std::int64_t batch = 0;
  std::int64_t sequence = 0;
  std::vector<std::int32_t> tokens;  // [batch, sequence]
  std::vector<std::int32_t> labels;  // [batch, sequence], the token to predict at each place

  std::vector<float> logits;  // [batch, sequence, vocab]
  double loss = 0;            // mean over all labels, nats
  // Under Hugging Face's names. Gradients are of the mean loss.
  std::map<std::string, NamedArray> weights;
  std::map<std::string, NamedArray> gradients;
};

// Reads the file of that name, such as "alternating.h5", in tests/golden or in the folder that the
// environment variable MASFORMER_GOLDEN names. Throws Error with the file's path if something is
// missing.
GoldenCase read_golden(const std::string& file_name);

}  // namespace masformer::test
