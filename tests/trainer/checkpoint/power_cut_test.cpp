// A power cut at every system call of a save, on a disk that has lost whatever was not synced. This program
// stands between the code under test and the C library: a child process saves and dies before its n-th call,
// and the parent takes away what a disk might not have kept.
#include <ATen/core/Dict.h>
#include <ATen/core/jit_type.h>
#include <ATen/ops/full.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "sampler/data_error.h"
#include "tests/temporary_folder.h"
#include "trainer/checkpoint/checkpoint_manager.h"

namespace {

namespace fs = std::filesystem;

enum class Op : int { kWrite, kFsync, kRename, kExchange };

// Of one call, before it is done.
struct Call {
  Op op;
  std::array<char, 512> path;
  std::array<char, 512> to;
};

// Shared with the child, which does not live to tell.
struct Log {
  int count;
  int die_before;               // the call of this number; -1: none
  int fail_fsync;               // the call of this number, if it is an fsync, ends with EIO; -1: none
  std::array<char, 256> below;  // calls on other paths are not counted
  std::array<Call, 400> calls;
};

Log* const log_ =
    static_cast<Log*>(mmap(nullptr, sizeof(Log), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
bool recording = false;

void copy_text(std::array<char, 512>& to, const std::string& from) {
  std::snprintf(to.data(), to.size(), "%s", from.c_str());
}

std::string path_of(int fd) {
  std::array<char, 512> path{};
  const auto link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t length = readlink(link.c_str(), path.data(), path.size() - 1);
  return {path.data(), static_cast<std::size_t>(length < 0 ? 0 : length)};
}

// Returns whether the call shall fail.
bool record(Op op, const std::string& path, const std::string& to = {}) {
  if (!recording || !path.starts_with(log_->below.data())) return false;
  if (log_->count == log_->die_before) _exit(7);
  if (log_->count >= static_cast<int>(log_->calls.size())) _exit(8);
  Call& call = log_->calls[static_cast<std::size_t>(log_->count)];
  call.op = op;
  copy_text(call.path, path);
  copy_text(call.to, to);
  return log_->count++ == log_->fail_fsync && op == Op::kFsync;
}

template <class Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" {
ssize_t write(int fd, const void* data, size_t size) {
  static auto* const real = next<ssize_t(int, const void*, size_t)>("write");
  record(Op::kWrite, path_of(fd));
  return real(fd, data, size);
}
int fsync(int fd) {
  static auto* const real = next<int(int)>("fsync");
  if (record(Op::kFsync, path_of(fd))) {
    errno = EIO;
    return -1;
  }
  return real(fd);
}
int rename(const char* from, const char* to) noexcept {
  static auto* const real = next<int(const char*, const char*)>("rename");
  record(Op::kRename, from, to);
  return real(from, to);
}
int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned int flags) noexcept {
  static auto* const real = next<int(int, const char*, int, const char*, unsigned int)>("renameat2");
  record(Op::kExchange, from, to);
  return real(from_folder, from, to_folder, to, flags);
}
}

namespace lockstep {
namespace {

Checkpoint make_checkpoint(std::int64_t step, std::int64_t value) {
  c10::impl::GenericDict state(c10::AnyType::get(), c10::AnyType::get());
  state.insert("value", value);
  return {step, {{"weight", at::full({1000}, value, at::kFloat)}}, state};
}

class PowerCut : public testing::Test {
 protected:
  void SetUp() override {
    recording = false;
    *log_ = {};
    log_->die_before = log_->fail_fsync = -1;
    std::snprintf(log_->below.data(), log_->below.size(), "%s", run_dir_.checkpoints().c_str());
    fs::create_directories(run_dir_.root());
  }

  void save(std::int64_t step, std::int64_t value) {
    warnings_.clear();
    CheckpointManager(run_dir_, 2, [this](const std::string& line) {
      warnings_.push_back(line);
    }).save(make_checkpoint(step, value));
  }
  // In a child that dies before its call number `call`; false if there are not so many.
  bool save_until(int call, std::int64_t step, std::int64_t value) {
    log_->count = 0;
    log_->die_before = call;
    const pid_t child = fork();
    if (child == 0) {
      recording = true;
      save(step, value);
      _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 7)) << status;
    return WIFEXITED(status) && WEXITSTATUS(status) == 7;
  }

  // Takes away what a disk need not have kept at the child's end: the content of files, and, if `renames`,
  // new names as well.
  void lose_what_was_not_synced(bool renames) const {
    std::set<std::string> dirty;
    std::vector<const Call*> pending;
    for (int i = 0; i < log_->count; ++i) {
      const Call& call = log_->calls[static_cast<std::size_t>(i)];
      const std::string path = call.path.data();
      if (call.op == Op::kWrite) dirty.insert(path);
      if (call.op == Op::kFsync) {
        dirty.erase(path);
        std::erase_if(pending,
                      [&](const Call* one) { return fs::path(one->to.data()).parent_path() == path; });
      }
      if (call.op == Op::kRename || call.op == Op::kExchange) pending.push_back(&call);
    }
    for (const std::string& path : dirty) {
      if (fs::exists(path)) fs::resize_file(path, 0);
    }
    if (!renames) return;
    for (auto call = pending.rbegin(); call != pending.rend(); ++call) {
      const fs::path from = (*call)->path.data(), to = (*call)->to.data();
      if (fs::is_symlink(to)) {
        fs::remove(to);
      } else if ((*call)->op == Op::kRename && fs::exists(to)) {
        fs::rename(to, from);
      } else if (fs::exists(from) && fs::exists(to)) {
        const fs::path aside = to.string() + ".aside";
        fs::rename(to, aside);
        fs::rename(from, to);
        fs::rename(aside, from);
      }
    }
  }

