#include "sandbox/cni_result.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "sandbox/gateway.h"

namespace weir::cni {
namespace {

using Json = nlohmann::json;

Json interfaces_of(const std::string& version, const Endpoint& endpoint, std::uint32_t mtu) {
  Json host = {{"name", endpoint.host_ifname}, {"mac", to_string(kGatewayLinkAddress)}};
  Json pod = {
      {"name", endpoint.ifname}, {"mac", to_string(endpoint.mac)}, {"sandbox", endpoint.netns}};
  if (version == "1.1.0") host["mtu"] = pod["mtu"] = mtu;
  return Json::array({std::move(host), std::move(pod)});
}

Json ip_of(const std::string& version, const Address& address, std::size_t interface) {
  Json ip = {{"address", only(address).to_string()},
             {"gateway", gateway(address.family()).to_string()},
             {"interface", interface}};
  if (version == "0.4.0") ip["version"] = address.is_v4() ? "4" : "6";
  return ip;
}

Json route_of(const Address& address) {
  return {{"dst", everything(address.family()).to_string()},
          {"gw", gateway(address.family()).to_string()}};
}

// A list of prevResult that we append to; absent and null are empty.
bool make_list(Json& result, const char* key) {
  Json& list = result[key];
  if (list.is_null()) list = Json::array();
  return list.is_array();
}

bool has_address(const Json& ips, const Address& address) {
  const std::string wanted = only(address).to_string();
  return std::any_of(ips.begin(), ips.end(), [&wanted](const Json& ip) {
    return ip.is_object() && ip.contains("address") && ip["address"].is_string() &&
           ip["address"].get<std::string>() == wanted;
  });
}

bool is_pod_side(const Json& one, const Endpoint& endpoint) {
  return one.is_object() && one.value("name", Json()) == endpoint.ifname &&
         one.value("sandbox", Json()) == endpoint.netns;
}

}  // namespace

std::expected<std::string, Failure> add_result(const std::string& version, const Endpoint& endpoint,
                                               std::uint32_t mtu, const std::string& previous) {
  Json result = previous.empty() ? Json::object() : Json::parse(previous, nullptr, false);
  if (!result.is_object() || !make_list(result, "interfaces") || !make_list(result, "ips") ||
      !make_list(result, "routes")) {
    return std::unexpected(Failure{kInvalidConfig, "'prevResult' is malformed", {}});
  }
  result["cniVersion"] = version;
  for (auto& one : interfaces_of(version, endpoint, mtu)) {
    result["interfaces"].push_back(std::move(one));
  }
  const std::size_t pod_side = result["interfaces"].size() - 1;
  for (const auto& address : endpoint.addresses) {
    result["ips"].push_back(ip_of(version, address, pod_side));
    result["routes"].push_back(route_of(address));
  }
  if (!result.contains("dns")) result["dns"] = Json::object();
  return result.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::optional<Failure> previous_fault(const Endpoint& endpoint, const std::string& previous) {
  if (previous.empty()) return Failure{kInvalidConfig, "CHECK without 'prevResult'", {}};
  Json result = Json::parse(previous, nullptr, false);
  if (!result.is_object() || !make_list(result, "interfaces") || !make_list(result, "ips")) {
    return Failure{kInvalidConfig, "'prevResult' is malformed", {}};
  }
  const auto& interfaces = result["interfaces"];
  if (std::none_of(interfaces.begin(), interfaces.end(),
                   [&endpoint](const Json& one) { return is_pod_side(one, endpoint); })) {
    return Failure{
        kInvalidConfig,
        fmt::format("'prevResult' has no interface {} in {}", endpoint.ifname, endpoint.netns),
        {}};
  }
  for (const auto& address : endpoint.addresses) {
    if (!has_address(result["ips"], address)) {
      return Failure{kInvalidConfig,
                     fmt::format("'prevResult' does not have {}", only(address).to_string()),
                     {}};
    }
  }
  return std::nullopt;
}

}  // namespace weir::cni
