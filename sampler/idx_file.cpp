// Every size is checked against the file before memory is taken for it: a plain file must have exactly the
// length its header gives, and gzip data can grow by a factor of about 1032 at most (RFC 1951: 258 bytes for
// 2 bits).
#include "sampler/idx_file.h"

#include <zlib.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <span>
#include <string>

#include "sampler/data_error.h"

namespace lockstep {
namespace {

constexpr std::uint32_t kImagesMagic = 0x00000803;  // unsigned bytes, 3 dimensions
constexpr std::uint32_t kLabelsMagic = 0x00000801;  // unsigned bytes, 1 dimension
constexpr std::uint64_t kLargestContent = std::uint64_t{4} << 30;
constexpr std::uint64_t kLargestGzipFactor = 1032;

[[noreturn]] void fail(const std::filesystem::path& file, const std::string& what) {
  throw DataError(file.string() + ": " + what);
}

// The content of a plain or gzip file, in order.
class ContentReader {
 public:
  explicit ContentReader(const std::filesystem::path& file) : file_(file) {
    // The length first: a pipe or a device has none, and would block once opened.
    std::error_code error;
    file_bytes_ = std::filesystem::file_size(file, error);
    if (error) fail(file, "cannot be read (" + error.message() + ")");
    input_.open(file, std::ios::binary);
    if (!input_) fail(file, "cannot be opened (" + std::string(std::strerror(errno)) + ")");
    refill();
    const bool has_gzip_magic = buffered_.size() >= 2 && buffered_[0] == 0x1f && buffered_[1] == 0x8b;
    if (!has_gzip_magic && file.extension() == ".gz")
      fail(file, "is not gzip data, though its name ends in .gz");
    if (has_gzip_magic) {
      if (inflateInit2(&stream_, 16 + MAX_WBITS) != Z_OK) fail(file, "zlib could not be started");
      is_gzip_ = true;
    }
  }
  ~ContentReader() {
    if (is_gzip_) inflateEnd(&stream_);
  }
  ContentReader(const ContentReader&) = delete;
  ContentReader& operator=(const ContentReader&) = delete;

  // Fills `to` as far as the content goes; returns how many bytes that was.
  std::size_t read(std::span<std::uint8_t> to) { return is_gzip_ ? read_gzip(to) : read_plain(to); }

  // Whether a content of `bytes` is possible for a file of this length.
  bool can_hold(std::uint64_t bytes) const {
    return bytes <= (is_gzip_ ? file_bytes_ * kLargestGzipFactor : file_bytes_);
  }

  // To be called where the content should have ended.
  void expect_end() {
    std::uint8_t extra = 0;
    if (read({&extra, 1}) != 0) fail(file_, "goes on after the last sample that its header announces");
    if (is_gzip_ && (!buffered_.empty() || refill())) fail(file_, "goes on after the end of its gzip data");
  }

 private:
  // Makes `buffered_` the next piece of the file; false at its end.
  bool refill() {
    input_.read(reinterpret_cast<char*>(buffer_.data()), static_cast<std::streamsize>(buffer_.size()));
    if (input_.bad()) fail(file_, "could not be read to its end (" + std::string(std::strerror(errno)) + ")");
    buffered_ = std::span(buffer_).first(static_cast<std::size_t>(input_.gcount()));
    return !buffered_.empty();
  }

  std::size_t read_plain(std::span<std::uint8_t> to) {
    std::size_t done = 0;
    while (done < to.size() && (!buffered_.empty() || refill())) {
      const std::size_t piece = std::min(buffered_.size(), to.size() - done);
      std::memcpy(to.data() + done, buffered_.data(), piece);
      buffered_ = buffered_.subspan(piece);
      done += piece;
    }
    return done;
  }

