#include "parallel/checkpoint/manifest_text.h"

#include <algorithm>

#include "parallel/checkpoint/cover.h"
#include "parallel/checkpoint/json_view.h"
#include "parallel/checkpoint/names.h"
#include "runtime/error.h"
#include "runtime/io/digest.h"

namespace masformer::checkpoint {
namespace {

using nlohmann::json;

constexpr std::string_view format_name = "masformer-checkpoint";
constexpr std::int64_t format_version = 1;
constexpr std::size_t max_dimensions = 32;  // HDF5's own limit

bool is_file_name(const std::string& name) {
  const bool printable = std::none_of(name.begin(), name.end(), [](char c) {
    return c == '/' || c == '\\' || static_cast<unsigned char>(c) < ' ';
  });
  return printable && !name.empty() && name.front() != '.' && name != manifest_name;
}

// HDF5 reads a path up to its first zero byte.
bool is_dataset_path(const std::string& path) {
  return path.size() > 1 && path.front() == '/' && path.find('\0') == std::string::npos;
}

bool is_digest(const std::string& text) {
  return text.size() == 32 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

json to_json(const StoredTensor& tensor) {
  json pieces = json::array();
  for (const StoredPiece& piece : tensor.pieces) {
    pieces.push_back({{"file", piece.file},
                      {"dataset", piece.dataset},
                      {"offset", piece.slab.offset},
                      {"shape", piece.slab.shape}});
  }
  return {{"dtype", "float32"}, {"shape", tensor.shape}, {"pieces", std::move(pieces)}};
}

json to_json(const StoredFile& file) {
  return {{"bytes", file.bytes}, {"xxh3_128", file.digest}};
}

// Prints an object with one member per line, for human readers.
template <class Value>
std::string to_lines(const std::map<std::string, Value>& members) {
  std::string text = "{";
  for (const auto& [name, value] : members) {
    text += (text.size() > 1 ? ",\n" : "\n") + json(name).dump() + ": " + to_json(value).dump();
  }
  return text + "\n}";
}

StoredPiece parse_piece(const JsonView& view, const std::vector<std::int64_t>& tensor_shape) {
  StoredPiece piece{view.member("file").text(),
                    view.member("dataset").text(),
                    {view.member("offset").counts(), view.member("shape").counts()}};
  view.member("file").expect(is_file_name(piece.file), "a plain file name");
  view.member("dataset").expect(is_dataset_path(piece.dataset), "a path from the root of the file");
  view.expect(lies_in(piece.slab, tensor_shape), "a box inside the tensor");
  view.expect(piece.slab.elements() > 0, "a piece with elements");
  return piece;
}

StoredTensor parse_tensor(const JsonView& view) {
  view.member("dtype").expect(view.member("dtype").text() == "float32", "\"float32\"");
  StoredTensor tensor;
  tensor.shape = view.member("shape").counts();
  view.member("shape").expect(
      tensor.shape.size() <= max_dimensions && checked_elements(tensor.shape).has_value(),
      "a shape of at most 32 dimensions and 2^63 bytes");
  view.member("pieces").each_element(
      [&](const JsonView& piece) { tensor.pieces.push_back(parse_piece(piece, tensor.shape)); });
  return tensor;
}

std::map<std::string, StoredTensor> parse_tensors(const JsonView& view) {
  std::map<std::string, StoredTensor> tensors;
  view.each_member([&](const std::string& name, const JsonView& tensor) {
    tensors.emplace(name, parse_tensor(tensor));
  });
  return tensors;
}

std::map<std::string, StoredFile> parse_files(const JsonView& view) {
  std::map<std::string, StoredFile> files;
  view.each_member([&](const std::string& name, const JsonView& file) {
    file.expect(is_file_name(name), "listed under a plain file name");
    const StoredFile stored{file.member("bytes").count(), file.member("xxh3_128").text()};
    file.member("xxh3_128").expect(is_digest(stored.digest), "32 lower-case hexadecimal digits");
    files.emplace(name, stored);
  });
  return files;
}

void check_files_listed(const Manifest& manifest) {
  for (const auto& [name, tensor] : manifest.tensors) {
    for (const StoredPiece& piece : tensor.pieces) {
      require(manifest.files.contains(piece.file),
              "/tensors/{}: a piece is in {}, which \"files\" does not list", name, piece.file);
    }
  }
}

// Refuses deep nesting, because copying and printing values uses stack in proportion to it. This is
// a pass of its own because nlohmann's parser with a callback takes quadratic time: it searches all
// members of an object at the end of each member.
void check_depth(std::string_view text) {
  constexpr int max_depth = 100;  // objects and arrays around a value
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      in_string = c != '"';
    } else if (c == ']' || c == '}') {
      --depth;
    } else if (c != ' ' && c != '\t' && c != '\r' && c != '\n') {
      require(depth <= max_depth, "nested more than {} deep", max_depth);
      if (c == '[' || c == '{') ++depth;
      in_string = c == '"';
    }
  }
}

json parse_json(std::string_view text) {
  check_depth(text);
  try {
    return json::parse(text);
  } catch (const json::exception& problem) {
    fail("not JSON: {}", problem.what());
  }
}

void check_digest(std::string_view text) {
  const std::string_view rest = text.substr(std::min(text.find('\n'), text.size() - 1) + 1);
  require(text.starts_with("{\"digest\": \""), "not a checkpoint's manifest");
  require(text == signed_text(rest), "its digest differs: the file was damaged or edited");
}

}  // namespace

std::string signed_text(std::string_view rest) {
  return fmt::format("{{\"digest\": \"{}\",\n{}", io::digest_of(rest), rest);
}

std::string to_text(const Manifest& manifest) {
  return signed_text(
      fmt::format("\"format\": \"{}\",\n\"version\": {},\n\"attributes\": {},\n"
                  "\"tensors\": {},\n\"files\": {}}}\n",
                  format_name, format_version, manifest.attributes.dump(),
                  to_lines(manifest.tensors), to_lines(manifest.files)));
}

std::string to_text(const std::map<std::string, StoredTensor>& tensors) {
  return to_lines(tensors);
}

std::map<std::string, StoredTensor> parse_tensors(std::string_view text) {
  const json tree = parse_json(text);
  return parse_tensors(JsonView(tree, "/tensors"));
}

Manifest parse_manifest(std::string_view text) {
  require(!text.empty(), "empty");
  check_digest(text);
  const json tree = parse_json(text);
  const JsonView root(tree, "");
  root.member("format").expect(root.member("format").text() == format_name,
                               "\"masformer-checkpoint\"");
  root.member("version").expect(root.member("version").count() == format_version,
                                "1, the version that this program reads");
  Manifest manifest;
  manifest.attributes = root.member("attributes").value();
  root.member("attributes").expect(manifest.attributes.is_object(), "an object");
  manifest.tensors = parse_tensors(root.member("tensors"));
  manifest.files = parse_files(root.member("files"));
  check_files_listed(manifest);
  check_cover(manifest.tensors);
  return manifest;
}

void check_cover(const std::map<std::string, StoredTensor>& tensors) {
  for (const auto& [name, tensor] : tensors) {
    const std::string complaint = cover_complaint(tensor);
    require(complaint.empty(), "/tensors/{}: {}", name, complaint);
  }
}

}  // namespace masformer::checkpoint
