// Writes llama.cpp's logits for given tokens or text as .npy, through its public C API: the reference for our GGUF files.
//
//   llama_cpp_logits MODEL.gguf OUT.npy (--tokens 1,2,3 | --text TEXT) [--greedy N] [--float32-cache] [--flash-attention]
//
// --flash-attention: with a float32 cache too, where llama.cpp chooses blocks of keys with it alone (MiniMax M3).
//
// OUT.npy is float32 [L + N, vocab_size]: row i follows token i of the prompt and then of the greedy continuation, whose last
// token is not evaluated. Prints {"prompt": [...], "greedy": [...]}. Built against a llama.cpp build, see docs/testing-with-llama-cpp.md.
#include <ggml-backend.h>
#include <llama.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

struct Arguments {
  std::string model, out, tokens, text;
  int n_greedy = 0;
  bool float32_cache = false, flash_attention = false;
};

Arguments parse(int argc, char** argv) {
  if (argc < 5)
    throw std::runtime_error(
        "usage: MODEL OUT (--tokens LIST | --text TEXT) [--greedy N] [--float32-cache]");
  Arguments args;
  args.model = argv[1];
  args.out = argv[2];
  for (int i = 3; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--float32-cache") {
      args.float32_cache = true;
      continue;
    }
    if (name == "--flash-attention") {
      args.flash_attention = true;
      continue;
    }
    if (i + 1 == argc) throw std::runtime_error("no value for " + std::string(name));
    const std::string value = argv[++i];
    if (name == "--tokens")
      args.tokens = value;
    else if (name == "--text")
      args.text = value;
    else if (name == "--greedy")
      args.n_greedy = std::stoi(value);
    else
      throw std::runtime_error("unknown option " + std::string(name));
  }
  return args;
}

std::vector<llama_token> parse_tokens(const std::string& list) {
  std::vector<llama_token> tokens;
  std::stringstream stream(list);
  for (std::string item; std::getline(stream, item, ',');) tokens.push_back(std::stoi(item));
  return tokens;
}

std::vector<llama_token> tokenize(const llama_vocab* vocab, const std::string& text) {
  std::vector<llama_token> tokens(text.size() + 8);
  const int n = llama_tokenize(vocab, text.data(), static_cast<int32_t>(text.size()), tokens.data(),
                               static_cast<int32_t>(tokens.size()), /*add_special=*/true,
                               /*parse_special=*/false);
  if (n < 0) throw std::runtime_error("tokenization failed");
  tokens.resize(static_cast<size_t>(n));
  return tokens;
}

/// Evaluates tokens at the given position and appends one row of logits for each.
void evaluate(llama_context* context, const std::vector<llama_token>& tokens, int position,
              int vocab_size, std::vector<float>& rows) {
  llama_batch batch = llama_batch_init(static_cast<int32_t>(tokens.size()), 0, 1);
  batch.n_tokens = static_cast<int32_t>(tokens.size());
  for (int i = 0; i < batch.n_tokens; ++i) {
    batch.token[i] = tokens[static_cast<size_t>(i)];
    batch.pos[i] = position + i;
    batch.n_seq_id[i] = 1;
    batch.seq_id[i][0] = 0;
    batch.logits[i] = 1;
  }
  const int status = llama_decode(context, batch);
  if (status != 0) throw std::runtime_error("llama_decode: " + std::to_string(status));
  for (int i = 0; i < batch.n_tokens; ++i) {
    const float* row = llama_get_logits_ith(context, i);
    rows.insert(rows.end(), row, row + vocab_size);
  }
  llama_batch_free(batch);
}

void write_npy(const std::string& path, const std::vector<float>& rows, int vocab_size) {
  const size_t n_rows = rows.size() / static_cast<size_t>(vocab_size);
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (" +
                       std::to_string(n_rows) + ", " + std::to_string(vocab_size) + "), }";
  header.append(63 - (10 + header.size()) % 64, ' ').push_back('\n');
  const auto size = static_cast<uint16_t>(header.size());
  std::ofstream file(path, std::ios::binary);
  file.write("\x93NUMPY\x01\x00", 8);
  file.put(static_cast<char>(size & 0xff)).put(static_cast<char>(size >> 8));
  file << header;
  file.write(reinterpret_cast<const char*>(rows.data()),
             static_cast<std::streamsize>(rows.size() * sizeof(float)));
  if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

void print_list(const char* name, const std::vector<llama_token>& tokens, const char* end) {
  std::cout << '"' << name << "\": [";
  for (size_t i = 0; i < tokens.size(); ++i) std::cout << (i ? ", " : "") << tokens[i];
  std::cout << ']' << end;
}

void run(const Arguments& args) {
  llama_log_set(
      [](ggml_log_level level, const char* text, void*) {
        if (level == GGML_LOG_LEVEL_ERROR) std::cerr << text;
      },
      nullptr);
  ggml_backend_load_all();  // a no-op where the processor's part is linked in
  llama_backend_init();
  llama_model* model = llama_model_load_from_file(args.model.c_str(), llama_model_default_params());
  if (!model) throw std::runtime_error("cannot load " + args.model);
  const llama_vocab* vocab = llama_model_get_vocab(model);
  const int vocab_size = llama_vocab_n_tokens(vocab);
  const auto prompt = args.text.empty() ? parse_tokens(args.tokens) : tokenize(vocab, args.text);

  llama_context_params params = llama_context_default_params();
  params.n_ctx = std::max<uint32_t>(
      512, static_cast<uint32_t>(prompt.size()) + static_cast<uint32_t>(args.n_greedy));
  params.n_batch = params.n_ubatch = params.n_ctx;
  params.n_threads = params.n_threads_batch = 1;
  if (args.float32_cache) {
    params.type_k = params.type_v = GGML_TYPE_F32;
    params.flash_attn_type =
        args.flash_attention ? LLAMA_FLASH_ATTN_TYPE_ENABLED : LLAMA_FLASH_ATTN_TYPE_DISABLED;
  }
  llama_context* context = llama_init_from_model(model, params);
  if (!context) throw std::runtime_error("cannot create a context");

  std::vector<float> rows;
  std::vector<llama_token> greedy;
  evaluate(context, prompt, 0, vocab_size, rows);
  for (int i = 0; i < args.n_greedy; ++i) {
    const auto last = rows.end() - vocab_size;
    greedy.push_back(static_cast<llama_token>(std::max_element(last, rows.end()) - last));
    if (i + 1 < args.n_greedy)
      evaluate(context, {greedy.back()}, static_cast<int>(prompt.size()) + i, vocab_size, rows);
  }
  write_npy(args.out, rows, vocab_size);
  std::cout << '{';
  print_list("prompt", prompt, ", ");
  print_list("greedy", greedy, "}\n");
  llama_free(context);
  llama_model_free(model);
}

}  // namespace

int main(int argc, char** argv) try {
  run(parse(argc, argv));
} catch (const std::exception& error) {
  std::cerr << "llama_cpp_logits: " << error.what() << '\n';
  return 1;
}
