#pragma once

#include <string>
#include <string_view>

namespace sluice::text {

/// A grammar in llama.cpp's GBNF as one in llguidance's variant of Lark, which allows the same texts. A rule that does
/// not come back to itself becomes one expression over characters, so that nothing in it is cut into words; where rules
/// do, words are as long as they can be, and a grammar whose words begin alike may allow less than llama.cpp's.
/// Throws Error(bad_request) naming the line: what is no GBNF, a rule that is missing, what nests or repeats too much.
std::string lark_of_gbnf(std::string_view gbnf);

}  // namespace sluice::text
