#include "data/tokenizer.h"

#include <algorithm>
#include <cstddef>

#include "runtime/error.h"

namespace masformer {
namespace {

class ByteTokenizer : public Tokenizer {
 public:
  std::string name() const override { return "byte"; }
  std::int64_t vocabulary() const override { return end_id + 1; }
  std::uint32_t end_of_document() const override { return end_id; }
  void encode(std::string_view text, std::vector<std::uint32_t>& ids) const override {
    const auto begin = static_cast<std::ptrdiff_t>(ids.size());
    ids.resize(ids.size() + text.size());
    const auto id_of = [](char c) { return static_cast<unsigned char>(c); };
    std::transform(text.begin(), text.end(), ids.begin() + begin, id_of);
  }

 private:
  static constexpr std::uint32_t end_id = 256;
};

}  // namespace

std::unique_ptr<Tokenizer> make_tokenizer(const std::string& name) {
  if (name == "byte") return std::make_unique<ByteTokenizer>();
  refuse("there is no tokenizer \"{}\": use \"byte\"", name);
}

}  // namespace masformer
