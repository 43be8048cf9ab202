// Names inside checkpoints/: step_N is a complete checkpoint, .saving_step_N one being written (rubbish after
// a crash), .replaced_step_N the older one of the same step for the moment between two renames, on file
// systems that cannot swap two folders at once.
#include "trainer/checkpoint/checkpoint_manager.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <map>
#include <stdexcept>
#include <system_error>

#include "trainer/checkpoint/durable_file.h"
#include "trainer/checkpoint/meta_file.h"
#include "trainer/checkpoint/safetensors.h"
#include "trainer/checkpoint/train_state_file.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;

constexpr const char* kModelFile = "model.safetensors";
constexpr const char* kTrainStateFile = "train_state.pt";
constexpr const char* kMetaFile = "meta.json";
constexpr const char* kBest = "best";
constexpr std::string_view kStep = "step_";
constexpr std::string_view kSaving = ".saving_";
constexpr std::string_view kReplaced = ".replaced_";

// The step of "step_00001200"; nothing for any other name.
std::optional<std::int64_t> step_of(std::string_view name) {
  if (!name.starts_with(kStep)) return std::nullopt;
  name.remove_prefix(kStep.size());
  std::int64_t step = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), step);
  if (error != std::errc() || end != name.data() + name.size() || step < 0) return std::nullopt;
  return step;
}

std::vector<fs::path> entries_of(const fs::path& folder) {
  std::vector<fs::path> entries;
  std::error_code error;
  fs::directory_iterator iterator(folder, error);
  if (error == std::errc::no_such_file_or_directory) return entries;
  for (; !error && iterator != fs::directory_iterator(); iterator.increment(error))
    entries.push_back(iterator->path());
  if (error) throw DataError("cannot list " + folder.string() + ": " + error.message());
  return entries;
}

// Every folder that may hold a checkpoint, by step; damaged ones too.
std::map<std::int64_t, fs::path> folders_by_step(const fs::path& checkpoints) {
  std::map<std::int64_t, fs::path> folders;
  const auto entries = entries_of(checkpoints);
  for (const fs::path& entry : entries) {
    const std::string name = entry.filename().string();
    if (const auto step = step_of(name)) folders[*step] = entry;
  }
  for (const fs::path& entry : entries) {
    const std::string name = entry.filename().string();
    if (!name.starts_with(kReplaced)) continue;
    if (const auto step = step_of(std::string_view(name).substr(kReplaced.size())))
      folders.emplace(*step, entry);
  }
  return folders;
}

// What a link leads to is nobody's checkpoint: it may be changed, or be gone, without this folder's
// knowledge.
void refuse_link(const fs::path& path) {
  std::error_code error;
  if (fs::symlink_status(path, error).type() == fs::file_type::symlink)
    throw DataError(path.string() + ": it is a link; copy what it leads to in its place");
}

// Throws DataError unless meta.json fits the folder's step and every file has its size and, if asked, its
// checksum.
void verify(const fs::path& folder, std::int64_t step, bool checksums) {
  refuse_link(folder);
  for (const char* name : {kMetaFile, kModelFile, kTrainStateFile}) refuse_link(folder / name);
  const CheckpointMeta meta = read_meta_file(folder / kMetaFile);
  if (meta.step != step || !meta.files.contains(kModelFile) || !meta.files.contains(kTrainStateFile)) {
    throw DataError((folder / kMetaFile).string() + ": it belongs to another step or lacks a file");
  }
  for (const char* name : {kModelFile, kTrainStateFile}) {
    const FileDigest& expected = meta.files.at(name);
    std::error_code error;
    const auto size_bytes = fs::file_size(folder / name, error);
    if (error) throw DataError((folder / name).string() + ": " + error.message());
    if (size_bytes != expected.size_bytes) {
      throw DataError((folder / name).string() + ": it has " + std::to_string(size_bytes) + " bytes, but " +
                      std::to_string(expected.size_bytes) + " were saved");
    }
    if (checksums && digest_of_file(folder / name) != expected) {
      throw DataError((folder / name).string() + ": its SHA-256 is not that of what was saved");
    }
  }
}

