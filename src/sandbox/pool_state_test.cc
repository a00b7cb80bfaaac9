#include "sandbox/pool_state.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "sys/files.h"

namespace weir {
namespace {

class PoolStateFile : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/weir-pools-XXXXXX";
    folder_ = mkdtemp(name);
    path_ = folder_ + "/pools.json";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string folder_;
  std::string path_;
};

TEST_F(PoolStateFile, ReadsBackWhatWasWritten) {
  ASSERT_TRUE(save_pool_state(path_, {42, {{*Address::parse("10.0.0.9"), 1234}}}));
  const auto state = load_pool_state(path_);
  ASSERT_TRUE(state) << state.error().text();
  EXPECT_EQ(state->next_handle, 42U);
  ASSERT_EQ(state->resting.size(), 1U);
  EXPECT_EQ(state->resting[0].address.to_string(), "10.0.0.9");
  EXPECT_EQ(state->resting[0].freed_ns, 1234U);
}

TEST_F(PoolStateFile, AnotherBootsTimesBeginTheRestAnew) {
  ASSERT_TRUE(save_pool_state(path_, {1, {{*Address::parse("10.0.0.9"), 1234}}}));
  auto json = nlohmann::json::parse(*read_file(path_));
  json["boot_id"] = "another";
  ASSERT_TRUE(write_file_atomic(path_, json.dump()));
  const auto before = boot_time_ns();
  EXPECT_GE(load_pool_state(path_)->resting[0].freed_ns, before);
}

TEST_F(PoolStateFile, AbsentIsEmptyAndBrokenIsAnError) {
  EXPECT_TRUE(load_pool_state(path_)->resting.empty());
  for (const char* text :
       {"", "{", "[]", "{}", R"({"resting":[1]})", R"({"next_handle":4294967296,"resting":[]})",
        R"({"resting":[{"address":"x"}]})", R"({"resting":[{"address":7}]})"}) {
    ASSERT_TRUE(write_file_atomic(path_, text));
    EXPECT_FALSE(load_pool_state(path_)) << text;
  }
}

}  // namespace
}  // namespace weir
