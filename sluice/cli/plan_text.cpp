#include "sluice/cli/plan_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>

#include "sluice/base/printable.h"
#include "sluice/cli/output.h"

namespace sluice::cli {
namespace {

using residency::ResidencyPlan;

constexpr int kBarWidth = 24;

double number(Bytes bytes) { return static_cast<double>(bytes.count); }

std::string per_token(Bytes bytes) { return bytes.count == 0 ? "-" : to_string(bytes); }

std::string speed(double tps) {
  return fmt::format("{:.{}f}", tps, tps < 10 ? 2 : tps < 100 ? 1 : 0);
}

std::string bandwidth(double bytes_per_second) {
  return bytes_per_second > 0 ? to_string(Bytes{static_cast<uint64_t>(bytes_per_second)}) + "/s"
                              : "unknown";
}

std::string describe_model(const engine::PlanReport& r) {
  const nn::Config& c = r.config;
  std::string text =
      fmt::format("{}: {}, {} layers", printable(r.model), printable(c.architecture), c.n_layers);
  if (c.n_experts() > 0) {
    text += fmt::format(", {} experts, {} per token", c.n_experts(), c.n_experts_per_tok());
  }
  return text + fmt::format(", {} in files", to_string(r.file_bytes));
}

std::string describe_download(const engine::PlannedDownload& d) {
  std::string text = fmt::format("It is on the hub: a download of {}", to_string(d.bytes));
  if (d.room) text += fmt::format(", and the disk has room for {}", to_string(*d.room));
  return text + (d.fits() ? ".\n" : ": it does not fit.\n");
}

std::string describe_parts(const engine::PlanReport& r, BarStyle style) {
  std::string text = fmt::format("\n{:16} {:14} {:>9} {:>11} {:>12}\n", "part", "where", "size",
                                 "in memory", "disk/token");
  for (const residency::PlanPart& part : r.parts) {
    std::string line =
        fmt::format("{:16} {:14} {:>9} {:>11} {:>12}  {}", part.name, part.placement,
                    to_string(part.bytes), per_token(part.memory), per_token(part.disk_per_token),
                    bar(number(part.memory) / number(r.plan.total), kBarWidth, style));
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text + fmt::format("{:31} {:>9} {:>11} {:>12}\n", "total", "", to_string(r.plan.total),
                            per_token(r.plan.disk_bytes_per_token));
}

std::string describe_speed(const engine::PlanReport& r) {
  const ResidencyPlan& p = r.plan;
  std::string text = fmt::format(
      "\nA token takes {} from memory and {} from disk", to_string(p.memory_bytes_per_token),
      p.disk_bytes_per_token.count == 0 ? "nothing" : to_string(p.disk_bytes_per_token));
  if (p.expert_slots > 0) {
    text += fmt::format("; {:.0f} % of its experts are expected in memory", 100 * p.hit_rate);
  }
  text += ".\n";
  if (!engine::has_speed(p, r.machine)) {
    return text +
           "How fast the disk is cannot be told from these files: give --sim-disk, as 5GB/s.\n";
  }
  return text + fmt::format("Expected {} tok/s; the bound, all overlapped, is {} tok/s.\n",
                            speed(p.expected_tps), speed(p.bound_tps));
}

std::string describe_table(const engine::PlanReport& r) {
  const auto hits = [&](const std::string& text) {
    return r.config.n_experts() > 0 ? fmt::format(" {:>12}", text) : std::string();
  };
  std::string text = fmt::format("\n{:>10} {:>12}{} {:>9} {:>9}\n", "budget", "disk/token",
                                 hits("experts hit"), "tok/s", "bound");
  for (const ResidencyPlan& p : r.table) {
    const bool known = engine::has_speed(p, r.machine);
    text += fmt::format(
        "{:>10} {:>12}{} {:>9} {:>9}{}\n", to_string(p.budget), per_token(p.disk_bytes_per_token),
        hits(fmt::format("{:.0f} %", 100 * p.hit_rate)), known ? speed(p.expected_tps) : "?",
        known ? speed(p.bound_tps) : "?", p.mapped ? "  mapped" : "");
  }
  return text;
}

}  // namespace

BarStyle bar_style() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* const value = std::getenv(name);
    if (value == nullptr || *value == '\0') continue;
    const std::string_view locale = value;
    const bool utf8 = locale.find("UTF-8") != locale.npos || locale.find("utf8") != locale.npos;
    return utf8 ? BarStyle::blocks : BarStyle::ascii;
  }
  return BarStyle::ascii;
}

std::string bar(double share, int width, BarStyle style) {
  constexpr std::array kEighths = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const auto eighths = static_cast<int>(std::lround(std::clamp(share, 0.0, 1.0) * 8 * width));
  std::string text;
  if (style == BarStyle::ascii) return text.append(static_cast<size_t>((eighths + 4) / 8), '#');
  for (int i = 0; i < eighths / 8; ++i) text += "█";
  return text + kEighths[static_cast<size_t>(eighths % 8)];
}

std::string to_text(const engine::PlanReport& r, BarStyle style) {
  std::string text = describe_model(r) + "\n";
  text += fmt::format("Budget {}, context {}, {}memory {}, disk {}\n", to_string(r.plan.budget),
                      r.context, r.simulated ? "simulated: " : "",
                      bandwidth(r.machine.memory_bandwidth), bandwidth(r.machine.disk_bandwidth));
  if (const nn::KvFormat& kv = r.config.kv; kv.code) {
    text += fmt::format("Lossy: keys in {} bits and values in {}, but for {} recent tokens\n",
                        kv.code.key_bits, kv.code.value_bits, kv.recent);
  }
  if (r.config.kv.state_type != kernels::KvType::f32)
    text += "Lossy: states of recurrent layers in 16 bits\n";
  if (const int64_t size = r.config.kv.max_size; size > 0)
    text += fmt::format("Lossy: a token sees the first {} tokens and the last {}\n",
                        ops::kFirstTokens, size - ops::kFirstTokens);
  if (r.snap_kv > 0)
    text += fmt::format("Lossy: of longer prompts {} tokens stay for the answer\n", r.snap_kv);
  if (r.spilled.count > 0)
    text += fmt::format(
        "Keys and values of {} tokens stay in memory; at the end of the context each token reads "
        "{} "
        "that are spilled\n",
        r.kept_tokens, to_string(r.spilled));
  text += describe_parts(r, style) + describe_speed(r) + describe_table(r);
  text += fmt::format("\nIt runs from {} on; from {} all is mapped.\n", to_string(r.smallest),
                      to_string(r.mapped));
  if (r.download) text += describe_download(*r.download);
  if (!r.has_tokenizer) text += "There is no tokenizer, whose memory is not counted.\n";
  return text;
}

std::string to_line(const engine::PlanReport& r) {
  std::string text = describe_model(r) + ": runs here, ";
  text += r.plan.disk_bytes_per_token.count == 0
              ? fmt::format("all in {} of memory", to_string(r.plan.total))
              : fmt::format("within {} of memory, with {} from disk for each token",
                            to_string(r.plan.budget), to_string(r.plan.disk_bytes_per_token));
  if (engine::has_speed(r.plan, r.machine))
    text += fmt::format(", at about {} tok/s", speed(r.plan.expected_tps));
  return text;
}

}  // namespace sluice::cli
