// The table, and where a name's files are looked for.
#include "sampler/datasets.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <stdexcept>

#include "sampler/cifar10_dataset.h"
#include "sampler/data_error.h"
#include "sampler/idx_dataset.h"
#include "sampler/nearest_name.h"
#include "sampler/synthetic_dataset.h"
#include "sampler/token_sets.h"

namespace lockstep {
namespace {

TrainAndTest open_idx(const std::string& name, const std::filesystem::path& folder,
                      const IdxSetFacts& facts) {
  IdxTrainAndTest sets = open_idx_folder(name, folder, facts);
  return {std::move(sets.train), std::move(sets.test)};
}

// The folder of a known set's files.
std::filesystem::path find_folder(const std::string& name) {
  const char* from_environment = std::getenv("LOCKSTEP_DATA");
  const bool is_set = from_environment != nullptr && *from_environment != '\0';
  const std::filesystem::path system_folder = std::filesystem::path("/usr/share/datasets") / name;
  std::string looked_in = system_folder.string();
  std::error_code unreadable;  // counts as not there
  if (is_set) {
    const std::filesystem::path folder = std::filesystem::path(from_environment) / name;
    if (std::filesystem::is_directory(folder, unreadable)) return folder;
    looked_in = folder.string() + " and " + looked_in;
  }
  if (std::filesystem::is_directory(system_folder, unreadable)) return system_folder;
  throw DataError("data set " + name + " is not on this machine: looked for its files in " + looked_in +
                  "; name a folder that holds them, or set LOCKSTEP_DATA to the folder that " + name +
                  " is in");
}

TrainAndTest open_fashion_mnist(const DatasetOptions&) {
  const IdxSetFacts facts{.num_classes = 10, .normalization = PixelNormalization{0.2860f, 0.3530f}};
  return open_idx("fashion-mnist", find_folder("fashion-mnist"), facts);
}

TrainAndTest open_mnist(const DatasetOptions&) {
  const IdxSetFacts facts{.num_classes = 10, .normalization = PixelNormalization{0.1307f, 0.3081f}};
  return open_idx("mnist", find_folder("mnist"), facts);
}

TrainAndTest open_cifar10(const std::string& name, const std::filesystem::path& folder) {
  Cifar10TrainAndTest sets = open_cifar10_folder(name, folder);
  return {std::move(sets.train), std::move(sets.test)};
}

TrainAndTest open_known_cifar10(const DatasetOptions&) {
  return open_cifar10("cifar10", find_folder("cifar10"));
}

TrainAndTest open_synthetic(const DatasetOptions& options) {
  const auto make = [&options](Split split, std::int64_t samples) {
    return std::make_shared<SyntheticDataset>(options.seed, split, samples, options.synthetic_sizes,
                                              options.synthetic_classes);
  };
  const std::int64_t samples = options.synthetic_samples;
  return {make(Split::kTrain, samples), make(Split::kTest, std::max<std::int64_t>(samples / 4, 1))};
}

struct Entry {
  const char* name;
  TrainAndTest (*open)(const DatasetOptions& options);
};

constexpr Entry kDatasets[] = {
    {"fashion-mnist", open_fashion_mnist},
    {"mnist", open_mnist},
    {"cifar10", open_known_cifar10},
    {"synthetic", open_synthetic},
    {"synthetic-tokens", open_synthetic_tokens},
};

struct KindOfFile {
  const char* prefix;
  TokenFileKind kind;
};

constexpr KindOfFile kKindsOfFile[] = {
    {"text:", TokenFileKind::kText},
    {"tokens:", TokenFileKind::kTokens},
};

}  // namespace

TrainAndTest open_dataset(const std::string& data, const DatasetOptions& options) {
  for (const Entry& entry : kDatasets) {
    if (data == entry.name) return entry.open(options);
  }
  for (const auto& [prefix, kind] : kKindsOfFile) {
    if (data.starts_with(prefix)) return open_token_files(data.substr(std::strlen(prefix)), kind, options);
  }
  std::error_code unreadable;  // counts as not there
  if (std::filesystem::is_directory(data, unreadable)) {
    const auto folder = std::filesystem::path(data).lexically_normal();
    const auto last = folder.has_filename() ? folder.filename() : folder.parent_path().filename();
    const std::string name = last.empty() ? data : last.string();
    return is_cifar10_folder(folder) ? open_cifar10(name, folder) : open_idx(name, folder, {});
  }
  std::string known;
  for (const std::string& name : dataset_names()) known += (known.empty() ? "" : ", ") + name;
  // What looks like a path was not meant to be a name.
  const bool is_path = data.find('/') != std::string::npos;
  throw std::invalid_argument(
      "unknown data set '" + data + "'" +
      (is_path ? "" : " (did you mean '" + nearest_name(data, dataset_names()) + "'?)") +
      ": it is neither one of " + known + " nor a folder");
}

std::vector<std::string> dataset_names() {
  std::vector<std::string> names;
  for (const Entry& entry : kDatasets) names.emplace_back(entry.name);
  for (const KindOfFile& kind : kKindsOfFile) names.push_back(std::string(kind.prefix) + "PATH");
  return names;
}

}  // namespace lockstep
