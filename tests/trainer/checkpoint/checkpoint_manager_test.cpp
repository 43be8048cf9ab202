// Complete checkpoints or none: damage, killed saves, full disks, and which ones are kept.
#include "trainer/checkpoint/checkpoint_manager.h"

#include <ATen/core/Dict.h>
#include <ATen/core/jit_type.h>
#include <ATen/ops/full.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <stdexcept>
#include <thread>

#include "sampler/data_error.h"
#include "tests/temporary_folder.h"
#include "trainer/checkpoint/durable_file.h"
#include "trainer/checkpoint/sha256.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::ThrowsMessage;
using testing::UnorderedElementsAre;

// All numbers in it are `value`, so that a mixture of two checkpoints would show.
Checkpoint make_checkpoint(std::int64_t step, std::int64_t value, std::int64_t numel = 5) {
  c10::impl::GenericDict state(c10::AnyType::get(), c10::AnyType::get());
  state.insert("value", value);
  return {step,
          {{"weight", at::full({numel}, value, at::kFloat)}, {"count", at::full({}, value, at::kLong)}},
          state};
}

class CheckpointManagerTest : public testing::Test {
 protected:
  void save(std::int64_t step, int keep_last = 3) { manager(keep_last).save(make_checkpoint(step, step)); }
  CheckpointManager manager(int keep_last = 3) {
    return CheckpointManager(run_dir_, keep_last,
                             [this](const std::string& line) { warnings_.push_back(line); });
  }
  // The step that loads, after checking that everything in it belongs together; -1 if there is none.
  std::int64_t newest() {
    const auto checkpoint = manager().load_newest();
    if (!checkpoint) return -1;
    const std::int64_t value = checkpoint->train_state.toGenericDict().at("value").toInt();
    EXPECT_EQ(checkpoint->model.size(), 2U);
    EXPECT_EQ(checkpoint->model[0].first, "weight");
    EXPECT_TRUE(checkpoint->model[0].second.eq(value).all().item<bool>());
    EXPECT_EQ(checkpoint->model[1].second.item<std::int64_t>(), value);
    value_ = value;
    return checkpoint->step;
  }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(run_dir_.checkpoints()))
      names.push_back(entry.path().filename());
    return names;
  }
  static void flip_bit(const fs::path& file, std::size_t bit) {
    std::string content = read_text(file);
    content.at(bit / 8) = static_cast<char>(content.at(bit / 8) ^ (1 << bit % 8));
    write_text(file, content);
  }

  TemporaryFolder folder_;
  RunDir run_dir_{folder_.path() / "run"};
  std::vector<std::string> warnings_;
  std::int64_t value_ = 0;
};

TEST_F(CheckpointManagerTest, FindsNothingWhereNothingIs) {
  EXPECT_EQ(newest(), -1);
  fs::create_directories(run_dir_.checkpoints());
  EXPECT_EQ(newest(), -1);
  EXPECT_THAT(warnings_, IsEmpty());
}

TEST_F(CheckpointManagerTest, LoadsTheNewest) {
  save(0);
  save(99'999'999);
  save(100'000'000);  // one digit more: sorted by number, not by name
  EXPECT_EQ(newest(), 100'000'000);
  EXPECT_THAT(warnings_, IsEmpty());
  EXPECT_THAT(run_dir_.checkpoint_steps(), ElementsAre(100'000'000, 99'999'999, 0));
  EXPECT_EQ(fs::read_symlink(run_dir_.latest_link()), "step_100000000");
  EXPECT_TRUE(fs::exists(run_dir_.latest_link() / "model.safetensors"));
}

TEST_F(CheckpointManagerTest, KeepsTheLastOnes) {
  for (std::int64_t step = 1; step <= 5; ++step) save(step, 2);
  EXPECT_THAT(names(), UnorderedElementsAre("step_00000004", "step_00000005", "latest"));
  save(6, 1);
  EXPECT_THAT(names(), UnorderedElementsAre("step_00000006", "latest"));
}

TEST_F(CheckpointManagerTest, CountsOnlyCompleteOnes) {
  for (std::int64_t step = 1; step <= 3; ++step) save(step, 3);
  fs::resize_file(run_dir_.checkpoint(3) / "model.safetensors", 10);
  save(4, 2);
  EXPECT_THAT(names(), UnorderedElementsAre("step_00000002", "step_00000004", "latest"));
}

