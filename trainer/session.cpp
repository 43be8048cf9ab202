#include "trainer/session.h"

#include <ATen/Parallel.h>
#include <c10/cuda/CUDAFunctions.h>
#include <torch/csrc/jit/serialization/pickle.h>
#include <torch/version.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "comm/agreement.h"
#include "comm/backend.h"
#include "comm/cuda_device.h"
#include "comm/nccl_library.h"
#include "comm/sync_batch_norm.h"
#include "sampler/data_error.h"
#include "trainer/config/config_file.h"
#include "trainer/config/cuda_graph_options.h"
#include "trainer/config/train_options.h"
#include "trainer/data_options.h"
#include "trainer/device_memory.h"
#include "trainer/exchange/python_checkpoint.h"
#include "trainer/exchange/python_optimizer.h"
#include "trainer/graph/step_recording.h"
#include "trainer/matmul_precision.h"
#include "trainer/metrics/metrics_writer.h"
#include "trainer/model_options.h"
#include "trainer/model_state.h"
#include "trainer/models/models.h"
#include "trainer/notices/notice_watcher.h"
#include "trainer/pinned_arithmetic.h"
#include "trainer/random_state.h"
#include "trainer/run_identity.h"
#include "trainer/signals.h"
#include "trainer/start_up.h"
#include "trainer/trainer.h"
#include "trainer/update_options.h"
#include "trainer/warm_heap.h"