  std::size_t read_gzip(std::span<std::uint8_t> to) {
    std::size_t done = 0;
    while (done < to.size() && !gzip_ended_) {
      if (buffered_.empty() && !refill()) fail(file_, "is damaged: its gzip data ends early");
      // zlib counts in 32 bits.
      const std::size_t room = std::min<std::size_t>(to.size() - done, std::size_t{1} << 30);
      stream_.next_in = buffered_.data();
      stream_.avail_in = static_cast<uInt>(buffered_.size());
      stream_.next_out = to.data() + done;
      stream_.avail_out = static_cast<uInt>(room);
      const int status = inflate(&stream_, Z_NO_FLUSH);
      done += room - stream_.avail_out;
      buffered_ = buffered_.last(stream_.avail_in);
      gzip_ended_ = status == Z_STREAM_END;
      if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR) {
        fail(file_, std::string("is damaged: ") + (stream_.msg != nullptr ? stream_.msg : "bad gzip data"));
      }
    }
    return done;
  }

  std::filesystem::path file_;
  std::ifstream input_;
  std::uint64_t file_bytes_ = 0;
  std::array<std::uint8_t, 256 * 1024> buffer_;
  std::span<std::uint8_t> buffered_;  // what is in buffer_ and not yet used
  bool is_gzip_ = false;
  bool gzip_ended_ = false;
  z_stream stream_ = {};
};

std::string hex(std::uint32_t value) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text = "0x";
  for (int shift = 28; shift >= 0; shift -= 4) text += kDigits[(value >> shift) & 0xf];
  return text;
}

// Big-endian; the magic number, then one size per dimension.
template <std::size_t kDimensions>
std::array<std::int64_t, kDimensions> read_header(ContentReader& reader, const std::filesystem::path& file,
                                                  std::uint32_t magic, const std::string& kind) {
  std::array<std::uint8_t, 4 + 4 * kDimensions> bytes = {};
  const std::size_t got = reader.read(bytes);
  const auto number = [&bytes](std::size_t index) {
    return std::uint32_t{bytes[4 * index]} << 24 | std::uint32_t{bytes[4 * index + 1]} << 16 |
           std::uint32_t{bytes[4 * index + 2]} << 8 | std::uint32_t{bytes[4 * index + 3]};
  };
  if (got >= 4 && number(0) != magic) {
    fail(file, "begins with " + hex(number(0)) + " where a file of " + kind + " begins with " + hex(magic));
  }
  if (got < bytes.size()) {
    fail(file, "is cut short: " + std::to_string(got) + " bytes do not even hold the " +
                   std::to_string(bytes.size()) + "-byte header of a file of " + kind);
  }
  std::array<std::int64_t, kDimensions> sizes;
  for (std::size_t i = 0; i < kDimensions; ++i) sizes[i] = number(i + 1);
  return sizes;
}

std::vector<std::uint8_t> read_content(ContentReader& reader, const std::filesystem::path& file,
                                       std::span<const std::int64_t> sizes) {
  if (sizes[0] == 0) fail(file, "holds no samples");
  std::uint64_t bytes = 1;
  for (const std::int64_t size : sizes) {
    if (size == 0) fail(file, "holds pictures without pixels");
    bytes *= static_cast<std::uint64_t>(size);  // at most 2^32 * 2^32: checked before the next one
    if (bytes > kLargestContent) fail(file, "announces more than 4 GiB, which no idx file of this kind has");
  }
  const auto cut_short = [&](const std::string& found) {
    fail(file, "is cut short: its header announces " + std::to_string(bytes) + " bytes of samples, " + found);
  };
  if (!reader.can_hold(bytes)) cut_short("more than a file of this length can hold");
  std::vector<std::uint8_t> content(bytes);
  const std::size_t got = reader.read(content);
  if (got != bytes) cut_short("it holds " + std::to_string(got));
  reader.expect_end();
  return content;
}

}  // namespace

IdxImages read_idx_images(const std::filesystem::path& file) {
  ContentReader reader(file);
  const auto sizes = read_header<3>(reader, file, kImagesMagic, "images (idx3-ubyte)");
  return {
      .count = sizes[0], .rows = sizes[1], .columns = sizes[2], .pixels = read_content(reader, file, sizes)};
}

std::vector<std::uint8_t> read_idx_labels(const std::filesystem::path& file) {
  ContentReader reader(file);
  const auto sizes = read_header<1>(reader, file, kLabelsMagic, "labels (idx1-ubyte)");
  return read_content(reader, file, sizes);
}

}  // namespace lockstep
