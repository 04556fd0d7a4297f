#include "sluice/io/formats/gguf.h"

#include <gtest/gtest.h>

#include <limits>

#include "sluice/io/formats/test_files.h"

namespace sluice::io {
namespace {

Gguf read(const std::string& bytes) {
  Gguf gguf;
  read_gguf_header(as_bytes(bytes), "m.gguf", 0, gguf);
  return gguf;
}

TEST(Gguf, every_metadata_type_is_read) {
  const auto bytes =
      GgufFile{
          .version = 2,
          .pairs = {gguf_pair("u8", GgufType::u8, raw(uint8_t{200})),
                    gguf_pair("i8", GgufType::i8, raw(int8_t{-3})),
                    gguf_pair("u16", GgufType::u16, raw(uint16_t{65535})),
                    gguf_pair("i16", GgufType::i16, raw(int16_t{-300})),
                    gguf_pair("u32", GgufType::u32, raw(uint32_t{4294967295})),
                    gguf_pair("i32", GgufType::i32, raw(int32_t{-70000})),
                    gguf_pair("f32", GgufType::f32, raw(0.5f)),
                    gguf_pair("bool", GgufType::boolean, raw(uint8_t{1})),
                    gguf_pair("string", GgufType::string, gguf_string("text")),
                    gguf_pair("array", GgufType::array,
                              gguf_array(GgufType::u16, 2, raw(uint16_t{7}) + raw(uint16_t{8}))),
                    gguf_pair("u64", GgufType::u64, raw(uint64_t{1} << 40)),
                    gguf_pair("i64", GgufType::i64, raw(int64_t{-1} << 40)),
                    gguf_pair("f64", GgufType::f64, raw(0.25))}}
          .bytes();
  const auto gguf = read(bytes);
  const auto& metadata = gguf.metadata;
  EXPECT_EQ(gguf.version, 2u);
  EXPECT_EQ(metadata.integer("u8"), 200);
  EXPECT_EQ(metadata.integer("i8"), -3);
  EXPECT_EQ(metadata.integer("u16"), 65535);
  EXPECT_EQ(metadata.integer("i16"), -300);
  EXPECT_EQ(metadata.integer("u32"), 4294967295);
  EXPECT_EQ(metadata.integer("i32"), -70000);
  EXPECT_EQ(metadata.number("f32"), 0.5);
  EXPECT_EQ(metadata.boolean("bool"), true);
  EXPECT_EQ(metadata.string("string"), "text");
  EXPECT_EQ(metadata.array("array")->integers(), (std::vector<int64_t>{7, 8}));
  EXPECT_EQ(metadata.integer("u64"), int64_t{1} << 40);
  EXPECT_EQ(metadata.integer("i64"), int64_t{-1} * (int64_t{1} << 40));
  EXPECT_EQ(metadata.number("f64"), 0.25);
  EXPECT_EQ(metadata.number("i8"), -3.0);
  EXPECT_EQ(metadata.integer("absent"), std::nullopt);
}

TEST(Gguf, a_u64_above_int64_is_kept_and_is_no_integer) {
  const auto bytes = GgufFile{.pairs = {gguf_pair("big", GgufType::u64,
                                                  raw(std::numeric_limits<uint64_t>::max()))}}
                         .bytes();
  const auto gguf = read(bytes);
  EXPECT_EQ(std::get<uint64_t>(*gguf.metadata.find("big")), std::numeric_limits<uint64_t>::max());
  const Error error = error_of([&] { gguf.metadata.integer("big"); });
  EXPECT_EQ(error.kind(), ErrorKind::bad_model);
  EXPECT_STREQ(error.what(),
               "m.gguf: key big is an integer above 2^63 - 1, wanted an integer below 2^63");
}

TEST(Gguf, a_key_of_another_type_is_named) {
  const auto bytes =
      GgufFile{.pairs = {gguf_pair("a.b", GgufType::string, gguf_string("x"))}}.bytes();
  const auto gguf = read(bytes);
  for (const Error& error : {error_of([&] { gguf.metadata.integer("a.b"); }),
                             error_of([&] { gguf.metadata.number("a.b"); }),
                             error_of([&] { gguf.metadata.boolean("a.b"); }),
                             error_of([&] { gguf.metadata.array("a.b"); })}) {
    EXPECT_EQ(error.kind(), ErrorKind::bad_model);
    EXPECT_EQ(std::string(error.what()).find("m.gguf: key a.b is a string, wanted "), 0u)
        << error.what();
  }
}

TEST(Gguf, arrays_convert_or_refuse) {
  const auto bytes = GgufFile{
      .pairs = {
          gguf_pair("s", GgufType::array,
                    gguf_array(GgufType::string, 3,
                               gguf_string("a") + gguf_string("") + gguf_string("c"))),
          gguf_pair("f", GgufType::array, gguf_array(GgufType::f32, 2, raw(0.5f) + raw(-1.0f))),
          gguf_pair("b", GgufType::array, gguf_array(GgufType::boolean, 2, std::string("\1\0", 2))),
          gguf_pair("u", GgufType::array, gguf_array(GgufType::u64, 1, raw(~uint64_t{0}))),
          gguf_pair(
              "e", GgufType::array,
              gguf_array(
                  GgufType::i32, 0,
                  ""))}}.bytes();
  const auto gguf = read(bytes);
  const auto array = [&](const char* key) { return *gguf.metadata.array(key); };
  EXPECT_EQ(array("s").strings(), (std::vector<std::string_view>{"a", "", "c"}));
  EXPECT_EQ(array("f").numbers(), (std::vector<double>{0.5, -1.0}));
  EXPECT_EQ(array("b").integers(), (std::vector<int64_t>{1, 0}));
  EXPECT_EQ(array("u").numbers().size(), 1u);
  EXPECT_TRUE(array("e").integers().empty());
  EXPECT_EQ(error_of([&] { array("s").numbers(); }).kind(), ErrorKind::bad_model);
  EXPECT_EQ(error_of([&] { array("s").integers(); }).kind(), ErrorKind::bad_model);
  EXPECT_EQ(error_of([&] { array("f").strings(); }).kind(), ErrorKind::bad_model);
  EXPECT_EQ(error_of([&] { array("f").integers(); }).kind(), ErrorKind::bad_model);
  EXPECT_EQ(error_of([&] { array("u").integers(); }).kind(), ErrorKind::bad_model);
}

TEST(Gguf, tensors_have_their_outermost_dimension_first_and_offsets_from_the_files_start) {
  const GgufFile file{
      .tensors = {gguf_tensor("a", {3, 2}, 0, 0), gguf_tensor("b", {64, 5, 7}, 8, 32),
                  gguf_tensor("scalar", {}, 1, 2432)},
      .data_bytes = 2464};
  const auto bytes = file.bytes();
  const auto gguf = read(bytes);
  const uint64_t data_start = bytes.size() - 2464;
  const auto& b = *gguf.index.find("b");
  EXPECT_EQ(gguf.index.find("a")->shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(b.shape, (std::vector<int64_t>{7, 5, 64}));
  EXPECT_EQ(b.type, TensorType::q8_0);
  EXPECT_EQ(b.bytes, 7u * 5 * 2 * 34);
  EXPECT_EQ(b.offset, data_start + 32);
  EXPECT_EQ(gguf.index.find("scalar")->bytes, 2u);
}

TEST(Gguf, another_alignment_moves_the_data) {
  const GgufFile file{.tensors = {gguf_tensor("a", {16}, 0, 0), gguf_tensor("b", {16}, 0, 4096)},
                      .pairs = {gguf_pair("general.alignment", GgufType::u32, raw(uint32_t{4096}))},
                      .alignment = 4096,
                      .data_bytes = 4160};
  const auto bytes = file.bytes();
  EXPECT_EQ(read(bytes).index.find("a")->offset, 4096u);
  EXPECT_EQ(read(bytes).index.find("b")->offset, 8192u);
}

TEST(Gguf, a_file_without_tensors_needs_no_data) {
  EXPECT_TRUE(read(GgufFile{}.bytes()).index.tensors.empty());
}

std::string part(uint16_t number, uint16_t count, const std::string& tensor, int32_t n_tensors) {
  return GgufFile{.tensors = {gguf_tensor(tensor, {8}, 0, 0)},
                  .pairs = {gguf_pair("split.no", GgufType::u16, raw(number)),
                            gguf_pair("split.count", GgufType::u16, raw(count)),
                            gguf_pair("split.tensors.count", GgufType::i32, raw(n_tensors))},
                  .data_bytes = 32}
      .bytes();
}

TEST(Gguf, where_data_is_not_needed_a_file_may_end_behind_its_header) {
  const std::string bytes =
      GgufFile{.tensors = {gguf_tensor("a", {1'000'000, 1'000'000}, 0, 0)}}.bytes();
  const TestDirectory directory;
  directory.write("m.gguf", bytes);
  const Gguf gguf = open_gguf(directory.path() / "m.gguf", Data::not_needed);
  EXPECT_EQ(gguf.index.find("a")->bytes, 4'000'000'000'000u);
  EXPECT_EQ(gguf.index.files[0].bytes, gguf.index.find("a")->offset + 4'000'000'000'000u);
  EXPECT_EQ(error_of([&] { (void)open_gguf(directory.path() / "m.gguf"); }).kind(),
            ErrorKind::bad_model);
}

TEST(Gguf, split_files_become_one_index) {
  const TestDirectory directory;
  const auto first = directory.write("m-00001-of-00003.gguf", part(0, 3, "a", 3));
  directory.write("m-00002-of-00003.gguf", part(1, 3, "b", 3));
  directory.write("m-00003-of-00003.gguf", part(2, 3, "c", 3));
  const auto gguf = open_gguf(first);
  EXPECT_EQ(gguf.index.files.size(), 3u);
  EXPECT_EQ(gguf.mappings.size(), 3u);
  EXPECT_EQ(gguf.index.find("c")->file, 2u);
  EXPECT_EQ(gguf.metadata.integer("split.no"), 0);
  EXPECT_EQ(gguf.index.files[1].path.filename(), "m-00002-of-00003.gguf");
}

struct SplitCase {
  const char* what;
  std::string first_name, first, second;
  const char* opened;
  ErrorKind kind;
  const char* message;
};

TEST(Gguf, contradictions_between_split_files_are_refused) {
  const char* const kFirst = "m-00001-of-00002.gguf";
  const char* const kSecond = "m-00002-of-00002.gguf";
  const std::vector<SplitCase> cases = {
      {"missing", kFirst, part(0, 2, "a", 2), "", kFirst, ErrorKind::bad_model,
       "part 2 of 2 is missing: m-00002"},
      {"later part", kFirst, part(0, 2, "a", 2), part(1, 2, "b", 2), kSecond,
       ErrorKind::bad_request, "give the first: m-00001-of-00002.gguf"},
      {"wrong name", "m.gguf", part(0, 2, "a", 2), "", "m.gguf", ErrorKind::bad_model,
       "its name should end in -00001-of-00002.gguf"},
      {"wrong number", kFirst, part(0, 2, "a", 2), part(0, 2, "b", 2), kFirst, ErrorKind::bad_model,
       "m-00002-of-00002.gguf: says it is part 1 of 2, wanted part 2 of 2"},
      {"wrong count", kFirst, part(0, 2, "a", 2), part(1, 3, "b", 2), kFirst, ErrorKind::bad_model,
       "says it is part 2 of 3, wanted part 2 of 2"},
      {"number past count", kFirst, part(2, 2, "a", 2), "", kFirst, ErrorKind::bad_model,
       "split.no 2 of split.count 2"},
      {"too many", kFirst, part(0, 65535, "a", 2), "", kFirst, ErrorKind::bad_model,
       "split.count 65535"},
      {"same tensor", kFirst, part(0, 2, "a", 2), part(1, 2, "a", 2), kFirst, ErrorKind::bad_model,
       "m-00002-of-00002.gguf: tensor a was seen before"},
      {"tensor count", kFirst, part(0, 2, "a", 9), part(1, 2, "b", 9), kFirst, ErrorKind::bad_model,
       "split.tensors.count is 9, the 2 files hold 2 tensors"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.what);
    const TestDirectory directory;
    directory.write(c.first_name, c.first);
    if (!c.second.empty()) directory.write(kSecond, c.second);
    const Error error = error_of([&] { open_gguf(directory.path() / c.opened); });
    EXPECT_EQ(error.kind(), c.kind);
    EXPECT_NE(std::string(error.what()).find(c.message), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace sluice::io
