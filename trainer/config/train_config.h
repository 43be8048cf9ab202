// Every option of a training run, as resolved from defaults, a TOML file and flags. Links no LibTorch.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace lockstep {

struct TrainConfig {
  // What to train.
  std::string model = "convnet";
  std::string data = "fashion-mnist";
  std::string optimizer = "sgd";  // sgd | adamw
  double lr = 0.01;
  double momentum = 0.9;   // sgd
  double dampening = 0.0;  // sgd
  bool nesterov = false;   // sgd
  double weight_decay = 0.0;
  double adam_beta1 = 0.9;  // adam, adamw
  double adam_beta2 = 0.999;
  double adam_eps = 1e-8;
  std::int64_t batch_size = 64;      // samples per rank and forward pass
  std::int64_t eval_batch_size = 0;  // samples per rank; 0: 256, or batch_size for models of tokens
  std::int64_t max_epochs = 1;
  std::int64_t max_steps = -1;  // optimizer steps; -1: no limit
  std::int64_t accumulate_grad_batches = 1;
  double gradient_clip_val = 0.0;  // by global norm; 0: off
  std::uint64_t seed = 42;
  bool shuffle = true;
  bool sync_batchnorm = false;                 // batch norm over all ranks' batches
  std::int64_t sync_batchnorm_group_size = 0;  // or over those of so many consecutive ranks; 0: of all
  bool drop_last = false;  // drop what the ranks cannot share evenly, instead of repeating samples
  std::int64_t synthetic_samples = 4096;  // --data synthetic and synthetic-tokens
  std::int64_t sequence_length = 0;       // tokens of a sample; 0: the model's default
  std::int64_t vocab_size = 0;            // 0: the data's own

  // How the learning rate changes: torch.optim.lr_scheduler's classes and their arguments.
  std::string lr_schedule = "constant";
  std::string lr_interval = "step";     // step | epoch: what its counts count
  std::int64_t lr_schedule_length = 0;  // T_max, total_iters, total_steps; 0: to the run's end
  std::int64_t lr_step_size = 0;        // step
  std::string lr_milestones;            // multi-step: "30,60,80"
  double lr_gamma = 0.1;                // step, multi-step, exponential
  double lr_min = 0.0;                  // cosine: eta_min
  double lr_power = 1.0;                // polynomial
  double lr_start_factor = 1.0;         // linear
  double lr_end_factor = 0.0;           // linear
  double lr_pct_start = 0.3;            // one-cycle, and the next three
  double lr_div_factor = 25.0;
  double lr_final_div_factor = 1e4;
  bool cycle_momentum = true;
  std::int64_t warmup_steps = 0;  // LinearLR before the schedule, joined by SequentialLR
  double warmup_start_factor = 1.0 / 3;

  // Where and how it runs.
  std::string device = "auto";              // auto | cpu | cuda
  std::string backend = "auto";             // auto | nccl | shm | tcp | mpi | gloo
  bool share_gpus = false;                  // nccl although ranks share a GPU
  std::string nccl_memory = "auto";         // of the buckets: auto | ordinary | registered | symmetric
  bool expandable_segments = false;         // how LibTorch takes a GPU's memory
  std::string precision = "32-true";        // 32-true | bf16-mixed | 16-mixed
  std::string fused_optimizer = "auto";     // auto | on | off: Python's fused=True
  double grad_scaler_init_scale = 65536.0;  // 16-mixed
  std::int64_t grad_scaler_growth_interval = 2000;  // 16-mixed: steps without an overflow
  std::string reduction_order = "auto";             // auto | pytorch | tree | fast
  int logical_world_size = 0;                       // ranks that the run counts in; 0: as many as there are
  std::string comm_hook = "none";                   // none | fp16 | bf16
  int num_threads = 0;                   // CPU threads per rank; 0: the machine's cores shared by its ranks
  int num_workers = 1;                   // data loading threads per rank
  std::string bucket_cap = "fixed";      // fixed (at bucket_cap_mb) | auto (measured)
  std::string shard_optimizer = "auto";  // auto | on | off
  std::string overlap_param_gather = "auto";  // auto | on | off: the sharded update's, under the forward pass
  double bucket_cap_mb = 25.0;                // MiB; the first bucket holds at most 1 MiB, as in PyTorch
  double timeout_s = 600.0;                   // of every wait for another rank
  std::string master_addr;                    // gloo's rendezvous; empty: MASTER_ADDR
  int master_port = 0;                        // 0: MASTER_PORT