TEST_F(CheckpointManagerTest, NeverTakesADamagedNewerOneForTheLast) {
  write_text(run_dir_.checkpoint(300) / "meta.json", "damaged");
  save(250, 1);
  EXPECT_EQ(newest(), 250);
  EXPECT_THAT(warnings_, ElementsAre(HasSubstr("checkpoint of step 300 is damaged and passed over")));
  EXPECT_EQ(fs::read_symlink(run_dir_.latest_link()), "step_00000250");
}

TEST_F(CheckpointManagerTest, FallsBackWhenAnyBitIsFlipped) {
  save(1);
  save(2);
  for (const char* name : {"model.safetensors", "train_state.pt", "meta.json"}) {
    const fs::path file = run_dir_.checkpoint(2) / name;
    const std::size_t bits = fs::file_size(file) * 8 - 8;
    for (std::size_t i = 0; i < 60; ++i) {
      const std::size_t bit = bits * i / 60 + i % 8;
      flip_bit(file, bit);
      warnings_.clear();
      EXPECT_EQ(newest(), 1) << name << " bit " << bit;
      EXPECT_THAT(warnings_, ElementsAre(HasSubstr("checkpoint of step 2 is damaged and passed over")))
          << name;
      flip_bit(file, bit);
    }
  }
  EXPECT_EQ(newest(), 2);
}

TEST_F(CheckpointManagerTest, FallsBackWhenAFileIsCutOrGone) {
  save(1);
  save(2);
  for (const char* name : {"model.safetensors", "train_state.pt", "meta.json"}) {
    const fs::path file = run_dir_.checkpoint(2) / name;
    const std::string content = read_text(file);
    for (std::size_t size = 0; size < content.size() - 1; size += content.size() / 20 + 1) {
      write_text(file, content.substr(0, size));
      EXPECT_EQ(newest(), 1) << name << " cut to " << size;
    }
    write_text(file, content + "x");
    EXPECT_EQ(newest(), 1) << name << " with one byte more";
    fs::remove(file);
    EXPECT_EQ(newest(), 1) << name << " gone";
    write_text(file, content);
  }
  EXPECT_EQ(newest(), 2);
}

TEST_F(CheckpointManagerTest, FallsBackFromACheckpointUnderAnotherStepsName) {
  save(1);
  save(2);
  fs::rename(run_dir_.checkpoint(2), run_dir_.checkpoint(7));
  EXPECT_EQ(newest(), 1);
}

TEST_F(CheckpointManagerTest, NamesAllWhenNoneLoads) {
  save(1);
  save(2);
  fs::remove(run_dir_.checkpoint(1) / "model.safetensors");
  fs::remove(run_dir_.checkpoint(2) / "meta.json");
  EXPECT_THAT([&] { newest(); }, ThrowsMessage<DataError>(testing::AllOf(
                                     HasSubstr("step_00000001/model.safetensors: No such file"),
                                     HasSubstr("step_00000002/meta.json"), HasSubstr("--fresh"),
                                     testing::Not(HasSubstr("\n")))));
  EXPECT_THAT(warnings_, SizeIs(2));
}

TEST_F(CheckpointManagerTest, DoesNotPassOverANewerFormat) {
  save(1);
  const std::string fields = R"({"format_version":2,"step":2})";
  write_text(run_dir_.checkpoint(2) / "meta.json",
             fields.substr(0, fields.size() - 1) + R"(,"meta_sha256":")" + sha256_of(fields) + "\"}");
  EXPECT_THAT([&] { newest(); }, ThrowsMessage<DataError>(HasSubstr("saved by a newer Lockstep")));
}

TEST_F(CheckpointManagerTest, ReplacesACheckpointOfTheSameStep) {
  save(4);
  manager().save(make_checkpoint(4, 44));
  EXPECT_EQ(newest(), 4);
  EXPECT_EQ(value_, 44);
  EXPECT_THAT(names(), UnorderedElementsAre("step_00000004", "latest"));
}

