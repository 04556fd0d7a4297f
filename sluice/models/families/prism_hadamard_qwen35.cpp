#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "sluice/base/error.h"
#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"
#include "sluice/models/qwen_hybrid.h"

namespace sluice::models::families::prism_hadamard_qwen35 {
namespace {

constexpr int64_t kBlocks[] = {0, 512, 1024, 2048, 4096, 8192};

/// One entry of the list of matrices that are packed: which one, and how many elements are rotated together; 0: none.
void read_module(const Source& s, const nlohmann::json& module, nn::WeightTable& w) {
  const auto wrong = [&](const char* what) {
    fail(ErrorKind::bad_model, "{}: modules has an entry whose {}", s.where(), what);
  };
  if (!module.is_object()) wrong("kind is no object");
  const auto path = module.find("path"), block = module.find("block"), dtype = module.find("dtype");
  if (path == module.end() || !path->is_string()) wrong("path is no text");
  if (block == module.end() || !block->is_number_integer() ||
      std::ranges::find(kBlocks, block->get<int64_t>()) == std::end(kBlocks))
    wrong("block is not 0 or a power of two from 512 to 8192");
  if (dtype == module.end() || *dtype != "float16") wrong("dtype is not float16");
  const auto& name = path->get_ref<const std::string&>();
  if (w.find(name + ".weight") == nullptr) wrong("path is none of the model's tensors");
  if (!w.rotated_blocks.emplace(name, block->get<int64_t>()).second) wrong("path is another's too");
}

nn::Config read(const Source& s, nn::WeightTable& w) {
  const int64_t schema = s.integer({"schema_version", ""}).value_or(2);
  const std::string space = s.string({"tensor_namespace", ""}).value_or("");
  if (space != (schema == 1 ? "mlx-lm-text" : schema == 2 ? "mlx-vlm-qwen3_5" : "none"))
    fail(ErrorKind::unsupported, "{}: schema_version {} with tensor_namespace {}", s.where(),
         schema, space);
  if (s.string({"gdn_activation_layout", ""}).value_or("grouped") != "grouped")
    fail(ErrorKind::unsupported, "{}: gdn_activation_layout is not grouped", s.where());
  const nlohmann::json* const modules = s.list("modules");
  if (modules == nullptr || modules->empty())
    fail(ErrorKind::bad_model, "{}: has no list of modules that are packed", s.where());
  for (const auto& module : *modules) read_module(s, module, w);
  nn::Config c = read_qwen_hybrid(s, w, {.renormalize = true, .rope_theta = 1e5});
  if (c.n_experts() > 0)
    fail(ErrorKind::unsupported, "{}: rotated models with experts are not supported", s.where());
  return c;
}

constexpr std::string_view kNames[] = {"prism_hadamard_qwen35"};

}  // namespace

// Qwen3.5 in 2 bits, whose matrices were rotated by signed Walsh-Hadamard transforms (as in QuaRot, arXiv:2404.00456) before they were
// rounded; as mlx-lm 0.32.2 models/prism_hadamard_qwen35.py, but that nothing is rounded to float16. What a projection gets is
// rotated as its matrix was, and an embedded token back.
extern const Family family{
    .names = kNames, .read = read, .make = make_pre_norm, .drafting = kQwenDrafting};

}  // namespace sluice::models::families::prism_hadamard_qwen35
