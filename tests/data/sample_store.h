// Small token stores for tests, with the contents that they should read back.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "data/token_store.h"
#include "runtime/error.h"
#include "runtime/random.h"
#include "tests/support/temporary_directory.h"

namespace masformer::test {

struct SampleStore {
  TemporaryDirectory folder;
  std::filesystem::path path;
  std::vector<std::int32_t> tokens;
  std::vector<std::int32_t> document;  // of each token
};

// A store of documents of the given lengths, with arbitrary ids below `vocabulary`. The last id is
// `vocabulary` - 1.
inline SampleStore make_store(const std::vector<int>& lengths, std::int64_t vocabulary = 257) {
  SampleStore sample;
  sample.path = sample.folder / "tokens.h5";
  TokenStoreWriter writer(sample.path, "sample", vocabulary);
  for (std::size_t d = 0; d < lengths.size(); ++d) {
    std::vector<std::uint32_t> ids(static_cast<std::size_t>(lengths[d]));
    for (std::size_t i = 0; i < ids.size(); ++i) {
      ids[i] = static_cast<std::uint32_t>(mix(d, i) % static_cast<std::uint64_t>(vocabulary));
    }
    if (d + 1 == lengths.size()) ids.back() = static_cast<std::uint32_t>(vocabulary - 1);
    writer.add_document(ids);
    sample.tokens.insert(sample.tokens.end(), ids.begin(), ids.end());
    sample.document.insert(sample.document.end(), ids.size(), static_cast<std::int32_t>(d));
  }
  writer.commit();
  return sample;
}

inline std::vector<std::int32_t> read_all(const TokenStore& store) {
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(store.tokens()));
  store.read(0, tokens);
  return tokens;
}

inline std::string read_bytes(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void write_bytes(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

// The message of the `Thrown` that `call` throws; "nothing thrown" without one.
template <class Thrown, class Call>
std::string message_of(Call call) {
  try {
    call();
  } catch (const Thrown& error) {
    return error.what();
  }
  return "nothing thrown";
}

}  // namespace masformer::test
