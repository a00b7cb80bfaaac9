#include "api/flow_line.h"

#include <fmt/format.h>

#include <charconv>
#include <ctime>
#include <nlohmann/json.hpp>

namespace weir::api {
namespace {

using nlohmann::json;

Result<std::int64_t> parse_time(const std::string& text) {
  std::tm tm{};
  const char* rest = strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &tm);
  std::int64_t fraction = 0;
  // ".123456789Z"
  if (rest == nullptr || std::string_view(rest).size() != 11 || rest[0] != '.' || rest[10] != 'Z' ||
      std::from_chars(rest + 1, rest + 10, fraction).ptr != rest + 10) {
    return Error(Code::kInvalid, fmt::format("time: '{}'", text));
  }
  return std::int64_t{timegm(&tm)} * 1'000'000'000 + fraction;
}

NameKind parse_kind_of_name(std::string_view text) {
  for (const NameKind kind :
       {NameKind::kPod, NameKind::kNode, NameKind::kService, NameKind::kOutside}) {
    if (name_kind(kind) == text) return kind;
  }
  return NameKind::kUnknown;
}

Result<FlowEnd> parse_end(const json& end) {
  FlowEnd made;
  WEIR_ASSIGN(made.address, Address::parse(end.at("address").get<std::string>()));
  made.port = end.value("port", std::uint16_t{0});
  made.name = std::make_shared<const Name>(Name{
      .kind = parse_kind_of_name(end.at("kind").get<std::string>()),
      .namespace_ = end.value("namespace", ""),
      .pod = end.value("pod", ""),
      .workload = end.value("workload", ""),
      .node = end.value("node", ""),
      .service = end.value("service", ""),
  });
  return made;
}

// Hooks and ways out are read back by their names.
std::uint8_t number_of(std::string_view name, std::uint8_t count, auto name_of) {
  for (std::uint8_t number = 0; number < count; ++number) {
    if (name_of(number) == name) return number;
  }
  return UINT8_MAX;
}

void take_story(const json& line, Flow& flow) {
  if (flow.type == FlowType::kDropped) {
    const auto& reason = line.at("drop_reason").at("name").get_ref<const std::string&>();
    flow.reason = parse_drop(reason).value_or(UINT8_MAX);
    if (flow.hook == WEIR_HOOK_KERNEL) {
      flow.reason = WEIR_DROP_KERNEL;
      flow.kernel_reason_name = reason;
    }
    flow.length = line.value("length", 0U);
    if (line.contains("sent_by")) {
      const json& sender = line.at("sent_by");
      flow.sent_by = std::make_shared<const Name>(Name{
          .kind = NameKind::kPod,
          .namespace_ = sender.value("namespace", ""),
          .pod = sender.value("pod", ""),
          .workload = sender.value("workload", ""),
          .node = sender.value("node", ""),
      });
    }
    return;
  }
  line.at("packets").get_to(flow.packets);
  line.at("bytes").get_to(flow.bytes);
  line.at("duration_ns").get_to(flow.duration_ns);
  flow.by_responder = line.value("closed_by", "source") == "destination";
  flow.reset = line.value("reset", false);
  flow.seen_closed = line.value("seen_closed", false);
  flow.replied = line.value("replied", false);
}

Result<Flow> parse_flow(const json& line) {
  Flow flow;
  const auto type = parse_flow_type(line.at("type").get<std::string>());
  const auto protocol = parse_ip_protocol(line.at("protocol").get<std::string>());
  if (!type || !protocol) return Error(Code::kInvalid, "unknown type or protocol");
  flow.type = *type;
  flow.protocol = *protocol;
  WEIR_ASSIGN(flow.time_ns, parse_time(line.at("time").get<std::string>()));
  flow.hook = number_of(line.at("hook").get<std::string>(), WEIR_HOOK_KERNEL + 1, hook_name);
  flow.out = number_of(line.at("out").get<std::string>(), WEIR_OUT_HOST + 1, out_name);
  WEIR_ASSIGN(flow.source, parse_end(line.at("source")));
  WEIR_ASSIGN(flow.destination, parse_end(line.at("destination")));
  if (const auto nat = line.find("translated_source"); nat != line.end()) {
    WEIR_ASSIGN(flow.nat_address, Address::parse(nat->at("address").get<std::string>()));
    flow.nat_port = nat->value("port", std::uint16_t{0});
  }
  if (const auto backend = line.find("translated_destination"); backend != line.end()) {
    WEIR_ASSIGN(flow.backend, parse_end(*backend));
  }
  if (const auto service = line.find("service"); service != line.end()) {
    flow.service = std::make_shared<const ServiceName>(
        ServiceName{service->at("namespace").get<std::string>(),
                    service->at("name").get<std::string>(), service->value("port", "")});
  }
  if (const auto icmp = line.find("icmp"); icmp != line.end()) {
    flow.icmp = Icmp{icmp->at("type").get<std::uint8_t>(), icmp->at("code").get<std::uint8_t>()};
  }
  take_story(line, flow);
  return flow;
}

}  // namespace

Result<std::variant<FlowLine, LostLine>> parse_flow_line(std::string_view text) {
  try {
    const json line = json::parse(text);
    std::string node = line.value("node", "");
    if (line.at("type") == "lost") {
      return LostLine{std::move(node), line.at("count").get<std::uint64_t>()};
    }
    auto flow = parse_flow(line);
    if (!flow) return flow.error().within("flow line");
    return FlowLine{std::move(node), std::move(*flow)};
  } catch (const json::exception& error) {
    return Error(Code::kInvalid, error.what()).within("flow line");
  }
}

}  // namespace weir::api
