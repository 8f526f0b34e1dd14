// Tokenizers turn text into token ids.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace masformer {

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  virtual std::string name() const = 0;
  virtual std::int64_t vocabulary() const = 0;  // every id is below it
  virtual std::uint32_t end_of_document() const = 0;
  // Appends the ids of `text`, without the end of the document.
  virtual void encode(std::string_view text, std::vector<std::uint32_t>& ids) const = 0;
};

// "byte": the 256 bytes, and 256 for the end of a document. Throws UsageError for other names.
std::unique_ptr<Tokenizer> make_tokenizer(const std::string& name);

}  // namespace masformer
