// The fixtures of tests/golden as models of the program.
#pragma once

#include <array>
#include <optional>

#include "model/config.h"
#include "tests/support/golden.h"

namespace masformer::test {

inline constexpr std::array golden_files{"alternating.h5", "all_windows.h5",   "odd_head_size.h5",
                                         "wide_heads.h5",  "blocks_untied.h5", "rotary.h5"};

inline ModelConfig config_of(const GoldenCase& golden) {
  const LayerNormSpec norm{static_cast<float>(golden.epsilon)};
  const AttentionSpec attention{.heads = golden.heads,
                                .scale = static_cast<float>(golden.attention_scale)};
  std::optional<RotaryThetas> thetas;
  if (golden.rotary_theta) thetas = {*golden.rotary_theta, golden.rotary_theta_window.value()};
  return {.hidden = golden.hidden,
          .vocab = golden.vocab,
          .positions = golden.positions,
          .blocks = blocks_of_spans(parse_spans(golden.spans), attention, GeluMlpSpec{golden.ffn},
                                    norm, thetas),
          .tied = golden.tied,
          .norm = norm,
          .positions_kind = thetas ? PositionsKind::rotary : PositionsKind::learned};
}

}  // namespace masformer::test
