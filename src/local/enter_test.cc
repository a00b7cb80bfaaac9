#include "local/enter.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

namespace weir::local {
namespace {

class FindPod : public testing::Test {
 protected:
  FindPod() : paths_{.base = mkdtemp(template_), .name = "test"} {}
  ~FindPod() override { std::filesystem::remove_all(paths_.base); }

  void add(const std::string& name, const std::string& workload) {
    PodRecord record;
    record.key = {"shop", name};
    record.workload = workload;
    std::filesystem::create_directories(paths_.pod(record.key));
    std::ofstream(paths_.pod_record(record.key)) << to_json(record);
  }
  // The pod's name, or what is wrong.
  std::string find(const std::string& text) {
    const auto pod = find_pod(paths_, text);
    return pod ? pod->key.name : pod.error().text();
  }

  char template_[32] = "/tmp/weir-enter-XXXXXX";
  Paths paths_;
};

TEST_F(FindPod, ByItsNameOrItsDeployment) {
  add("web-admin-d5b7-x2x4k", "web-admin");
  add("web-f6c8-b7b7b", "web");
  add("web-own", "");
  std::filesystem::create_directories(paths_.pod({"shop", "web-begun-just-now"}));
  const struct {
    const char* asked;
    const char* found;
  } cases[] = {
      {"shop/web-own", "web-own"},
      {"shop/web-f6c8-b7b7b", "web-f6c8-b7b7b"},
      {"shop/web", "web-f6c8-b7b7b"},  // not of web-admin, which comes first
      {"shop/web-admin", "web-admin-d5b7-x2x4k"},
      {"shop/web-f6c8", "there is no pod shop/web-f6c8"},  // of no Deployment
      {"shop/", "there is no pod shop/"},
      {"web", "there is no pod default/web"},
  };
  for (const auto& c : cases) EXPECT_EQ(find(c.asked), c.found) << c.asked;
}

}  // namespace
}  // namespace weir::local