bool looks_complete(const fs::path& folder, std::int64_t step) {
  try {
    verify(folder, step, /*checksums=*/false);
    return true;
  } catch (const NewerFormatError&) {
    return true;  // somebody else's, and not ours to remove
  } catch (const DataError&) {
    return false;
  }
}

Checkpoint load_folder(const fs::path& folder, std::int64_t step) {
  verify(folder, step, /*checksums=*/true);
  return {step, read_safetensors(folder / kModelFile), read_train_state(folder / kTrainStateFile)};
}

// What a save that was killed has left behind.
void clean_up(const RunDir& run_dir, const CheckpointManager::Warn& warn) {
  for (const fs::path& entry : entries_of(run_dir.checkpoints())) {
    const std::string name = entry.filename().string();
    std::error_code error;
    if (name.starts_with(kReplaced)) {
      const fs::path original = run_dir.checkpoints() / name.substr(kReplaced.size());
      if (!fs::exists(original, error)) {
        rename_path(entry, original);
        continue;
      }
    } else if (!name.starts_with(kSaving)) {
      continue;
    }
    fs::remove_all(entry, error);
    if (error) warn("cannot remove the leftover " + entry.string() + ": " + error.message());
  }
}

void write_folder(const fs::path& folder, const Checkpoint& checkpoint) {
  std::error_code error;
  fs::create_directory(folder, error);
  if (error) throw DataError("cannot make the folder " + folder.string() + ": " + error.message());
  CheckpointMeta meta;
  meta.step = checkpoint.step;
  meta.files[kModelFile] = write_safetensors(folder / kModelFile, checkpoint.model);
  meta.files[kTrainStateFile] = write_train_state(folder / kTrainStateFile, checkpoint.train_state);
  write_meta_file(folder / kMetaFile, meta);
  fsync_folder(folder);
}

// Gives the finished folder its name, in place of whatever bears it.
void put_in_place(const fs::path& finished, const fs::path& folder, const CheckpointManager::Warn& warn) {
  std::error_code error;
  if (fs::symlink_status(folder, error).type() == fs::file_type::not_found) {
    rename_path(finished, folder);
    fsync_folder(folder.parent_path());
    return;
  }
  fs::path old = finished;
  if (!exchange_paths(finished, folder)) {
    old = folder.parent_path() / (std::string(kReplaced) + folder.filename().string());
    rename_path(folder, old);
    rename_path(finished, folder);
  }
  fsync_folder(folder.parent_path());
  fs::remove_all(old, error);
  if (error) warn("cannot remove the replaced checkpoint " + old.string() + ": " + error.message());
}

// `link` then leads to `folder`.
void move_link(const fs::path& link, const fs::path& folder, const CheckpointManager::Warn& warn) {
  const fs::path next = link.parent_path() / ("." + link.filename().string());
  std::error_code error;
  fs::remove(next, error);
  if (fs::read_symlink(link, error) == folder.filename()) return;
  fs::create_symlink(folder.filename(), next, error);
  if (!error) fs::rename(next, link, error);
  if (error) {
    warn("cannot move the link " + link.string() + ": " + error.message() + "; remove what is in its way");
    fs::remove(next, error);
    return;
  }
  fsync_folder(link.parent_path());
}

// Keeps the one just saved, the newest complete ones before it, and the best. Newer ones than that are none
// of our making (a damaged one that was passed over, most likely) and stay.
void remove_old(const RunDir& run_dir, std::int64_t saved_step, std::optional<std::int64_t> best_step,
                int keep_last, const CheckpointManager::Warn& warn) {
  const auto folders = folders_by_step(run_dir.checkpoints());
  int kept = 1;
  for (auto item = folders.rbegin(); item != folders.rend(); ++item) {
    const auto& [step, folder] = *item;
    if (step >= saved_step) continue;
    if (kept < keep_last && looks_complete(folder, step)) {
      ++kept;
      continue;
    }
    if (step == best_step && looks_complete(folder, step)) continue;
    // Renamed first: a removal that is cut short must not look like a checkpoint.
    const fs::path doomed = folder.parent_path() / (std::string(kSaving) + folder.filename().string());
    std::error_code error;
    fs::rename(folder, doomed, error);
    if (!error) fs::remove_all(doomed, error);
    if (error) warn("cannot remove the old checkpoint " + folder.string() + ": " + error.message());
  }
}

