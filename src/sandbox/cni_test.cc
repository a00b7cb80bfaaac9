// Requests, results and records as values.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "sandbox/cni_request.h"
#include "sandbox/cni_result.h"
#include "sandbox/record.h"

namespace weir {
namespace {

using Json = nlohmann::json;

Json request_json(const std::string& command) {
  return {{"command", command},
          {"containerID", "c1"},
          {"netns", "/run/netns/x"},
          {"ifname", "eth0"},
          {"args", "IgnoreUnknown=1;K8S_POD_NAME=cart-0;K8S_POD_NAMESPACE=shop;K8S_POD_UID=7"},
          {"path", "/opt/cni/bin"},
          {"config", {{"cniVersion", "1.0.0"}, {"name", "weir"}, {"type", "weir-cni"}}}};
}

Endpoint cart() {
  Endpoint e;
  e.handle = 7;
  e.container_id = "c1";
  e.ifname = "eth0";
  e.netns = "/run/netns/x";
  e.netns_cookie = 4711;
  e.pod_namespace = "shop";
  e.pod_name = "cart-0";
  e.host_ifname = host_link_name({"c1", "eth0"});
  e.host_ifindex = 77;
  e.mac = {0x0a, 0x58, 10, 244, 0, 5};
  e.addresses = {*Address::parse("10.244.0.5"), *Address::parse("fd00::5")};
  e.ports = {{Protocol::kUdp, 8080, 80, Address::v4(0)}};
  e.ingress = {10'000'000, 80'000};
  e.egress = {5000, 0};
  return e;
}

TEST(CniRequest, SaysWhoAsksForWhat) {
  const auto parsed = cni::parse_request(request_json("ADD").dump());
  ASSERT_TRUE(parsed.request) << parsed.failure.message;
  EXPECT_EQ(parsed.request->command, cni::Command::kAdd);
  EXPECT_EQ(parsed.request->id.owner(), "c1/eth0");
  EXPECT_EQ(parsed.request->pod_namespace, "shop");
  EXPECT_EQ(parsed.request->pod_name, "cart-0");
  EXPECT_EQ(parsed.request->pod_uid, "7");
  EXPECT_EQ(parsed.request->version, "1.0.0");
}

TEST(CniRequest, EachFaultHasItsCode) {
  struct Case {
    const char* pointer;
    Json value;
    int code;
  };
  const Case cases[] = {
      {"/command", "FROB", cni::kInvalidEnvironment},
      {"/command", 7, cni::kInvalidEnvironment},
      {"/containerID", "../x", cni::kInvalidEnvironment},
      {"/ifname", "a/b", cni::kInvalidEnvironment},
      {"/netns", "relative", cni::kInvalidEnvironment},
      {"/args", "X", cni::kInvalidEnvironment},
      {"/config", 7, cni::kDecodingFailure},
      {"/config/cniVersion", "0.3.1", cni::kIncompatibleVersion},
      {"/config/cniVersion", 7, cni::kDecodingFailure},
      {"/config/name", "", cni::kInvalidConfig},
      {"/config/prevResult", Json::array(), cni::kInvalidConfig},
  };
  for (const auto& [pointer, value, code] : cases) {
    auto json = request_json("ADD");
    json[Json::json_pointer(pointer)] = value;
    const auto parsed = cni::parse_request(json.dump());
    ASSERT_FALSE(parsed.request) << pointer;
    EXPECT_EQ(parsed.failure.code, code) << pointer;
    const auto answer = Json::parse(cni::failure_answer(parsed.answer_version, parsed.failure));
    EXPECT_EQ(answer["error"]["code"], code);
    EXPECT_TRUE(cni::is_supported(answer["error"]["cniVersion"].get<std::string>()));
  }
}

Json with_bandwidth(const Json& bandwidth) {
  auto json = request_json("ADD");
  json["config"]["runtimeConfig"]["bandwidth"] = bandwidth;
  return json;
}

TEST(CniRequest, BandwidthIsReadInAnyCase) {
  const Json cases[] = {
      {{"ingressRate", 10'000'000}, {"ingressBurst", 80'000}, {"egressRate", 5000}},
      {{"IngressRate", 10'000'000},
       {"IngressBurst", 80'000},
       {"EgressRate", 5000},
       {"EgressBurst", 4294967295}},  // what runtimes say that know none
      {{"ingressRate", 10'000'000},
       {"ingressBurst", 80'000},
       {"egressRate", 5000},
       {"egressBurst", 2147483647}}};
  for (const auto& bandwidth : cases) {
    const auto parsed = cni::parse_request(with_bandwidth(bandwidth).dump());
    ASSERT_TRUE(parsed.request) << parsed.failure.message;
    EXPECT_EQ(parsed.request->ingress, (Bandwidth{10'000'000, 80'000}));
    EXPECT_EQ(parsed.request->egress, (Bandwidth{5000, 0}));
  }
  const auto none = cni::parse_request(
      with_bandwidth({{"IngressRate", 0}, {"IngressBurst", 0}, {"EgressRate", nullptr}}).dump());
  EXPECT_EQ(none.request->ingress, Bandwidth());
}

TEST(CniRequest, BandwidthThatCannotBeIsOneErrorOfAddOnly) {
  const struct {
    Json bandwidth;
    const char* says;
  } cases[] = {
      {7, "'runtimeConfig.bandwidth' is not an object"},
      {{{"ingressRate", -1}}, "bandwidth.ingressRate' is not a whole number"},
      {{{"ingressRate", "10M"}}, "bandwidth.ingressRate' is not a whole number"},
      {{{"egressRate", 1.5}}, "bandwidth.egressRate' is not a whole number"},
      {{{"egressRate", 999}}, "bandwidth.egressRate' is below 1000 bits"},
      {{{"egressRate", 1'000'000'000'000'001}}, "from 0 to 1000000000000000"},
      {{{"egressRate", 1000}, {"egressBurst", 34359738361}}, "from 0 to 34359738360"},
      {{{"ingressBurst", 8000}}, "has ingressBurst without ingressRate"},
  };
  for (const auto& [bandwidth, says] : cases) {
    auto json = with_bandwidth(bandwidth);
    const auto parsed = cni::parse_request(json.dump());
    ASSERT_FALSE(parsed.request) << bandwidth;
    EXPECT_EQ(parsed.failure.code, cni::kInvalidConfig);
    EXPECT_NE(parsed.failure.message.find(says), std::string::npos) << parsed.failure.message;
    json["command"] = "DEL";
    EXPECT_TRUE(cni::parse_request(json.dump()).request);
  }
}

TEST(CniRequest, PortMappingsAndAddressesAreRead) {
  auto json = request_json("ADD");
  json["args"] = "IP=10.244.0.9";
  json["config"]["args"]["cni"]["ips"] = {"10.244.0.9"};
  json["config"]["runtimeConfig"] = {
      {"ips", {"10.244.0.9/24", "fd00::9/64"}},
      {"portMappings",
       {{{"hostPort", 8080}, {"containerPort", 80}},
        {{"HostPort", 8080}, {"ContainerPort", 53}, {"Protocol", "udp"}, {"HostIP", ""}},
        {{"hostPort", 81}, {"containerPort", 80}, {"protocol", "SCTP"}, {"hostIP", "172.30.0.10"}},
        {{"hostPort", 81}, {"containerPort", 82}, {"protocol", "sctp"}, {"hostIP", "fd00::1"}}}}};
  const auto parsed = cni::parse_request(json.dump());
  ASSERT_TRUE(parsed.request) << parsed.failure.message;
  EXPECT_EQ(parsed.request->requested,
            (std::vector<Address>{*Address::parse("10.244.0.9"), *Address::parse("fd00::9")}));
  EXPECT_EQ(parsed.request->ports,
            (std::vector<HostPort>{{Protocol::kTcp, 8080, 80, Address()},
                                   {Protocol::kUdp, 8080, 53, Address()},
                                   {Protocol::kSctp, 81, 80, *Address::parse("172.30.0.10")},
                                   {Protocol::kSctp, 81, 82, *Address::parse("fd00::1")}}));
}

TEST(CniRequest, PortMappingsAndAddressesThatCannotBeAreOneErrorOfAddOnly) {
  const Json good = {{"hostPort", 8080}, {"containerPort", 80}};
  const auto port = [&good](const char* key, const Json& value) {
    Json one = good;
    one[key] = value;
    return Json{{"portMappings", Json::array({one})}};
  };
  const struct {
    Json runtime;
    const char* says;
  } cases[] = {
      {7, "'runtimeConfig' is not an object"},
      {{{"portMappings", 7}}, "'runtimeConfig.portMappings' is not a list"},
      {{{"portMappings", {7}}}, "portMappings[0]' is not an object"},
      {port("hostPort", 0), "portMappings[0]'.hostPort is not a port from 1 to 65535"},
      {port("hostPort", 65536), ".hostPort is not a port"},
      {port("hostPort", -1), ".hostPort is not a port"},
      {port("hostPort", "80"), ".hostPort is not a port"},
      {port("containerPort", 0), ".containerPort is not a port"},
      {port("protocol", "icmp"), ".protocol is not tcp, udp or sctp"},
      {port("protocol", 6), ".protocol is not"},
      {port("hostIP", "10.0.0.x"), ".hostIP is not an address"},
      {port("hostIP", 7), ".hostIP is not an address"},
      {{{"portMappings", {good, good}}}, "portMappings[1]': host port 8080/TCP is there twice"},
      {{{"portMappings",
         {good, {{"hostPort", 8080}, {"containerPort", 9}, {"hostIP", "172.30.0.10"}}}}},
       "host port 8080/TCP is there twice"},
      {{{"portMappings", Json(1025, good)}}, "has more than 1024 ports"},
      {{{"ips", "10.244.0.9"}}, "'runtimeConfig.ips' is not a list"},
      {{{"ips", {7}}}, "'runtimeConfig.ips' has something that is no address"},
      {{{"ips", {"10.244.0.9/33"}}}, "something that is no address"},
      {{{"ips", {"10.244.0.9", "10.244.0.10"}}}, "10.244.0.9 and 10.244.0.10 are both asked for"},
  };
  for (const auto& [runtime, says] : cases) {
    auto json = request_json("ADD");
    json["config"]["runtimeConfig"] = runtime;
    const auto parsed = cni::parse_request(json.dump());
    ASSERT_FALSE(parsed.request) << runtime;
    EXPECT_EQ(parsed.failure.code, cni::kInvalidConfig);
    EXPECT_NE(parsed.failure.message.find(says), std::string::npos) << parsed.failure.message;
    json["command"] = "DEL";
    EXPECT_TRUE(cni::parse_request(json.dump()).request);
  }
}

TEST(CniResult, HasTheShapeOfTheVersionAsked) {
  for (const char* version : {"0.4.0", "1.0.0", "1.1.0"}) {
    const auto result = Json::parse(*cni::add_result(version, cart(), 1450, ""));
    EXPECT_EQ(result["cniVersion"], version);
    EXPECT_EQ(result["interfaces"][1]["mac"], "0a:58:0a:f4:00:05");
    EXPECT_EQ(result["interfaces"][1].contains("mtu"), std::string(version) == "1.1.0");
    EXPECT_EQ(result["ips"][0]["address"], "10.244.0.5/32");
    EXPECT_EQ(result["ips"][0]["gateway"], "169.254.1.1");
    EXPECT_EQ(result["ips"][0]["interface"], 1);
    EXPECT_EQ(result["ips"][0].contains("version"), std::string(version) == "0.4.0");
    EXPECT_EQ(result["routes"][1]["dst"], "::/0");
    EXPECT_FALSE(cni::previous_fault(cart(), result.dump()));
  }
}

TEST(CniResult, ComesAfterThePreviousOne) {
  const Json before = {{"cniVersion", "1.0.0"},
                       {"interfaces", {{{"name", "net0"}}}},
                       {"ips", {{{"address", "192.0.2.9/24"}, {"interface", 0}}}},
                       {"dns", {{"nameservers", {"10.0.0.53"}}}}};
  const auto result = Json::parse(*cni::add_result("1.0.0", cart(), 1450, before.dump()));
  EXPECT_EQ(result["interfaces"][0]["name"], "net0");
  EXPECT_EQ(result["interfaces"][2]["name"], "eth0");
  EXPECT_EQ(result["ips"][1]["interface"], 2);
  EXPECT_EQ(result["dns"], before["dns"]);
}

TEST(CniResult, CheckSeesWhatPreviousLacks) {
  EXPECT_EQ(cni::previous_fault(cart(), "")->code, cni::kInvalidConfig);
  EXPECT_NE(cni::previous_fault(cart(), "{}")->message.find("no interface eth0"),
            std::string::npos);
  auto other = cart();
  other.addresses[1] = *Address::parse("fd00::6");
  const auto fault = cni::previous_fault(cart(), *cni::add_result("1.0.0", other, 1450, ""));
  EXPECT_NE(fault->message.find("fd00::5/128"), std::string::npos);
}

TEST(Record, NamesOfLinksAreFixedAndOurs) {
  const auto name = host_link_name({"c1", "eth0"});
  EXPECT_EQ(name.size(), 15U);
  EXPECT_EQ(name, host_link_name({"c1", "eth0"}));
  EXPECT_NE(name, host_link_name({"c1", "eth1"}));
  EXPECT_TRUE(is_host_link_name(name));
  for (const char* other : {"weir_vxlan", "weir", "weir0123456789a", "veirabcdefghijk"}) {
    EXPECT_FALSE(is_host_link_name(other)) << other;
  }
}

TEST(Record, BrokenOnesAreRefused) {
  const std::set<std::string> younger = {"netns_cookie", "ports", "ingress", "egress"};
  const auto good = Json::parse(encode_record({"weir", cart(), 1450, false}));
  for (const auto& [key, value] : good.items()) {
    auto missing = good;
    missing.erase(key);
    EXPECT_EQ(decode_record(missing.dump()).has_value(), younger.contains(key)) << key;
    auto wrong = good;
    wrong[key] = Json::object();
    EXPECT_FALSE(decode_record(wrong.dump())) << key;
  }
  auto escape = good;
  escape["container_id"] = "../../x";
  EXPECT_FALSE(decode_record(escape.dump()));
  EXPECT_FALSE(decode_record("{"));
}

RC_GTEST_PROP(Record, ReadsBackWhatWasWritten, (std::uint32_t handle, bool deleting)) {
  Record record{"weir", cart(), 1450, deleting};
  record.endpoint.handle = handle;
  record.endpoint.pod_name = *rc::gen::string<std::string>();
  std::erase_if(record.endpoint.pod_name, [](char c) { return static_cast<signed char>(c) < 0; });
  const auto bytes = *rc::gen::arbitrary<std::array<std::uint8_t, 16>>();
  record.endpoint.addresses.push_back(Address::from_bytes(bytes));
  const auto read = decode_record(encode_record(record));
  RC_ASSERT(read);
  RC_ASSERT(*read == record);
}

}  // namespace
}  // namespace weir