TEST_F(CheckpointManagerTest, ReplacesWhateverBearsTheName) {
  write_text(run_dir_.checkpoint(4) / "rubbish" / "file", "x");
  save(4);
  EXPECT_EQ(newest(), 4);
  write_text(run_dir_.checkpoint(5), "a file");
  save(5);
  EXPECT_EQ(newest(), 5);
  EXPECT_THAT(names(), UnorderedElementsAre("step_00000004", "step_00000005", "latest"));
}

TEST_F(CheckpointManagerTest, CleansUpAfterKilledSaves) {
  save(1);
  fs::copy(run_dir_.checkpoint(1), run_dir_.checkpoints() / ".saving_step_00000002");
  fs::remove(run_dir_.checkpoints() / ".saving_step_00000002" / "meta.json");
  fs::create_symlink("step_00000009", run_dir_.checkpoints() / ".latest");
  EXPECT_EQ(newest(), 1);
  EXPECT_THAT(warnings_, IsEmpty());
  save(2);
  EXPECT_THAT(names(), UnorderedElementsAre("step_00000001", "step_00000002", "latest"));
}

TEST_F(CheckpointManagerTest, FindsACheckpointBetweenTwoRenames) {
  save(1);
  fs::rename(run_dir_.checkpoint(1), run_dir_.checkpoints() / ".replaced_step_00000001");
  EXPECT_EQ(newest(), 1);
  save(2);
  EXPECT_THAT(names(), UnorderedElementsAre("step_00000001", "step_00000002", "latest"));
  fs::copy(run_dir_.checkpoint(1),
           run_dir_.checkpoints() / ".replaced_step_00000001");  // between rename and removal
  save(3);
  EXPECT_THAT(names(), UnorderedElementsAre("step_00000001", "step_00000002", "step_00000003", "latest"));
}

TEST_F(CheckpointManagerTest, NamesAFolderThatCannotBeMade) {
  write_text(run_dir_.root(), "a file where the run folder should be");
  EXPECT_THAT([&] { save(1); }, ThrowsMessage<DataError>(HasSubstr("cannot make the folder")));
  EXPECT_EQ(read_text(run_dir_.root()), "a file where the run folder should be");
  EXPECT_THROW(newest(), DataError);
}

TEST_F(CheckpointManagerTest, LeavesTheOldOneAloneWhenTheDiskIsFull) {
  save(1);
  // A limit on the size of files fails a write like a full disk does, at any chosen byte.
  const auto previous_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit previous{};
  getrlimit(RLIMIT_FSIZE, &previous);
  for (const rlim_t limit : {0, 100, 5000, 401'000}) {  // in the header, the model, the training state
    const rlimit limited{limit, previous.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limited);
    auto checkpoint = make_checkpoint(2, 2, limit == 401'000 ? 100'000 : 5000);
    if (limit == 401'000) checkpoint.train_state.toGenericDict().insert("momentum", at::full({200'000}, 2.0));
    EXPECT_THROW(manager().save(checkpoint), DiskFullError) << limit;
    setrlimit(RLIMIT_FSIZE, &previous);
    EXPECT_EQ(newest(), 1);
    EXPECT_THAT(names(), UnorderedElementsAre("step_00000001", "latest")) << "something was left behind";
  }
  std::signal(SIGXFSZ, previous_handler);
  save(2);
  EXPECT_EQ(newest(), 2);
}

TEST_F(CheckpointManagerTest, SurvivesSigkillAtAnyMoment) {
  save(1);
  int interrupted = 0;
  for (int round = 0; round < 20; ++round) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      CheckpointManager writer(run_dir_, 2, [](const std::string&) {});
      for (std::int64_t step = 2;; ++step) writer.save(make_checkpoint(step % 7 + 2, step, 50'000));
    }
    std::this_thread::sleep_for(std::chrono::microseconds(3000 + 1700 * round));
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << "the writer failed by itself";
    for (const std::string& name : names()) interrupted += name.starts_with(".saving_") ? 1 : 0;
    EXPECT_GE(newest(), 1);
    EXPECT_THAT(warnings_, IsEmpty()) << "a checkpoint was left incomplete under its final name";
  }
  EXPECT_GT(interrupted, 0) << "no kill came during a save";
  save(1000, 1);
  EXPECT_THAT(names(), UnorderedElementsAre("step_00001000", "latest"));
}

