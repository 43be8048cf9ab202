#include "sampler/token_files.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>

#include "sampler/data_error.h"

namespace lockstep {
namespace {

constexpr std::size_t kHeaderBytes = 256 * sizeof(std::int32_t);
constexpr std::int32_t kMagicOfUint16 = 20240520;
constexpr std::int32_t kMagicOfUint32 = 20240801;
// What else llm.c writes: models, states to debug with, tokenizers and multiple-choice questions.
constexpr std::array kMagicOfOthers = {20240326, 20240327, 20240328, 20240522};

// All formats are little-endian, as are the machines that LibTorch's wheel runs on.
template <class Number>
Number number_at(const std::uint8_t* bytes) {
  Number number;
  std::memcpy(&number, bytes, sizeof(Number));
  return number;
}

[[noreturn]] void fail(const std::filesystem::path& file, const std::string& what) {
  throw DataError(file.string() + ": " + what);
}

std::string count_text(std::int64_t count, const char* unit) {
  return std::to_string(count) + " " + unit + (count == 1 ? "" : "s");
}

// The tokens of a file with one of llm.c's headers.
struct Announced {
  std::int64_t bytes_per_token;
  std::int64_t vocabulary;
  std::int64_t tokens;
};

Announced read_header(const std::filesystem::path& file, std::span<const std::uint8_t> bytes) {
  const bool narrow = number_at<std::int32_t>(bytes.data()) == kMagicOfUint16;
  if (bytes.size() < kHeaderBytes) {
    fail(file, "is cut short: " + count_text(static_cast<std::int64_t>(bytes.size()), "byte") +
                   " do not even hold the 1024-byte header of llm.c's token files");
  }
  const auto version = number_at<std::int32_t>(bytes.data() + 4);
  const auto tokens = number_at<std::int32_t>(bytes.data() + 8);
  const std::int32_t expected_version = narrow ? 1 : 7;
  if (version != expected_version) {
    fail(file, "has version " + std::to_string(version) +
                   " in its header; token files with the magic number " +
                   std::to_string(narrow ? kMagicOfUint16 : kMagicOfUint32) + " have version " +
                   std::to_string(expected_version));
  }
  if (tokens < 1)
    fail(file, "announces " + std::to_string(tokens) + " tokens in its header; there must be one");
  const Announced announced{narrow ? 2 : 4, narrow ? kGpt2Vocabulary : kLlama3Vocabulary, tokens};
  const std::int64_t wanted = announced.tokens * announced.bytes_per_token;
  const auto found = static_cast<std::int64_t>(bytes.size() - kHeaderBytes);
  if (found < wanted) {
    fail(file, "is cut short: its header announces " + count_text(tokens, "token") + " in " +
                   count_text(wanted, "byte") + ", " + count_text(found, "byte") + " follow it");
  }
  if (found > wanted) {
    fail(file, "goes on after the " + count_text(tokens, "token") + " that its header announces, by " +
                   count_text(found - wanted, "byte"));
  }
  return announced;
}

}  // namespace

TokenFiles::File TokenFiles::open_file(const std::filesystem::path& path, TokenFileKind kind,
                                       std::int64_t headerless_vocabulary) {
  File file;
  file.mapped = std::make_unique<MappedFile>(path);
  const auto bytes = file.mapped->bytes();
  file.tokens = bytes.data();
  file.end = static_cast<std::int64_t>(bytes.size());
  if (kind == TokenFileKind::kText) {
    file.bytes_per_token = 1;
    file.own_vocabulary = kBytesVocabulary;
    return file;
  }
  const std::int32_t magic = bytes.size() < 4 ? 0 : number_at<std::int32_t>(bytes.data());
  if (magic == kMagicOfUint16 || magic == kMagicOfUint32) {
    const Announced announced = read_header(path, bytes);
    file.tokens += kHeaderBytes;
    file.bytes_per_token = announced.bytes_per_token;
    file.own_vocabulary = announced.vocabulary;
    file.end = announced.tokens;
    return file;
  }
  if (std::find(kMagicOfOthers.begin(), kMagicOfOthers.end(), magic) != kMagicOfOthers.end()) {
    fail(path, "begins with the magic number " + std::to_string(magic) +
                   ", which is another of llm.c's formats; token files begin with " +
                   std::to_string(kMagicOfUint16) + " (uint16), " + std::to_string(kMagicOfUint32) +
                   " (uint32), or their first token");
  }
  if (file.end % 2 != 0) {
    fail(path, "has " + count_text(file.end, "byte") +
                   ", an odd number; without one of llm.c's headers it is a "
                   "row of tokens of 2 bytes each");
  }
  file.bytes_per_token = 2;
  file.own_vocabulary = headerless_vocabulary;
  file.end /= 2;
  return file;
}

TokenFiles::TokenFiles(const std::vector<std::filesystem::path>& files, TokenFileKind kind,
                       std::int64_t vocabulary_size, std::int64_t headerless_vocabulary)
    : vocabulary_size_(vocabulary_size) {
  if (files.empty()) throw std::invalid_argument("TokenFiles: at least one file is needed");
  for (const std::filesystem::path& path : files) {
    File file = open_file(path, kind, headerless_vocabulary);
    if (!files_.empty()) {
      file.begin = files_.back().end;
      file.end += file.begin;
      if (vocabulary_size == 0 && file.own_vocabulary != files_.front().own_vocabulary) {
        fail(path, "is of a format with a vocabulary of " + std::to_string(file.own_vocabulary) + ", " +
                       files_.front().mapped->path().filename().string() + " beside it of one of " +
                       std::to_string(files_.front().own_vocabulary) + "; both need the same");
      }
    }
    files_.push_back(std::move(file));
  }
  if (vocabulary_size_ == 0) vocabulary_size_ = files_.front().own_vocabulary;
}

void TokenFiles::read(std::int64_t first, std::span<std::int64_t> to) const {
  const auto count = static_cast<std::int64_t>(to.size());
  if (first < 0 || count > size() - first) {
    throw std::out_of_range("tokens " + std::to_string(first) + " to " + std::to_string(first + count) +
                            " do not exist in " + name());
  }
  auto file = std::upper_bound(files_.begin(), files_.end(), first,
                               [](std::int64_t position, const File& other) { return position < other.end; });
  for (std::int64_t i = 0; i < count; ++i) {
    while (first + i >= file->end) ++file;
    const std::int64_t position = first + i - file->begin;
    const std::uint8_t* const bytes = file->tokens + position * file->bytes_per_token;
    std::int64_t token = *bytes;
    if (file->bytes_per_token == 2) token = number_at<std::uint16_t>(bytes);
    if (file->bytes_per_token == 4) token = number_at<std::uint32_t>(bytes);
    if (token >= vocabulary_size_) refuse_token(*file, position, token);
    to[static_cast<std::size_t>(i)] = token;
  }
}

void TokenFiles::refuse_token(const File& file, std::int64_t position, std::int64_t token) const {
  fail(file.mapped->path(), "token " + std::to_string(token) + " at position " + std::to_string(position) +
                                " is beyond the vocabulary of " + std::to_string(vocabulary_size_) +
                                "; tokens are 0 to " + std::to_string(vocabulary_size_ - 1) +
                                " (--vocab-size sets another vocabulary)");
}

std::string TokenFiles::name() const {
  const std::string first = files_.front().mapped->path().filename().string();
  return files_.size() == 1 ? first : first + " and " + std::to_string(files_.size() - 1) + " more";
}

}  // namespace lockstep
