// Every option of `lockstep bench step`, and the workloads that have a name. Links no LibTorch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/config/bench_setting.h"

namespace lockstep {

struct StepConfig : BenchSetting {
  std::string workload = "mlp-512";  // names with commas between them, or all
  std::string model;                 // empty: the workloads; else one of the user's own, from here on
  std::string hidden = "512,512";    // widths of mlp's layers
  std::string sample_sizes = "1,28,28";
  std::int64_t num_classes = 10;
  std::int64_t batch_size = 64;      // samples per rank
  std::int64_t sequence_length = 0;  // tokens of a sample; 0: the model's own
  std::int64_t vocabulary_size = 0;  // 0: GPT-2's or BERT's own
  double peak_tflops = 0;            // of one rank's device; 0: measured

  int rounds = 15;  // in which every contender has one turn
  int warmup_rounds = 2;
  int steps = 0;         // timed steps of a turn; 0: the workload's own number
  int settle_steps = 1;  // before them, untimed: a turn begins with the caches another has left
  std::string contenders = "alone,local,averaged,sharded";
  std::string compress = "none";      // none | fp16: what gradients travel as, ours and the peers'
  std::string precision = "32-true";  // 32-true | bf16-mixed
  bool channels_last = false;
  int num_threads = 1;
  std::string python;          // interpreter for --compare pytorch; empty: found
  std::string record_profile;  // a file for one rank's gradient-ready times; empty: none
  std::string replay;          // such a file: a contender that sleeps in place of computing; empty: none

  static constexpr const char* kPeers[] = {"c10d", "pytorch", "pytorch-ddp", "compile"};
};

// One model with one input.
struct Workload {
  std::string name;
  std::string model;
  std::vector<std::int64_t> hidden;  // of an mlp
  std::vector<std::int64_t> sample_sizes;
  std::int64_t num_classes = 0;
  std::int64_t batch_size = 0;       // samples per rank
  int steps = 1;                     // timed steps of a turn
  std::int64_t sequence_length = 0;  // of a model of tokens, where 0 is its own
  std::int64_t vocabulary_size = 0;
};

const std::vector<Workload>& named_workloads();

// What `config` asks for, in the order asked for. Throws std::invalid_argument for an unknown name.
std::vector<Workload> workloads_of(const StepConfig& config);

}  // namespace lockstep