TEST_F(CheckpointManagerTest, KeepsTheBestBesideTheLast) {
  const auto save_with_best = [this](std::int64_t step, std::optional<std::int64_t> best) {
    Checkpoint checkpoint = make_checkpoint(step, step);
    checkpoint.best_step = best;
    manager(2).save(checkpoint);
  };
  const fs::path best = run_dir_.checkpoints() / "best";
  save_with_best(1, 1);
  for (const std::int64_t step : {2, 3, 4}) save_with_best(step, 1);
  EXPECT_THAT(names(),
              UnorderedElementsAre("step_00000001", "step_00000003", "step_00000004", "latest", "best"));
  EXPECT_EQ(fs::read_symlink(best), "step_00000001");
  EXPECT_EQ(CheckpointManager::load(best).step, 1);
  save_with_best(5, 5);
  EXPECT_THAT(names(), UnorderedElementsAre("step_00000004", "step_00000005", "latest", "best"));
  EXPECT_EQ(fs::read_symlink(best), "step_00000005");
  save_with_best(6, 2);  // of which nothing is left
  EXPECT_EQ(fs::read_symlink(best), "step_00000005");
  for (const std::int64_t step : {7, 8}) save_with_best(step, std::nullopt);
  EXPECT_THAT(names(), UnorderedElementsAre("step_00000007", "step_00000008", "latest"));
}

TEST_F(CheckpointManagerTest, PassesOverLinksThatLeadElsewhere) {
  save(1);
  save(2);
  RunDir other(folder_.path() / "other");
  CheckpointManager(other, 3, [](const std::string&) {}).save(make_checkpoint(3, 3));
  fs::create_symlink(other.checkpoint(3), run_dir_.checkpoint(3));
  fs::rename(run_dir_.checkpoint(2) / "model.safetensors", folder_.path() / "model");
  fs::create_symlink("../../../model", run_dir_.checkpoint(2) / "model.safetensors");
  EXPECT_EQ(newest(), 1);
  EXPECT_THAT(warnings_, ElementsAre(HasSubstr("step_00000003: it is a link"),
                                     HasSubstr("step_00000002/model.safetensors: it is a link")));
  // The next save of that step takes the link away, and not what it leads to.
  save(3);
  EXPECT_EQ(newest(), 3);
  EXPECT_FALSE(fs::is_symlink(run_dir_.checkpoint(3)));
  EXPECT_EQ(CheckpointManager::load(other.checkpoint(3)).step, 3);
}

TEST_F(CheckpointManagerTest, LatestMayNotLeadOutOfItsFolder) {
  save(1);
  RunDir other(folder_.path() / "other");
  CheckpointManager(other, 3, [](const std::string&) {}).save(make_checkpoint(3, 3));
  for (const fs::path& target : {other.checkpoint(3), fs::path("../../other/checkpoints/step_00000003")}) {
    fs::remove(run_dir_.latest_link());
    fs::create_symlink(target, run_dir_.latest_link());
    EXPECT_THAT([&] { CheckpointManager::load(run_dir_.latest_link()); },
                ThrowsMessage<DataError>(HasSubstr("leads out of its folder")));
    EXPECT_THROW(CheckpointManager::load(run_dir_.latest_link() / ""), DataError);
  }
  EXPECT_EQ(newest(), 1) << "what loads does not depend on it";
  save(2);
  EXPECT_EQ(CheckpointManager::load(run_dir_.latest_link()).step, 2);
}

TEST_F(CheckpointManagerTest, SavesWhateverStandsInThePlaceOfLatest) {
  fs::create_directories(run_dir_.latest_link() / "something");
  save(1);
  EXPECT_EQ(newest(), 1);
  EXPECT_THAT(warnings_, ElementsAre(HasSubstr("cannot move the link")));
  EXPECT_TRUE(fs::exists(run_dir_.latest_link() / "something"));
  fs::remove_all(run_dir_.latest_link());
  write_text(run_dir_.latest_link(), "no link");
  save(2);
  EXPECT_EQ(fs::read_symlink(run_dir_.latest_link()), "step_00000002");
}

TEST_F(CheckpointManagerTest, RefusesNonsense) {
  EXPECT_THROW(manager(0), std::invalid_argument);
  EXPECT_THROW(save(-1), std::invalid_argument);
}

}  // namespace
}  // namespace lockstep
