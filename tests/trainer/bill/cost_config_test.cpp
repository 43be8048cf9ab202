#include "trainer/bill/cost_config.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "sampler/data_error.h"
#include "tests/temporary_folder.h"

namespace lockstep {
namespace {

TEST(CostConfig, TakesFoldersAndFlags) {
  const TemporaryFolder folder;
  const CostConfig config = parse_cost_command({folder.path().string(), folder.path().string(), "--json"});
  EXPECT_EQ(config.run_dirs.size(), 2u);
  EXPECT_TRUE(config.json);
  const CostConfig plan = parse_cost_command({"--hours", "100", "--gpus=8", "--price", "1.5"});
  EXPECT_DOUBLE_EQ(plan.hours, 100.0);
  EXPECT_DOUBLE_EQ(plan.gpus, 8.0);
}

TEST(CostConfig, RefusesWhatCannotBe) {
  EXPECT_THROW(parse_cost_command({"/no/such/folder"}), DataError);
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {},
           {"--hours", "10"},
           {"--hours", "10", "--price", "0"},
           {"--hours", "10", "--price", "-1"},
           {"--hours", "10", "--price", "1e9"},
           {"--hours", "nan", "--price", "1"},
           {"--hours", "10", "--price", "1", "--paused-hours", "11"},
           {"--hours", "10", "--price", "1", "--paused-hours", "1", "--active", "0.5"},
           {"--hours", "10", "--price", "1", "--active", "1.5"},
           {"--hours", "10", "--price", "1", "--region", "mars"},
           {"--hours", "10", "--price", "1", "--spot-discount", "1"},
           {"--hours", "10", "--price", "1", "--currency", "dollars"},
           {"--prize", "1"}}) {
    try {
      parse_cost_command(arguments);
      ADD_FAILURE() << "accepted: " << (arguments.empty() ? "" : arguments.back());
    } catch (const std::invalid_argument& error) {
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace lockstep
