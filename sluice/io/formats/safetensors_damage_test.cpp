// Damaged and hostile safetensors files, each refused with the tensor named.
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include "sluice/io/formats/safetensors.h"
#include "sluice/io/formats/test_files.h"

namespace sluice::io {
namespace {

struct Damage {
  const char* name;
  std::string bytes;
  const char* message;  // a part of it
  ErrorKind kind = ErrorKind::bad_model;
};

/// A file whose one tensor "w" has these fields.
std::string with_fields(const std::string& fields, size_t data_bytes = 8) {
  return safetensors_file(fmt::format(R"({{"w":{{{}}}}})", fields), data_bytes);
}

std::string with_shape(const std::string& shape) {
  return with_fields("\"dtype\":\"F32\",\"data_offsets\":[0,8],\"shape\":" + shape);
}

std::string with_offsets(const std::string& offsets) {
  return with_fields("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":" + offsets);
}

std::string tensor(const std::string& name, int begin, int end) {
  return fmt::format("\"{}\":{{\"dtype\":\"U8\",\"shape\":[{}],\"data_offsets\":[{},{}]}}", name,
                     end - begin, begin, end);
}

std::string with_tensors(const std::vector<std::string>& tensors, size_t data_bytes) {
  return safetensors_file(fmt::format("{{{}}}", fmt::join(tensors, ",")), data_bytes);
}

std::vector<Damage> header_damage() {
  return {
      {"empty", "", "has 0 bytes"},
      {"seven bytes", "1234567", "has 7 bytes"},
      {"length past the end", raw(uint64_t{100}) + "{}", "claims 100 bytes, the file has 2"},
      {"length wraps", raw(~uint64_t{0}) + "{}",
       "claims 18446744073709551615 bytes, at most 100000000"},
      {"length above the limit", raw(uint64_t{100'000'001}) + "{}",
       "claims 100000001 bytes, at most"},
      {"empty header", safetensors_file("", 0), "does not begin with {"},
      {"space before the brace", safetensors_file(" {}", 0), "does not begin with {"},
      {"a list", safetensors_file("[]", 0), "does not begin with {"},
      {"cut JSON", safetensors_file("{\"w\":{", 0),
       "the header is no JSON from line 1, column 7 on"},
      {"bytes after the object", safetensors_file("{}x", 0),
       "the header is no JSON from line 1, column 3 on"},
      {"two objects", safetensors_file("{}{}", 0), "the header is no JSON"},
      {"invalid UTF-8", safetensors_file("{\"\xff\":{}}", 0), "the header is no JSON"},
      {"brackets", safetensors_file("{\"w\":" + std::string(100'000, '['), 0),
       "tensor w is an array, wanted an object"},
      {"braces", safetensors_file("{\"w\":{\"shape\":{\"a\":", 0),
       "tensor w: shape holds an object"},
      {"metadata is a list", safetensors_file(R"({"__metadata__":[]})", 0),
       "__metadata__ is an array"},
      {"metadata is text", safetensors_file(R"({"__metadata__":"x"})", 0),
       "__metadata__ is a string, wanted an object"},
      {"number in metadata", safetensors_file(R"({"__metadata__":{"a":1}})", 0),
       "__metadata__ holds a number"},
      {"object in metadata", safetensors_file(R"({"__metadata__":{"a":{}}})", 0),
       "__metadata__ holds an object"},
      {"metadata twice", safetensors_file(R"({"__metadata__":{},"__metadata__":{}})", 0),
       "has __metadata__ twice"},
      {"metadata key twice", safetensors_file(R"({"__metadata__":{"a":"1","a":"2"}})", 0),
       "has a twice"},
  };
}

std::vector<Damage> tensor_damage() {
  const std::string dtype = R"("dtype":"F32")", shape = R"("shape":[2])",
                    offsets = R"("data_offsets":[0,8])";
  return {
      {"text for a tensor", safetensors_file(R"({"w":"x"})", 0),
       "tensor w is a string, wanted an object"},
      {"number after a good tensor", with_tensors({tensor("v", 0, 1), "\"w\":1"}, 1),
       "tensor w is a number"},
      {"no dtype", with_fields(shape + "," + offsets), "tensor w has no dtype"},
      {"no shape", with_fields(dtype + "," + offsets), "tensor w has no shape"},
      {"no offsets", with_fields(dtype + "," + shape), "tensor w has no data_offsets"},
      {"empty", with_fields(""), "tensor w has no dtype"},
      {"field twice", with_fields(shape + "," + shape), "tensor w has shape twice"},
      {"unknown field", with_fields("\"stride\":[1]"), "tensor w has an unknown field stride"},
      {"unknown dtype", with_fields(R"("dtype":"F31")"),
       "tensor w is of dtype F31, which is unknown"},
      {"dtype we lack", with_fields(R"("dtype":"F4")"),
       "tensor w is of dtype F4, which is not supported", ErrorKind::unsupported},
      {"dtype is a number", with_fields("\"dtype\":1"),
       "tensor w: dtype holds a number, wanted a string"},
      {"dtype is a list", with_fields("\"dtype\":[\"F32\"]"), "tensor w: dtype holds an array"},
      {"shape is a number", with_shape("2"), "tensor w: shape holds a number"},
      {"shape is null", with_shape("null"), "tensor w: shape holds null"},
      {"negative dimension", with_shape("[-2]"), "tensor w: shape holds a negative number"},
      {"fraction", with_shape("[2.0]"), "tensor w: shape holds a fraction"},
      {"text in shape", with_shape("[\"2\"]"), "tensor w: shape holds a string"},
      {"list in shape", with_shape("[[2]]"), "tensor w: shape holds an array"},
      {"truth in shape", with_shape("[true]"), "tensor w: shape holds a boolean"},
      {"dimension above int64", with_shape("[9223372036854775808]"),
       "tensor w: shape holds a number above 2^63 - 1"},
      {"dimension above uint64", with_shape("[18446744073709551618]"),
       "tensor w: shape holds a fraction"},
      {"dimension above double", with_shape("[1e999]"), "the header is no JSON"},
      {"shape wraps to 2", with_shape("[4611686018427387905, 2]"),
       "tensor w is [4611686018427387905, 2], more than 64 bits"},
      {"a zero hides the overflow", with_shape("[4294967296, 4294967296, 0]"),
       "tensor w is [4294967296, 4294967296, 0], more"},
      {"bytes wrap", with_shape("[4611686018427387906]"),
       "tensor w is [4611686018427387906], more than 64 bits"},
      {"17 dimensions", with_shape("[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]"),
       "tensor w has more than 16 dimensions"},
      {"size unlike the shape", with_shape("[3]"),
       "tensor w is f32 [3] and needs 12 bytes, data_offsets give 8"},
      {"one offset", with_offsets("[0]"), "tensor w has 1 data_offsets, wanted 2"},
      {"three offsets", with_offsets("[0,8,8]"), "tensor w has 3 data_offsets, wanted 2"},
      {"no offset", with_offsets("[]"), "tensor w has 0 data_offsets"},
      {"negative offset", with_offsets("[-8,0]"), "tensor w: data_offsets holds a negative number"},
      {"end before begin", with_offsets("[8,0]"), "tensor w has data_offsets [8, 0]"},
      {"past the end", with_offsets("[0,9]"),
       "tensor w has data_offsets [0, 9], the file has 8 bytes of data"},
      {"offsets wrap", with_offsets("[18446744073709551608,18446744073709551615]"),
       "tensor w has data_offsets [18446744073709551608"},
      {"hole at the start", with_fields(dtype + "," + shape + R"(,"data_offsets":[4,12])", 12),
       "tensor w begins at 4, leaving a hole from 0"},
      {"bytes after the end", with_fields(dtype + "," + shape + "," + offsets, 9),
       "the tensors end at 8, the file has 9 bytes of data"},
      {"hole between", with_tensors({tensor("v", 0, 2), tensor("w", 3, 5)}, 5),
       "tensor w begins at 3, leaving a hole from 2"},
      {"overlap", with_tensors({tensor("v", 0, 3), tensor("w", 2, 5)}, 5),
       "tensor w begins at 2, overlapping the one that ends at 3"},
      {"same bytes", with_tensors({tensor("v", 0, 3), tensor("w", 0, 3)}, 3),
       "begins at 0, overlapping"},
      {"same name", with_tensors({tensor("w", 0, 3), tensor("w", 3, 5)}, 5),
       "tensor w was seen before, in the same file"},
      {"same name, escaped", with_tensors({tensor("w", 0, 3), tensor("\\u0077", 3, 5)}, 5),
       "tensor w was seen before"},
  };
}

void expect_refused(const std::vector<Damage>& damages) {
  for (const auto& damage : damages) {
    SCOPED_TRACE(damage.name);
    const Error error = error_of([&] {
      TensorIndex index;
      index.files.push_back({"m.safetensors", damage.bytes.size()});
      read_safetensors_header(as_bytes(damage.bytes), damage.bytes.size(), "m.safetensors", 0,
                              index);
    });
    const std::string message = error.what();
    EXPECT_EQ(error.kind(), damage.kind) << message;
    EXPECT_NE(message.find(damage.message), std::string::npos) << message;
    EXPECT_EQ(message.rfind("m.safetensors", 0), 0u) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
}

TEST(SafetensorsDamage, of_the_header_is_refused) { expect_refused(header_damage()); }
TEST(SafetensorsDamage, of_tensors_is_refused_and_the_tensor_named) {
  expect_refused(tensor_damage());
}

TEST(SafetensorsDamage, a_file_cut_anywhere_is_refused) {
  const auto whole = with_tensors({tensor("v", 0, 3), tensor("w", 3, 5)}, 5);
  for (size_t size = 0; size < whole.size(); ++size) {
    SCOPED_TRACE(size);
    const std::string cut = whole.substr(0, size);
    EXPECT_EQ(error_of([&] {
                TensorIndex index;
                read_safetensors_header(as_bytes(cut), cut.size(), "m.safetensors", 0, index);
              }).kind(),
              ErrorKind::bad_model);
  }
}

}  // namespace
}  // namespace sluice::io
