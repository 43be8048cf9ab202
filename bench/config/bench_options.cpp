#include "bench/config/bench_options.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <stdexcept>
#include <utility>

#include "bench/config/text_values.h"

namespace lockstep {
namespace {

constexpr const char* kWhat = "What is measured";
constexpr const char* kHow = "How it is measured";
constexpr const char* kRanks = "How the ranks communicate";
constexpr const char* kLeaves = "What it leaves behind";
constexpr int kMostRounds = 1'000'000;

// The rows for BenchSetting, the same for every benchmark.
template <class Config>
void append_setting(std::vector<Option<Config>>& options) {
  using C = Config;
  constexpr double kLongestTimeoutS = 1e6;
  const std::vector<std::string> peers(std::begin(C::kPeers), std::end(C::kPeers));
  const std::vector<Option<C>> rows = {
      {"device", kRanks, &C::device, "NAME",
       "Where the ranks compute and what they exchange lies: cpu, or cuda (a GPU for each, or shared where "
       "there "
       "are fewer)",
       one_of({"cpu", "cuda"})},
      {"backend", kRanks, &C::backend, "NAME",
       "What carries the gradients: auto (the quickest that is possible here), nccl, shm, tcp, mpi or gloo",
       one_of({"auto", "nccl", "shm", "tcp", "mpi", "gloo"})},
      {"share-gpus", kRanks, &C::share_gpus, "", "As of lockstep train: nccl although ranks share a GPU",
       true_or_false()},
      {"nccl-memory", kRanks, &C::nccl_memory, "NAME",
       "As of lockstep train: memory of our buffers with nccl",
       one_of({"auto", "ordinary", "registered", "symmetric"})},
      {"reduction-order", kRanks, &C::reduction_order, "NAME",
       "Order of our sums: pytorch (DDP's bits), tree (the same for any topology) or fast (the quickest)",
       one_of({"pytorch", "tree", "fast"})},
      {"interface", kRanks, &C::interface, "NAME",
       "Network interface of the peers' sockets, such as eth0; the same on every host", any_line(),
       "$GLOO_SOCKET_IFNAME, or lo for ranks of one machine"},
      {"timeout", kRanks, &C::timeout_s, "SECONDS", "Longest wait for another rank, seconds",
       number_above_zero(kLongestTimeoutS)},
      {"master-addr", kRanks, &C::master_addr, "HOST", "Where the ranks of --backend gloo meet", any_line(),
       "$MASTER_ADDR"},
      {"master-port", kRanks, &C::master_port, "PORT", "TCP port where they meet", integer_between(0, 65535),
       "$MASTER_PORT"},
      {"json", kLeaves, &C::json, "FILE",
       "Write the results as JSON, with the machine, the versions and the command", any_line()},
  };
  options.insert(options.end(), rows.begin(), rows.end());
}

}  // namespace

namespace {

std::vector<Option<CollectiveConfig>> make_collective_options(Collective collective) {
  using C = CollectiveConfig;
  constexpr int kMostRanks = 1 << 20;
  const bool sums = adds_up(collective);
  const std::string mpi = collective == Collective::kAllReduce       ? "MPI_Allreduce"
                          : collective == Collective::kReduceScatter ? "MPI_Reduce_scatter_block"
                          : collective == Collective::kAllGather     ? "MPI_Allgather"
                          : collective == Collective::kBroadcast     ? "MPI_Bcast"
                                                                     : "MPI_Sendrecv";
  std::vector<Option<C>> options = {
      {"min-bytes", kWhat, &C::min_bytes, "SIZE",
       "Smallest size, bytes; K, M and G are powers of 1024 (-b). It is the whole that is reduced, gathered "
       "or sent",
       byte_size()},
      {"max-bytes", kWhat, &C::max_bytes, "SIZE", "Largest size, bytes (-e)", byte_size()},
      {"step-factor", kWhat, &C::step_factor, "N", "Factor between one size and the next (-f)",
       integer_between(2, 1 << 20)},
      {"dtype", kWhat, &C::dtype, "NAME", sums ? "What is added up (-d)" : "What is sent (-d)",
       one_of({"float32", "float64", "float16", "bfloat16", "int32", "int64", "uint8"})},
      {"compare", kWhat, &C::compare, "NAMES",
       "Measured beside us, alternating in the same run: gloo (PyTorch's ProcessGroupGloo), mpi (" + mpi +
           ") and tcp (a raw two-way stream between neighbouring ranks, of the bytes that a ring sends)",
       list_of({std::begin(C::kPeers), std::end(C::kPeers)})},
      {"iters", kHow, &C::iters, "N", "Rounds that are timed (-n)", integer_between(1, kMostRounds)},
      {"warmup-iters", kHow, &C::warmup_iters, "N", "Rounds before them that are not (-w)",
       integer_between(0, kMostRounds)},
      {"check", kHow, &C::check, "0|1", "1: look at every element of every result; 0: at none (-c)",
       integer_between(0, 1)},
      {"memory", kHow, &C::memory, "NAME",
       "Our buffers: shared (from the communicator, as the gradient buckets are) or private (ordinary "
       "memory)",
       one_of({"shared", "private"})},
      {"csv", kLeaves, &C::csv, "FILE", "Write the results as CSV", any_line()},
  };
  if (collective == Collective::kBroadcast) {
    options.push_back({"root", kWhat, &C::root, "N", "Rank that everybody's data come from (-r)",
                       integer_between(0, kMostRanks)});
  }
  if (collective == Collective::kAllReduce) {
    options.push_back(
        {"buffers", kHow, &C::buffers, "NAME",
         "fresh: every buffer is written anew before each operation, as a backward pass does; warm: left as "
         "the same operation left it",
         one_of({"fresh", "warm"})});
    options.push_back({"in-place", kHow, &C::in_place, "",
                       "Reduce in place; otherwise from one buffer into another, which costs those who only "
                       "reduce in place "
                       "(Lockstep, Gloo) a copy",
                       true_or_false()});
  }
  if (collective == Collective::kReduceScatter || collective == Collective::kAllGather) {
    options.push_back(
        {"in-place", kHow, &C::in_place, "",
         "A rank's share lies where it belongs within the whole; otherwise in a buffer of its own",
         true_or_false(), "false"});
  }
  append_setting(options);
  const std::vector<std::string> groups = {kWhat, kHow, kRanks, kLeaves};
  std::stable_sort(options.begin(), options.end(), [&](const auto& a, const auto& b) {
    return std::find(groups.begin(), groups.end(), a.group) <
           std::find(groups.begin(), groups.end(), b.group);
  });
  return options;
}

}  // namespace

const std::vector<Option<CollectiveConfig>>& collective_options(Collective collective) {
  static const std::vector<std::vector<Option<CollectiveConfig>>> tables = {
      make_collective_options(Collective::kAllReduce), make_collective_options(Collective::kReduceScatter),
      make_collective_options(Collective::kAllGather), make_collective_options(Collective::kBroadcast),
      make_collective_options(Collective::kSendReceive)};
  return tables[static_cast<std::size_t>(collective)];
}

const std::vector<Option<StepConfig>>& step_options() {
  using C = StepConfig;
  static const std::vector<Option<C>> table = [] {
    std::string names;
    std::vector<std::string> choices = {"all"};
    for (const Workload& workload : named_workloads()) {
      names += (names.empty() ? "" : ", ") + workload.name;
      choices.push_back(workload.name);
    }
    constexpr std::int64_t kMost = std::numeric_limits<int>::max();
    std::vector<Option<C>> options = {
        {"workload", kWhat, &C::workload, "NAMES", "Models and batches to time: all, or some of " + names,
         list_of(choices)},
        {"model", kWhat, &C::model, "NAME",
         "One model instead, with the sizes below: any that lockstep train knows", any_line()},
        {"hidden", kWhat, &C::hidden, "SIZES", "Widths of the hidden layers of --model mlp", list_of_sizes()},
        {"sample-sizes", kWhat, &C::sample_sizes, "SIZES", "One sample of --model", list_of_sizes()},
        {"num-classes", kWhat, &C::num_classes, "N", "Classes of --model", integer_between(1, kMost)},
        {"batch-size", kWhat, &C::batch_size, "N", "Samples per rank and step of --model",
         integer_between(1, kMost)},
        {"sequence-length", kWhat, &C::sequence_length, "N",
         "Tokens of one sample of --model gpt2, gpt2-mini, bert-base or bert-mini; 0: the model's own length",
         integer_between(0, kMost)},
        {"vocab-size", kWhat, &C::vocabulary_size, "N",
         "Different tokens there; 0: 50257 for GPT-2, 30522 for BERT, as published",
         integer_between(0, kMost)},
        {"contenders", kWhat, &C::contenders, "NAMES",
         "Ours: alone (rank 0 while the others wait, for the scaling efficiency of several ranks), local (no "
         "communication, a barrier after each step), averaged (DistributedDataParallel and any optimizer), "
         "sharded (each rank updates its part of the parameters, which travel under the next forward pass "
         "where ranks do not share memory), sharded-waiting (they travel within the step), captured "
         "(averaged, the whole step replayed from a CUDA graph)",
         list_of({"alone", "local", "averaged", "sharded", "sharded-waiting", "captured"})},
        {"compare", kWhat, &C::compare, "NAMES",
         "Measured beside us, alternating in the same run: c10d (PyTorch's own Reducer over Gloo, in this "
         "program), pytorch (PyTorch DDP under torchrun, over Gloo or on GPUs NCCL, and its local step), "
         "pytorch-ddp (without "
         "that) and compile (pytorch, and its DDP under torch.compile)",
         list_of({std::begin(C::kPeers), std::end(C::kPeers)})},
        {"compress", kWhat, &C::compress, "NAME",
         "What gradients travel as, ours and the peers': none (as they are) or fp16",
         one_of({"none", "fp16"})},
        {"precision", kHow, &C::precision, "NAME",
         "Ours and PyTorch's: 32-true, or bf16-mixed (autocast to bfloat16)",
         one_of({"32-true", "bf16-mixed"})},
        {"channels-last", kHow, &C::channels_last, "",
         "Images and filters in channels-last memory, ours and PyTorch's", true_or_false()},
        {"rounds", kHow, &C::rounds, "N", "Rounds that are timed; each contender has one turn in each",
         integer_between(1, kMostRounds)},
        {"warmup-rounds", kHow, &C::warmup_rounds, "N", "Rounds before them that are not",
         integer_between(0, kMostRounds)},
        {"steps", kHow, &C::steps, "N", "Timed steps of a turn; 0: what suits the workload",
         integer_between(0, kMostRounds)},
        {"settle-steps", kHow, &C::settle_steps, "N",
         "Untimed steps at the start of a turn, which finds the caches as another contender left them",
         integer_between(0, kMostRounds)},
        {"peak-tflops", kHow, &C::peak_tflops, "X",
         "What a rank's device can compute at most, 10^12 operations a second, for the share of it; 0: "
         "measured by a "
         "product of large matrices, float32 or of --precision, all ranks at once",
         number_not_negative()},
        {"num-threads", kHow, &C::num_threads, "N", "CPU threads per rank, ours and PyTorch's",
         integer_between(1, 4096)},
        {"python", kHow, &C::python, "FILE", "Python interpreter with PyTorch for --compare pytorch",
         any_line(), "the one Lockstep was built with, else python3"},
        {"record-profile", kLeaves, &C::record_profile, "FILE",
         "Write when each gradient of the workload is ready, and how long forward, backward and optimizer "
         "take; on one rank",
         any_line()},
        {"replay", kWhat, &C::replay, "FILE",
         "Add the contender replayed: such a profile, slept instead of computed, its gradients averaged by "
         "DistributedDataParallel",
         any_line()},
    };
    append_setting(options);
    return options;
  }();
  return table;
}

void check_contradictions(const CollectiveConfig& config) {
  if (parse_byte_size(config.min_bytes) > parse_byte_size(config.max_bytes)) {
    throw std::invalid_argument("--min-bytes: " + quoted(config.min_bytes) + " is more than --max-bytes " +
                                quoted(config.max_bytes) + "; it must be at most that");
  }
  const auto peers = split_list(config.compare);
  if (config.device == "cuda" && !peers.empty()) {
    throw std::invalid_argument("--compare " + config.compare +
                                " with --device cuda: these peers move CPU tensors; leave one of them out");
  }
  if (config.collective == Collective::kReduceScatter && config.in_place &&
      std::find(peers.begin(), peers.end(), "mpi") != peers.end()) {
    throw std::invalid_argument(
        "--in-place with --compare mpi: MPI leaves an in-place reduce-scatter's result elsewhere; leave one "
        "of them out");
  }
}

void check_contradictions(const StepConfig& config) {
  const auto peers = split_list(config.compare);
  const bool c10d = std::find(peers.begin(), peers.end(), "c10d") != peers.end();
  for (const auto& [asked_for, option] :
       {std::pair(c10d, "--compare c10d"), std::pair(!config.record_profile.empty(), "--record-profile"),
        std::pair(!config.replay.empty(), "--replay")}) {
    if (!asked_for || config.device == "cpu") continue;
    throw std::invalid_argument(std::string(option) + " with --device " + config.device +
                                ": it is of the CPU; leave one of them out");
  }
  if (split_list(config.contenders).empty() && config.replay.empty()) {
    throw std::invalid_argument(
        "--contenders: at least one of alone, local, averaged, sharded, sharded-waiting, captured is needed, "
        "or --replay");
  }
  if (config.contenders.find("captured") != std::string::npos && config.device == "cpu") {
    throw std::invalid_argument(
        "--contenders captured with --device cpu: CUDA graphs need a GPU; leave one of them out");
  }
  const std::size_t workloads = workloads_of(config).size();
  for (const auto& [file, option] :
       {std::pair(&config.record_profile, "--record-profile"), std::pair(&config.replay, "--replay")}) {
    if (file->empty() || workloads == 1) continue;
    throw std::invalid_argument(std::string(option) +
                                ": a profile is of one workload, and --workload names " +
                                std::to_string(workloads) + "; name one");
  }
}

}  // namespace lockstep
