#include "launch/tool.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

TEST(RunTool, GivesStatusAndOutput) {
  const ToolResult result = run_tool({"sh", "-c", "echo said; echo wrong >&2; exit 3"});
  EXPECT_EQ(result.status, 3);
  EXPECT_EQ(result.output, "said\nwrong\n");
  EXPECT_EQ(run_tool({"sh", "-c", "kill -9 $$"}).status, 128 + 9);
  EXPECT_EQ(run_tool({"cat"}).output, "");  // nothing to read
}

TEST(RunTool, WhatIsNotThereIs127) {
  const ToolResult result = run_tool({"no-such-tool-of-anybody"});
  EXPECT_EQ(result.status, 127);
  EXPECT_EQ(result.output, "no-such-tool-of-anybody is not there");
}

}  // namespace
}  // namespace lockstep
