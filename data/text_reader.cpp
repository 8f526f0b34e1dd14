#include "data/text_reader.h"

#include <fcntl.h>
#include <memory>
#include <span>

#include "data/utf8.h"
#include "runtime/error.h"
#include "runtime/io/file.h"

namespace masformer::data {
namespace {

using Use = std::function<void(std::string_view)>;

class DocumentCutter {
 public:
  DocumentCutter(const std::string& separator, const Use& use) : separator_(separator), use_(use) {}

  void feed(std::string_view text) {
    if (separator_.empty()) {
      document_ += text;
      return;
    }
    while (!text.empty()) {
      const std::size_t newline = text.find('\n');
      const std::size_t taken = newline == text.npos ? text.size() : newline + 1;
      document_ += text.substr(0, taken);
      text.remove_prefix(taken);
      if (newline != text.npos) end_line();
    }
  }

  void end_file() {
    if (!separator_.empty()) end_line();
    end_document();
  }

 private:
  void end_line() {
    std::string_view line = std::string_view(document_).substr(line_begin_);
    if (line.ends_with('\n')) line.remove_suffix(1);
    if (line == separator_ ||
        (line.ends_with('\r') && line.substr(0, line.size() - 1) == separator_)) {
      document_.resize(line_begin_);
      end_document();
    }
    line_begin_ = document_.size();
  }

  void end_document() {
    if (!document_.empty()) use_(document_);
    document_.clear();
  }

  const std::string& separator_;
  const Use& use_;
  std::string document_;
  std::size_t line_begin_ = 0;  // index in document_ of its last line
};

}  // namespace

void read_documents(const std::filesystem::path& path, const TextReaderOptions& options,
                    const Use& use) {
  io::File file = io::open_or_refuse(path, O_RDONLY);
  Utf8Validator validator;
  DocumentCutter cutter(options.separator, use);
  const auto block_bytes = static_cast<std::size_t>(options.block_bytes);
  const auto block = std::make_unique_for_overwrite<char[]>(block_bytes);
  bool valid = true;
  while (valid) {
    const std::size_t got =
        file.read_next(std::as_writable_bytes(std::span(block.get(), block_bytes)));
    if (got == 0) break;
    const std::string_view text(block.get(), got);
    valid = validator.feed(text);
    if (valid) cutter.feed(text);
  }
  if (!valid || !validator.complete()) {
    refuse("{} is not UTF-8 text at byte {} (bytes count from 0): convert it, or leave it out",
           path.string(), validator.valid_bytes());
  }
  cutter.end_file();
}

}  // namespace masformer::data
