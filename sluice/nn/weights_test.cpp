#include "sluice/nn/weights.h"

#include <gtest/gtest.h>

#include <map>
#include <numeric>

#include "sluice/base/error.h"
#include "sluice/io/formats/safetensors.h"
#include "sluice/io/formats/test_files.h"

namespace sluice::nn {
namespace {

/// A file of float32 tensors that count 0, 1, 2, ... each, under their own names.
class Files {
 public:
  explicit Files(const std::map<std::string, std::vector<int64_t>>& tensors) {
    std::string header = "{", data;
    for (const auto& [name, shape] : tensors) {
      const auto n = std::reduce(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
      const size_t begin = data.size();
      for (int64_t i = 0; i < n; ++i) {
        const auto value = static_cast<float>(i);
        data.append(reinterpret_cast<const char*>(&value), sizeof(value));
      }
      header += fmt::format(R"({}"{}":{{"dtype":"F32","shape":{},"data_offsets":[{},{}]}})",
                            header.size() == 1 ? "" : ",", name, io::shape_text(shape), begin,
                            data.size());
    }
    header += "}";
    const uint64_t length = header.size();
    std::string file(reinterpret_cast<const char*>(&length), sizeof(length));
    directory_.write("model.safetensors", file + header + data);
    store_ = std::make_unique<residency::WeightStore>(io::open_safetensors(directory_.path()));
    table = std::make_unique<WeightTable>(*store_);
    for (const auto& [name, tensor] : store_->index().tensors) table->add(name, tensor);
  }

  std::unique_ptr<WeightTable> table;

 private:
  io::TestDirectory directory_;
  std::unique_ptr<residency::WeightStore> store_;
};

TEST(Weights, a_tensor_is_what_its_asker_says) {
  Files files({{"conv1d.weight", {4, 1, 3}}, {"A_log", {2, 3}}, {"gate.weight", {5}}});
  const Weights w(*files.table);
  EXPECT_EQ(w["conv1d"].matrix(4, 3).rows(), 4);
  EXPECT_EQ(w["conv1d"]["weight"].tensor({{4, 1, 3}})->at(11), 11.0F);
  EXPECT_EQ(w["A_log"].tensor({{2, 3}})->at(5), 5.0F);
  EXPECT_EQ(w["gate"].matrix(1, 5).cols(), 5) << "a vector is a matrix of one row";
  EXPECT_EQ(w["gate"]["weight"].vector(5)->size(), 5U);
  EXPECT_EQ(w["absent"].optional_vector(5), nullptr);
  EXPECT_THROW(w["A_log"].vector(6), Error);
  EXPECT_THROW(w["conv1d"].matrix(3, 4), Error);
  EXPECT_TRUE(files.table->left_over().empty());
}

TEST(Weights, experts_lie_in_one_stack_or_one_by_one) {
  Files whole({{"experts.up.weight", {3, 2, 4}}, {"experts.up.bias", {3, 2}}});
  Files apart({{"experts.0.up.weight", {2, 4}},
               {"experts.1.up.weight", {2, 4}},
               {"experts.2.up.weight", {2, 4}},
               {"experts.0.up.bias", {2}},
               {"experts.1.up.bias", {2}},
               {"experts.2.up.bias", {2}}});
  for (Files* files : {&whole, &apart}) {
    const Weights experts = Weights(*files->table)["experts"];
    const auto stack = experts.stack("up", 3, 2, 4);
    ASSERT_EQ(stack.size(), 3U);
    // One by one, an expert's bias lies between its matrix and the next.
    EXPECT_EQ(stack[2].data.offset - stack[1].data.offset, files == &whole ? 32U : 40U);
    EXPECT_EQ(experts.optional_vectors("up.bias", 3, 2).size(), 3U);
    EXPECT_TRUE(files->table->left_over().empty());
    EXPECT_THROW(experts.stack("up", 4, 2, 4), Error);
    EXPECT_THROW(experts.stack("down", 3, 2, 4), Error);
  }
  EXPECT_EQ(Weights(*whole.table)["experts"].optional_vectors("up.bias", 3, 2)[1]->at(1), 3.0F);
  Files empty({{"experts.up.weight", {0, 1, 1}}});
  EXPECT_THROW(Weights(*empty.table)["experts"].stack("up", 3, 1, 1), Error);
  EXPECT_TRUE(Weights(*empty.table)["experts"].stack("up", 0, 1, 1).empty());
}

TEST(Weights, floats_may_lie_transposed_and_below_each_other) {
  Files files({{"up.weight", {4, 3}}, {"experts.w1", {6, 4}}, {"experts.w2", {12, 2}}});
  files.table->is_transposed = [](std::string_view path) { return path != "experts.w1"; };
  const Weights w(*files.table);
  const residency::Weight up = w["up"].matrix(3, 4);
  EXPECT_EQ(up.matrix.packing.codes, kernels::Packing::Codes::transposed);
  EXPECT_EQ(up.matrix.packing.all_rows, 3);
  EXPECT_EQ(up.rows(), 3);
  EXPECT_THROW(w["up"].matrix(4, 3), Error);
  const auto w1 = w["experts"].stack("w1", 3, 2, 4), w2 = w["experts"].stack("w2", 3, 2, 4);
  EXPECT_EQ(w1[2].data.offset - w1[0].data.offset, 2 * 2 * 4 * 4U);
  EXPECT_FALSE(kernels::is_packed(w1[2].matrix));
  EXPECT_EQ(w2[1].data.offset - w2[0].data.offset, 4 * 2 * 4U);
  EXPECT_TRUE(kernels::is_packed(w2[1].matrix));
  EXPECT_THROW(w["experts"].stack("w1", 2, 2, 4), Error);
  EXPECT_TRUE(files.table->left_over().empty());
}

TEST(Weights, what_was_asked_for_is_known_with_its_layer_and_once) {
  Files files({{"layers.0.qkv.weight", {6, 2}},
               {"layers.0.extra.weight", {1, 2}},
               {"head.weight", {4, 2}}});
  const Weights w(*files.table);
  const Weights layer = w["layers"].layer(0);
  layer["qkv"].matrix(6, 2);
  layer["qkv"].matrix(6, 2);
  w["head"].table(4, 2);
  const auto& bound = files.table->bound();
  ASSERT_EQ(bound.size(), 2U);
  EXPECT_EQ(bound[0].path, "layers.0.qkv");
  EXPECT_EQ(bound[0].layer, 0);
  EXPECT_EQ(bound[1].layer, -1);
  EXPECT_EQ(bound[1].use, BoundWeight::Use::table);
  ASSERT_EQ(files.table->left_over().size(), 1U);
  EXPECT_EQ(files.table->left_over()[0].name, "layers.0.extra.weight");
}

}  // namespace
}  // namespace sluice::nn
