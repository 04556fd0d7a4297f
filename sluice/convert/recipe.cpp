#include "sluice/convert/recipe.h"

#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

#include "sluice/base/error.h"

namespace sluice::convert {
namespace {

struct Recipe {
  std::string_view name;
  int low, high;
};
constexpr std::array<Recipe, 4> kRecipes = {
    {{"mixed_2_6", 2, 6}, {"mixed_3_4", 3, 4}, {"mixed_3_6", 3, 6}, {"mixed_4_6", 4, 6}}};

struct Mode {
  std::string_view name;
  int bits, group_size;
};
constexpr std::array<Mode, 3> kFloatModes = {
    {{"mxfp4", 4, 32}, {"mxfp8", 8, 32}, {"nvfp4", 4, 16}}};

const Recipe* find_recipe(const ConvertOptions& options) {
  if (options.recipe.empty()) return nullptr;
  const auto found = std::ranges::find(kRecipes, options.recipe, &Recipe::name);
  if (found == kRecipes.end())
    fail(ErrorKind::bad_request, "--recipe: '{}' is not known", options.recipe);
  return found;
}

bool has(const std::string& path, std::string_view part) { return path.find(part) != path.npos; }

bool gets_more_bits(const std::string& path, int64_t n_layers) {
  if (has(path, "lm_head")) return true;
  const int64_t layer = layer_in(path), eighth = n_layers / 8;
  if (layer >= eighth && layer < 7 * n_layers / 8 && (layer - eighth) % 3 != 2) return false;
  return has(path, "v_proj") || has(path, "v_a_proj") || has(path, "v_b_proj") ||
         has(path, "down_proj");
}

/// Throws Error(bad_request) for what a predicate may not say.
void check_predicted(const Quantization& q, const std::string& path, int64_t cols) {
  const auto mode = std::ranges::find(kFloatModes, q.mode, &Mode::name);
  const bool of_mode =
      mode != kFloatModes.end() && q.bits == mode->bits && q.group_size == mode->group_size;
  const bool affine = q.mode == "affine" && q.bits >= 2 && q.bits <= 8 && q.bits != 7 &&
                      (q.group_size == 32 || q.group_size == 64 || q.group_size == 128);
  if ((!affine && !of_mode) || cols % q.group_size != 0) {
    fail(ErrorKind::bad_request,
         "{}: the predicate wants mode {} with {} bits in groups of {}, of {} columns", path,
         q.mode, q.bits, q.group_size, cols);
  }
}

}  // namespace

int64_t layer_in(const std::string& path) {
  const size_t at = path.find("layers.");
  int64_t layer = 0;
  if (at != std::string::npos)
    std::from_chars(path.data() + at + 7, path.data() + path.size(), layer);
  return layer;
}

std::optional<Quantization> usual_quantization(const ConvertOptions& options) {
  if (options.mode != "affine") {
    const auto mode = std::ranges::find(kFloatModes, options.mode, &Mode::name);
    if (mode == kFloatModes.end())
      fail(ErrorKind::bad_request, "--mode: '{}' is not known", options.mode);
    const bool other_bits = options.bits != 0 && options.bits != mode->bits;
    const bool other_groups = options.group_size != 0 && options.group_size != mode->group_size;
    if (other_bits || other_groups || !options.recipe.empty()) {
      fail(ErrorKind::bad_request, "--mode {} means {} bits in groups of {}, and no --recipe",
           options.mode, mode->bits, mode->group_size);
    }
    return Quantization{mode->bits, mode->group_size, options.mode};
  }
  const Recipe* const recipe = find_recipe(options);
  if (recipe != nullptr && options.bits != 0)
    fail(ErrorKind::bad_request, "--recipe {} says the bits; leave --bits out", options.recipe);
  const int bits = recipe != nullptr ? recipe->low : options.bits;
  if (bits == 0 && options.group_size == 0) return std::nullopt;
  if (bits < 2 || bits > 8 || bits == 7)
    fail(ErrorKind::bad_request, "--bits is {}, wanted 2, 3, 4, 5, 6 or 8", bits);
  return Quantization{bits, options.group_size == 0 ? 64 : options.group_size, "affine"};
}

bool matches(const std::string& pattern, const std::string& path) {
  return ::fnmatch(pattern.c_str(), path.c_str(), 0) == 0 ||
         ::fnmatch(("*." + pattern).c_str(), path.c_str(), 0) == 0;
}

bool is_kept(const ConvertOptions& options, const std::string& path) {
  return std::ranges::any_of(options.keep,
                             [&](const std::string& pattern) { return matches(pattern, path); });
}

std::optional<Quantization> quantization_of(const ConvertOptions& options, const std::string& path,
                                            std::span<const int64_t> shape, int64_t n_layers) {
  std::optional<Quantization> q = usual_quantization(options);
  const int64_t cols = shape.back();
  if (!q || cols % q->group_size != 0 || is_kept(options, path)) return std::nullopt;
  const Recipe* const recipe = find_recipe(options);
  if (recipe != nullptr && gets_more_bits(path, n_layers)) q->bits = recipe->high;
  if (options.predicate) {
    q = options.predicate(path, shape, *q);
    if (q) check_predicted(*q, path, cols);
  }
  return q;
}

}  // namespace sluice::convert
