#include "launch/bench_wire.h"

#include <cstdio>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>

#include "bench/config/wire_rate.h"
#include "launch/network_bytes.h"
#include "launch/shaped_wire.h"
#include "trainer/run_dir/atomic_file.h"

namespace lockstep {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kMostHosts = 250;  // addresses of one network

void add_to_file(const std::string& json_file, const Json& network) {
  std::ifstream stream(json_file);
  Json json = Json::parse(stream, nullptr, /*allow_exceptions=*/false);
  stream.close();
  if (!json.is_object()) return;  // it was stopped before it wrote anything
  json["network"] = network;
  write_file_atomically(json_file, json.dump(2) + "\n");
}

std::string carried(const SentBytes& sent) {
  std::string text;
  for (const auto& [interface, bytes] : sent) {
    char number[64];
    std::snprintf(number, sizeof number, "%.1f MB", static_cast<double>(bytes) / 1e6);
    text += (text.empty() ? "" : ", ") + interface + " " + number;
  }
  return text;
}

}  // namespace

const std::vector<Option<BenchWireOptions>>& bench_wire_options() {
  static const std::vector<Option<BenchWireOptions>> options = {
      {"wire", "How it is started", &BenchWireOptions::wire, "RATE",
       "Run on --nnodes hosts that are made for it on this machine: network namespaces, each behind a wire "
       "of "
       "this rate, such as 1gbit (root, iproute2)",
       wire_rate(), "no wire"},
  };
  return options;
}

void check_bench_wire(const BenchWireOptions& options, const LaunchOptions& launch) {
  if (options.wire.empty()) return;
  if (launch.nnodes < 2 || launch.nnodes > kMostHosts) {
    throw std::invalid_argument("--wire needs --nnodes N, the number of hosts to make, from 2 to " +
                                std::to_string(kMostHosts));
  }
  if (!launch.hostfile.empty())
    throw std::invalid_argument("--wire makes its own hosts; leave --hostfile out");
}

int run_bench_job(RankJob job, const BenchWireOptions& options, const std::string& json_file) {
  std::optional<ShapedWire> wire;
  if (!options.wire.empty() && !job.launch.dry_run) {
    wire.emplace(WirePlan{options.wire, job.launch.nnodes, job.launch.nproc_per_node});
    wire->enter();
    job.launch.hostfile = wire->hostfile();
  }
  const auto count = [&] { return wire ? wire->sent_bytes() : read_sent_bytes(); };
  const SentBytes before = count();
  const int code = run_rank_job(job);
  const SentBytes sent = sent_between(before, count());
  if (wire) {
    std::cout << "# wire: " << options.wire << " between " << job.launch.nnodes
              << " hosts of this machine; sent by all of them: " << carried(sent) << std::endl;
  }
  if (!json_file.empty() && !job.launch.dry_run)
    add_to_file(json_file, {{"wire", options.wire}, {"sent_bytes", sent}});
  return code;
}

}  // namespace lockstep
