#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "sluice/decode/sampler.h"
#include "sluice/engine/request.h"
#include "sluice/server/refusal.h"

namespace sluice::server {

/// Keys keep their order: templates show it.
using Json = nlohmann::ordered_json;

/// Whether tools may, must or must not be called.
struct ToolChoice {
  enum class Mode { automatic, none, required, named };
  Mode mode = Mode::automatic;
  std::string name = {};  ///< Mode::named
  bool parallel = true;   ///< more than one call in an answer
};

/// What the answer's text has to be.
struct Format {
  enum class Kind { text, json, json_schema, regex, lark, gbnf };
  Kind kind = Kind::text;
  std::string definition = {};  ///< the schema as JSON, the expression, or the grammar
};

/// What the server is to do. All but `answer` give their writer begin(), for `render` one piece, and finish().
enum class Job {
  answer,
  count,   ///< the prompt's tokens: Head::usage
  render,  ///< the prompt as the template writes it, in one piece of text
  load,    ///< the model, so that the next answer need not wait
  unload,
};

/// A conversation. Messages have OpenAI's shape: role, content (a string), and where there are such
/// reasoning_content, tool_calls (arguments as an object), tool_call_id, name.
struct ChatPrompt {
  Json messages = Json::array();
  Json tools = Json::array();  ///< OpenAI's shape: {"type": "function", "function": {...}}
  ToolChoice tool_choice = {};
  Json template_args = Json::object();
  std::optional<bool> think = std::nullopt;            ///< unset: as the template has it
  std::optional<int64_t> think_budget = std::nullopt;  ///< tokens
  bool continues = false;         ///< the last message is the answer's beginning, to go on with
  bool has_instructions = false;  ///< the first message holds for this answer alone
};
/// A text to go on with.
struct TextPrompt {
  using Given = std::variant<std::string, std::vector<text::Token>>;
  Given prompt = {};
  std::vector<Given> more = {};                      ///< each is answered like the first
  std::optional<std::string> suffix = std::nullopt;  ///< what comes behind the gap to be filled
  struct File {
    std::string name = {}, text = {};
  };
  std::vector<File> files = {};  ///< with a suffix: others of the same repository, to look at
  bool raw = false;              ///< control tokens in the text count as such
  bool echo = false;             ///< the answer begins with the prompt
};

/// What a client asks for, whatever its dialect. Dialects read it from JSON (dialects/), the server answers it.
struct Ask {
  Job job = Job::answer;
  std::string model = {};              ///< empty: the default one
  std::string previous_response = {};  ///< whose conversation goes on; empty: none

  using Chat = ChatPrompt;
  using Text = TextPrompt;
  std::variant<Chat, Text> prompt = {};

  /// Unset: what the context holds; 0: the prompt only.
  std::optional<int64_t> max_tokens = std::nullopt;
  /// Most tokens of prompt and answer, where that is less than the server's.
  std::optional<int64_t> context = std::nullopt;
  std::optional<int64_t> max_decode_ms = std::nullopt;  ///< the answer ends as with max_tokens
  int n = 1;  ///< answers to each prompt, of which the i-th has the seed + i
  decode::SamplerConfig sampling = {};
  std::optional<uint64_t> seed = std::nullopt;  ///< unset: drawn
  std::vector<std::string> stop = {};
  std::string prediction = {};  ///< what the answer may be like: guesses are taken from it too
  bool ignore_eos = false;
  std::optional<int> top_logprobs = std::nullopt;  ///< unset: no log probabilities
  Format format = {};
  bool stream = false;
  bool uses_disk_cache = true;
  std::string cache_salt = {};  ///< of the prompt cache: what others have cached is not looked at
  /// How long the model stays loaded after this; negative: for ever. Unset: as the server has it.
  std::optional<double> keep_alive_seconds = std::nullopt;

  int n_prompts() const {
    const auto* text = std::get_if<Text>(&prompt);
    return text == nullptr ? 1 : 1 + static_cast<int>(text->more.size());
  }
  /// Answers in all: those to the first prompt come first.
  int n_choices() const { return n * n_prompts(); }
};

/// A token with its log probability, and the best ones in its place.
struct ScoredToken {
  text::Token id = 0;
  std::string bytes = {};                       ///< may be part of a character
  std::optional<float> logprob = std::nullopt;  ///< unset: of a prompt's first token
  std::vector<ScoredToken> top = {};
};

/// A piece of one answer.
struct Piece {
  enum class Kind {
    text,
    reasoning,
    tool_begin,      ///< tool_id and tool_name are known
    tool_arguments,  ///< text: more of the arguments' JSON
    tool_end,
  };
  Kind kind = Kind::text;
  int choice = 0;  ///< which of the answers, of n_choices()
  std::string text = {};
  int tool = 0;              ///< which call of this answer, from 0
  std::string tool_id = {};  ///< 24 letters and digits; a dialect puts its prefix before it
  std::string tool_name = {};
  std::vector<ScoredToken> tokens = {};  ///< of the piece, where log probabilities are asked for
};

/// How one answer ended.
struct Ending {
  int choice = 0;
  engine::FinishReason reason = engine::FinishReason::eos;
  bool called_tools = false;
  std::string stop_string = {};
};

struct Usage {
  int64_t prompt_tokens = 0;  ///< of all, cached ones too
  int64_t cached_tokens = 0;  ///< of these, whose keys and values were held
  int64_t completion_tokens = 0;
  int64_t reasoning_tokens = 0;  ///< of these
  int64_t guessed_tokens = 0, right_guesses = 0;
  int64_t pruned_to = 0,
          pruned_from = 0;  ///< of prompts that were pruned, the tokens that stayed, and all
  double queued_seconds = 0, load_seconds = 0, prefill_seconds = 0, decode_seconds = 0;
};

/// What LM Studio's clients are told of the model with each answer.
struct ModelFacts {
  std::string architecture = {}, quantization = {}, format = {};
  int64_t context = 0;
};

/// What is known of an answer before its first token.
struct Head {
  std::string id = {};  ///< 24 letters and digits; a dialect puts its prefix before it
  int64_t created = 0;  ///< seconds since 1970
  std::string model = {};
  Usage usage = {};  ///< prompt and cached tokens
  ModelFacts facts = {};
};

/// How a dialect tells an answer. Calls come in this order: begin, piece and end in turns (one end for each of the
/// answers), finish; or fail at any moment instead, which ends it. The pieces of a tool's call come from tool_begin to
/// tool_end with no other piece of the same answer between. What is to be sent next is appended to `out`.
/// A writer of a stream sends as it goes, another one at the end.
class Writer {
 public:
  virtual ~Writer() = default;
  virtual const char* content_type() const = 0;
  virtual void begin(const Head& head, std::string& out) = 0;
  virtual void piece(const Piece& piece, std::string& out) = 0;
  virtual void end(const Ending& ending, std::string& out) = 0;
  virtual void finish(const Usage& usage, std::string& out) = 0;
  /// After the head was sent; before it, error_body() of the dialect is the whole answer.
  virtual void fail(const Refusal& refusal, std::string& out) = 0;
  /// Whether pieces of a call may come before it is known how it ends: its arguments may then break off.
  virtual bool tells_calls_as_they_come() const { return false; }
  /// Sent when nothing else was for some seconds; empty where the dialect has no such thing.
  virtual std::string keep_alive() const = 0;
};

}  // namespace sluice::server
