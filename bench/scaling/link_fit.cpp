#include "bench/scaling/link_fit.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>

namespace lockstep {

double LinkFit::worst_residual() const {
  double worst = 0.0;
  for (const FitPoint& point : points) worst = std::max(worst, std::abs(point.residual()));
  return worst;
}

LinkFit fit_all_reduce(const std::vector<FitPoint>& measured) {
  std::vector<std::pair<std::int64_t, double>> pairs;
  for (const FitPoint& point : measured) pairs.emplace_back(point.bytes, point.measured_s);
  LinkFit fit{fit_link(pairs), measured};
  for (FitPoint& point : fit.points) {
    point.fitted_s = fit.all_reduce.latency_s + static_cast<double>(point.bytes) * fit.all_reduce.s_per_byte;
  }
  return fit;
}

LinkModel hop_of(const LinkModel& all_reduce, int ranks) {
  if (ranks < 2) throw std::invalid_argument("an all-reduce of one rank says nothing about a link");
  const double messages = 2.0 * (ranks - 1);
  return {all_reduce.latency_s / messages, all_reduce.s_per_byte * ranks / messages};
}

LinkModel ring_all_reduce(const LinkModel& hop, int ranks) {
  const double messages = 2.0 * (ranks - 1);
  return {hop.latency_s * messages, hop.s_per_byte * messages / ranks};
}

LinkModel hierarchical_all_reduce(const LinkModel& within, const LinkModel& hop, int ranks,
                                  int ranks_per_host) {
  if (ranks <= ranks_per_host) return within;
  if (ranks % ranks_per_host != 0) {
    throw std::invalid_argument(std::to_string(ranks) + " ranks are no whole number of hosts with " +
                                std::to_string(ranks_per_host) + " each");
  }
  const LinkModel between = ring_all_reduce(hop, ranks / ranks_per_host);
  return {within.latency_s + between.latency_s, within.s_per_byte + between.s_per_byte};
}

namespace {

// No all-reduce of `ranks` is quicker.
LinkModel bound_of(const SharedCores& measured, int ranks) {
  const LinkModel wire = ring_all_reduce({0.0, measured.wire_s_per_byte}, ranks);
  // Messages of all ranks: p * 2(p-1). Their bytes: 2(p-1) * n.
  const double bytes = static_cast<double>(ranks - 1) / (measured.ranks - 1);
  const double messages = bytes * ranks / measured.ranks;
  const double turns = (ranks + measured.cores - 1) / measured.cores;
  return {std::max(wire.latency_s, measured.cpu.latency_s * messages / ranks * turns),
          std::max(wire.s_per_byte, measured.cpu.s_per_byte * bytes / ranks * turns)};
}

}  // namespace

LinkModel on_shared_cores(const SharedCores& measured, int ranks) {
  const LinkModel there = bound_of(measured, measured.ranks);
  const LinkModel beyond = {std::max(0.0, measured.all_reduce.latency_s - there.latency_s),
                            std::max(0.0, measured.all_reduce.s_per_byte - there.s_per_byte)};
  const LinkModel waiting = ring_all_reduce(hop_of(beyond, measured.ranks), ranks);
  const LinkModel here = bound_of(measured, ranks);
  return {here.latency_s + waiting.latency_s, here.s_per_byte + waiting.s_per_byte};
}

LinkModel shared_memory_all_reduce(const LinkModel& measured, int measured_ranks, int ranks, int cores) {
  const auto turns = [&](int count) { return std::max(1.0, static_cast<double>(count) / cores); };
  const double longer = turns(ranks) / turns(measured_ranks);
  return {measured.latency_s * longer, measured.s_per_byte * longer};
}

}  // namespace lockstep
