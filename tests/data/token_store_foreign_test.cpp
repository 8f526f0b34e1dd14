// Stores made by other tools: which of them are read, and how the others are refused.
#include <array>
#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <hdf5.h>

#include "data/token_store.h"
#include "runtime/io/hdf5_handle.h"
#include "tests/data/sample_store.h"

namespace masformer::test {
namespace {

using namespace io;

// How a dataset is stored; the defaults are those of most tools.
struct Storage {
  hid_t type;
  std::vector<hsize_t> extents;
  std::function<void(hid_t creation)> creation = [](hid_t) {};
  bool written = true;
};

void write_dataset(hid_t file, const char* name, const Storage& storage,
                   const std::vector<std::int64_t>& values) {
  const Hdf5Properties creation(H5Pcreate(H5P_DATASET_CREATE));
  storage.creation(creation.id());
  const Hdf5Space space(
      H5Screate_simple(static_cast<int>(storage.extents.size()), storage.extents.data(), nullptr));
  const Hdf5Dataset made(
      H5Dcreate2(file, name, storage.type, space.id(), H5P_DEFAULT, creation.id(), H5P_DEFAULT));
  ASSERT_TRUE(made);
  if (storage.written && !values.empty()) {
    ASSERT_GE(H5Dwrite(made.id(), H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()),
              0);
  }
}

void write_attribute(hid_t file, const char* name, std::int64_t value) {
  const Hdf5Space space(H5Screate(H5S_SCALAR));
  const Hdf5Attribute made(
      H5Acreate2(file, name, H5T_STD_I64LE, space.id(), H5P_DEFAULT, H5P_DEFAULT));
  ASSERT_GE(H5Awrite(made.id(), H5T_NATIVE_INT64, &value), 0);
}

// A string as h5py writes it: of variable length, in UTF-8.
void write_attribute(hid_t file, const char* name, const char* value) {
  const Hdf5Space space(H5Screate(H5S_SCALAR));
  const Hdf5Type type(H5Tcopy(H5T_C_S1));
  H5Tset_size(type.id(), H5T_VARIABLE);
  H5Tset_cset(type.id(), H5T_CSET_UTF8);
  const Hdf5Attribute made(H5Acreate2(file, name, type.id(), space.id(), H5P_DEFAULT, H5P_DEFAULT));
  ASSERT_GE(H5Awrite(made.id(), type.id(), &value), 0);
}

// Parts of a store of six tokens in two documents. A test may replace any of them.
const std::vector<std::int64_t> six = {5, 4, 300, 2, 1, 0};

void tokens(hid_t file, Storage storage = {H5T_STD_U16LE, {6}},
            const std::vector<std::int64_t>& values = six) {
  write_dataset(file, "tokens", storage, values);
}

void documents(hid_t file, const std::vector<std::int64_t>& values = {0, 2},
               hid_t type = H5T_STD_U64LE) {
  write_dataset(file, "documents", {type, {values.size()}}, values);
}

void chunked(hid_t creation) {
  const hsize_t chunk = 2;
  H5Pset_chunk(creation, 1, &chunk);
}

struct Case {
  std::string name;
  std::function<void(hid_t file)> fill;
  std::string message;  // a part of it; empty if the store is to be read
  hsize_t user_block = 0;
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << c.name;
}

class Foreign : public testing::TestWithParam<Case> {};

TEST_P(Foreign, IsReadOrRefusedByMessage) {
  const Case& c = GetParam();
  const TemporaryDirectory folder;
  const auto path = folder / "foreign.h5";
  {
    const Hdf5Properties creation(H5Pcreate(H5P_FILE_CREATE));
    H5Pset_userblock(creation.id(), c.user_block);
    const Hdf5File file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation.id(), H5P_DEFAULT));
    c.fill(file.id());
  }
  if (c.message.empty()) {
    const TokenStore store(path);
    EXPECT_EQ(read_all(store), std::vector<std::int32_t>(six.begin(), six.end()));
    EXPECT_EQ(store.documents(), (std::vector<std::uint64_t>{0, 2}));
    EXPECT_EQ(store.largest_id(), 300);
    EXPECT_GE(store.vocabulary(), 301);
    return;
  }
  testing::internal::CaptureStderr();
  const std::string message = message_of<UsageError>([&] { TokenStore{path}; });
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "") << "HDF5 itself should be silent";
  EXPECT_NE(message.find(path.string()), std::string::npos) << message;
  EXPECT_NE(message.find(c.message), std::string::npos) << message;
}

const Case readable[] = {
    {"plain", [](hid_t f) { tokens(f), documents(f); }, ""},
    {"wide",
     [](hid_t f) {
       tokens(f, {H5T_STD_U32LE, {6}}), documents(f);
     },
     ""},
    {"signed_documents",
     [](hid_t f) {
       tokens(f), documents(f, {0, 2}, H5T_STD_I64BE);
     },
     ""},
    {"chunked_documents",
     [](hid_t f) {
       tokens(f);
       write_dataset(f, "documents", {H5T_STD_U64LE, {2}, chunked}, {0, 2});
     },
     ""},
    {"user_block", [](hid_t f) { tokens(f), documents(f); }, "", 1024},
    {"with_attributes",
     [](hid_t f) {
       tokens(f), documents(f);
       write_attribute(f, "format", "masformer-tokens");
       write_attribute(f, "version", 1);
       write_attribute(f, "tokenizer", "other");
       write_attribute(f, "vocabulary", 1000);
     },
     ""},
};

