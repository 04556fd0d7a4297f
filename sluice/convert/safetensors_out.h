#pragma once

#include "sluice/convert/plan.h"

namespace sluice::convert {

/// Places the products one after the other in shards of at most `shard_bytes` (a product more than that has its own) and
/// writes their headers. A quantized "x.weight" is followed by "x.scales" and "x.biases". Adds model.safetensors.index.json's text.
std::string lay_out_safetensors(Plan& plan, uint64_t shard_bytes = 5'000'000'000);

}  // namespace sluice::convert
