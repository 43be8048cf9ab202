#include "trainer/metrics/progress_bar.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <vector>

namespace lockstep {
namespace {

Progress progress() {
  Progress value;
  value.epoch = 1;
  value.max_epochs = 5;
  value.batch = 123;
  value.batches_per_epoch = 469;
  value.loss = 0.43215;
  value.samples_per_s = 12345.4;
  value.elapsed_s = 32.0;
  value.costs.remaining_s = 3725.0;
  value.costs.spend = {.gpu_hours = 0.1, .amount = 0.0102, .currency = "USD"};
  value.costs.to_finish = Spend{.gpu_hours = 0.3, .amount = 1.5, .currency = "USD"};
  return value;
}

TEST(FormatProgressBar, ShowsEverythingInWordsWhereThereIsRoom) {
  EXPECT_EQ(format_progress_bar(progress(), 200),
            "epoch 2/5  [=======>                    ]  batch 123/469  loss 0.4321  12,345 samples/s  "
            "0:32 elapsed, 1:02:05 left  $0.0102 so far, $1.50 to finish");
}

TEST(FormatProgressBar, ShowsEverythingInShortOnAnOrdinaryTerminal) {
  EXPECT_EQ(format_progress_bar(progress(), 80),
            "epoch 2/5 [==>        ] 123/469 loss 0.4321 12,345/s 0:32+1:02:05 $0.0102+$1.50");
}

TEST(FormatProgressBar, ShowsTheBudgetsShareAndTheRestOfTheMoneyWhereThereIsRoom) {
  Progress value = progress();
  value.costs.per_epoch = 0.005;
  value.costs.per_million = 0.75;
  value.costs.budget_share = 0.101;
  EXPECT_NE(format_progress_bar(value, 220)
                .find("$0.0102 so far, $1.50 to finish, 11% of the budget, $0.0050 "
                      "per epoch, $0.7500 per million samples"),
            std::string::npos);
  EXPECT_NE(format_progress_bar(value, 170).find("$0.0102 so far, $1.50 to finish, 11% of the budget"),
            std::string::npos);
  EXPECT_NE(format_progress_bar(value, 84).find("$0.0102+$1.50 11%"), std::string::npos);
  value.costs.budget_share = 0.0031;  // to tenths, rounded up: something is spent
  EXPECT_NE(format_progress_bar(value, 170).find(", 0.4% of the budget"), std::string::npos);
  value.costs.budget_share = 0.0999;
  EXPECT_NE(format_progress_bar(value, 170).find(", 10% of the budget"), std::string::npos);
  value.costs.counts_tokens = true;
  EXPECT_NE(format_progress_line(value).find("$0.7500 per million tokens"), std::string::npos);
}

TEST(FormatProgressBar, NeverWrapsAndDropsTheLeastImportantFirst) {
  const std::vector<std::string> by_importance = {"123/469", "loss", "0:32", "$0.0102", "epoch", "12,345"};
  std::size_t shown_before = 0;
  for (int columns = 20; columns <= 200; ++columns) {
    const std::string text = format_progress_bar(progress(), columns);
    ASSERT_LT(text.size(), static_cast<std::size_t>(columns)) << text;
    std::size_t shown = 0;
    while (shown < by_importance.size() && text.find(by_importance[shown]) != std::string::npos) ++shown;
    for (std::size_t i = shown; i < by_importance.size(); ++i) {
      EXPECT_EQ(text.find(by_importance[i]), std::string::npos)
          << "in the wrong order at " << columns << ": " << text;
    }
    EXPECT_GE(shown, std::max<std::size_t>(shown_before, 1)) << "less on a wider terminal: " << text;
    shown_before = shown;
  }
  EXPECT_EQ(shown_before, by_importance.size());
}

TEST(FormatProgressBar, CopesWithAnyTerminalAndAnyNumbers) {
  Progress wild;
  wild.epoch = std::numeric_limits<std::int64_t>::max() - 1;
  wild.batch = std::numeric_limits<std::int64_t>::max();
  wild.batches_per_epoch = 3;
  wild.loss = std::nan("");
  wild.samples_per_s = INFINITY;
  wild.elapsed_s = -1.0;
  wild.costs.remaining_s = INFINITY;
  wild.costs.spend.amount = 1e300;
  for (const Progress& value : {progress(), wild, Progress{}}) {
    for (int columns = -1; columns <= 600; ++columns) {
      const std::string text = format_progress_bar(value, columns);
      EXPECT_LT(text.size(), static_cast<std::size_t>(std::max(columns, 1)));
      EXPECT_EQ(text.find('\n'), std::string::npos);
    }
  }
}

TEST(FormatProgressBar, LeavesOutWhatIsNotKnownYet) {
  Progress value = progress();
  value.loss.reset();
  value.costs.remaining_s.reset();
  value.costs.to_finish.reset();
  value.costs.spend = {.gpu_hours = 0.0125, .amount = {}, .currency = "USD"};
  EXPECT_EQ(format_progress_line(value),
            "epoch 2/5, batch 123/469, 12,345 samples/s, 0:32 elapsed, 0.013 GPU-h so far");
}

TEST(FormatProgressLine, SaysEverything) {
  EXPECT_EQ(format_progress_line(progress()),
            "epoch 2/5, batch 123/469, loss 0.4321, 12,345 samples/s, 0:32 elapsed, 1:02:05 left, "
            "$0.0102 so far, $1.50 to finish");
}

// What the terminal shows: carriage returns go back, and later characters cover earlier ones.
class ProgressBarTest : public ::testing::Test {
 protected:
  ~ProgressBarTest() override {
    std::fclose(out_);
    std::free(buffer_);
  }
  ProgressBar make(int columns) {
    return ProgressBar(columns, out_, [this] { return now_s_; });
  }
  std::string written() {
    std::fflush(out_);
    return {buffer_, size_};
  }
  std::vector<std::string> screen() {
    std::vector<std::string> lines(1);
    std::size_t column = 0;
    for (const char letter : written()) {
      if (letter == '\n') {
        lines.emplace_back();
        column = 0;
      } else if (letter == '\r') {
        column = 0;
      } else {
        std::string& line = lines.back();
        line.resize(std::max(line.size(), column + 1), ' ');
        line[column++] = letter;
      }
    }
    for (std::string& line : lines) line.erase(line.find_last_not_of(' ') + 1);
    return lines;
  }
  double now_s_ = 100.0;
  char* buffer_ = nullptr;
  std::size_t size_ = 0;
  std::FILE* out_ = open_memstream(&buffer_, &size_);
};

TEST_F(ProgressBarTest, RedrawsAtMostTenTimesASecond) {
  ProgressBar bar = make(80);
  int drawn = 0;
  for (int i = 0; i < 1000; ++i) {  // one second of steps
    drawn += bar.due() ? 1 : 0;
    const std::size_t before = written().size();
    const bool was_due = bar.due();
    bar.update(progress());
    EXPECT_EQ(written().size() > before, was_due);
    now_s_ += 0.001;
  }
  EXPECT_GE(drawn, 9);
  EXPECT_LE(drawn, 11);
  EXPECT_EQ(screen().size(), 1u);
}

TEST_F(ProgressBarTest, CoversALongerLineByAShorterOne) {
  ProgressBar bar = make(80);
  bar.update(progress());
  now_s_ += 1.0;
  Progress less = progress();
  less.loss.reset();
  less.costs.remaining_s.reset();
  less.costs.to_finish.reset();
  less.samples_per_s = 1.0;
  bar.update(less);
  EXPECT_EQ(screen(), (std::vector<std::string>{format_progress_bar(less, 80)}));
}

TEST_F(ProgressBarTest, LetsOtherLinesPassAboveIt) {
  ProgressBar bar = make(80);
  bar.print_above("first");
  bar.update(progress());
  bar.print_above("second");
  EXPECT_EQ(screen(), (std::vector<std::string>{"first", "second", format_progress_bar(progress(), 80)}));
  bar.finish();
  bar.finish();
  EXPECT_EQ(screen(), (std::vector<std::string>{"first", "second", ""}));
  EXPECT_TRUE(bar.due());
}

TEST_F(ProgressBarTest, CleansUpWhenItIsDestroyed) {
  { make(80).update(progress()); }
  EXPECT_EQ(screen(), (std::vector<std::string>{""}));
}

TEST_F(ProgressBarTest, PrintsPlainLinesWithoutATerminal) {
  ProgressBar bar = make(0);
  EXPECT_FALSE(bar.due());
  bar.update(progress());
  EXPECT_EQ(written(), "");
  bar.log(progress());
  bar.print_above("saved");
  bar.finish();
  EXPECT_EQ(written(), format_progress_line(progress()) + "\nsaved\n");
}

TEST_F(ProgressBarTest, PrintsNoPlainLinesOnATerminal) {
  ProgressBar bar = make(80);
  bar.log(progress());
  EXPECT_EQ(written(), "");
}

}  // namespace
}  // namespace lockstep
