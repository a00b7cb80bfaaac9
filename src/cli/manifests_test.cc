#include "cli/manifests.h"

#include <gmock/gmock.h>

namespace weir::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Manifests, ASettingReplacesTheLineOrIsANewOne) {
  const std::string manifest(kCniManifest);
  ASSERT_THAT(manifest, HasSubstr("\n  api-server: \"\"\n"));
  const auto changed = with_setting(manifest, "api-server", "https://[fd00::1]:6443");
  ASSERT_TRUE(changed);
  EXPECT_THAT(*changed, HasSubstr("\n  api-server: \"https://[fd00::1]:6443\"\n"));
  EXPECT_THAT(*changed, Not(HasSubstr("api-server: \"\"")));
  const auto added = with_setting(*changed, "ct-max", "1000");
  EXPECT_THAT(*added, HasSubstr("\ndata:\n  ct-max: \"1000\"\n"));
  const auto again = with_setting(*added, "ct-max", "2000");
  EXPECT_THAT(*again, Not(HasSubstr("1000\"")));
}

TEST(Manifests, AValueCannotBecomeOtherYaml) {
  for (const auto& [key, value] : {std::pair("ct-max", "1\n  x: y"),
                                   {"ct max", "1"},
                                   {"", "1"},
                                   {"a\"", "1"},
                                   {"a", "\x7f"}}) {
    EXPECT_FALSE(with_setting(std::string(kCniManifest), key, value)) << key;
  }
  const auto quoted = with_setting(std::string(kCniManifest), "device", R"(a"b\c)");
  EXPECT_THAT(*quoted, HasSubstr(R"(  device: "a\"b\\c")"));
}

TEST(Manifests, OtherSettingsMakePodsAnew) {
  const auto one = with_settings_mark(std::string(kCniManifest), R"({"device":"eth0"})");
  EXPECT_THAT(one, HasSubstr("\n        weir.dev/config: \"{\\\"device\\\":\\\"eth0\\\"}\"\n"));
  EXPECT_EQ(with_settings_mark(one, "x"), with_settings_mark(std::string(kCniManifest), "x"));
}

TEST(Manifests, TheImageOfAllContainersComesFromElsewhere) {
  for (const auto manifest : {kCniManifest, kRemoveManifest}) {
    const std::string changed = with_image(std::string(manifest), "registry.example:5000/weir");
    EXPECT_THAT(changed, Not(HasSubstr("weir.dev/weir:")));
    EXPECT_THAT(changed, HasSubstr("image: registry.example:5000/weir:"));
  }
}

}  // namespace
}  // namespace weir::cli
