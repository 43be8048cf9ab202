// A counter-based generator: hash(key + counter), with the finaliser of splitmix64 (Steele, Lea, Flood: Fast
// splittable pseudorandom number generators, 2014). No state, so nothing depends on the order of requests.
#pragma once

#include <cstdint>

namespace lockstep {

constexpr std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// The key of an independent stream of numbers mix(key), mix(key + 1), ... `purpose` keeps the streams of one
// seed apart: each kind of stream in this folder has its own.
constexpr std::uint64_t stream_key(std::uint64_t seed, std::uint64_t purpose, std::uint64_t index) {
  return mix(mix(mix(seed) + purpose) + index);
}

// The streams' purposes; kTrain's and kTest's of one kind differ by 1.
inline constexpr std::uint64_t kTemplateStream = 1;
inline constexpr std::uint64_t kLabelStream = 2;       // plus the split
inline constexpr std::uint64_t kNoiseStream = 4;       // plus the split
inline constexpr std::uint64_t kTokenRunStream = 6;    // plus the split
inline constexpr std::uint64_t kTokenNoiseStream = 8;  // plus the split
inline constexpr std::uint64_t kMaskingStream = 10;    // plus the split

}  // namespace lockstep
