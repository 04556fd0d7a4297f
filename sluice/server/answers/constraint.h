#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sluice/engine/request.h"
#include "sluice/server/ask.h"
#include "sluice/text/grammar.h"

namespace sluice::server {

/// What an answer of this format may be made of; null for Format::Kind::text. after: token texts behind which the
/// format begins, what comes before is free (a model that thinks first); empty: it begins at once.
/// Throws Error(bad_request) for a definition that cannot be used.
std::shared_ptr<engine::Constraint> make_constraint(const text::Grammars& grammars,
                                                    const Format& format,
                                                    const text::Tokenizer& tokenizer,
                                                    std::string after);

}  // namespace sluice::server