const Case refused[] = {
    {"no_tokens", [](hid_t f) { documents(f); }, "no /tokens"},
    {"no_documents", [](hid_t f) { tokens(f); }, "no /documents"},
    {"tokens_are_a_group",
     [](hid_t f) {
       const Hdf5Group group(H5Gcreate2(f, "tokens", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
     },
     "/tokens can't be opened"},
    {"empty",
     [](hid_t f) {
       tokens(f, {H5T_STD_U16LE, {0}}, {}), documents(f, {});
     },
     "holds no tokens"},
    {"two_dimensions",
     [](hid_t f) {
       tokens(f, {H5T_STD_U16LE, {2, 3}}), documents(f);
     },
     "2 dimensions"},
    {"signed_tokens",
     [](hid_t f) {
       tokens(f, {H5T_STD_I32LE, {6}}), documents(f);
     },
     "neither little-endian"},
    {"big_endian",
     [](hid_t f) {
       tokens(f, {H5T_STD_U16BE, {6}}), documents(f);
     },
     "neither little-endian"},
    {"real_tokens",
     [](hid_t f) {
       tokens(f, {H5T_IEEE_F32LE, {6}}), documents(f);
     },
     "neither little-endian"},
    {"chunked",
     [](hid_t f) {
       tokens(f, {H5T_STD_U16LE, {6}, chunked}), documents(f);
     },
     "write it contiguous"},
    {"compact",
     [](hid_t f) {
       tokens(f, {H5T_STD_U16LE, {6}, [](hid_t c) { H5Pset_layout(c, H5D_COMPACT); }});
       documents(f);
     },
     "write it contiguous"},
    {"never_written",
     [](hid_t f) {
       tokens(f, {H5T_STD_U16LE, {6}, [](hid_t) {}, false}), documents(f);
     },
     "never written"},
    {"in_another_file",
     [](hid_t f) {
       const auto external = [](hid_t c) { H5Pset_external(c, "/nowhere/else", 0, 12); };
       tokens(f, {H5T_STD_U16LE, {6}, external, false}), documents(f);
     },
     "is in another file"},
    {"documents_start_late",
     [](hid_t f) {
       tokens(f), documents(f, {1, 2});
     },
     "starts with 1"},
    {"documents_negative",
     [](hid_t f) {
       tokens(f), documents(f, {-1, 2}, H5T_STD_I64LE);
     },
     "starts with -1"},
    {"documents_equal",
     [](hid_t f) {
       tokens(f), documents(f, {0, 2, 2});
     },
     "/documents[2] = 2"},
    {"documents_descend",
     [](hid_t f) {
       tokens(f), documents(f, {0, 3, 2});
     },
     "/documents[2] = 2"},
    {"documents_beyond",
     [](hid_t f) {
       tokens(f), documents(f, {0, 6});
     },
     "/documents[1] = 6"},
    {"documents_none", [](hid_t f) { tokens(f), documents(f, {}); }, "0 entries"},
    {"documents_too_many",
     [](hid_t f) {
       tokens(f), documents(f, {0, 1, 2, 3, 4, 5, 6});
     },
     "7 entries for 6 tokens"},
    {"documents_real",
     [](hid_t f) {
       tokens(f), documents(f, {0, 2}, H5T_IEEE_F64LE);
     },
     "not hold integers"},
    {"other_format",
     [](hid_t f) { tokens(f), documents(f), write_attribute(f, "format", "masformer-weights"); },
     "its format is \"masformer-weights\""},
    {"later_version", [](hid_t f) { tokens(f), documents(f), write_attribute(f, "version", 2); },
     "its version is 2"},
    {"small_vocabulary",
     [](hid_t f) { tokens(f), documents(f), write_attribute(f, "vocabulary", 300); },
     "its vocabulary is 300, but must be larger than its largest id 300, and at most "},
    {"vocabulary_is_text",
     [](hid_t f) { tokens(f), documents(f), write_attribute(f, "vocabulary", "many"); },
     "attribute vocabulary"},
    {"tokenizer_is_a_number",
     [](hid_t f) { tokens(f), documents(f), write_attribute(f, "tokenizer", 3); },
     "attribute tokenizer is not a string"},
    {"ids_beyond_31_bits",
     [](hid_t f) {
       tokens(f, {H5T_STD_U32LE, {6}}, {0, 1, 2, 3, 4, 1LL << 31});
       documents(f);
     },
     "larger than its largest id 2147483648, and at most 2147483648"},
};

const auto name_of_case = [](const auto& info) { return info.param.name; };
INSTANTIATE_TEST_SUITE_P(Readable, Foreign, testing::ValuesIn(readable), name_of_case);
INSTANTIATE_TEST_SUITE_P(Refused, Foreign, testing::ValuesIn(refused), name_of_case);

TEST(TokenStore, RefusesOtherFilesByName) {
  const TemporaryDirectory folder;
  write_bytes(folder / "empty", "");
  write_bytes(folder / "text", "All that glitters is not HDF5.\n");
  const auto message = [&](const char* name) {
    return message_of<UsageError>([&] { TokenStore{folder / name}; });
  };
  EXPECT_NE(message("missing").find("No such file"), std::string::npos);
  EXPECT_NE(message("").find("is not a regular file"), std::string::npos);
  EXPECT_NE(message("empty").find("HDF5 can't open it"), std::string::npos);
  EXPECT_NE(message("text").find("HDF5 can't open it (file signature not found)"),
            std::string::npos);
}

}  // namespace
}  // namespace masformer::test
