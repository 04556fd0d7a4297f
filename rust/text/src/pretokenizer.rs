//! How byte-pair vocabularies of GGUF files cut text into words: the pre-tokenizer that each name in
//! `tokenizer.ggml.pre` stands for, as the regular expressions of the models' own tokenizer.json files.
//! Each expression in turn isolates its matches in every piece the one before has left.

use fancy_regex::Regex;

use crate::failure::{Failure, Result};

/// What besides the words depends on the pre-tokenizer's name.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Traits {
    /// A word that is itself in the vocabulary is that token, whatever the merges say.
    pub ignore_merges: bool,
    /// BOS is added unless the file says otherwise.
    pub add_bos: bool,
    /// Tokens are text with U+2581 for the space, not GPT-2's byte alphabet; unknown bytes are "<0xXX>".
    pub plain_text: bool,
    /// A run of newlines that is in the vocabulary is one token.
    pub newline_runs: bool,
}

struct Entry {
    names: &'static [&'static str],
    patterns: &'static [&'static str],
    traits: Traits,
}

const PLAIN: Traits =
    Traits { ignore_merges: false, add_bos: false, plain_text: false, newline_runs: false };
const WHOLE_WORDS: Traits = Traits { ignore_merges: true, ..PLAIN };
const WHOLE_WORDS_BOS: Traits = Traits { add_bos: true, ..WHOLE_WORDS };
const BOS: Traits = Traits { add_bos: true, ..PLAIN };
const TEXT: Traits = Traits { plain_text: true, ..PLAIN };
const GEMMA4_TRAITS: Traits = Traits { add_bos: true, newline_runs: true, ..TEXT };

const DIGIT: &str = r"\p{N}";
const DIGITS_3: &str = r"\p{N}{1,3}";
const LINES: &str = r"[^\n]+|[\n]+";
const CJK: &str = r"[一-龥\x{3040}-ゟ゠-ヿ]+";
const CJK_HANGUL: &str = r"[一-龥\x{800}-一가-\x{D7FF}]+";
const FULL_STOPS: &str = " ?[^(\\s|.,!?…。，、।۔،)]+";
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const JAIS2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1}";
const CASED_LETTERS: &str = r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+";
const DEEPSEEK3: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##;
const SPARK: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+|[\r\n]|\s+(?!\S)|\s+"##;
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const O200K: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const O200K_DIGIT: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const KIMI_K2: &str = r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const BAILING: &str = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+";
const SEED: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+";
const NO_CONTRACTIONS: &str =
    r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const EXAONE_MOE: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+";
const MINICPM5: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const AFMOE_SCRIPTS: &str = r"[一-\x{9FFF}㐀-\x{4DBF}豈-\x{FAFF}\x{3040}-ゟ゠-ヿ･-ﾟ⼀-\x{2FDF}เ-\x{0E7F}\x{0E80}-\x{0EFF}ក-\x{17FF}က-႟ꩠ-ꩿꧠ-\x{A9FF}가-\x{D7AF}ᄀ-ᇿ]+";

