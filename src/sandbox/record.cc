#include "sandbox/record.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdint>
#include <nlohmann/json.hpp>

#include "base/hash.h"

namespace weir {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kPrefix = "weir";
constexpr std::string_view kDigits = "abcdefghijklmnopqrstuvwxyz234567";
constexpr std::size_t kHashDigits = 11;

Result<Mac> parse_mac(const std::string& text) {
  Mac mac{};
  const Error bad(Code::kInvalid, fmt::format("'{}' is not a link address", text));
  if (text.size() != 17) return bad;
  for (std::size_t i = 0; i < mac.size(); ++i) {
    const char* begin = text.data() + 3 * i;
    if (std::from_chars(begin, begin + 2, mac[i], 16).ptr != begin + 2) return bad;
  }
  return mac;
}

Json to_json(const Bandwidth& bandwidth) {
  return {{"rate", bandwidth.rate}, {"burst", bandwidth.burst}};
}

Json to_json(const std::vector<HostPort>& ports) {
  Json list = Json::array();
  for (const auto& port : ports) {
    list.push_back({{"protocol", protocol_name(port.protocol)},
                    {"host_port", port.host_port},
                    {"port", port.port},
                    {"host_ip", port.host_ip.to_string()}});
  }
  return list;
}

Result<HostPort> port_of(const Json& json) {
  HostPort port;
  const auto protocol = parse_protocol(json.at("protocol").get<std::string>());
  if (!protocol) return Error(Code::kInvalid, "not a record: a port has no protocol");
  port.protocol = *protocol;
  json.at("host_port").get_to(port.host_port);
  json.at("port").get_to(port.port);
  WEIR_ASSIGN(port.host_ip, Address::parse(json.at("host_ip").get<std::string>()));
  return port;
}

// Absent in older records.
Bandwidth bandwidth_of(const Json& json, const char* key) {
  const auto found = json.find(key);
  if (found == json.end()) return {};
  return {found->at("rate").get<std::uint64_t>(), found->at("burst").get<std::uint64_t>()};
}

Json to_json(const Record& record) {
  const Endpoint& e = record.endpoint;
  Json addresses = Json::array();
  for (const auto& address : e.addresses) addresses.push_back(address.to_string());
  return {{"network", record.network},
          {"deleting", record.deleting},
          {"mtu", record.mtu},
          {"handle", e.handle},
          {"container_id", e.container_id},
          {"ifname", e.ifname},
          {"netns", e.netns},
          {"netns_cookie", e.netns_cookie},
          {"pod_namespace", e.pod_namespace},
          {"pod_name", e.pod_name},
          {"pod_uid", e.pod_uid},
          {"host_ifname", e.host_ifname},
          {"host_ifindex", e.host_ifindex},
          {"mac", to_string(e.mac)},
          {"addresses", std::move(addresses)},
          {"ports", to_json(e.ports)},
          {"ingress", to_json(e.ingress)},
          {"egress", to_json(e.egress)}};
}

// Throws what the JSON library throws on a missing member or a wrong type.
Result<Record> from_json(const Json& json) {
  Record record;
  Endpoint& e = record.endpoint;
  json.at("network").get_to(record.network);
  json.at("deleting").get_to(record.deleting);
  json.at("mtu").get_to(record.mtu);
  json.at("handle").get_to(e.handle);
  json.at("container_id").get_to(e.container_id);
  json.at("ifname").get_to(e.ifname);
  json.at("netns").get_to(e.netns);
  e.netns_cookie = json.value("netns_cookie", std::uint64_t{0});  // absent in older records
  json.at("pod_namespace").get_to(e.pod_namespace);
  json.at("pod_name").get_to(e.pod_name);
  json.at("pod_uid").get_to(e.pod_uid);
  json.at("host_ifname").get_to(e.host_ifname);
  json.at("host_ifindex").get_to(e.host_ifindex);
  WEIR_ASSIGN(e.mac, parse_mac(json.at("mac").get<std::string>()));
  for (const auto& text : json.at("addresses")) {
    WEIR_ASSIGN(const auto address, Address::parse(text.get<std::string>()));
    e.addresses.push_back(address);
  }
  const Json ports = json.value("ports", Json::array());  // absent in older records
  if (!ports.is_array()) return Error(Code::kInvalid, "not a record: 'ports' is not a list");
  for (const auto& one : ports) {
    WEIR_ASSIGN(const auto port, port_of(one));
    e.ports.push_back(port);
  }
  e.ingress = bandwidth_of(json, "ingress");
  e.egress = bandwidth_of(json, "egress");
  if (e.addresses.empty()) return Error(Code::kInvalid, "not a record: no addresses");
  return record;
}

}  // namespace

std::string record_file_name(const cni::AttachmentId& id) {
  return fmt::format("{}:{}.json", id.container_id, id.ifname);
}

std::string encode_record(const Record& record) {
  return to_json(record).dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<Record> decode_record(std::string_view text) {
  try {
    WEIR_ASSIGN(auto record, from_json(Json::parse(text)));
    const auto id = record.id();
    if (!cni::container_id_fault(id.container_id).empty() ||
        !cni::ifname_fault(id.ifname).empty()) {
      return Error(Code::kInvalid, "not a record: names no attachment");
    }
    return record;
  } catch (const Json::exception& e) {
    return Error(Code::kInvalid, fmt::format("not a record: {}", e.what()));
  }
}

std::string host_link_name(const cni::AttachmentId& id) {
  std::uint64_t hash = fnv1a(id.owner());
  std::string name(kPrefix);
  for (std::size_t i = 0; i < kHashDigits; ++i, hash >>= 5) name += kDigits[hash & 31];
  return name;
}

bool is_host_link_name(std::string_view name) {
  return name.size() == kPrefix.size() + kHashDigits && name.starts_with(kPrefix) &&
         name.find_first_not_of(kDigits, kPrefix.size()) == std::string_view::npos;
}

}  // namespace weir
