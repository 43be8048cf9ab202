#include "trainer/run_dir/run_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sampler/data_error.h"
#include "tests/temporary_folder.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;

TEST(RunDir, LayoutIsTheDocumentedOne) {
  const RunDir run("runs/a");
  EXPECT_EQ(run.config_file(), "runs/a/config.toml");
  EXPECT_EQ(run.metrics_file(), "runs/a/metrics.jsonl");
  EXPECT_EQ(run.ledger_file(), "runs/a/ledger.jsonl");
  EXPECT_EQ(run.latest_link(), "runs/a/checkpoints/latest");
  EXPECT_EQ(run.checkpoint(1200), "runs/a/checkpoints/step_00001200");
  EXPECT_EQ(run.checkpoint(1234567890), "runs/a/checkpoints/step_1234567890");
}

TEST(RunDir, CreateMakesAllParentsAndLeavesNoProbe) {
  const TemporaryFolder folder;
  const RunDir run(folder.path() / "a" / "b");
  run.create();
  run.create();
  EXPECT_TRUE(fs::is_empty(run.root()));
}

TEST(RunDir, CreateNamesTheFolderAndTheReason) {
  const TemporaryFolder folder;
  write_text(folder.path() / "file", "kept");
  for (const fs::path& root :
       {folder.path() / "file", folder.path() / "file" / "run", fs::path("/proc/run")}) {
    try {
      RunDir(root).create();
      FAIL() << root;
    } catch (const DataError& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr(root.string()));
      EXPECT_THAT(error.what(), testing::ContainsRegex("exists|directory"));
    }
  }
  EXPECT_EQ(read_text(folder.path() / "file"), "kept");
}

TEST(RunDir, ListsCompleteCheckpointsNewestFirst) {
  const TemporaryFolder folder;
  const RunDir run(folder.path());
  EXPECT_THAT(run.checkpoint_steps(), ElementsAre());
  for (const std::int64_t step : {5, 1200, 300, 1234567890}) {
    write_text(run.checkpoint(step) / "meta.json", "{}");
  }
  fs::create_directory(run.checkpoint(7000));                               // no meta.json
  write_text(run.checkpoints() / "step_00000400.tmp" / "meta.json", "{}");  // being written
  write_text(run.checkpoints() / "step_400" / "meta.json", "{}");           // not the name of step 400
  write_text(run.checkpoints() / "step_-0000001" / "meta.json", "{}");
  write_text(run.checkpoints() / "step_99999999999999999999" / "meta.json", "{}");
  fs::create_directory_symlink("step_00001200", run.latest_link());
  EXPECT_THAT(run.checkpoint_steps(), ElementsAre(1234567890, 1200, 300, 5));
}

TEST(RunDir, SetAsideMovesTheRunAndNothingElse) {
  const TemporaryFolder folder;
  const RunDir run(folder.path());
  EXPECT_TRUE(run.set_aside().empty());
  EXPECT_TRUE(fs::is_empty(folder.path()));

  write_text(run.metrics_file(), "first");
  write_text(run.checkpoint(5) / "meta.json", "{}");
  write_text(folder.path() / ".lock", "held");
  write_text(folder.path() / ".launch" / "1-a" / "rank-0.json", "{}");
  write_text(folder.path() / "thesis.tex", "not ours");
  EXPECT_EQ(run.set_aside(), folder.path() / "previous" / "0001");
  EXPECT_EQ(read_text(folder.path() / "previous" / "0001" / "metrics.jsonl"), "first");
  EXPECT_THAT(RunDir(folder.path() / "previous" / "0001").checkpoint_steps(), ElementsAre(5));
  EXPECT_THAT(run.checkpoint_steps(), ElementsAre());
  EXPECT_FALSE(fs::exists(run.metrics_file()));
  EXPECT_EQ(read_text(folder.path() / ".lock"), "held");
  EXPECT_EQ(read_text(folder.path() / "thesis.tex"), "not ours");
  EXPECT_TRUE(fs::exists(folder.path() / ".launch" / "1-a" / "rank-0.json"));

  write_text(run.metrics_file(), "second");
  EXPECT_EQ(run.set_aside(), folder.path() / "previous" / "0002");
  EXPECT_EQ(read_text(folder.path() / "previous" / "0001" / "metrics.jsonl"), "first");
  EXPECT_TRUE(run.set_aside().empty());
}

TEST(RunDir, SetAsideThatCannotSaysSoAndKeepsTheRun) {
  const TemporaryFolder folder;
  const RunDir run(folder.path());
  write_text(run.metrics_file(), "first");
  write_text(folder.path() / "previous", "a file in the way");
  EXPECT_THROW(run.set_aside(), DataError);
  EXPECT_EQ(read_text(run.metrics_file()), "first");
}

}  // namespace
}  // namespace lockstep