namespace lockstep {
namespace {

int choose_num_threads(const TrainConfig& config, const Placement& placement) {
  if (config.num_threads > 0) return config.num_threads;
  if (config.logical_world_size > 0) return 1;  // the same whatever the number of ranks
  if (std::getenv("OMP_NUM_THREADS") != nullptr) return at::get_num_threads();
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / placement.local_world_size);
}

// Of backends that add up in the order that they are told to.
std::string order_of(const TrainConfig& config) {
  if (config.reduction_order != "auto") return config.reduction_order;
  return config.logical_world_size > 0 ? "tree" : "pytorch";
}

CommunicatorOptions communicator_options(const TrainConfig& config, const Placement& placement,
                                         at::Device device) {
  CommunicatorOptions options;
  options.placement = placement;
  options.backend = config.backend;
  options.share_gpus = config.share_gpus;
  options.nccl_memory = config.nccl_memory;
  options.device = device;
  options.timeout = std::chrono::milliseconds(static_cast<std::int64_t>(config.timeout_s * 1000.0));
  options.master_addr = config.master_addr;
  options.master_port = config.master_port;
  options.reduction_order = parse_reduction_order(order_of(config));
  options.for_groups = config.sync_batchnorm_group_size > 0;
  return options;
}

// What `auto` came down to, for config.toml and the metrics.
TrainConfig resolve(TrainConfig config, const Communicator& communicator, at::Device device) {
  const bool nccl = communicator.backend() == "nccl";
  if (nccl && config.reduction_order == "pytorch" && config.logical_world_size == 0 &&
      communicator.world_size() > 2) {
    throw AgreedStop(
        ExitCode::kUsage,
        "--reduction-order pytorch: that is the CPU's; on GPUs PyTorch has NCCL's order, which is "
        "fast here, or use tree, or --backend mpi");
  }
  if (nccl && config.reduction_order == "pytorch" && config.logical_world_size > 0) {
    throw AgreedStop(
        ExitCode::kUsage,
        "--reduction-order pytorch: with nccl logical ranks are added up in the order tree only");
  }
  if (config.reduction_order == "auto")
    config.reduction_order = nccl && config.logical_world_size == 0 ? "fast" : order_of(config);
  if (communicator.backend() != "threads") config.backend = communicator.backend();
  if (config.backend != "nccl") config.share_gpus = false;  // there are no GPUs
  config.device = device.is_cuda() ? "cuda" : "cpu";
  config.expandable_segments = device.is_cuda() && has_expandable_segments();  // PYTORCH_ALLOC_CONF's, too
  config.num_threads = at::get_num_threads();
  config.eval_batch_size = eval_batch_size(config);
  const std::string eager = why_not_captured(config);
  if (config.cuda_graph == "on" && !eager.empty())
    throw AgreedStop(ExitCode::kUsage, "--cuda-graph on with " + eager + "; leave it out, or use auto");
  if (config.cuda_graph == "auto" && !eager.empty()) {
    if (device.is_cuda() && communicator.rank() == 0)
      std::printf("lockstep: steps are not captured in a CUDA graph: %s\n", eager.c_str());
    config.cuda_graph = "off";
  }
  return config;
}

// For config.toml: what decides the speed and the last bits beside the options.
std::vector<std::string> nccl_remarks(const TrainConfig& config) {
  if (config.backend != "nccl") return {};
  std::vector<std::string> remarks = {"NCCL " + nccl_version_text(nccl_version())};
  for (const auto& [name, value] : nccl_environment()) remarks.push_back(name + "=" + value);
  return remarks;
}

// Rank 0 alone reads checkpoints, since they may lie on its disk only, and sends them round.
std::optional<Checkpoint> share_checkpoint(const std::optional<Checkpoint>& checkpoint,
                                           Communicator& communicator) {
  if (communicator.world_size() == 1) return checkpoint;
  const bool has_one = broadcast_text(checkpoint ? "yes" : "no", 0, communicator) == "yes";
  if (!has_one) return std::nullopt;
  std::string packed;
  if (checkpoint) {
    // The model goes another way: DistributedDataParallel broadcasts rank 0's.
    const auto bytes = torch::jit::pickle_save(
        c10::IValue(c10::ivalue::Tuple::create({checkpoint->step, checkpoint->train_state})));
    packed.assign(bytes.begin(), bytes.end());
  }
  packed = broadcast_text(packed, 0, communicator);
  if (checkpoint) return checkpoint;
  const c10::IValue unpacked = torch::jit::pickle_load({packed.begin(), packed.end()});
  const auto& elements = unpacked.toTupleRef().elements();
  Checkpoint received;
  received.step = elements[0].toInt();
  received.train_state = elements[1];
  return received;
}

// What rank 0 keeps for the length of the session.
struct RunFolder {
  RunDir dir;
  std::optional<RunDirLock> lock;
  std::optional<Checkpoint> checkpoint;
  double read_time_s = 0.0;         // of that
  std::optional<Checkpoint> start;  // --init-from, where there is no checkpoint
};

// --init-from as a checkpoint whose state says no more than the file does.
Checkpoint read_start(const TrainConfig& config) {
  PythonCheckpoint python = read_python_checkpoint(config.init_from);
  TrainState state;
  state.step = python.step;
  state.optimizer = std::move(python.optimizer);
  state.random_states = std::move(python.random_states);
  state.grad_scaler = python.grad_scaler;
  if (python.param_group) {
    state.lr = python.param_group->lr.value_or(0.0);
    const bool momentum_moves = config.lr_schedule == "one-cycle" && config.cycle_momentum;
    for (const std::string& line :
         differences(*python.param_group, config.optimizer, optimizer_options(config), momentum_moves)) {
      std::fprintf(stderr, "lockstep: warning: %s: the optimizer's %s\n", config.init_from.c_str(),
                   line.c_str());
    }
  }
  for (const std::string& key : python.unused)
    std::printf("%s: \"%s\" is of no use here\n", config.init_from.c_str(), key.c_str());
  NamedTensors model = without_shared_names(std::move(python.model), config.model, config.init_from);
  return {python.step, std::move(model), to_ivalue(state)};
}

void open_run_folder(const TrainConfig& config, RunFolder& folder) {
  folder.dir.create();
  folder.lock.emplace(folder.dir);
  if (config.fresh) {
    const auto aside = folder.dir.set_aside();
    if (!aside.empty()) std::printf("the old run is kept in %s\n", aside.c_str());
  }
  const CheckpointManager checkpoints(folder.dir, config.keep_checkpoints, [](const std::string& line) {
    std::fprintf(stderr, "lockstep: warning: %s\n", line.c_str());
  });
  const auto begin = std::chrono::steady_clock::now();
  folder.checkpoint = checkpoints.load_newest();
  folder.read_time_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const auto lost = folder.checkpoint ? std::nullopt : last_metrics_checkpoint(folder.dir.metrics_file());
  if (lost) {
    throw DataError("the checkpoints of this run, of step " + std::to_string(*lost) +
                    " for one, are gone from " + folder.dir.checkpoints().string() +
                    "; bring them back, or start over with --fresh");
  }
  if (config.resume && !folder.checkpoint) {
    throw DataError("--resume: there is no checkpoint in " + folder.dir.checkpoints().string() +
                    "; leave --resume out to start a new run there, or name the right --run-dir");
  }
  if (!config.init_from.empty() && !folder.checkpoint) folder.start = read_start(config);
}

// `config` as resolved, so that what `auto` chose is compared as well.
KeyValues everything_that_must_agree(const TrainConfig& config) {
  KeyValues values = {{"Lockstep", LOCKSTEP_VERSION}, {"LibTorch", TORCH_VERSION}};
  for (const auto& [name, value] : to_key_values(config)) values.emplace_back("--" + name, value);
  return values;
}

KeyValues data_facts(const TrainAndTest& data) {
  std::ostringstream sizes;
  sizes << at::IntArrayRef(data.train->shape().sample_sizes);
  return {{"training samples", std::to_string(data.train->size())},
          {"test samples", std::to_string(data.test->size())},
          {"sample sizes", sizes.str()},
          {"classes", std::to_string(data.train->shape().num_classes)},
          {"vocabulary", std::to_string(data.train->shape().vocabulary_size)}};
}

int terminal_columns() {
  const char* columns = std::getenv("LOCKSTEP_TTY_COLUMNS");
  return columns == nullptr ? 0 : std::clamp(std::atoi(columns), 0, 1000);
}

// With --sync-batchnorm: every norm over all ranks.
void synchronize_batch_norm(Model& model, const TrainConfig& config, const CommunicatorPtr& communicator) {
  const std::int64_t norms = convert_sync_batch_norm(model, communicator);
  if (norms == 0) {
    throw std::invalid_argument("--sync-batchnorm: model " + config.model +
                                " has no batch norm; leave it out, or choose a model that has (resnet18)");
  }
  const int ranks = communicator->world_size();
  const std::int64_t size = config.sync_batchnorm_group_size;
  if (size > 0 && ranks % size != 0) {
    throw std::invalid_argument("--sync-batchnorm-group-size " + std::to_string(size) + ": " +
                                std::to_string(ranks) + " ranks are no whole number of such groups");
  }
  if (communicator->rank() != 0) return;
  const std::int64_t groups = size == 0 ? 1 : ranks / size;
  const std::string whose = groups == 1 ? "all " + std::to_string(ranks) + " ranks"
                                        : std::to_string(groups) + " groups of ranks, each for itself";
  std::printf("lockstep: %lld batch norms use the batches of %s\n", static_cast<long long>(norms),
              whose.c_str());
}

// The ranks whose batches are normalised together.
CommunicatorPtr group_batch_norm(Model& model, std::int64_t size, const CommunicatorPtr& communicator,
                                 const CommunicatorOptions& options) {
  CommunicatorPtr group =
      split_communicator(*communicator, static_cast<int>(communicator->rank() / size), options);
  convert_sync_batch_norm(model, group);
  return group;
}

// Null where steps are not captured.
std::unique_ptr<StepRecording> record_steps(const TrainConfig& config, const LogicalRanks& logical_ranks,
                                            at::Device device) {
  if (config.cuda_graph == "off") return nullptr;
  if (logical_ranks.count() == 1) return create_cuda_recording(device);
  const std::string why =
      "each rank does the passes of " + std::to_string(logical_ranks.count()) + " logical ranks";
  if (config.cuda_graph == "on")
    throw AgreedStop(ExitCode::kUsage, "--cuda-graph on: " + why + "; start as many ranks, or use auto");
  if (logical_ranks.first() == 0)
    std::printf("lockstep: steps are not captured in a CUDA graph: %s\n", why.c_str());
  return nullptr;
}

SessionEnd train(const TrainConfig& config, Communicator& communicator, const CommunicatorPtr& shared,
                 const CommunicatorOptions& options, int nodes, std::future<TrainAndTest> data) {
  const at::Device device = options.device;
  const std::string difference = find_disagreement(everything_that_must_agree(config), communicator);
  if (!difference.empty()) throw AgreedStop(ExitCode::kUsage, "the ranks do not agree: " + difference);

  std::optional<LogicalRanks> logical_ranks;
  together(communicator, [&] {
    logical_ranks.emplace(config.logical_world_size, communicator, device);
    if (logical_ranks->count() > 1 && config.comm_hook != "none") {
      throw std::invalid_argument("--comm-hook " + config.comm_hook + ": needs a rank for each of the " +
                                  std::to_string(logical_ranks->world_size()) +
                                  " logical ranks; leave it out, or start as many");
    }
  });
  TrainerParts parts{.config = config,
                     .communicator = shared,
                     .device = device,
                     .logical_ranks = *logical_ranks,
                     .data = {},
                     .model = nullptr,
                     .checkpoint = {},
                     .read_time_s = {},
                     .start = {},
                     .run_dir = RunDir(run_dir_of(config)),
                     .terminal_columns = terminal_columns(),
                     .nodes = nodes,
                     .recording = record_steps(config, *logical_ranks, device)};
  RunFolder folder{parts.run_dir, {}, {}, 0.0, {}};
  std::unique_ptr<Trainer> trainer;
  together(communicator, [&] { parts.data = data.get(); });
  const std::string other_data = find_disagreement(data_facts(parts.data), communicator);
  if (!other_data.empty()) throw AgreedStop(ExitCode::kBadInput, "the ranks' data differ: " + other_data);
  together(communicator, [&] {
    seed_everything(config.seed);
    parts.model = create_model(config.model, parts.data.train->shape());
    parts.model->to(device);
    if (device.is_cuda()) record_failed_allocations();
    if (config.sync_batchnorm) synchronize_batch_norm(*parts.model, config, shared);
    for (const std::string& line : apply_model_options(config, *parts.model))
      if (communicator.rank() == 0) std::printf("lockstep: %s\n", line.c_str());
  });
  together(communicator, [&] {
    if (config.sync_batchnorm_group_size == 0) return;
    parts.batch_norm_group =
        group_batch_norm(*parts.model, config.sync_batchnorm_group_size, shared, options);
  });
  const CommunicatorPtr group = parts.batch_norm_group;
  together(communicator, [&] {
    if (communicator.rank() == 0) open_run_folder(config, folder);
  });
  if (folder.checkpoint) parts.read_time_s = folder.read_time_s;
  parts.checkpoint = share_checkpoint(folder.checkpoint, communicator);
  together(communicator, [&] {
    if (!parts.checkpoint) return;
    const TrainState saved = train_state_from(parts.checkpoint->train_state);
    check_identity(saved.identity, run_identity(config, parts.logical_ranks.world_size(), *parts.data.train));
    if (communicator.rank() == 0) {
      const std::string changes = list_differences(saved.circumstances, circumstances(config));
      if (!changes.empty()) {
        std::fprintf(stderr,
                     "lockstep: warning: the last bits may not be those of a run that goes on where it "
                     "was: %s\n",
                     changes.c_str());
      }
      load_into(parts.checkpoint->model, model_state(*parts.model), "the checkpoint's model.safetensors",
                "choose the --model that was saved, or start over with --fresh");
    }
  });
  folder.checkpoint.reset();
  if (!parts.checkpoint && !config.init_from.empty()) {
    const auto start = share_checkpoint(folder.start, communicator);
    parts.start = train_state_from(start->train_state);
    together(communicator, [&] {
      if (communicator.rank() != 0) return;
      load_into(folder.start->model, model_state(*parts.model), config.init_from,
                "choose the --model that was saved, or another --init-from");
    });
    folder.start.reset();
  }
  together(communicator, [&] { trainer = std::make_unique<Trainer>(std::move(parts)); });
  if (communicator.rank() == 0) write_config_file(folder.dir.config_file(), config, nccl_remarks(config));
  const ExitCode code = trainer->fit();
  if (group) group->shutdown();
  if (code == ExitCode::kBudget) return {code, trainer->budget_message()};
  return {code, code == ExitCode::kPaused ? trainer->pause_message() : ""};
}

// On every machine, by one of its ranks: any machine's notice pauses the run.
std::unique_ptr<NoticeWatcher> watch_for_notices(const TrainConfig& config, const Placement& placement) {
  auto source =
      placement.local_rank == 0 ? choose_notice_source(config.notices, config.notices_url) : nullptr;
  if (!source) return nullptr;
  const auto on_notice = [](const std::string& line) {
    std::fprintf(stderr, "lockstep: %s: pausing after this step\n", line.c_str());
    request_pause();
  };
  const auto warn = [](const std::string& line) {
    std::fprintf(stderr, "lockstep: warning: %s\n", line.c_str());
  };
  return std::make_unique<NoticeWatcher>(std::move(source), on_notice, warn);
}

}  // namespace

