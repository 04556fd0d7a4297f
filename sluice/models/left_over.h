#pragma once

#include <string>

#include "sluice/models/family.h"

namespace sluice::models {

/// What of a model's files is left out, as a user should know.
struct LeftOut {
  bool senses = false;       ///< what sees and hears
  bool drafting = false;     ///< layers that draft tokens
  std::string text() const;  ///< one line; empty: nothing of note
};

/// Throws Error(unsupported) naming a tensor that no layer asked for, and how many more there are:
/// what it was trained for would be missing from every answer. Passes over what no loader uses (a
/// table of RoPE frequencies, the output projection of a model that ties it) and what the family
/// leaves out. Throws Error(bad_model) when the config counts fewer layers than there are. Returns what was left out.
LeftOut check_all_bound(const nn::WeightTable& table, const Family& family,
                        const nn::Config& config, const Source& source);

}  // namespace sluice::models