  // What loads, by step, after checking that it is of one save; and no word about damage.
  std::pair<std::int64_t, std::int64_t> newest() {
    std::vector<std::string> warnings;
    const auto checkpoint = CheckpointManager(run_dir_, 2, [&](const std::string& line) {
                              warnings.push_back(line);
                            }).load_newest();
    EXPECT_THAT(warnings, testing::IsEmpty()) << "a damaged checkpoint has its final name";
    if (!checkpoint) return {-1, -1};
    const std::int64_t value = checkpoint->train_state.toGenericDict().at("value").toInt();
    EXPECT_TRUE(checkpoint->model[0].second.eq(value).all().item<bool>());
    return {checkpoint->step, value};
  }

  TemporaryFolder folder_;
  RunDir run_dir_{folder_.path() / "run"};
  std::vector<std::string> warnings_;  // of the last save
};

TEST_F(PowerCut, LeavesTheOldCheckpointOrTheNew) {
  using Outcome = std::pair<std::int64_t, std::int64_t>;
  for (const bool renames : {false, true}) {
    std::map<Outcome, int> outcomes;
    for (int call = 0;; ++call) {
      fs::remove_all(run_dir_.checkpoints());
      save(1, 1);
      const bool died = save_until(call, 2, 2);
      lose_what_was_not_synced(renames);
      const Outcome outcome = newest();
      EXPECT_THAT(outcome, testing::AnyOf(Outcome(1, 1), Outcome(2, 2))) << "before call " << call;
      ++outcomes[outcome];
      save(3, 3);  // and the run goes on
      EXPECT_EQ(newest(), Outcome(3, 3));
      if (!died) {
        EXPECT_GE(call, 10) << "hardly a save";
        EXPECT_EQ(outcome, Outcome(2, 2)) << "save() returned before it was durable";
        break;
      }
    }
    EXPECT_EQ(outcomes.size(), 2U);
  }
}

TEST_F(PowerCut, WhileAStepIsSavedAgain) {
  using Outcome = std::pair<std::int64_t, std::int64_t>;
  for (const bool renames : {false, true}) {
    for (int call = 0;; ++call) {
      fs::remove_all(run_dir_.checkpoints());
      save(1, 1);
      const bool died = save_until(call, 1, 2);
      lose_what_was_not_synced(renames);
      const Outcome outcome = newest();
      EXPECT_THAT(outcome, testing::AnyOf(Outcome(1, 1), Outcome(1, 2))) << "before call " << call;
      if (!died) break;
    }
  }
}

// After a failed fsync the system may have dropped the pages and called them clean: a second one would
// succeed.
TEST_F(PowerCut, AFailedSyncIsNeverTriedAgainOnTheSameFile) {
  save(1, 1);
  ASSERT_FALSE(save_until(-1, 2, 2));
  const int calls = log_->count;
  int failed = 0, failed_when_complete = 0;
  for (int call = 0; call < calls; ++call) {
    fs::remove_all(run_dir_.checkpoints());
    save(1, 1);
    log_->count = 0;
    log_->die_before = -1;
    log_->fail_fsync = call;
    recording = true;
    bool threw = false;
    try {
      save(2, 2);
    } catch (const DataError& error) {
      threw = true;
      EXPECT_THAT(error.what(), testing::HasSubstr("Input/output error"));
    }
    recording = false;
    if (!threw) {
      if (log_->calls[static_cast<std::size_t>(call)].op == Op::kFsync) {
        ++failed_when_complete;
        EXPECT_THAT(warnings_, testing::ElementsAre(testing::AllOf(
                                   testing::HasSubstr("the checkpoint of step 2 is complete, but"),
                                   testing::HasSubstr("Input/output error"))));
        EXPECT_EQ(newest().first, 2);
      }
      continue;
    }
    ++failed;
    const std::string path = log_->calls[static_cast<std::size_t>(call)].path.data();
    for (int later = call + 1; later < log_->count; ++later) {
      const Call& other = log_->calls[static_cast<std::size_t>(later)];
      EXPECT_FALSE(other.op == Op::kFsync && path == other.path.data()) << path;
    }
    if (fs::path(path).has_extension()) {  // a file, not a folder
      EXPECT_FALSE(fs::exists(path));
    }
    EXPECT_GE(newest().first, 1);
    save(2, 2);
    EXPECT_EQ(newest().second, 2);
  }
  EXPECT_GE(failed, 5) << "three files, their folder and the folder above";
  EXPECT_EQ(failed_when_complete, 1) << "the folder above, once more, for the link";
}

}  // namespace
}  // namespace lockstep