SessionEnd run_session(const TrainConfig& config, const Placement& placement) {
  const bool warm_heap = keep_heap_warm();
  at::set_num_threads(choose_num_threads(config, placement));
  const at::Device device = choose_device(config.device, placement);
  const std::string pinned = device.is_cuda() && config.logical_world_size > 0 ? pin_cuda_arithmetic() : "";
  const std::string allocator = device.is_cuda() ? set_cuda_allocator(config.expandable_segments) : "";
  const std::string products = set_matmul_precision(config.matmul_precision, device);
  if (device.is_cuda()) c10::cuda::set_device(device.index());
  if (device.is_cuda() && config.cuda_graph != "off") prepare_process_for_capture(device);
  // Files are read while the ranks find each other.
  auto data =
      std::async(std::launch::async, [&] { return open_dataset(config.data, dataset_options(config)); });
  const CommunicatorOptions options = communicator_options(config, placement, device);
  const CommunicatorPtr communicator = create_communicator(options);
  if (communicator->rank() == 0) {
    const int gpus = device.is_cuda() ? c10::cuda::device_count() : 0;
    std::printf("lockstep: %d rank%s on %s, %d thread%s each, backend %s (%s)%s\n", placement.world_size,
                placement.world_size == 1 ? "" : "s", device.is_cuda() ? "cuda" : "cpu",
                at::get_num_threads(), at::get_num_threads() == 1 ? "" : "s", communicator->backend().c_str(),
                choose_backend(options, gpus).reason.c_str(), warm_heap ? ", heap kept warm" : "");
    if (!pinned.empty()) std::printf("lockstep: %s\n", pinned.c_str());
    if (!allocator.empty()) std::printf("lockstep: %s\n", allocator.c_str());
    if (!products.empty()) std::printf("lockstep: %s\n", products.c_str());
    std::fflush(stdout);
  }
  const auto notices = watch_for_notices(config, placement);
  try {
    const int nodes = (placement.world_size - 1) / placement.local_world_size + 1;
    const SessionEnd end = train(resolve(config, *communicator, device), *communicator, communicator, options,
                                 nodes, std::move(data));
    communicator->shutdown();
    return end;
  } catch (const AgreedStop&) {
    communicator->shutdown();
    throw;
  } catch (const std::invalid_argument& error) {
    throw LoneStop(ExitCode::kUsage, error.what());  // the ranks have met, so it is no longer everybody's
  }
}

}  // namespace lockstep
