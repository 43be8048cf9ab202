// TokenFiles: tokens from files as llm.c and nanoGPT write them, or the bytes of plain text.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "sampler/mapped_file.h"
#include "sampler/token_source.h"

namespace lockstep {

enum class TokenFileKind {
  // Every byte is a token; 256 of them.
  kText,
  // llm.c's .bin (256 little-endian int32, of which the first three are magic number, version and number of
  // tokens): version 1, magic 20240520, of uint16; version 7, magic 20240801, of uint32. A file without such
  // a header is a row of uint16, as nanoGPT writes it: no token of GPT-2's begins like one of llm.c's magic
  // numbers.
  kTokens,
};

// The vocabularies that go with the formats, unless told otherwise.
inline constexpr std::int64_t kBytesVocabulary = 256;
inline constexpr std::int64_t kGpt2Vocabulary = 50257;
inline constexpr std::int64_t kLlama3Vocabulary = 128256;
inline constexpr std::int64_t kBertVocabulary = 30522;

// Files one after the other, as one row. They are mapped, not loaded; each token is checked as it is read.
class TokenFiles final : public TokenSource {
 public:
  // `vocabulary_size` 0: the format's own, which for a file without a header is `headerless_vocabulary`.
  // Throws DataError, naming the file, for one that is unusable, cut short, of an odd number of bytes, or
  // that goes on after the tokens that its header announces.
  TokenFiles(const std::vector<std::filesystem::path>& files, TokenFileKind kind,
             std::int64_t vocabulary_size = 0, std::int64_t headerless_vocabulary = kGpt2Vocabulary);

  std::int64_t size() const override { return files_.back().end; }
  std::int64_t vocabulary_size() const override { return vocabulary_size_; }
  void read(std::int64_t first, std::span<std::int64_t> to) const override;
  std::string name() const override;

 private:
  struct File {
    std::unique_ptr<MappedFile> mapped;
    const std::uint8_t* tokens = nullptr;
    std::int64_t bytes_per_token = 0;
    std::int64_t own_vocabulary = 0;
    std::int64_t begin = 0;  // in the row of all files
    std::int64_t end = 0;
  };
  static File open_file(const std::filesystem::path& path, TokenFileKind kind,
                        std::int64_t headerless_vocabulary);
  [[noreturn]] void refuse_token(const File& file, std::int64_t position, std::int64_t token) const;

  std::vector<File> files_;
  std::int64_t vocabulary_size_;
};

}  // namespace lockstep
