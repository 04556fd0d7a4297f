#include "sluice/engine/hub/hub_listing.h"

#include <gtest/gtest.h>

#include "sluice/base/error.h"

namespace sluice::engine {
namespace {

HubListing listing_of(const std::vector<std::string>& names) {
  HubListing listing;
  for (const std::string& name : names) listing.files.push_back({name, 1, "", ""});
  return listing;
}

std::vector<std::string> chosen(const std::vector<std::string>& names,
                                std::string_view selector = "") {
  std::vector<std::string> result;
  for (const HubFile& file : choose_hub_files(listing_of(names), "o/n", selector))
    result.push_back(file.name);
  return result;
}

std::string refusal(const std::vector<std::string>& names, std::string_view selector,
                    ErrorKind kind) {
  try {
    chosen(names, selector);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    return error.what();
  }
  return "";
}

using Names = std::vector<std::string>;

TEST(HubListing, sizes_and_hashes_are_read) {
  const std::string sha256(64, 'a'), sha1(40, 'b');
  const HubListing listing = parse_hub_listing(R"({"sha": ")" + sha1 + R"(", "siblings": [
        {"rfilename": "config.json", "size": 3, "blobId": ")" +
                                                   sha1 + R"("},
        {"rfilename": "m.safetensors", "size": 5000000000, "blobId": ")" +
                                                   sha1 + R"(",
         "lfs": {"sha256": ")" + sha256 + R"(", "size": 5000000000}}]})",
                                               "o/n");
  EXPECT_EQ(listing.commit, sha1);
  ASSERT_EQ(listing.files.size(), 2u);
  EXPECT_EQ(listing.files[0].git_sha1, sha1);
  EXPECT_EQ(listing.files[0].sha256, "");
  EXPECT_EQ(listing.files[1].bytes, 5'000'000'000u);
  EXPECT_EQ(listing.files[1].sha256, sha256);
  EXPECT_EQ(listing.files[1].git_sha1, "");  // that is the pointer file's
}

TEST(HubListing, answers_that_are_no_listing_are_refused) {
  for (const char* text :
       {"", "[]", "{}", "not json", R"({"siblings": {}})", R"({"siblings": [1]})",
        R"({"siblings": [{"size": 1}]})", R"({"siblings": [{"rfilename": "a.json"}]})",
        R"({"siblings": [{"rfilename": "a.json", "size": -1}]})",
        R"({"siblings": [{"rfilename": "a.json", "size": 1e30}]})",
        R"({"siblings": [{"rfilename": "a.json", "size": 18446744073709551615}]})",
        R"({"siblings": [{"rfilename": "a.json", "size": 1, "blobId": "zz"}]})",
        R"({"siblings": [{"rfilename": "a.json", "size": 1, "lfs": {"sha256": "12"}}]})"}) {
    EXPECT_THROW(parse_hub_listing(text, "o/n"), Error) << text;
  }
}

TEST(HubListing, file_names_that_lead_elsewhere_are_refused) {
  for (const char* name : {"", "/etc/passwd", "../x.json", "a/../../x.json", "a/..", "..",
                           "a\\\\b.json", "a\\u0000.json", "a\\n.json", "a/"}) {
    const std::string text =
        std::string(R"({"siblings": [{"size": 1, "rfilename": ")") + name + R"("}]})";
    EXPECT_THROW(parse_hub_listing(text, "o/n"), Error) << name;
  }
}

TEST(HubListing, a_checkpoint_is_its_top_folders_weights_and_their_json) {
  EXPECT_EQ(
      chosen({".gitattributes", "README.md", "config.json", "model-00001-of-00002.safetensors",
              "model-00002-of-00002.safetensors", "model.safetensors.index.json", "tokenizer.json",
              "tokenizer.model", "tokenizer.tiktoken", "chat_template.jinja", "pytorch_model.bin",
              "onnx/model.onnx", "1_Pooling/config.json", "2_Dense/config.json",
              "original/consolidated.00.pth", "original/x.safetensors", "q.gguf"}),
      (Names{"config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
             "model.safetensors.index.json", "tokenizer.json", "tokenizer.tiktoken",
             "chat_template.jinja", "1_Pooling/config.json"}));
  HubFile pooling;
  pooling.name = "1_Pooling/config.json";
  EXPECT_EQ(pooling.local_name(), "1_Pooling.json");
}

TEST(HubListing, weights_stored_twice_are_taken_once) {
  EXPECT_EQ(chosen({"consolidated.safetensors", "model.safetensors"}),
            (Names{"model.safetensors"}));
  EXPECT_EQ(chosen({"consolidated.safetensors"}), (Names{"consolidated.safetensors"}));
}

TEST(HubListing, a_quantization_is_chosen_by_tag_or_file_name) {
  const Names names{"config.json",
                    "m-IQ4_XS.gguf",
                    "m-Q4_K_M.gguf",
                    "m-Q4_K_S.gguf",
                    "mmproj-m-Q4_K_M.gguf",
                    "Q8_0/m-Q8_0-00001-of-00002.gguf",
                    "Q8_0/m-Q8_0-00002-of-00002.gguf"};
  EXPECT_EQ(chosen(names, "Q4_K_M"), (Names{"m-Q4_K_M.gguf"}));
  EXPECT_EQ(chosen(names, "q4_k_m"), (Names{"m-Q4_K_M.gguf"}));
  EXPECT_EQ(chosen(names, "m-Q4_K_S.gguf"), (Names{"m-Q4_K_S.gguf"}));
  EXPECT_EQ(chosen(names, "Q8_0"),
            (Names{"Q8_0/m-Q8_0-00001-of-00002.gguf", "Q8_0/m-Q8_0-00002-of-00002.gguf"}));
  EXPECT_NE(refusal(names, "Q2_K", ErrorKind::bad_request).find("o/n:Q4_K_M"), std::string::npos);
  EXPECT_NE(refusal(names, "", ErrorKind::bad_request).find("o/n:IQ4_XS"), std::string::npos);
}

TEST(HubListing, the_only_gguf_needs_no_selector) {
  EXPECT_EQ(chosen({"README.md", "m-Q4_0.gguf", "mmproj-m.gguf"}), (Names{"m-Q4_0.gguf"}));
}

TEST(HubListing, two_files_of_one_tag_are_chosen_by_name) {
  const Names names{"m-Q4_K_XL.gguf", "m-UD-Q4_K_XL.gguf"};
  EXPECT_NE(refusal(names, "Q4_K_XL", ErrorKind::bad_request).find("o/n:m-UD-Q4_K_XL.gguf"),
            std::string::npos);
  EXPECT_EQ(chosen(names, "m-UD-Q4_K_XL.gguf"), (Names{"m-UD-Q4_K_XL.gguf"}));
}

TEST(HubListing, a_repository_without_a_model_is_unsupported) {
  refusal({"pytorch_model.bin", "config.json"}, "", ErrorKind::unsupported);
  refusal({"model.safetensors"}, "Q4_0", ErrorKind::bad_request);
}

TEST(HubListing, names_that_are_not_plain_or_come_twice_are_refused) {
  for (const char* name : {"m od.safetensors", "-rf.safetensors", "m;ls.safetensors",
                           "\xc3\xa9.safetensors", "m$(x).safetensors"}) {
    EXPECT_NE(refusal({name}, "", ErrorKind::io), "") << name;
  }
  EXPECT_NE(refusal({"m.safetensors", "m.safetensors"}, "", ErrorKind::io), "");
  EXPECT_NE(refusal({"m.safetensors", "M.safetensors"}, "", ErrorKind::io), "");
}

}  // namespace
}  // namespace sluice::engine
