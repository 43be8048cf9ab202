#include "trainer/drift.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>

namespace lockstep {
namespace {

// Odd multipliers and xor-shifts are invertible, so that a change in one word is never lost; the finalizer of
// MurmurHash3 spreads it. Four lanes, because a multiplication waits for the one before.
constexpr std::uint64_t kMultiplier = 0x9E3779B97F4A7C15ULL;
constexpr std::size_t kLanes = 4;
constexpr std::size_t kWordBytes = sizeof(std::uint64_t);

std::uint64_t mix(std::uint64_t hash, std::uint64_t word) {
  hash = (hash ^ word) * kMultiplier;
  return hash ^ (hash >> 32U);
}

std::uint64_t add(std::uint64_t hash, const at::Tensor& tensor) {
  const at::Tensor here = tensor.detach().contiguous().to(at::kCPU);
  const auto* bytes = static_cast<const unsigned char*>(here.const_data_ptr());
  std::size_t left = here.nbytes();
  std::uint64_t lanes[kLanes] = {hash, hash + 1, hash + 2, hash + 3};
  for (; left >= kLanes * kWordBytes; left -= kLanes * kWordBytes, bytes += kLanes * kWordBytes) {
    std::uint64_t words[kLanes];
    std::memcpy(words, bytes, sizeof words);
    for (std::size_t lane = 0; lane < kLanes; ++lane) lanes[lane] = mix(lanes[lane], words[lane]);
  }
  for (const std::uint64_t lane : lanes) hash = mix(hash, lane);
  for (; left > 0; --left, ++bytes) hash = mix(hash, *bytes);
  return hash;
}

}  // namespace

double fingerprint(const std::vector<at::Tensor>& tensors) {
  std::uint64_t hash = 0;
  for (const at::Tensor& tensor : tensors) hash = add(hash, tensor);
  constexpr std::uint64_t kMost = (1ULL << 53U) - 1;  // doubles hold whole numbers up to here
  return static_cast<double>(std::max<std::uint64_t>(1, (hash ^ (hash >> 53U)) & kMost));
}

std::string describe_drift(const std::vector<double>& fingerprints) {
  std::map<double, std::size_t> counts;
  for (const double one : fingerprints) ++counts[one];
  const auto most = std::max_element(counts.begin(), counts.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  const bool majority = 2 * most->second > fingerprints.size();
  std::vector<std::string> others;
  for (std::size_t rank = 0; rank < fingerprints.size(); ++rank) {
    if (!majority || fingerprints[rank] != most->first) others.push_back(std::to_string(rank));
  }
  std::string list;
  for (std::size_t i = 0; i < others.size(); ++i)
    list += (i == 0 ? "" : i + 1 == others.size() ? " and " : ", ") + others[i];
  if (!majority) return "ranks " + list + " differ, and no majority tells which is right";
  return (others.size() == 1 ? "rank " + list + " differs from the "
                             : "ranks " + list + " differ from the ") +
         std::to_string(most->second) + " others";
}

}  // namespace lockstep
