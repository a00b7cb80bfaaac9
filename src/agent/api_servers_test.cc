#include "agent/api_servers.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>

#include "sys/files.h"

namespace weir {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

EndpointSlice slice(const char* name, const std::vector<const char*>& addresses) {
  EndpointSlice made;
  made.namespace_ = "default";
  made.name = name;
  made.service = "kubernetes";
  for (const char* text : addresses) {
    SliceEndpoint endpoint;
    endpoint.addresses = {*Address::parse(text)};
    made.family = endpoint.addresses.front().family();
    made.endpoints.push_back(endpoint);
  }
  made.ports = {{"https", Protocol::kTcp, 6443}};
  return made;
}

Change upsert(EndpointSlice one) { return Upsert{Object(std::move(one))}; }
Change erase(const char* name) { return Erase{Kind::kEndpointSlice, {"default", name}}; }

class ApiServersTest : public testing::Test {
 protected:
  ~ApiServersTest() override { std::filesystem::remove_all(folder_); }

  std::string path() const { return folder_ + "/api-servers"; }

  char form_[32] = "/tmp/weir-servers-XXXXXX";
  std::string folder_ = mkdtemp(form_);
  ApiServers servers_{path()};
};

TEST_F(ApiServersTest, WhatServesIsRememberedInBothFamilies) {
  EXPECT_THAT(ApiServers::remembered(path()), IsEmpty());
  servers_.take(upsert(slice("kubernetes", {"172.30.0.2", "172.30.0.3"})));
  servers_.take(upsert(slice("kubernetes-v6", {"fd30::2"})));
  EXPECT_THAT(
      ApiServers::remembered(path()),
      ElementsAre("https://172.30.0.2:6443", "https://172.30.0.3:6443", "https://[fd30::2]:6443"));
  servers_.take(upsert(slice("kubernetes", {"172.30.0.9"})));
  servers_.take(erase("kubernetes-v6"));
  EXPECT_THAT(ApiServers::remembered(path()), ElementsAre("https://172.30.0.9:6443"));
}

TEST_F(ApiServersTest, NoSliceLeavesTheServiceWithoutABackend) {
  servers_.take(upsert(slice("kubernetes", {"172.30.0.2"})));
  EXPECT_THAT(servers_.take(upsert(slice("kubernetes", {}))), IsEmpty());
  EndpointSlice unready = slice("kubernetes", {"172.30.0.2"});
  unready.endpoints[0].ready = false;
  EXPECT_THAT(servers_.take(upsert(unready)), IsEmpty());
  EXPECT_THAT(servers_.take(erase("kubernetes")), IsEmpty());
  EXPECT_THAT(ApiServers::remembered(path()), ElementsAre("https://172.30.0.2:6443"));
}

TEST_F(ApiServersTest, AnErasedSliceGoesWhenAnotherHasCome) {
  servers_.take(upsert(slice("kubernetes", {"172.30.0.2"})));
  servers_.take(erase("kubernetes"));
  const Change next = upsert(slice("kubernetes-abc", {"172.30.0.4"}));
  EXPECT_THAT(servers_.take(next), ElementsAre(next, erase("kubernetes")));
  EXPECT_THAT(ApiServers::remembered(path()), ElementsAre("https://172.30.0.4:6443"));
}

TEST_F(ApiServersTest, AnErasedSliceThatComesBackStays) {
  servers_.take(upsert(slice("kubernetes", {"172.30.0.2"})));
  servers_.take(erase("kubernetes"));
  const Change back = upsert(slice("kubernetes", {"172.30.0.5"}));
  EXPECT_THAT(servers_.take(back), ElementsAre(back));
}

TEST_F(ApiServersTest, OtherServicesMayHaveNone) {
  EndpointSlice other = slice("cart-1", {});
  other.service = "cart";
  EXPECT_THAT(servers_.take(upsert(other)), ElementsAre(upsert(other)));
  EXPECT_THAT(servers_.take(erase("cart-1")), ElementsAre(erase("cart-1")));
}

TEST_F(ApiServersTest, AFileOfOtherContentGivesWhatIsAUrl) {
  ASSERT_TRUE(write_file_atomic(path(), "https://10.0.0.1:6443\nhttp://10.0.0.2\n\x01\xff\n"));
  EXPECT_THAT(ApiServers::remembered(path()), ElementsAre("https://10.0.0.1:6443"));
}

TEST_F(ApiServersTest, AFileThatCannotBeWrittenIsAProblemNoMore) {
  ApiServers servers("/nonexistent/api-servers");
  servers.take(upsert(slice("kubernetes", {"172.30.0.2"})));
  EXPECT_THAT(servers.problem(), testing::HasSubstr("/nonexistent"));
}

}  // namespace
}  // namespace weir