  // How the arithmetic is done, beside precision.
  std::string matmul_precision = "highest";      // highest | high | medium, of float32 products
  std::string memory_format = "contiguous";      // contiguous | channels-last, of pictures and convolutions
  bool activation_checkpointing = false;         // blocks are computed again in the backward pass
  std::string cuda_graph = "off";                // off | auto | on: whole steps are captured and replayed
  std::string cuda_sync_debug_mode = "default";  // default | warn | error: where the host waits for a GPU

  // What it survives.
  std::string notices = "auto";  // auto | off | aws | gcp | azure | slurm: who says that a machine goes
  std::string notices_url;       // empty: the cloud's own metadata service
  std::int64_t check_drift_every_n_steps = 0;  // 0: never

  // What it leaves behind.
  std::string init_from;                      // weights, or a Python checkpoint, to start from
  std::string run_dir;                        // empty: runs/<model>-<data>
  bool resume = false;                        // insist on a checkpoint
  bool fresh = false;                         // start over; an old run is kept aside
  std::string checkpoint_interval = "epoch";  // epoch, and besides at each epoch's end: N (steps), Nmin, auto
  double mean_time_between_failures_h = 0.0;  // of one node; 0: from the ledger, for checkpoint_interval auto
  int checkpoint_retries = 5;                 // of a save that fails, before the run stops
  int keep_checkpoints = 3;
  bool keep_best = false;                            // beside them, by early_stopping_monitor
  std::string early_stopping_monitor = "test_loss";  // test_loss | test_accuracy
  std::int64_t early_stopping_patience = 0;          // evaluations without improvement; 0: off
  double early_stopping_min_delta = 0.0;             // a smaller change is no improvement
  std::int64_t log_every_n_steps = 50;
  bool record_hashes = false;    // hashes.jsonl, for `lockstep compare`
  bool trace = false;            // trace.json, the time line of a few steps
  std::int64_t trace_steps = 3;  // once the run is warm
  bool progress_bar = true;
  bool no_report = false;                     // leave out report.html at the run's end
  bool tensorboard = false;                   // scalars in RUN_DIR/tensorboard
  int metrics_port = 0;                       // rank 0's Prometheus endpoint; 0: none
  std::string metrics_address = "127.0.0.1";  // where it listens

  // What it costs.
  double price_per_gpu_hour = 0.0;  // 0: unknown, or from the price table
  std::string currency = "USD";
  std::string price_table;         // empty: the one that is installed
  std::string gpu_type;            // a row of it
  std::string region;              // empty: the cheapest
  bool spot = false;               // its spot price
  std::string billing = "exact";   // exact | per-millisecond | per-second | per-minute | per-hour
  double billing_minimum_s = 0.0;  // of each billed interval
  bool pause_stops_billing = true;
  double storage_gb = 0.0;
  double storage_price_per_gb_month = 0.0;
  double budget = 0.0;          // 0: none
  double budget_stop = 0.8;     // the share of it at which the run stops
  std::string budget_ledger;    // of a team; empty: this run's own spend counts
  bool yes = false;             // start although the projected cost is above the mark
  double expected_hours = 0.0;  // that the run is expected to take; 0: nobody knows
  std::string adaptive_ranks;   // fewer ranks once the loss has fallen or flattened; empty: never
  std::string off_peak;         // 22:00-06:00[,days][,zone]; empty: at any time
  std::string on_finish;        // a command, without a shell
  std::string on_finish_when = "success";
  double on_finish_delay_s = 10.0;
  double idle_window_s = 0.0;  // 0: not watched
  std::string idle_action = "warn";
};

}  // namespace lockstep
