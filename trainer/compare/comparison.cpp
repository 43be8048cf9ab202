#include "trainer/compare/comparison.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "sampler/data_error.h"
#include "trainer/checkpoint/checkpoint_manager.h"
#include "trainer/exchange/python_checkpoint.h"
#include "trainer/run_dir/run_dir.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;

// Which files hold what. Steps are of a run's checkpoints, newest first.
struct Subject {
  fs::path losses, hashes;
  fs::path weights;  // a file, or a checkpoint's folder
  std::optional<RunDir> run;
  std::vector<std::int64_t> steps;

  std::string contents() const {
    std::string text;
    const auto add = [&](bool there, const char* what) {
      if (there) text += (text.empty() ? "" : " and ") + std::string(what);
    };
    add(!losses.empty(), "losses");
    add(!weights.empty() || !steps.empty(), "weights");
    add(!hashes.empty(), "hashes");
    return text.empty() ? "nothing that can be compared" : text;
  }
};

bool is_file(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

// A log of hashes or one of losses: the first line tells.
bool holds_hashes(const fs::path& log) {
  std::ifstream input(log, std::ios::binary);
  std::string line;
  std::getline(input, line);
  return line.find("\"gradients\"") != std::string::npos;
}

Subject look_at(const fs::path& path) {
  Subject subject;
  std::error_code error;
  if (fs::is_directory(path, error)) {
    if (is_file(path / "meta.json")) {
      subject.weights = path;
      return subject;
    }
    subject.run.emplace(path);
    subject.steps = subject.run->checkpoint_steps();
    if (is_file(subject.run->metrics_file())) subject.losses = subject.run->metrics_file();
    if (is_file(subject.run->hashes_file())) subject.hashes = subject.run->hashes_file();
    if (subject.losses.empty() && subject.steps.empty()) {
      throw DataError(path.string() + " is neither a run folder nor a checkpoint's folder");
    }
  } else if (path.extension() == ".jsonl") {
    (holds_hashes(path) ? subject.hashes : subject.losses) = path;
  } else {
    subject.weights = path;
  }
  return subject;
}

void choose_step(Subject& subject, const std::vector<std::int64_t>& among, std::int64_t step) {
  if (step >= 0 && std::find(among.begin(), among.end(), step) == among.end()) {
    throw DataError("--step " + std::to_string(step) + ": " + subject.run->root().string() +
                    " has no checkpoint of it, or the other run has none");
  }
  if (!among.empty()) subject.weights = subject.run->checkpoint(step >= 0 ? step : among.front());
}

// Which checkpoint of a run: of two, both take the same step.
void choose_steps(Subject& a, Subject& b, std::int64_t step) {
  if (a.run && b.run) {
    std::vector<std::int64_t> common;
    for (const std::int64_t known : a.steps) {
      if (std::find(b.steps.begin(), b.steps.end(), known) != b.steps.end()) common.push_back(known);
    }
    choose_step(a, common, step);
    choose_step(b, common, step);
  } else if (a.run && !b.weights.empty()) {
    choose_step(a, a.steps, step);
  } else if (b.run && !a.weights.empty()) {
    choose_step(b, b.steps, step);
  }
}

NamedTensors read_weights(const fs::path& path, std::optional<std::int64_t>& step) {
  if (!fs::is_directory(path)) return read_python_checkpoint(path).model;
  Checkpoint checkpoint = CheckpointManager::load(path);
  step = checkpoint.step;
  return std::move(checkpoint.model);
}

}  // namespace

bool Comparison::equal() const {
  return (!losses || losses->equal()) && (!weights || weights->equal()) && (!hashes || hashes->equal());
}

Comparison compare(const CompareConfig& config) {
  Subject a = look_at(config.a), b = look_at(config.b);
  choose_steps(a, b, config.step);
  Comparison result;
  result.a = config.a;
  result.b = config.b;
  if (!a.losses.empty() && !b.losses.empty()) {
    result.losses = compare_losses(read_losses(a.losses), read_losses(b.losses));
    if (result.losses->steps == 0) {
      result.losses.reset();
      result.not_compared.emplace_back("losses");
    }
  }
  if (!a.weights.empty() && !b.weights.empty()) {
    const NamedTensors left = read_weights(a.weights, result.step_a);
    result.weights = compare_tensors(left, read_weights(b.weights, result.step_b));
  } else if (!a.steps.empty() && !b.steps.empty()) {
    result.not_compared.emplace_back("weights");
  }
  if (!a.hashes.empty() && !b.hashes.empty()) {
    result.hashes = compare_hashes(read_hashes(a.hashes), read_hashes(b.hashes));
    if (result.hashes->steps == 0) {
      result.hashes.reset();
      result.not_compared.emplace_back("hashes");
    }
  }
  if (!result.losses && !result.weights && !result.hashes) {
    throw DataError("nothing to compare: " + config.a + " has " + a.contents() + ", " + config.b + " has " +
                    b.contents() + ", and no step of one kind is in both");
  }
  return result;
}

}  // namespace lockstep
