#include "trainer/config/train_options.h"

#include <arpa/inet.h>

#include <algorithm>
#include <limits>
#include <stdexcept>

#include "trainer/config/checkpoint_options.h"
#include "trainer/config/cost_options.h"
#include "trainer/config/cuda_graph_options.h"
#include "trainer/config/lr_schedule_options.h"

namespace lockstep {
namespace {

constexpr std::int64_t kMostInt = std::numeric_limits<int>::max();
constexpr std::int64_t kMostThreads = 4096;
constexpr double kLongestTimeoutS = 1e6;  // 11 days; a longer wait for a peer is a typing error

constexpr const char* kWhat = "Model and data";
constexpr const char* kOptimisation = "Optimisation";
constexpr const char* kWhere = "Where and how it runs";
constexpr const char* kSurvives = "What it survives";
constexpr const char* kLeaves = "What it leaves behind";

Rule ip_address() {
  return {"an IP address, such as 127.0.0.1, 0.0.0.0 or ::1", [](const OptionValue& value) {
            const auto* text = std::get_if<std::string>(&value);
            in6_addr parsed{};  // has room for both
            return text != nullptr && (inet_pton(AF_INET, text->c_str(), &parsed) == 1 ||
                                       inet_pton(AF_INET6, text->c_str(), &parsed) == 1);
          }};
}

Rule steps_or_no_limit() {
  return {"-1 (no limit) or a whole number from 1", [](const OptionValue& value) {
            const auto* steps = std::get_if<std::int64_t>(&value);
            return steps != nullptr && (*steps == -1 || *steps >= 1);
          }};
}

std::vector<Option<TrainConfig>> make_options() {
  using C = TrainConfig;
  const Rule positive = integer_between(1, kMostInt64);
  const Rule batch = integer_between(1, kMostInt);
  std::vector<Option<TrainConfig>> options = {
      {"model", kWhat, &C::model, "NAME",
       "Model to train: mlp, convnet, resnet18, resnet34, resnet50, resnet101, gpt2, gpt2-mini, bert-base or "
       "bert-mini",
       some_line()},
      {"data", kWhat, &C::data, "DIR|NAME",
       "Folder with the data (idx or CIFAR-10's), a known set (fashion-mnist, mnist, cifar10, synthetic, "
       "synthetic-tokens), or for language models text:PATH (bytes) or tokens:PATH (llm.c's .bin, or "
       "uint16), "
       "PATH being a file or a folder",
       some_line()},
      {"sequence-length", kWhat, &C::sequence_length, "N",
       "Tokens of one sample; 0: gpt2 1024, bert-base 512, the mini models 128",
       integer_between(0, kMostInt)},
      {"vocab-size", kWhat, &C::vocab_size, "N",
       "Tokens that the data may hold; 0: text 256, GPT-2's 50257 in uint16 (BERT's 30522 without a header "
       "for "
       "bert models), Llama 3's 128256 in uint32",
       integer_between(0, kMostInt)},
      {"synthetic-samples", kWhat, &C::synthetic_samples, "N",
       "Training samples of --data synthetic and synthetic-tokens", positive},
      {"shuffle", kWhat, &C::shuffle, "", "Visit the samples in a new random order every epoch",
       true_or_false()},
      {"drop-last", kWhat, &C::drop_last, "",
       "Drop the samples that ranks cannot share evenly, instead of repeating some", true_or_false()},

      {"batch-size", kOptimisation, &C::batch_size, "N", "Training samples per rank and forward pass", batch},
      {"eval-batch-size", kOptimisation, &C::eval_batch_size, "N",
       "Samples per rank and forward pass when evaluating; 0: 256, or as --batch-size for language models",
       integer_between(0, kMostInt)},
      {"accumulate-grad-batches", kOptimisation, &C::accumulate_grad_batches, "N",
       "Batches whose gradients make up one optimizer step", batch},
      {"max-epochs", kOptimisation, &C::max_epochs, "N", "Epochs to train", positive},
      {"max-steps", kOptimisation, &C::max_steps, "N", "Optimizer steps after which to stop; -1: no limit",
       steps_or_no_limit()},
      {"optimizer", kOptimisation, &C::optimizer, "NAME", "sgd, adam or adamw, with PyTorch's arithmetic",
       one_of({"sgd", "adam", "adamw"})},
      {"lr", kOptimisation, &C::lr, "X", "Learning rate", number_above_zero(kUnbounded)},
      {"momentum", kOptimisation, &C::momentum, "X", "Momentum of sgd", number_not_negative()},
      {"dampening", kOptimisation, &C::dampening, "X", "Dampening of sgd's momentum", number_not_negative()},
      {"nesterov", kOptimisation, &C::nesterov, "", "Nesterov's momentum, for sgd", true_or_false()},
      {"adam-beta1", kOptimisation, &C::adam_beta1, "X", "First beta of adam and adamw: of the mean",
       number_from_zero_below_one()},
      {"adam-beta2", kOptimisation, &C::adam_beta2, "X", "Second beta of adam and adamw: of the square",
       number_from_zero_below_one()},
      {"adam-eps", kOptimisation, &C::adam_eps, "X", "What adam and adamw add to the denominator",
       number_not_negative()},
      {"weight-decay", kOptimisation, &C::weight_decay, "X",
       "Weight decay: an L2 term for sgd and adam, decoupled for adamw", number_not_negative()},
      {"gradient-clip-val", kOptimisation, &C::gradient_clip_val, "X",
       "Largest norm of all gradients together; 0: no clipping", number_not_negative()},
      {"sync-batchnorm", kOptimisation, &C::sync_batchnorm, "",
       "Normalise by the statistics of all ranks' batches together, in models with batch norm",
       true_or_false()},
      {"sync-batchnorm-group-size", kOptimisation, &C::sync_batchnorm_group_size, "N",
       "With --sync-batchnorm: of N ranks together, as those of a machine, instead of all; 0: all",
       integer_between(0, kMostInt64)},
      {"seed", kOptimisation, &C::seed, "N", "Seed of the initial parameters and of the samples' order",
       integer_between(0, kMostInt64)},

      {"device", kWhere, &C::device, "NAME", "auto (GPUs where there are any), cpu or cuda",
       one_of({"auto", "cpu", "cuda"})},
      {"backend", kWhere, &C::backend, "NAME",
       "What carries the gradients: auto (nccl where each rank has a GPU of its own, shm for CPU ranks on "
       "one machine, tcp between machines under MPI, else mpi, else gloo), nccl, shm, tcp, mpi or gloo",
       one_of({"auto", "nccl", "shm", "tcp", "mpi", "gloo"})},
      {"share-gpus", kWhere, &C::share_gpus, "",
       "Take nccl although there are fewer GPUs than ranks on a machine: experimental in NCCL 2.30.3 and "
       "newer, "
       "impossible before, where mpi lets ranks share a GPU",
       true_or_false()},
      {"nccl-memory", kWhere, &C::nccl_memory, "NAME",
       "Memory of the gradient buckets with nccl: auto (registered where NCCL has it), ordinary, registered "
       "(NCCL "
       "2.19) or "
       "symmetric (windows, NCCL 2.27)",
       one_of({"auto", "ordinary", "registered", "symmetric"})},
      {"expandable-segments", kWhere, &C::expandable_segments, "",
       "Let LibTorch take GPU memory in segments that grow (its expandable_segments:True), so that less "
       "lies unused between tensors; docs/memory.md",
       true_or_false()},
      {"precision", kWhere, &C::precision, "NAME",
       "32-true, or the forward and backward pass in bfloat16 (bf16-mixed) or in float16 with a scaled loss "
       "(16-mixed); parameters "
       "stay in float32",
       one_of({"32-true", "bf16-mixed", "16-mixed"})},
      {"matmul-precision", kWhere, &C::matmul_precision, "NAME",
       "How exact float32 matrix products are, as torch.set_float32_matmul_precision: highest (float32), "
       "high "
       "(TF32 on a GPU) or medium (TF32 on a GPU, bfloat16 on a CPU that has it)",
       one_of({"highest", "high", "medium"})},
      {"memory-format", kWhere, &C::memory_format, "NAME",
       "How pictures and the weights of convolutions lie in memory: contiguous (NCHW) or channels-last "
       "(NHWC), "
       "which tensor cores like better",
       one_of({"contiguous", "channels-last"})},
      {"activation-checkpointing", kWhere, &C::activation_checkpointing, "",
       "Keep no activations within the blocks of resnets, gpt2 and bert, but compute them again in the "
       "backward pass: less memory, more time, the same bits",
       true_or_false()},
      {"cuda-graph", kWhere, &C::cuda_graph, "WHEN",
       "Capture a whole training step in a CUDA graph and replay it: off, auto (on a GPU with nccl, unless "
       "something forbids it), or on; docs/gpu.md",
       one_of({"off", "auto", "on"})},
      {"cuda-sync-debug-mode", kWhere, &C::cuda_sync_debug_mode, "MODE",
       "Operations by which the host waits for the GPU in a steady step (one that neither logs, saves nor "
       "compares ranks): default (nobody looks), warn, or error, as torch.cuda.set_sync_debug_mode",
       one_of({"default", "warn", "error"})},
      {"fused-optimizer", kOptimisation, &C::fused_optimizer, "NAME",
       "LibTorch's fused kernels for the update, with the bits of Python's fused=True: on, off, or auto (on "
       "a GPU)",
       one_of({"auto", "on", "off"})},
      {"grad-scaler-init-scale", kWhere, &C::grad_scaler_init_scale, "X",
       "What the loss is multiplied by at first with --precision 16-mixed; halved by every step whose "
       "gradients overflow",
       number_above_zero(std::numeric_limits<float>::max())},
      {"grad-scaler-growth-interval", kWhere, &C::grad_scaler_growth_interval, "N",
       "Steps without an overflow after which that scale doubles",
       integer_between(1, std::numeric_limits<std::int32_t>::max())},
      {"reduction-order", kWhere, &C::reduction_order, "NAME",
       "Order of the gradients' sum: pytorch (DDP's bits), tree (the same for every topology and bucket), "
       "fast "
       "(the quickest), or auto (tree with --logical-world-size, else pytorch on the CPU, fast with nccl)",
       one_of({"auto", "pytorch", "tree", "fast"})},
      {"logical-world-size", kWhere, &C::logical_world_size, "L",
       "Train as L ranks would, with the same bits on any number of ranks that divides L; batch sizes are "
       "per "
       "logical rank; 0: as many as there are",
       integer_between(0, 1 << 16)},
      {"bucket-cap", kWhere, &C::bucket_cap, "NAME",
       "fixed (--bucket-cap-mb), or auto: chosen once the link and the first steps have been measured",
       one_of({"fixed", "auto"})},
      {"bucket-cap-mb", kWhere, &C::bucket_cap_mb, "MIB",
       "Gradients reduced together at most, MiB (the first: 1)", number_above_zero(1 << 20)},
      {"comm-hook", kWhere, &C::comm_hook, "NAME",
       "How gradients travel: none (as they are), fp16 or bf16 (rounded to half the bytes, as PyTorch's "
       "compression hooks do)",
       one_of({"none", "fp16", "bf16"})},
      {"shard-optimizer", kWhere, &C::shard_optimizer, "WHEN",
       "Ranks share out the update and its memory (ZeRO stage 1), with the same bits: on, off, or auto (on "
       "where "
       "all ranks share memory)",
       one_of({"auto", "on", "off"})},
      {"overlap-param-gather", kWhere, &C::overlap_param_gather, "WHEN",
       "Parameters that --shard-optimizer has updated travel under the next forward pass: on, off, or auto "
       "(on where ranks do not share memory)",
       one_of({"auto", "on", "off"})},
      {"num-threads", kWhere, &C::num_threads, "N",
       "CPU threads per rank; 0: the machine's cores shared by its ranks, or OMP_NUM_THREADS where that is "
       "set, but 1 with --logical-world-size, since their number decides bits",
       integer_between(0, kMostThreads)},
      {"num-workers", kWhere, &C::num_workers, "N",
       "Threads per rank that prepare batches ahead; 0: prepared when needed",
       integer_between(0, kMostThreads)},
      {"timeout", kWhere, &C::timeout_s, "SECONDS",
       "Longest wait for another rank before the run ends, seconds", number_above_zero(kLongestTimeoutS)},
      {"master-addr", kWhere, &C::master_addr, "HOST", "Where gloo's ranks meet", any_line(), "$MASTER_ADDR"},
      {"master-port", kWhere, &C::master_port, "PORT", "TCP port where gloo's ranks meet",
       integer_between(0, 65535), "$MASTER_PORT"},

      {"notices", kSurvives, &C::notices, "NAME",
       "Whose word pauses the run when a machine is about to be taken away: auto (the cloud that it is in, "
       "and Slurm where it has said when the job ends), off, aws, gcp, azure or slurm (two minutes before "
       "SLURM_JOB_END_TIME). A signal of Slurm's (--signal) pauses it anyway",
       one_of({"auto", "off", "aws", "gcp", "azure", "slurm"})},
      {"notices-url", kSurvives, &C::notices_url, "URL", "Where that is asked for", any_line(),
       "the cloud's metadata service"},
      {"check-drift-every-n-steps", kSurvives, &C::check_drift_every_n_steps, "N",
       "Optimizer steps between two comparisons of all ranks' parameters, which end the run if they differ; "
       "0: never",
       integer_between(0, kMostInt64)},

      {"init-from", kLeaves, &C::init_from, "FILE",
       "Weights for a new run: safetensors or torch.save, or a Python checkpoint {model, optimizer, step}",
       any_line(), "initialised from --seed"},
      {"run-dir", kLeaves, &C::run_dir, "DIR",
       "Folder for checkpoints, metrics and report; one that holds a checkpoint is continued", any_line(),
       "runs/<model>-<data>"},
      {"resume", kLeaves, &C::resume, "", "Insist that there is a checkpoint to continue", true_or_false()},
      {"fresh", kLeaves, &C::fresh, "", "Start over; what an old run left is kept in RUN_DIR/previous",
       true_or_false()},
      {"log-every-n-steps", kLeaves, &C::log_every_n_steps, "N",
       "Optimizer steps between two lines of metrics", positive},
      {"record-hashes", kLeaves, &C::record_hashes, "",
       "Write RUN_DIR/hashes.jsonl: SHA-256 of every step's inputs, gradients and weights, for lockstep "
       "compare",
       true_or_false()},
      {"trace", kLeaves, &C::trace, "",
       "Write RUN_DIR/trace.json, a time line of a few steps of all ranks for ui.perfetto.dev",
       true_or_false()},
      {"trace-steps", kLeaves, &C::trace_steps, "N",
       "Optimizer steps in it, after the five in which the run warms up", integer_between(1, 1000)},
      {"progress-bar", kLeaves, &C::progress_bar, "", "Show a live bar where standard output is a terminal",
       true_or_false()},
      {"tensorboard", kLeaves, &C::tensorboard, "", "Write scalars for TensorBoard to RUN_DIR/tensorboard",
       true_or_false()},
      {"metrics-port", kLeaves, &C::metrics_port, "PORT",
       "TCP port where rank 0 answers Prometheus at /metrics while it trains; 0: none",
       integer_between(0, 65535)},
      {"metrics-address", kLeaves, &C::metrics_address, "ADDRESS",
       "IP address to answer on (0.0.0.0: on all of the machine's, for everybody who can reach it)",
       ip_address()},
      {"no-report", kLeaves, &C::no_report, "",
       "Leave out RUN_DIR/report.html, which is written when the run ends; lockstep report writes it any "
       "time",
       true_or_false()},
  };
  const auto before = std::find_if(options.begin(), options.end(),
                                   [](const auto& option) { return option.name == "sync-batchnorm"; });
  auto schedule = lr_schedule_option_rows();
  options.insert(std::next(before, 3), schedule.begin(), schedule.end());
  const auto logging = std::find_if(options.begin(), options.end(),
                                    [](const auto& option) { return option.name == "log-every-n-steps"; });
  auto checkpoints = checkpoint_option_rows(kLeaves);
  options.insert(logging, checkpoints.begin(), checkpoints.end());
  auto cost = cost_option_rows();
  options.insert(options.end(), cost.begin(), cost.end());
  for (auto& option : options) {
    static const std::vector<std::string> may_differ = {
        "num-workers", "progress-bar", "notices", "notices-url", "master-addr", "master-port", "no-report"};
    option.same_on_all_ranks =
        std::find(may_differ.begin(), may_differ.end(), option.name) == may_differ.end();
    option.recorded = option.name != "resume" && option.name != "fresh" && option.name != "yes";
  }
  return options;
}

}  // namespace

const std::vector<Option<TrainConfig>>& train_options() {
  static const std::vector<Option<TrainConfig>> options = make_options();
  return options;
}

void check_contradictions(const TrainConfig& config) {
  if (config.resume && config.fresh) {
    throw std::invalid_argument(
        "--resume with --fresh: one insists on a checkpoint to continue, the other starts over; give one of "
        "them");
  }
  if (config.logical_world_size > 0 && config.reduction_order == "fast") {
    throw std::invalid_argument(
        "--logical-world-size with --reduction-order fast: the fastest order depends on the number of ranks; "
        "use tree, or pytorch");
  }
  if (config.logical_world_size > 0 && config.sync_batchnorm) {
    throw std::invalid_argument(
        "--logical-world-size with --sync-batchnorm: logical ranks of one process run one after the other "
        "and "
        "cannot normalise together; leave one of them out");
  }
  if (config.sync_batchnorm_group_size > 0 && !config.sync_batchnorm) {
    throw std::invalid_argument(
        "--sync-batchnorm-group-size without --sync-batchnorm: there is nothing to synchronise; add it, or "
        "leave the size out");
  }
  if (config.backend == "nccl" && config.device == "cpu") {
    throw std::invalid_argument(
        "--backend nccl with --device cpu: NCCL needs GPUs; use --backend tcp, mpi or gloo");
  }
  if (config.expandable_segments && config.device == "cpu") {
    throw std::invalid_argument(
        "--expandable-segments with --device cpu: they are of a GPU's memory; leave one of them out");
  }
  if (config.cuda_sync_debug_mode != "default" && config.device == "cpu") {
    throw std::invalid_argument("--cuda-sync-debug-mode " + config.cuda_sync_debug_mode +
                                " with --device cpu: nobody waits for a GPU there; leave one of them out");
  }
  if (config.share_gpus && config.backend != "nccl" && config.backend != "auto") {
    throw std::invalid_argument("--share-gpus with --backend " + config.backend +
                                ": it has ranks that share a GPU use nccl; leave one of them out");
  }
  if (config.nesterov && (config.momentum == 0.0 || config.dampening != 0.0)) {
    throw std::invalid_argument("--nesterov needs a --momentum above 0 and --dampening 0, as in PyTorch");
  }
  check_lr_schedule(config);
  check_checkpoint_options(config);
  check_cost_options(config);
  check_cuda_graph(config);
}

std::filesystem::path run_dir_of(const TrainConfig& config) {
  if (!config.run_dir.empty()) {
    return config.run_dir;
  }
  std::string path = config.data;
  for (const std::string prefix : {"text:", "tokens:"}) {
    if (path.starts_with(prefix)) path.erase(0, prefix.size());
  }
  std::filesystem::path data = std::filesystem::path(path).lexically_normal();
  if (!data.has_filename()) {  // a trailing slash
    data = data.parent_path();
  }
  std::string name = data.filename().string();
  if (name.empty() || name == "." || name == "..") {
    name = "data";
  }
  std::string model = config.model;
  std::replace(model.begin(), model.end(), '/', '-');
  return std::filesystem::path("runs") / (model + "-" + name);
}

std::vector<std::pair<std::string, std::string>> to_key_values(const TrainConfig& config) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const auto& option : train_options()) {
    if (option.same_on_all_ranks) {
      const bool is_run_dir = option.name == "run-dir";
      pairs.emplace_back(option.name, is_run_dir ? run_dir_of(config).string() : to_text(option.get(config)));
    }
  }
  return pairs;
}

}  // namespace lockstep
