// Token stores of every kind (store_recipe.h), some cut short, some with damaged tokens. Other
// bytes are left alone, since HDF5 may crash where they are damaged.
//
// A store that opens has its documents in order. It reads as HDF5 reads it, or an id out of range
// is refused. An undamaged store of the project's writer holds what was given to it.
#include <algorithm>
#include <unistd.h>
#include <vector>

#include <hdf5.h>

#include "data/store_layout.h"
#include "data/token_store.h"
#include "runtime/io/hdf5_handle.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/store_recipe.h"

namespace masformer::fuzz {
namespace {

using namespace io;
using Recipe = std::vector<RecipeLine>;

// A data set as HDF5 reads it.
template <class Number>
std::vector<Number> hdf5_values(const ScratchFile& file, const char* name, hid_t type) {
  const Hdf5Properties access = unlocked_access();
  const Hdf5File opened(H5Fopen(file.path().c_str(), H5F_ACC_RDONLY, access.id()));
  const Hdf5Dataset dataset(H5Dopen2(opened.id(), name, H5P_DEFAULT));
  const Hdf5Space space(H5Dget_space(dataset.id()));
  std::vector<Number> values(static_cast<std::size_t>(H5Sget_simple_extent_npoints(space.id())));
  check(H5Dread(dataset.id(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()) >= 0,
        "HDF5 reads a store that opens");
  return values;
}

void check_description(const TokenStore& store) {
  const auto& documents = store.documents();
  check(store.tokens() > 0 && !documents.empty() && documents[0] == 0, "a store has a document");
  check(std::ranges::adjacent_find(documents, std::ranges::greater_equal()) == documents.end() &&
            static_cast<std::int64_t>(documents.back()) < store.tokens(),
        "documents ascend within the tokens");
  check(store.largest_id() >= 0 && store.largest_id() < store.vocabulary() &&
            store.vocabulary() <= std::int64_t{1} << 31,
        "the largest id lies in the vocabulary");
}

// nullopt if an id is above the largest, which the digest refuses, too.
std::optional<std::vector<std::int32_t>> read_tokens(const TokenStore& store) {
  const auto tokens = accepted([&] {
    std::vector<std::int32_t> all(static_cast<std::size_t>(store.tokens()));
    store.read(0, all);
    return all;
  });
  const auto digest = accepted([&] { return store.digest(); });
  check(digest.has_value() == tokens.has_value(), "reading and the digest refuse the same ids");
  check(!digest || *digest == store.digest(), "a store has one digest");
  return tokens;
}

void check_tokens(const TokenStore& store, const std::vector<std::int32_t>& tokens) {
  for (const std::int32_t id : tokens) {
    check(id >= 0 && id <= store.largest_id(), "ids lie in their range");
  }
  const std::size_t half = tokens.size() / 2;
  std::vector<std::int32_t> behind(tokens.size() - half);
  store.read(static_cast<std::int64_t>(half), behind);
  check(std::equal(behind.begin(), behind.end(), tokens.begin() + static_cast<long>(half)),
        "a part is read as in the whole");
  check(!accepted([&] { return store.read(store.tokens(), std::span(behind).first(1)), 0; }),
        "there is nothing behind the last token");
}

void check_foreign(const Recipe& recipe) {
  const ScratchFile file;
  write_store(recipe, file);
  if (const RecipeLine* const cut = find_line(recipe, "cut"); cut && !cut->numbers.empty()) {
    const off_t size = lseek(file.descriptor(), 0, SEEK_END);
    check(ftruncate(file.descriptor(), size - std::clamp<off_t>(cut->numbers[0], 0, size)) == 0,
          "a file in memory can be cut");
  }
  const auto store = accepted([&] { return TokenStore(file.path()); });
  if (!store) return;
  const auto layout = data::read_store_layout(file.path());
  damage_tokens(recipe, file, layout.offset, layout.tokens * layout.token_bytes);
  check_description(*store);
  check(store->documents() == hdf5_values<std::uint64_t>(file, "/documents", H5T_NATIVE_UINT64),
        "documents are what HDF5 reads");
  const auto tokens = read_tokens(*store);
  if (!tokens) return;
  check(*tokens == hdf5_values<std::int32_t>(file, "/tokens", H5T_NATIVE_INT32),
        "tokens are what HDF5 reads");
  check_tokens(*store, *tokens);
}

// The layout that the recipe describes, adjusted to what a writer accepts.
data::StoreLayout own_layout(const Recipe& recipe, std::vector<std::uint32_t>& ids) {
  data::StoreLayout layout;
  const RecipeLine* const vocabulary = find_line(recipe, "vocabulary");
  const RecipeLine* const tokenizer = find_line(recipe, "tokenizer");
  const RecipeLine* const documents = find_line(recipe, "/documents");
  layout.vocabulary = vocabulary && !vocabulary->numbers.empty() ? vocabulary->numbers[0] : 257;
  layout.vocabulary = std::clamp<std::int64_t>(layout.vocabulary, 1, std::int64_t{1} << 31);
  layout.token_bytes = layout.vocabulary <= 65536 ? 2 : 4;
  if (tokenizer) layout.tokenizer = std::string(tokenizer->rest.c_str());
  for (const std::int64_t value : find_line(recipe, "/tokens")->numbers) {
    ids.push_back(static_cast<std::uint32_t>((value & INT64_MAX) % layout.vocabulary));
    layout.largest_id = std::max<std::int64_t>(layout.largest_id, ids.back());
  }
  layout.tokens = static_cast<std::int64_t>(ids.size());
  layout.documents.push_back(0);
  for (const std::int64_t first : documents ? documents->numbers : std::vector<std::int64_t>()) {
    const bool fits = first > static_cast<std::int64_t>(layout.documents.back());
    if (fits && first < layout.tokens) layout.documents.push_back(first);
  }
  return layout;
}

void check_own(const Recipe& recipe) {
  const RecipeLine* const line = find_line(recipe, "/tokens");
  if (line == nullptr || line->numbers.empty()) return;
  std::vector<std::uint32_t> ids;
  const data::StoreLayout layout = own_layout(recipe, ids);
  const data::StoreFrame frame = data::frame_store(layout);
  const ScratchFile file;
  file.write_at(0, frame.bytes);
  const std::vector<std::uint16_t> narrow(ids.begin(), ids.end());
  const auto tokens =
      layout.token_bytes == 2 ? std::as_bytes(std::span(narrow)) : std::as_bytes(std::span(ids));
  file.write_at(frame.offset, tokens);
  const bool damaged =
      damage_tokens(recipe, file, frame.offset, static_cast<std::int64_t>(tokens.size()));
  const TokenStore store(file.path());
  check_description(store);
  check(store.documents() == layout.documents && store.vocabulary() == layout.vocabulary &&
            store.tokenizer() == layout.tokenizer && store.largest_id() == layout.largest_id,
        "what was written is read");
  const auto read = read_tokens(store);
  check(read.has_value() || damaged, "an undamaged store is read");
  if (!read) return;
  check(damaged || std::equal(ids.begin(), ids.end(), read->begin(), read->end()),
        "the ids that were written are read");
  check_tokens(store, *read);
}

}  // namespace
}  // namespace masformer::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t longest = 2000;  // HDF5 takes milliseconds for more
  const std::string_view text = masformer::fuzz::text_of(data, std::min(size, longest));
  const auto recipe = masformer::fuzz::read_recipe(text);
  masformer::fuzz::check_foreign(recipe);
  masformer::fuzz::check_own(recipe);
  return 0;
}
