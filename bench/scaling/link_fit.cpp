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

LinkModel hierarchical_all_reduce(const LinkModel& inner, const LinkModel& outer, int ranks,
                                  int ranks_per_host) {
  if (ranks <= ranks_per_host) return ring_all_reduce(inner, ranks);
  if (ranks % ranks_per_host != 0) {
    throw std::invalid_argument(std::to_string(ranks) + " ranks are no whole number of hosts with " +
                                std::to_string(ranks_per_host) + " each");
  }
  const LinkModel within = ring_all_reduce(inner, ranks_per_host);
  const LinkModel between = ring_all_reduce(outer, ranks / ranks_per_host);
  return {within.latency_s + between.latency_s, within.s_per_byte + between.s_per_byte};
}

}  // namespace lockstep
