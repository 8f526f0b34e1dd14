// Text to token ids.
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
  virtual std::int64_t vocabulary() const = 0;  // ids are below it
  virtual std::uint32_t end_of_document() const = 0;
  // Appends the ids of `text`; the end of the document is not added.
  virtual void encode(std::string_view text, std::vector<std::uint32_t>& ids) const = 0;
};

// "byte": 256 bytes and, as 256, the end of a document. Throws UsageError for other names.
std::unique_ptr<Tokenizer> make_tokenizer(const std::string& name);

}  // namespace masformer
