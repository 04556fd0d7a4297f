// Readers of layers that carry a state.
#include <algorithm>

#include "sluice/base/error.h"
#include "sluice/models/config.h"

namespace sluice::models {

void check_state_sizes(const Source& source, std::initializer_list<int64_t> sizes) {
  constexpr int64_t kMost = 1 << 16;
  for (const int64_t n : sizes) {
    if (n < 1 || n > kMost)
      fail(ErrorKind::bad_model, "{}: a recurrent layer's sizes have {}, wanted 1 to {}",
           source.where(), n, kMost);
  }
}

int64_t state_head_dim(const Source& source) {
  const int64_t n_heads = source.required_integer({"", "%.ssm.time_step_rank"});
  const int64_t inner = source.required_integer({"", "%.ssm.inner_size"});
  if (n_heads < 1 || inner % n_heads != 0) {
    fail(ErrorKind::bad_model, "{}: ssm.inner_size is {}, of {} heads", source.where(), inner,
         n_heads);
  }
  return inner / n_heads;
}

namespace {

/// What the files tell as well, and what only initialization and the reference's kernels know.
void ignore_what_training_knows(const Source& s) {
  for (const char* told :
       {"use_conv_bias", "mamba_conv_bias", "mamba_proj_bias", "use_bias", "mamba_hidden_act",
        "mamba_expand", "expand", "chunk_size", "mamba_chunk_size", "mamba_ssm_cache_dtype",
        "time_step_min", "time_step_max", "time_step_floor", "time_step_rank", "residual_in_fp32",
        "rescale_prenorm_residual"})
    s.ignore({told, ""});
}

}  // namespace

nn::Mamba2Config read_mamba2(const Source& s, const Mamba2Keys& keys) {
  nn::Mamba2Config m;
  m.n_heads = s.required_integer({keys.n_heads, "%.ssm.time_step_rank"});
  m.state_dim = s.required_integer({keys.state_dim, "%.ssm.state_size"});
  m.n_groups = std::max<int64_t>(1, s.integer({keys.n_groups, "%.ssm.group_count"}).value_or(1));
  m.n_norm_groups = m.n_groups;
  m.n_taps = s.required_integer({keys.n_taps, "%.ssm.conv_kernel"});
  m.head_dim = s.is_gguf() ? state_head_dim(s) : s.required_integer({keys.head_dim, ""});
  const auto limit = s.numbers({"time_step_limit", ""});
  if (limit && limit->size() == 2) {
    m.least_dt = static_cast<float>((*limit)[0]);
    m.most_dt = static_cast<float>(std::min((*limit)[1], double{m.most_dt}));
  }
  check_state_sizes(s, {m.n_heads, m.head_dim, m.state_dim, m.n_groups, m.n_taps});
  if (m.n_heads % m.n_groups != 0)
    fail(ErrorKind::bad_model, "{}: {} Mamba heads in {} groups", s.where(), m.n_heads, m.n_groups);
  ignore_what_training_knows(s);
  return m;
}

nn::MambaConfig read_mamba(const Source& s, const nn::Config& c, const MambaKeys& keys,
                           int64_t n_channels) {
  nn::MambaConfig m;
  m.n_channels = s.integer({"", "%.ssm.inner_size"}).value_or(n_channels);
  m.state_dim = s.integer({keys.state_dim, "%.ssm.state_size"}).value_or(16);
  m.n_taps = s.integer({keys.n_taps, "%.ssm.conv_kernel"}).value_or(4);
  const bool is_auto = s.is_string(keys.dt_rank);
  if (is_auto) s.ignore({keys.dt_rank, ""});
  const auto rank = is_auto ? std::nullopt : s.integer({keys.dt_rank, "%.ssm.time_step_rank"});
  m.dt_rank = rank.value_or((c.hidden_size + 15) / 16);
  check_state_sizes(s, {m.n_channels, m.state_dim, m.n_taps, m.dt_rank});
  ignore_what_training_knows(s);
  return m;
}

}  // namespace sluice::models
