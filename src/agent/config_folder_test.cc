#include "agent/config_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace weir {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::vector<std::string> kSettings = {"tunnel", "tunnel-port", "service-cidr", "log-level"};

// A ConfigMap as the kubelet mounts it: links to a folder whose name begins with dots.
class ConfigFolder : public testing::Test {
 protected:
  ConfigFolder() {
    fs::create_directories(folder_ / "..2026");
    fs::create_directory_symlink("..2026", folder_ / "..data");
  }
  ~ConfigFolder() override { fs::remove_all(folder_); }

  void put(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / "..2026" / name) << text;
    fs::create_symlink(fs::path("..data") / name, folder_ / name);
  }

  const fs::path folder_ = fs::temp_directory_path() / ("weir-config-" + std::to_string(getpid()));
};

TEST_F(ConfigFolder, FilesAreSettingsAndWordsAreValues) {
  put("tunnel", "false\n");
  put("service-cidr", "10.96.0.0/16 fd00:96::/112\n");
  put("log-level", "\n");
  const auto read = read_config_folder(folder_, kSettings);
  ASSERT_TRUE(read);
  EXPECT_THAT(*read, ElementsAre("--service-cidr=10.96.0.0/16", "--service-cidr=fd00:96::/112",
                                 "--tunnel=false"));
}

TEST_F(ConfigFolder, LinesOfSysctlAreValues) {
  put("sysctl", "\n  net.ipv4.tcp_rmem=4096 131072 6291456 \nnet.core.somaxconn=8192");
  const auto read = read_config_folder(folder_, {"sysctl"});
  ASSERT_TRUE(read);
  EXPECT_THAT(*read, ElementsAre("--sysctl=net.ipv4.tcp_rmem=4096 131072 6291456",
                                 "--sysctl=net.core.somaxconn=8192"));
}

TEST_F(ConfigFolder, AnUnknownSettingIsRefusedWithTheNearestName) {
  put("tunel-port", "1");
  const auto read = read_config_folder(folder_, kSettings);
  ASSERT_FALSE(read);
  EXPECT_THAT(read.error().text(), HasSubstr("/tunel-port: no such setting"));
  EXPECT_THAT(read.error().text(), EndsWith("did you mean tunnel-port?"));
}

TEST_F(ConfigFolder, AnAbsentFolderIsNamed) {
  const auto read = read_config_folder("/nonexistent/weir", kSettings);
  ASSERT_FALSE(read);
  EXPECT_THAT(read.error().text(), HasSubstr("/nonexistent/weir"));
}

TEST(NearestName, IsEmptyWhenNoneIsNear) {
  EXPECT_EQ(nearest_name("log-levle", kSettings), "log-level");
  EXPECT_THAT(nearest_name("zzzzzzzz", kSettings), IsEmpty());
}

}  // namespace
}  // namespace weir
