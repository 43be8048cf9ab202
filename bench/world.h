// The ranks of a benchmark: how they are joined, what they agree on, and what the report says of them.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "bench/config/bench_setting.h"
#include "bench/report/run_facts.h"
#include "comm/communicator.h"
#include "comm/placement.h"

namespace lockstep {

class MpiWorld;

// One per process; every rank opens it with the same setting.
class BenchWorld {
 public:
  // `with_mpi`: MPI is wanted as a peer, whatever carries our own collectives. Throws what
  // create_communicator() throws.
  BenchWorld(const BenchSetting& setting, const Placement& placement, bool with_mpi);
  ~BenchWorld();
  BenchWorld(const BenchWorld&) = delete;
  BenchWorld& operator=(const BenchWorld&) = delete;

  const CommunicatorPtr& communicator() const { return communicator_; }
  const Placement& placement() const { return placement_; }
  // Where this rank computes, and what it exchanges lies.
  at::Device device() const { return device_; }
  // Until the device has done what was queued so far; at once on the CPU. To be called before a clock is
  // read.
  void wait_for_device() const;
  int rank() const { return placement_.rank; }
  int world_size() const { return placement_.world_size; }
  MpiWorld& mpi() { return *mpi_; }  // only where it was asked for
  RunFacts& facts() { return facts_; }
  const BenchSetting& setting() const { return setting_; }

  // The network interface that the peers' sockets use. Throws std::invalid_argument if the ranks are on
  // several machines and nobody has said which.
  std::string interface() const;

  // Each value's maximum over ranks, on every rank. Collective.
  std::vector<double> slowest(std::vector<double> seconds) const;
  // The sum of `count` over ranks, on every rank. Collective.
  std::int64_t total(std::int64_t count) const;
  // Whether some rank was asked to stop. Collective.
  bool stop_requested() const;
  // Every rank's text, in rank order. Collective.
  std::vector<std::string> gather(const std::string& mine) const;

  // Leaves in good order: collective.
  void close();

 private:
  BenchSetting setting_;
  Placement placement_;
  at::Device device_;
  std::unique_ptr<MpiWorld> mpi_;
  CommunicatorPtr communicator_;
  RunFacts facts_;
};

// The IPv4 address of a network interface of this machine. Throws std::invalid_argument, naming --interface.
std::string address_of_interface(const std::string& name);

}  // namespace lockstep
