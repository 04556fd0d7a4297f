// Damaged and hostile GGUF files: each class of the known parser faults, refused with the place named.
#include <gtest/gtest.h>

#include <limits>

#include "sluice/io/formats/gguf.h"
#include "sluice/io/formats/test_files.h"

namespace sluice::io {
namespace {

constexpr uint64_t kHuge = std::numeric_limits<uint64_t>::max();

struct Damage {
  const char* name;
  std::string bytes;
  const char* message;  // a part of it
  ErrorKind kind = ErrorKind::bad_model;
};

std::string with_pair(std::string_view key, GgufType type, const std::string& value) {
  return GgufFile{.pairs = {gguf_pair(key, type, value)}}.bytes();
}

std::string with_tensor(const std::string& tensor, size_t data_bytes = 64) {
  return GgufFile{.tensors = {tensor}, .data_bytes = data_bytes}.bytes();
}

std::string with_alignment(GgufType type, const std::string& value) {
  return with_pair("general.alignment", type, value);
}

std::vector<Damage> header_damage() {
  return {
      {"empty", "", "wants 4 bytes at 0, the file ends after 0"},
      {"magic only", "GGUF", "wants 4 bytes at 4"},
      {"bad magic", GgufFile{.magic = "FUGG"}.bytes(), "does not begin with GGUF"},
      {"version 0", GgufFile{.version = 0}.bytes(), "version 0"},
      {"version 1", GgufFile{.version = 1}.bytes(), "version 1", ErrorKind::unsupported},
      {"version 4", GgufFile{.version = 4}.bytes(), "version 4", ErrorKind::unsupported},
      {"big endian", GgufFile{.version = 0x03000000}.bytes(), "big-endian", ErrorKind::unsupported},
      {"tensor count above the file", GgufFile{.extra_tensors = 1}.bytes(),
       "claims 1 tensors, 0 bytes are left"},
      {"tensor count wraps", GgufFile{.extra_tensors = kHuge / 8}.bytes(),
       "claims 2305843009213693951 tensors"},
      {"tensor count negative", GgufFile{.extra_tensors = kHuge}.bytes(),
       "claims 18446744073709551615 tensors"},
      {"key count above the file", GgufFile{.extra_pairs = 1}.bytes(), "claims 1 metadata keys"},
      {"key count negative", GgufFile{.extra_pairs = kHuge}.bytes(),
       "claims 18446744073709551615 metadata keys"},
      {"too many keys", GgufFile{.extra_pairs = 70'000}.bytes() + std::string(1'000'000, '\0'),
       "65536 keys"},
  };
}

std::vector<Damage> metadata_damage() {
  const std::string one_byte(1, '\1');
  return {
      {"key length past the end", GgufFile{.pairs = {raw(kHuge) + std::string(40, 'k')}}.bytes(),
       "metadata key 1 of 1: wants 18446744073709551615 bytes"},
      {"empty key", with_pair("", GgufType::u8, one_byte + "pad"),
       "metadata key 1 of 1: has 0 characters"},
      {"long key", with_pair(std::string(65'536, 'k'), GgufType::u8, one_byte),
       "has 65536 characters"},
      {"value type 13", with_pair("k", GgufType{13}, one_byte), "key k: has value type 13"},
      {"value type huge", with_pair("k", GgufType{0xFFFFFFFF}, one_byte),
       "key k: has value type 4294967295"},
      {"value past the end", with_pair("k", GgufType::u64, "1234"), "key k: wants 8 bytes"},
      {"string length wraps", with_pair("k", GgufType::string, raw(kHuge) + "x"),
       "key k: wants 18446744073709551615"},
      {"boolean 2", with_pair("k", GgufType::boolean, "\2"), "key k: a boolean is 2"},
      {"boolean 7 in an array",
       with_pair("k", GgufType::array, gguf_array(GgufType::boolean, 2, "\1\7")),
       "key k: a boolean is 7"},
      {"array count past the end",
       with_pair("k", GgufType::array, gguf_array(GgufType::u8, 4, "123")),
       "key k: claims 4 elements of type u8"},
      {"array size wraps to 8",
       with_pair("k", GgufType::array, gguf_array(GgufType::u64, (kHuge / 8) + 2, raw(kHuge))),
       "key k: claims 2305843009213693953 elements of type u64"},
      {"string count past the end",
       with_pair("k", GgufType::array, gguf_array(GgufType::string, 1'000, gguf_string("a"))),
       "key k: claims 1000 elements of type string"},
      {"string count wraps",
       with_pair("k", GgufType::array, gguf_array(GgufType::string, kHuge, gguf_string("a"))),
       "key k: claims 18446744073709551615 elements"},
      {"string in an array past the end",
       with_pair("k", GgufType::array,
                 gguf_array(GgufType::string, 2, gguf_string("abc") + raw(kHuge))),
       "key k: wants 18446744073709551615 bytes"},
      {"array of arrays",
       with_pair("k", GgufType::array,
                 gguf_array(GgufType::array, 1, gguf_array(GgufType::u8, 1, "1"))),
       "key k: is an array of arrays"},
      {"array element type 99", with_pair("k", GgufType::array, gguf_array(GgufType{99}, 1, "1")),
       "key k: has value type 99"},
      {"same key twice",
       GgufFile{.pairs = {gguf_pair("k", GgufType::u8, "1"), gguf_pair("k", GgufType::u8, "2")}}
           .bytes(),
       "key k: is there twice"},
      {"a key that would forge a line", with_pair("a\nerror: b", GgufType{13}, one_byte),
       "key a\\nerror: b:"},
      {"alignment 0", with_alignment(GgufType::u32, raw(uint32_t{0})),
       "key general.alignment is 0"},
      {"alignment 13", with_alignment(GgufType::u32, raw(uint32_t{13})),
       "key general.alignment is 13"},
      {"alignment 4", with_alignment(GgufType::u32, raw(uint32_t{4})),
       "key general.alignment is 4"},
      {"alignment 2^31", with_alignment(GgufType::u32, raw(uint32_t{1} << 31)),
       "alignment is 2147483648"},
      {"alignment negative", with_alignment(GgufType::i32, raw(int32_t{-32})), "alignment is -32"},
      {"alignment 2^63", with_alignment(GgufType::u64, raw(uint64_t{1} << 63)),
       "key general.alignment is an integer above"},
      {"alignment no integer", with_alignment(GgufType::string, gguf_string("32")),
       "key general.alignment is a string"},
  };
}

std::vector<Damage> tensor_damage() {
  return {
      {"name length past the end", with_tensor(raw(kHuge) + std::string(64, 'x')),
       "tensor 1 of 1: wants 18446744073709551615"},
      {"empty name", with_tensor(gguf_tensor("", {4}, 0, 0)), "has a name of 0 characters"},
      {"name of 65 characters", with_tensor(gguf_tensor(std::string(65, 'n'), {4}, 0, 0)),
       "nnn: has a name of 65 characters"},
      {"five dimensions", with_tensor(gguf_tensor("w", {1, 1, 1, 1, 1}, 0, 0)),
       "tensor w: has 5 dimensions"},
      {"4 billion dimensions",
       with_tensor(gguf_string("w") + raw(~uint32_t{0}) + std::string(32, '\0')),
       "tensor w: has 4294967295 dimensions"},
      {"dimension 0", with_tensor(gguf_tensor("w", {4, 0}, 0, 0)),
       "tensor w: has a dimension of 0"},
      {"dimension negative", with_tensor(gguf_tensor("w", {kHuge}, 0, 0)),
       "tensor w: has a dimension of 18446744073709551615"},
      {"elements wrap to 0",
       with_tensor(gguf_tensor("w", {uint64_t{1} << 32, uint64_t{1} << 32}, 0, 0)),
       "tensor w: is f32 [4294967296, 4294967296]"},
      {"elements wrap over four dimensions",
       with_tensor(gguf_tensor("w", {1 << 16, 1 << 16, 1 << 16, 1 << 16}, 24, 0)),
       "tensor w: is i8 [65536, 65536, 65536, 65536]"},
      {"bytes wrap", with_tensor(gguf_tensor("w", {uint64_t{1} << 62}, 0, 0)),
       "tensor w: is f32 [4611686018427387904]"},
      {"end wraps past 2^64",
       with_tensor(gguf_tensor("w", {(uint64_t{1} << 63) - 32}, 24, uint64_t{1} << 63)),
       "tensor w needs 9223372036854775776 bytes"},
      {"row of half a block", with_tensor(gguf_tensor("w", {48}, 2, 0)),
       "tensor w: is q4_0 [48], wanted rows of whole 32"},
      {"scalar of a block type", with_tensor(gguf_tensor("w", {}, 12, 0)), "tensor w: is q4_k []"},
      {"unknown type", with_tensor(gguf_tensor("w", {32}, 999, 0)),
       "tensor w: is of type 999 (unknown)", ErrorKind::unsupported},
      {"withdrawn type", with_tensor(gguf_tensor("w", {32}, 4, 0)), "tensor w: is of type 4 (q4_2)",
       ErrorKind::unsupported},
      {"type we lack", with_tensor(gguf_tensor("w", {256}, 15, 0)),
       "tensor w: is of type 15 (q8_k)", ErrorKind::unsupported},
      {"offset not aligned", with_tensor(gguf_tensor("w", {4}, 0, 33)),
       "tensor w: begins at 33 of the data, wanted a multiple of 32"},
      {"offset past the end", with_tensor(gguf_tensor("w", {4}, 0, 64)),
       "tensor w needs 16 bytes at 64 of the data, the file has 64"},
      {"offset wraps", with_tensor(gguf_tensor("w", {16}, 0, kHuge - 31)),
       "tensor w needs 64 bytes at 18446744073709551584"},
      {"one byte short", with_tensor(gguf_tensor("w", {16}, 0, 0), 63),
       "tensor w needs 64 bytes at 0 of the data, the file has 63"},
      {"no data at all", with_tensor(gguf_tensor("w", {16}, 0, 0), 0),
       "tensor w needs 64 bytes at 0 of the data, the file has 0"},
      {"record cut", with_tensor(gguf_tensor("w", {16}, 0, 0).substr(0, 26), 0),
       "tensor w: wants 8 bytes"},
      {"same name twice",
       GgufFile{.tensors = {gguf_tensor("w", {8}, 0, 0), gguf_tensor("w", {8}, 0, 32)},
                .data_bytes = 64}
           .bytes(),
       "tensor w was seen before"},
      {"same bytes twice",
       GgufFile{.tensors = {gguf_tensor("v", {8}, 0, 0), gguf_tensor("w", {8}, 0, 0)},
                .data_bytes = 64}
           .bytes(),
       "overlapping tensor"},
      {"overlap",
       GgufFile{.tensors = {gguf_tensor("w", {8}, 0, 32), gguf_tensor("v", {9}, 0, 0)},
                .data_bytes = 64}
           .bytes(),
       "tensor w begins at"},
  };
}

void expect_refused(const std::vector<Damage>& damages) {
  for (const auto& damage : damages) {
    SCOPED_TRACE(damage.name);
    const Error error = error_of([&] {
      Gguf gguf;
      read_gguf_header(as_bytes(damage.bytes), "m.gguf", 0, gguf);
    });
    const std::string message = error.what();
    EXPECT_EQ(error.kind(), damage.kind) << message;
    EXPECT_NE(message.find(damage.message), std::string::npos) << message;
    EXPECT_EQ(message.rfind("m.gguf", 0), 0u) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
}

TEST(GgufDamage, of_the_header_is_refused) { expect_refused(header_damage()); }
TEST(GgufDamage, of_metadata_is_refused_and_the_key_named) { expect_refused(metadata_damage()); }
TEST(GgufDamage, of_tensors_is_refused_and_the_tensor_named) { expect_refused(tensor_damage()); }

TEST(GgufDamage, a_file_cut_anywhere_is_refused) {
  const auto whole =
      GgufFile{.tensors = {gguf_tensor("w", {8}, 0, 0)},
               .pairs = {gguf_pair("k", GgufType::string, gguf_string("value")),
                         gguf_pair("l", GgufType::array,
                                   gguf_array(GgufType::string, 1, gguf_string("s")))},
               .data_bytes = 32}
          .bytes();
  for (size_t size = 0; size < whole.size(); ++size) {
    SCOPED_TRACE(size);
    const std::string cut = whole.substr(0, size);
    EXPECT_EQ(error_of([&] {
                Gguf gguf;
                read_gguf_header(as_bytes(cut), "m.gguf", 0, gguf);
              }).kind(),
              ErrorKind::bad_model);
  }
}

TEST(GgufDamage, strings_that_change_on_disk_after_the_check_are_refused) {
  std::string strings = gguf_string("abc") + gguf_string("d");
  const GgufArray array{.element = GgufType::string, .count = 2, .bytes = as_bytes(strings)};
  EXPECT_EQ(array.strings().size(), 2u);
  strings[0] = '\x7f';
  EXPECT_EQ(error_of([&] { array.strings(); }).kind(), ErrorKind::bad_model);
}

}  // namespace
}  // namespace sluice::io
