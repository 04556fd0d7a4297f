#include "sluice/io/formats/safetensors.h"

#include <gtest/gtest.h>

#include "sluice/io/formats/test_files.h"

namespace sluice::io {
namespace {

TensorIndex read(const std::string& bytes) {
  TensorIndex index;
  index.files.push_back({"m.safetensors", bytes.size()});
  read_safetensors_header(as_bytes(bytes), bytes.size(), "m.safetensors", 0, index);
  return index;
}

/// A file with one f32 tensor of 4 bytes.
std::string with_tensor(const std::string& name) {
  return safetensors_file(R"({")" + name + R"(":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                          4);
}

TEST(Safetensors, tensors_are_read_in_any_order) {
  const std::string header = R"({"__metadata__":{"format":"mlx"},)"
                             R"("b":{"shape":[2,3],"data_offsets":[2,14],"dtype":"BF16"},)"
                             R"("a":{"dtype":"U8","shape":[],"data_offsets":[0,1]},)"
                             R"("c":{"dtype":"BOOL","shape":[1],"data_offsets":[1,2]}}   )";
  const auto index = read(safetensors_file(header, 14));
  ASSERT_EQ(index.tensors.size(), 3u);
  const auto& b = *index.find("b");
  EXPECT_EQ(b.type, TensorType::bf16);
  EXPECT_EQ(b.shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(b.offset, 8 + header.size() + 2);
  EXPECT_EQ(b.bytes, 12u);
  EXPECT_EQ(index.find("a")->bytes, 1u);
  EXPECT_EQ(index.find("__metadata__"), nullptr);
}

TEST(Safetensors, every_dtype_of_tensor_type_is_known) {
  for (const char* dtype : {"F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U64", "U32",
                            "U16", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "F8_E8M0"}) {
    const auto header =
        fmt::format(R"({{"t":{{"dtype":"{}","shape":[0],"data_offsets":[0,0]}}}})", dtype);
    EXPECT_EQ(read(safetensors_file(header, 0)).tensors.size(), 1u) << dtype;
  }
}

TEST(Safetensors, a_file_without_tensors_is_fine) {
  EXPECT_TRUE(read(safetensors_file("{}", 0)).tensors.empty());
}

TEST(Safetensors, empty_tensors_take_no_bytes) {
  const std::string header = R"({"a":{"dtype":"F32","shape":[4,0],"data_offsets":[0,0]},)"
                             R"("b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                             R"("c":{"dtype":"F32","shape":[0],"data_offsets":[4,4]}})";
  EXPECT_EQ(read(safetensors_file(header, 4)).tensors.size(), 3u);
}

TEST(Safetensors, where_data_is_not_needed_a_file_may_end_behind_its_header) {
  const std::string whole = safetensors_file(
      R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
      R"("b":{"dtype":"F32","shape":[1000000000000],"data_offsets":[4,4000000000004]}})",
      0);
  for (const size_t kept : {size_t{0}, size_t{3}, size_t{100}}) {
    const TestDirectory directory;
    directory.write("model.safetensors", whole + std::string(kept, 'd'));
    const TensorIndex index = open_safetensors(directory.path(), Data::not_needed);
    EXPECT_EQ(index.files[0].bytes, whole.size() + 4'000'000'000'004u);
    EXPECT_EQ(index.find("b")->offset, whole.size() + 4);
    EXPECT_EQ(error_of([&] { (void)open_safetensors(directory.path()); }).kind(),
              ErrorKind::bad_model);
  }
}

TEST(Safetensors, headers_are_checked_without_data_too) {
  const auto kind_of = [](const std::string& header) {
    return error_of([&] {
             const std::string file = safetensors_file(header, 0);
             TensorIndex index;
             (void)read_safetensors_header(as_bytes(file), file.size(), "m", 0, index,
                                           Data::not_needed);
           })
        .kind();
  };
  EXPECT_EQ(kind_of(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})"),
            ErrorKind::bad_model);
  EXPECT_EQ(kind_of(R"({"a":{"dtype":"U8","shape":[9223372036854775807],)"
                    R"("data_offsets":[0,9223372036854775807]}})"),
            ErrorKind::bad_model);
}

TEST(Safetensors, a_directory_without_an_index_gives_its_model_files) {
  const TestDirectory directory;
  directory.write("model-00002-of-00002.safetensors", with_tensor("b"));
  directory.write("model-00001-of-00002.safetensors", with_tensor("a"));
  directory.write("consolidated.safetensors", with_tensor("a"));
  const auto index = open_safetensors(directory.path());
  ASSERT_EQ(index.files.size(), 2u);
  EXPECT_EQ(index.files[0].path.filename(), "model-00001-of-00002.safetensors");
  EXPECT_EQ(index.find("b")->file, 1u);
}

TEST(Safetensors, files_of_other_names_are_read_when_there_is_no_model_file) {
  const TestDirectory directory;
  directory.write("weights.safetensors", with_tensor("a"));
  EXPECT_EQ(open_safetensors(directory.path()).tensors.size(), 1u);
}

TEST(Safetensors, an_index_chooses_the_shards) {
  const TestDirectory directory;
  directory.write("x.safetensors", with_tensor("a"));
  directory.write("y.safetensors", with_tensor("b"));
  directory.write("model.safetensors", with_tensor("a"));
  directory.write("model.safetensors.index.json",
                  R"({"metadata":{},"weight_map":{"a":"x.safetensors","b":"y.safetensors"}})");
  const auto index = open_safetensors(directory.path());
  EXPECT_EQ(index.files.size(), 2u);
  EXPECT_EQ(index.tensors.size(), 2u);
}

struct IndexCase {
  const char* name;
  const char* index;
  const char* message;
};

TEST(Safetensors, a_damaged_index_is_refused) {
  const std::vector<IndexCase> cases = {
      {"no JSON", "{", "model.safetensors.index.json: is no JSON"},
      {"no map", "{}", "has no object weight_map"},
      {"map is a list", R"({"weight_map":[]})", "has no object weight_map"},
      {"shard is a number", R"({"weight_map":{"a":1}})", "tensor a is said to be in number"},
      {"path upwards", R"({"weight_map":{"a":"../x.safetensors"}})",
       "tensor a is said to be in ../x.safetensors"},
      {"absolute path", R"({"weight_map":{"a":"/x.safetensors"}})",
       "tensor a is said to be in /x.safetensors"},
      {"backslash", R"({"weight_map":{"a":"..\\x.safetensors"}})",
       "tensor a is said to be in ..\\x.safetensors"},
      {"zero byte", R"({"weight_map":{"a":"x.safetensors\u0000.safetensors"}})",
       "tensor a is said to be in x.safetensors\\x00"},
      {"another kind of file", R"({"weight_map":{"a":"config.json"}})",
       "tensor a is said to be in config.json"},
      {"missing shard", R"({"weight_map":{"a":"z.safetensors"}})",
       "the file z.safetensors is missing"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const TestDirectory directory;
    directory.write("x.safetensors", with_tensor("a"));
    directory.write("y.safetensors", with_tensor("b"));
    directory.write("model.safetensors.index.json", c.index);
    const Error error = error_of([&] { open_safetensors(directory.path()); });
    EXPECT_EQ(error.kind(), ErrorKind::bad_model);
    EXPECT_NE(std::string(error.what()).find(c.message), std::string::npos) << error.what();
  }
}

TEST(Safetensors, the_shards_say_what_there_is_and_not_the_index) {
  const TestDirectory directory;
  directory.write("x.safetensors", with_tensor("a"));
  for (const char* const map : {R"({"a":"x.safetensors","tied":"x.safetensors"})", R"({})"}) {
    directory.write("model.safetensors.index.json", std::string(R"({"weight_map":)") + map + "}");
    const auto index = open_safetensors(directory.path());
    EXPECT_EQ(index.tensors.size(), 1U) << map;
    EXPECT_NE(index.find("a"), nullptr) << map;
  }
}

TEST(Safetensors, an_index_of_absent_shards_beside_a_whole_file_counts_for_nothing) {
  const TestDirectory directory;
  directory.write("model-00001-of-00002.safetensors", with_tensor("a"));
  directory.write("model.safetensors", with_tensor("a"));
  directory.write("model.safetensors.index.json",
                  R"({"weight_map":{"a":"model-00001-of-00002.safetensors",)"
                  R"("b":"model-00002-of-00002.safetensors"}})");
  const auto index = open_safetensors(directory.path());
  ASSERT_EQ(index.files.size(), 1U);
  EXPECT_EQ(index.files[0].path.filename(), "model.safetensors");
}

TEST(Safetensors, a_git_lfs_pointer_is_named) {
  const TestDirectory directory;
  directory.write("model.safetensors",
                  "version https://git-lfs.github.com/spec/v1\noid sha256:07\nsize 1234567890\n");
  const Error error = error_of([&] { open_safetensors(directory.path()); });
  EXPECT_EQ(error.kind(), ErrorKind::bad_model);
  EXPECT_NE(std::string(error.what()).find("model.safetensors: is a Git LFS pointer"),
            std::string::npos)
      << error.what();
}

TEST(Safetensors, a_tensor_in_two_shards_is_refused) {
  const TestDirectory directory;
  directory.write("model-1.safetensors", with_tensor("a"));
  directory.write("model-2.safetensors", with_tensor("a"));
  const Error error = error_of([&] { open_safetensors(directory.path()); });
  EXPECT_STREQ(error.what(),
               "model-2.safetensors: tensor a was seen before, in model-1.safetensors");
}

TEST(Safetensors, a_directory_with_nothing_in_it_or_none_is_an_error) {
  const TestDirectory directory;
  EXPECT_EQ(error_of([&] { open_safetensors(directory.path()); }).kind(), ErrorKind::bad_model);
  EXPECT_EQ(error_of([&] { open_safetensors(directory.path() / "absent"); }).kind(), ErrorKind::io);
}

}  // namespace
}  // namespace sluice::io
