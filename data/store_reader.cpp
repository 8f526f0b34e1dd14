#include <algorithm>
#include <array>
#include <fcntl.h>
#include <limits>

#include "data/store_layout.h"
#include "data/token_store.h"
#include "runtime/error.h"
#include "runtime/io/digest.h"
#include "runtime/io/file.h"

namespace masformer {
namespace {

constexpr std::int64_t block_tokens = 8192;  // per read, on the stack

// Calls use(block) for tokens [begin, begin + count), block by block.
template <class Stored, class Use>
void for_each_block(const io::File& file, const data::StoreLayout& layout, std::int64_t begin,
                    std::int64_t count, Use use) {
  constexpr auto width = static_cast<std::int64_t>(sizeof(Stored));
  std::array<Stored, block_tokens> block;  // NOLINT: filled by each read
  for (const std::int64_t end = begin + count; begin < end; begin += block_tokens) {
    const std::span<Stored> part(block.data(),
                                 static_cast<std::size_t>(std::min(block_tokens, end - begin)));
    file.read_at(layout.offset + begin * width, std::as_writable_bytes(part));
    use(std::span<const Stored>(part));
  }
}

// The same for the type that the store holds.
template <class Use>
void for_each_block(const io::File& file, const data::StoreLayout& layout, std::int64_t begin,
                    std::int64_t count, Use use) {
  if (layout.token_bytes == 2) {
    for_each_block<std::uint16_t>(file, layout, begin, count, use);
  } else {
    for_each_block<std::uint32_t>(file, layout, begin, count, use);
  }
}

std::int64_t scan_largest_id(const io::File& file, const data::StoreLayout& layout) {
  std::int64_t largest = 0;
  for_each_block(file, layout, 0, layout.tokens, [&](auto block) {
    largest = std::max<std::int64_t>(largest, *std::max_element(block.begin(), block.end()));
  });
  return largest;
}

// What is wrong with the ids of a block that begins at token `begin`; "" if nothing is.
template <class Stored>
std::string complaint_about(const data::StoreLayout& layout, std::int64_t begin,
                            std::span<const Stored> block) {
  Stored largest = 0;  // found first, in a loop that compilers vectorize
  for (const Stored id : block) largest = std::max(largest, id);
  if (largest <= layout.largest_id) return "";
  const auto too_large = [&](Stored id) { return std::int64_t{id} > layout.largest_id; };
  const auto found = std::ranges::find_if(block, too_large);
  return fmt::format(
      "token {} is {}, but the largest id is {}: the file is damaged; prepare it again",
      begin + (found - block.begin()), *found, layout.largest_id);
}

io::File open_store(const std::filesystem::path& path) {
  if (std::filesystem::exists(path) && !std::filesystem::is_regular_file(path)) {
    refuse("{} is not a regular file; a token store is a file that `masformer prepare` writes",
           path.string());
  }
  return io::open_or_refuse(path, O_RDONLY);
}

}  // namespace

struct TokenStore::State {
  explicit State(const std::filesystem::path& path)
      : file(open_store(path)), layout(data::read_store_layout(path)) {
    if (layout.largest_id < 0) layout.largest_id = scan_largest_id(file, layout);
    constexpr std::int64_t max_vocabulary =
        std::int64_t{std::numeric_limits<std::int32_t>::max()} + 1;
    if (layout.vocabulary < 0) layout.vocabulary = std::min(layout.largest_id, max_vocabulary) + 1;
    if (layout.largest_id >= layout.vocabulary || layout.vocabulary > max_vocabulary) {
      refuse(
          "{} is not a usable token store: its vocabulary is {}, but must be larger than its "
          "largest id {}, and at most {}",
          path.string(), layout.vocabulary, layout.largest_id, max_vocabulary);
    }
  }

  io::File file;
  data::StoreLayout layout;
};

TokenStore::TokenStore(std::filesystem::path path) : state_(std::make_unique<State>(path)) {}
TokenStore::~TokenStore() = default;
TokenStore::TokenStore(TokenStore&&) noexcept = default;
TokenStore& TokenStore::operator=(TokenStore&&) noexcept = default;

const std::filesystem::path& TokenStore::path() const {
  return state_->file.path();
}
std::int64_t TokenStore::tokens() const {
  return state_->layout.tokens;
}
std::int64_t TokenStore::vocabulary() const {
  return state_->layout.vocabulary;
}
std::int64_t TokenStore::largest_id() const {
  return state_->layout.largest_id;
}
std::string TokenStore::tokenizer() const {
  return state_->layout.tokenizer;
}
const std::vector<std::uint64_t>& TokenStore::documents() const {
  return state_->layout.documents;
}

std::string TokenStore::digest() const {
  io::Digest digest;
  std::int64_t begin = 0;
  for_each_block(state_->file, state_->layout, 0, tokens(), [&](auto block) {
    const std::string complaint = complaint_about(state_->layout, begin, block);
    if (!complaint.empty()) refuse("{}: {}", path().string(), complaint);
    digest.update(std::as_bytes(block));
    begin += std::ssize(block);
  });
  digest.update(std::as_bytes(std::span(documents())));
  return digest.hex();
}

void TokenStore::read(std::int64_t begin, std::span<std::int32_t> out) const {
  const auto count = static_cast<std::int64_t>(out.size());
  require(begin >= 0 && begin <= tokens() - count,
          "tokens [{}, {}) are outside of {}, which has {}", begin, begin + count, path().string(),
          tokens());
  auto next = out.begin();
  for_each_block(state_->file, state_->layout, begin, count, [&](auto block) {
    const std::string complaint = complaint_about(state_->layout, begin, block);
    require(complaint.empty(), "{}: {}", path().string(), complaint);
    next = std::ranges::transform(block, next, [](auto id) {
             return static_cast<std::int32_t>(id);
           }).out;
    begin += std::ssize(block);
  });
}

}  // namespace masformer