#[rustfmt::skip] // a table: one pre-tokenizer a line
const TABLE: &[Entry] = &[
    Entry { names: &["", "default"], patterns: &[r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"], traits: PLAIN },
    Entry { names: &["llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano"], patterns: &[LLAMA3], traits: WHOLE_WORDS_BOS },
    Entry { names: &["glm4", "glm5"], patterns: &[LLAMA3], traits: WHOLE_WORDS },
    Entry { names: &["dbrx", "smaug-bpe", "chatglm-bpe"], patterns: &[LLAMA3], traits: PLAIN },
    Entry { names: &["jais-2"], patterns: &[JAIS2], traits: PLAIN },
    Entry { names: &["deepseek-llm"], patterns: &[r"[\r\n]", CASED_LETTERS, r"\s?[!-/:-~！-／：-～‘-‟\x{3000}-。]+", r"\s+$", CJK_HANGUL, r"\p{N}+"], traits: PLAIN },
    Entry { names: &["deepseek-coder"], patterns: &[r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", CJK_HANGUL, DIGIT], traits: PLAIN },
    Entry { names: &["deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"], patterns: &[DIGITS_3, CJK, DEEPSEEK3], traits: PLAIN },
    Entry { names: &["spark2_5"], patterns: &[DIGITS_3, CJK, SPARK, DIGIT], traits: PLAIN },
    Entry { names: &["youtu"], patterns: &[r"[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-\x{303F}︰-﹏]+|[ㄅ-ㄯ]+|[一-龥\x{3040}-ゟ゠-ヿ]+", O200K_DIGIT], traits: WHOLE_WORDS },
    Entry { names: &["falcon"], patterns: &[r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"], traits: PLAIN },
    Entry { names: &["starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b", "mellum2"], patterns: &[DIGIT, GPT2], traits: PLAIN },
    Entry { names: &["gpt-2", "phi-2", "jina-es", "jina-de", "gigachat", "jina-v2-es", "jina-v2-de", "a.x-4.0", "mellum", "modern-bert", "jina-v1-en", "jina-v2-code", "roberta-bpe", "exaone4", "mpt", "olmo", "jais", "trillion", "granite-docling"], patterns: &[GPT2], traits: PLAIN },
    Entry { names: &["qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "stablelm2", "hunyuan", "megrez", "grok-2", "solar-open"], patterns: &[QWEN2], traits: PLAIN },
    Entry { names: &["qwen35"], patterns: &[QWEN35], traits: PLAIN },
    Entry { names: &["poro-chat", "bloom", "gpt3-finnish"], patterns: &[FULL_STOPS], traits: PLAIN },
    Entry { names: &["viking"], patterns: &[FULL_STOPS, DIGIT], traits: PLAIN },
    Entry { names: &["tekken"], patterns: &[TEKKEN], traits: WHOLE_WORDS_BOS },
    Entry { names: &["chameleon"], patterns: &["<sentinel:[0-9]+>", "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z", r"([\t\n]|    |  )", DIGIT, r"[\p{P}!-/:-@\[-`{-~]", GPT2], traits: BOS },
    Entry { names: &["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"], patterns: &[O200K], traits: PLAIN },
    Entry { names: &["granite-embed-multi-97m"], patterns: &[O200K], traits: WHOLE_WORDS },
    Entry { names: &["tiny_aya", "cohere2moe"], patterns: &[r"\d{1,3}(?=(?:\d{3})*\b)", O200K], traits: PLAIN },
    Entry { names: &["kimi-k2"], patterns: &[KIMI_K2], traits: PLAIN },
    Entry { names: &["superbpe"], patterns: &[r"\p{N}+", r"(?=(\d{3})+(?!\d))"], traits: PLAIN },
    Entry { names: &["bailingmoe", "bailingmoe2", "llada-moe"], patterns: &[BAILING], traits: PLAIN },
    Entry { names: &["seed-coder"], patterns: &[SEED], traits: PLAIN },
    Entry { names: &["ufakzeka"], patterns: &[NO_CONTRACTIONS], traits: PLAIN },
    Entry { names: &["afmoe"], patterns: &[r"\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))", AFMOE_SCRIPTS, DEEPSEEK3], traits: PLAIN },
    Entry { names: &["laguna"], patterns: &[LINES, QWEN2], traits: PLAIN },
    Entry { names: &["exaone-moe"], patterns: &[EXAONE_MOE], traits: PLAIN },
    Entry { names: &["minicpm5"], patterns: &[DIGITS_3, MINICPM5], traits: WHOLE_WORDS },
    Entry { names: &["gemma4", "granite-embed-multi-311m"], patterns: &[LINES], traits: GEMMA4_TRAITS },
    Entry { names: &["sarvam-moe"], patterns: &[LINES], traits: TEXT },
    Entry { names: &["whitespace"], patterns: &[r"\S+"], traits: TEXT },
];

pub struct PreTokenizer {
    patterns: Vec<Regex>,
    pub traits: Traits,
}

impl PreTokenizer {
    pub fn named(name: &str) -> Result<PreTokenizer> {
        let entry = TABLE.iter().find(|entry| entry.names.contains(&name));
        let entry = entry.ok_or_else(|| {
            Failure::Unsupported(format!("tokenizer.ggml.pre '{name}' is not known"))
        })?;
        let compile = |pattern: &&str| {
            Regex::new(pattern)
                .map_err(|e| Failure::Internal(format!("pre-tokenizer '{name}': {e}")))
        };
        let patterns = entry.patterns.iter().map(compile);
        Ok(PreTokenizer { patterns: patterns.collect::<Result<_>>()?, traits: entry.traits })
    }

    /// The regular expressions, in the order in which they cut.
    pub fn patterns(&self) -> impl Iterator<Item = &str> {
        self.patterns.iter().map(Regex::as_str)
    }

    /// The words of `text`, in order; joined they are `text`.
    pub fn split<'t>(&self, text: &'t str) -> Result<Vec<&'t str>> {
        let mut pieces = vec![text];
        for pattern in &self.patterns {
            let mut next = Vec::with_capacity(pieces.len());
            let mut keep = |word: &'t str| {
                if !word.is_empty() {
                    next.push(word);
                }
            };
            for piece in pieces {
                let mut end = 0;
                for found in pattern.find_iter(piece) {
                    // Only text made to exhaust the backtracking limit comes here.
                    let found = found.map_err(|e| {
                        Failure::BadRequest(format!("the text is too hard to tokenize: {e}"))
                    })?;
                    keep(&piece[end..found.start()]);
                    keep(&piece[found.start()..found.end()]);
                    end = found.end();
                }
                keep(&piece[end..]);
            }
            pieces = next;
        }
        Ok(pieces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(name: &str, text: &str) -> Vec<String> {
        let pre = PreTokenizer::named(name).unwrap();
        let words = pre.split(text).unwrap();
        words.into_iter().map(str::to_string).collect()
    }

    #[test]
    fn every_entry_compiles_and_loses_nothing() {
        let text = "I'LL pay 1234567 kr.\r\n\n  Ünïcode ⅨⅧ 漢字かな한국어 IMGIMGABZ\t<sentinel:12>\u{3000}x \u{1F600}  ";
        for entry in TABLE {
            for name in entry.names {
                assert_eq!(words(name, text).concat(), text, "{name}");
            }
        }
    }

    #[test]
    fn no_name_is_listed_twice() {
        let mut names: Vec<_> = TABLE.iter().flat_map(|e| e.names).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn digits_group_as_the_model_has_them() {
        assert_eq!(words("qwen2", "a 123"), ["a", " ", "1", "2", "3"]);
        assert_eq!(words("llama-bpe", "12345"), ["123", "45"]);
        assert_eq!(words("afmoe", "12345"), ["12", "345"]);
        assert_eq!(words("superbpe", "1234567"), ["1", "234", "567"]);
    }

    #[test]
    fn spaces_leave_one_for_the_next_word() {
        assert_eq!(words("gpt-2", "a   b\n"), ["a", "  ", " b", "\n"]);
    }

    #[test]
    fn an_unknown_name_is_unsupported() {
        let failure = PreTokenizer::named("no-such").err().unwrap();
        assert!(matches!(failure, Failure::Unsupported(_)));
    }
}
