// Status, EndpointInfo and Version as JSON, each struct's fields listed once for both ways.

#include <nlohmann/json.hpp>

#include "api/status.h"

namespace weir::api {

using nlohmann::ordered_json;

namespace {

// One visitor writes, one reads; `fields` lists name and member for both.
struct Writer {
  ordered_json& json;
  template <typename T>
  void operator()(const char* name, const T& value) const;
};

struct Reader {
  const ordered_json& json;
  template <typename T>
  void operator()(const char* name, T& value) const;
};

void fields(auto& self, const auto& visit)
  requires std::is_same_v<std::remove_cvref_t<decltype(self)>, Device>
{
  visit("name", self.name);
  visit("ifindex", self.ifindex);
  visit("mtu", self.mtu);
  visit("role", self.role);
}

void fields(auto& self, const auto& visit)
  requires std::is_same_v<std::remove_cvref_t<decltype(self)>, Pool>
{
  visit("cidr", self.cidr);
  visit("size", self.size);
  visit("used", self.used);
  visit("resting", self.resting);
}

void fields(auto& self, const auto& visit)
  requires std::is_same_v<std::remove_cvref_t<decltype(self)>, MapStatus>
{
  visit("name", self.name);
  visit("entries", self.entries);
  visit("capacity", self.capacity);
}

void fields(auto& self, const auto& visit)
  requires std::is_same_v<std::remove_cvref_t<decltype(self)>, DropTotal>
{
  visit("reason", self.reason);
  visit("packets", self.packets);
}

void fields(auto& self, const auto& visit)
  requires std::is_same_v<std::remove_cvref_t<decltype(self)>, HookTotals>
{
  visit("hook", self.hook);
  visit("packets_in", self.packets_in);
  visit("bytes_in", self.bytes_in);
  visit("forwarded", self.forwarded);
  visit("to_stack", self.to_stack);
  visit("drops", self.drops);
}

void fields(auto& self, const auto& visit)
  requires std::is_same_v<std::remove_cvref_t<decltype(self)>, Status>
{
  visit("node", self.node);
  visit("version", self.version);
  visit("build_id", self.build_id);
  visit("uptime_seconds", self.uptime_seconds);
  visit("kernel", self.kernel);
  visit("attach", self.attach);
  visit("tunnel", self.tunnel);
  visit("adopted", self.adopted);
  visit("pod_mtu", self.pod_mtu);
  visit("devices", self.devices);
  visit("pools", self.pools);
  visit("maps", self.maps);
  visit("connections", self.connections);
  visit("events_lost", self.events_lost);
  visit("endpoints", self.endpoints);
  visit("hooks", self.hooks);
  visit("warnings", self.warnings);
}

void fields(auto& self, const auto& visit)
  requires std::is_same_v<std::remove_cvref_t<decltype(self)>, EndpointInfo>
{
  visit("namespace", self.namespace_);
  visit("pod", self.pod);
  visit("workload", self.workload);
  visit("node", self.node);
  visit("addresses", self.addresses);
  visit("interface", self.interface);
  visit("ifindex", self.ifindex);
  visit("mac", self.mac);
  visit("container_id", self.container_id);
}

void fields(auto& self, const auto& visit)
  requires std::is_same_v<std::remove_cvref_t<decltype(self)>, Version>
{
  visit("version", self.version);
  visit("build_id", self.build_id);
  visit("node", self.node);
}

template <typename T>
concept Struct = requires(T& value, Writer writer) { fields(value, writer); };

template <typename T>
ordered_json write(const T& value) {
  ordered_json json = ordered_json::object();
  fields(value, Writer{json});
  return json;
}

template <typename T>
ordered_json write(const std::vector<T>& values) {
  ordered_json json = ordered_json::array();
  for (const T& value : values) {
    if constexpr (Struct<T>) {
      json.push_back(write(value));
    } else {
      json.push_back(value);
    }
  }
  return json;
}

template <typename T>
struct IsStructList : std::false_type {};
template <Struct T>
struct IsStructList<std::vector<T>> : std::true_type {};

template <typename T>
void read(const ordered_json& json, T& value) {
  if constexpr (Struct<T>) {
    fields(value, Reader{json});
  } else if constexpr (IsStructList<T>::value) {
    for (const ordered_json& one : json) read(one, value.emplace_back());
  } else {
    json.get_to(value);
  }
}

template <typename T>
void Writer::operator()(const char* name, const T& value) const {
  if constexpr (IsStructList<T>::value) {
    json[name] = write(value);
  } else {
    json[name] = value;
  }
}

template <typename T>
void Reader::operator()(const char* name, T& value) const {
  read(json.at(name), value);
}

// Texts of our own may hold any byte (names of links): what is not UTF-8 is replaced.
std::string dump(const ordered_json& json) {
  return json.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

template <typename T>
Result<T> parse(std::string_view text, const char* what) {
  try {
    T value;
    read(ordered_json::parse(text), value);
    return value;
  } catch (const ordered_json::exception& error) {
    return Error(Code::kInvalid, error.what()).within(what);
  }
}

}  // namespace

std::string to_json(const Status& status) { return dump(write(status)); }
std::string to_json(const std::vector<EndpointInfo>& endpoints) { return dump(write(endpoints)); }
std::string to_json(const Version& version) { return dump(write(version)); }
std::string error_json(std::string_view text) { return dump({{"error", text}}); }

Result<Status> parse_status(std::string_view json) { return parse<Status>(json, "status"); }

Result<std::vector<EndpointInfo>> parse_endpoints(std::string_view json) {
  return parse<std::vector<EndpointInfo>>(json, "endpoints");
}

Result<Version> parse_version(std::string_view json) { return parse<Version>(json, "version"); }

std::string parse_error_text(std::string_view json) {
  const auto document = ordered_json::parse(json, nullptr, false);
  if (document.is_object() && document.contains("error") && document["error"].is_string()) {
    return document["error"].get<std::string>();
  }
  return std::string(json);
}

}  // namespace weir::api
