#pragma once

#include <string>

#include "sluice/models/family.h"

namespace sluice::models {

/// Throws Error(unsupported) naming a tensor that no layer asked for, and how many more there are:
/// what it was trained for would be missing from every answer. Passes over what no loader uses (a
/// table of RoPE frequencies, the output projection of a model that ties it) and what the family
/// leaves out. Throws Error(bad_model) when the config counts fewer layers than there are. Returns what a user should know
/// of what was left out, one line; empty: nothing of note.
std::string check_all_bound(const nn::WeightTable& table, const Family& family,
                            const nn::Config& config, const std::string& where);

}  // namespace sluice::models