// `best` leads nowhere once a run goes on without keeping the best.
void remove_dangling(const fs::path& link) {
  std::error_code error;
  if (fs::is_symlink(link, error) && !fs::exists(link, error)) fs::remove(link, error);
}

}  // namespace

CheckpointManager::CheckpointManager(RunDir run_dir, int keep_last, Warn warn)
    : run_dir_(std::move(run_dir)),
      root_was_there_(fs::exists(run_dir_.root())),
      keep_last_(keep_last),
      warn_(std::move(warn)) {
  if (keep_last_ < 1) {
    throw std::invalid_argument("keep_checkpoints must be at least 1, not " + std::to_string(keep_last_));
  }
}

void CheckpointManager::save(const Checkpoint& checkpoint) {
  if (checkpoint.step < 0) throw std::invalid_argument("a checkpoint's step must not be negative");
  std::error_code error;
  // Where a disk is mounted no longer, the empty folder under it is the last place for a checkpoint.
  if (root_was_there_ && !fs::exists(run_dir_.root(), error))
    throw DataError("the run folder " + run_dir_.root().string() + " has vanished; bring it back");
  const bool made = fs::create_directories(run_dir_.checkpoints(), error);
  if (error) {
    throw DataError("cannot make the folder " + run_dir_.checkpoints().string() + ": " + error.message() +
                    "; choose a --run-dir that can be written");
  }
  if (made) fsync_folder(run_dir_.root());
  clean_up(run_dir_, warn_);

  const fs::path folder = run_dir_.checkpoint(checkpoint.step);
  const fs::path unfinished = run_dir_.checkpoints() / (std::string(kSaving) + folder.filename().string());
  try {
    write_folder(unfinished, checkpoint);
  } catch (...) {
    fs::remove_all(unfinished, error);  // above all where the disk is full
    throw;
  }
  put_in_place(unfinished, folder, warn_);
  try {
    see_to_the_others(checkpoint.step, checkpoint.best_step);
  } catch (const DataError& problem) {
    warn_("the checkpoint of step " + std::to_string(checkpoint.step) +
          " is complete, but links and older ones could not be seen to: " + problem.what());
  }
}

void CheckpointManager::see_to_the_others(std::int64_t saved_step, std::optional<std::int64_t> best_step) {
  move_link(run_dir_.latest_link(), run_dir_.checkpoint(saved_step), warn_);
  const fs::path best_link = run_dir_.checkpoints() / kBest;
  if (best_step) {
    const fs::path best = run_dir_.checkpoint(*best_step);
    if (looks_complete(best, *best_step)) move_link(best_link, best, warn_);
  }
  remove_old(run_dir_, saved_step, best_step, keep_last_, warn_);
  remove_dangling(best_link);
}

Checkpoint CheckpointManager::load(const fs::path& folder) {
  std::error_code error;
  fs::path real = folder.has_filename() ? folder : folder.parent_path();
  if (fs::is_symlink(real, error)) {  // `latest`, or `best`
    const fs::path target = fs::read_symlink(real, error);
    if (target.has_parent_path())
      throw DataError(real.string() + " leads out of its folder, to " + target.string() +
                      "; name that itself");
    real = real.parent_path() / target;
  }
  const auto step = step_of(fs::weakly_canonical(real).filename().string());
  if (!step) throw DataError(folder.string() + " is no checkpoint's folder, which is called step_N");
  return load_folder(real, *step);
}

std::optional<Checkpoint> CheckpointManager::load_newest() const {
  const auto folders = folders_by_step(run_dir_.checkpoints());
  std::string damages;
  for (auto item = folders.rbegin(); item != folders.rend(); ++item) {
    const auto& [step, folder] = *item;
    try {
      return load_folder(folder, step);
    } catch (const NewerFormatError&) {
      throw;
    } catch (const DataError& damage) {
      warn_("checkpoint of step " + std::to_string(step) + " is damaged and passed over: " + damage.what());
      damages += (damages.empty() ? "" : "; ") + std::string(damage.what());
    }
  }
  if (damages.empty()) return std::nullopt;
  throw DataError("no checkpoint in " + run_dir_.checkpoints().string() + " loads: " + damages +
                  "; restore one of them, or start over with --fresh");
}

}  // namespace lockstep
