// Manifests of checkpoints. The input is the text after the first line; the first line is added
// with the right digest. A manifest that parses is printed and parses again to the same manifest,
// and its pieces hold each element exactly once.
#include <algorithm>
#include <map>
#include <vector>

#include "parallel/checkpoint/cover.h"
#include "parallel/checkpoint/manifest_text.h"
#include "tests/fuzz/fuzz.h"

namespace masformer::fuzz {
namespace {

using namespace checkpoint;

bool same(const StoredPiece& a, const StoredPiece& b) {
  return a.file == b.file && a.dataset == b.dataset && a.slab == b.slab;
}

bool same(const StoredTensor& a, const StoredTensor& b) {
  return a.shape == b.shape &&
         std::equal(a.pieces.begin(), a.pieces.end(), b.pieces.begin(), b.pieces.end(),
                    [](const auto& x, const auto& y) { return same(x, y); });
}

bool same(const StoredFile& a, const StoredFile& b) {
  return a.bytes == b.bytes && a.digest == b.digest;
}

template <class Value>
bool same(const std::map<std::string, Value>& a, const std::map<std::string, Value>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.first == y.first && same(x.second, y.second);
  });
}

// Checks the cover element by element, where there are few elements.
void check_elements(const StoredTensor& tensor) {
  constexpr std::int64_t max_elements = 1 << 12;
  const auto elements = checked_elements(tensor.shape);
  check(elements.has_value(), "a tensor that parses has a size");
  if (*elements > max_elements || tensor.shape.size() > 8) return;
  std::vector<int> times(static_cast<std::size_t>(*elements));
  for (const StoredPiece& piece : tensor.pieces) {
    check(lies_in(piece.slab, tensor.shape), "a piece lies in its tensor");
    for (std::int64_t i = 0; i < piece.slab.elements(); ++i) {
      std::int64_t rest = i, place = 0, stride = 1;
      for (std::size_t dim = tensor.shape.size(); dim-- > 0;) {
        place += (piece.slab.offset[dim] + rest % piece.slab.shape[dim]) * stride;
        rest /= piece.slab.shape[dim];
        stride *= tensor.shape[dim];
      }
      ++times.at(static_cast<std::size_t>(place));
    }
  }
  for (const int n : times) check(n == 1, "each element is stored once");
}

void check_manifest(const std::string& text) {
  const auto manifest = accepted([&] { return parse_manifest(text); });
  if (!manifest) return;
  const Manifest again = parse_manifest(to_text(*manifest));
  check(again.attributes == manifest->attributes, "attributes read back from their print");
  check(same(again.tensors, manifest->tensors), "tensors read back from their print");
  check(same(again.files, manifest->files), "files read back from their print");
  check(to_text(again) == to_text(*manifest), "a print prints as itself");
  for (const auto& [name, tensor] : manifest->tensors) {
    check_elements(tensor);
    for (const StoredPiece& piece : tensor.pieces) {
      check(manifest->files.contains(piece.file), "a piece's file is listed");
    }
  }
}

// The text by which ranks tell each other their tensors. The pieces need not fill the tensors.
void check_tensors(std::string_view text) {
  const auto tensors = accepted([&] { return parse_tensors(text); });
  if (!tensors) return;
  check(same(parse_tensors(to_text(*tensors)), *tensors), "tensors read back from their print");
  accepted([&] {
    check_cover(*tensors);
    for (const auto& [name, tensor] : *tensors) check_elements(tensor);
    return 0;
  });
}

}  // namespace
}  // namespace masformer::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace masformer;
  const std::string_view text = fuzz::text_of(data, size);
  fuzz::check_manifest(std::string(text));
  fuzz::check_manifest(checkpoint::signed_text(text));
  fuzz::check_tensors(text);
  return 0;
}
