#include "sampler/cifar10_dataset.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "sampler/data_error.h"

namespace lockstep {
namespace {

constexpr std::int64_t kPixels = 32 * 32;
constexpr std::int64_t kChannels = 3;
constexpr std::int64_t kRecordBytes = 1 + kChannels * kPixels;
constexpr std::int64_t kClasses = 10;
constexpr std::array<float, 3> kMean = {0.4914f, 0.4822f, 0.4465f};
constexpr std::array<float, 3> kStd = {0.2470f, 0.2435f, 0.2616f};
constexpr const char* kFolderOfArchive = "cifar-10-batches-bin";

bool is_there(const std::filesystem::path& file) {
  std::error_code unreadable;  // counts as not there
  return std::filesystem::exists(file, unreadable);
}

}  // namespace

Cifar10Dataset::Cifar10Dataset(std::string name, const std::vector<std::filesystem::path>& files)
    : name_(std::move(name)) {
  if (files.empty()) throw std::invalid_argument("Cifar10Dataset: at least one file is needed");
  for (const std::filesystem::path& path : files) {
    auto mapped = std::make_unique<MappedFile>(path);
    const auto bytes = static_cast<std::int64_t>(mapped->bytes().size());
    if (bytes % kRecordBytes != 0) {
      throw DataError(path.string() + ": is cut short or no CIFAR-10 file: " + std::to_string(bytes) +
                      " bytes are not a multiple of the " + std::to_string(kRecordBytes) + " of one sample");
    }
    for (std::int64_t i = 0; i < bytes / kRecordBytes; ++i) {
      const std::uint8_t label = mapped->bytes()[static_cast<std::size_t>(i * kRecordBytes)];
      if (label < kClasses) continue;
      throw DataError(path.string() + ": label " + std::to_string(label) + " of sample " + std::to_string(i) +
                      " is out of range; labels are 0 to " + std::to_string(kClasses - 1));
    }
    files_.push_back({std::move(mapped), size() + bytes / kRecordBytes});
  }
  for (std::size_t channel = 0; channel < value_of_.size(); ++channel) {
    for (std::size_t value = 0; value < 256; ++value) {
      value_of_[channel][value] = (static_cast<float>(value) / 255.0f - kMean[channel]) / kStd[channel];
    }
  }
}

std::int64_t Cifar10Dataset::size() const {
  return files_.empty() ? 0 : files_.back().end;
}

Batch Cifar10Dataset::get_batch(std::span<const std::int64_t> indices) const {
  const auto count = static_cast<std::int64_t>(indices.size());
  Batch batch{.data = at::empty({count, kChannels, 32, 32}, at::TensorOptions().dtype(at::kFloat)),
              .target = at::empty({count}, at::TensorOptions().dtype(at::kLong))};
  auto* data = batch.data.mutable_data_ptr<float>();
  auto* target = batch.target.mutable_data_ptr<std::int64_t>();
  for (const std::int64_t index : indices) {
    if (index < 0 || index >= size()) {
      throw std::out_of_range("sample " + std::to_string(index) + " does not exist in " + description());
    }
    const auto file = std::upper_bound(files_.begin(), files_.end(), index,
                                       [](std::int64_t i, const File& other) { return i < other.end; });
    const std::int64_t begin = file == files_.begin() ? 0 : std::prev(file)->end;
    const std::uint8_t* byte = file->mapped->bytes().data() + (index - begin) * kRecordBytes;
    *target++ = *byte++;
    for (const auto& value_of : value_of_) {
      data = std::transform(byte, byte + kPixels, data, [&](std::uint8_t x) { return value_of[x]; });
      byte += kPixels;
    }
  }
  return batch;
}

std::string Cifar10Dataset::description() const {
  return name_ + " (" + std::to_string(size()) + " samples)";
}

bool is_cifar10_folder(const std::filesystem::path& folder) {
  return is_there(folder / "data_batch_1.bin") || is_there(folder / kFolderOfArchive / "data_batch_1.bin");
}

Cifar10TrainAndTest open_cifar10_folder(const std::string& name, const std::filesystem::path& folder) {
  const bool is_archive = is_there(folder / kFolderOfArchive);
  const std::filesystem::path files = is_archive ? folder / kFolderOfArchive : folder;
  std::vector<std::filesystem::path> train;
  for (int i = 1; i <= 5; ++i) {
    const std::filesystem::path file = files / ("data_batch_" + std::to_string(i) + ".bin");
    if (is_there(file)) train.push_back(file);
  }
  const std::filesystem::path test = files / "test_batch.bin";
  if (train.empty() || !is_there(test)) {
    throw DataError(
        files.string() + ": " + (train.empty() ? "data_batch_1.bin" : "test_batch.bin") +
        " is missing; such a folder holds data_batch_1.bin to data_batch_5.bin and test_batch.bin");
  }
  return {std::make_shared<Cifar10Dataset>(name + " train", train),
          std::make_shared<Cifar10Dataset>(name + " test", std::vector{test})};
}

}  // namespace lockstep
