#include "observe/flow_json.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <iterator>

#include "base/utf8.h"

namespace weir {
namespace {

void append_escaped(std::string& out, char c) {
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\n':
      out += "\\n";
      return;
    default:
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned char>(c));
  }
}

bool is_plain(char c) {
  return static_cast<unsigned char>(c) >= 0x20 && static_cast<unsigned char>(c) < 0x7f &&
         c != '"' && c != '\\';
}

void append_number(std::string& out, std::uint64_t number) {
  const fmt::format_int text(number);
  out.append(text.data(), text.size());
}

void append_digits(std::string& out, std::uint64_t number, int width) {
  char digits[20];
  for (int i = width; i-- > 0; number /= 10) digits[i] = static_cast<char>('0' + number % 10);
  out.append(digits, static_cast<std::size_t>(width));
}

// "2026-11-24T02:30:00.123456789Z". The second's text is kept: most flows share it.
void append_time(std::string& out, std::int64_t time_ns) {
  constexpr std::int64_t kSecond = 1'000'000'000;
  std::int64_t second = time_ns / kSecond;
  std::int64_t rest = time_ns % kSecond;
  if (rest < 0) {
    rest += kSecond;
    --second;
  }
  thread_local std::int64_t kept_second = INT64_MIN;
  thread_local std::string kept_text;
  if (kept_second != second) {
    kept_second = second;
    kept_text = fmt::format("{:%Y-%m-%dT%H:%M:%S}", fmt::gmtime(static_cast<std::time_t>(second)));
  }
  out += kept_text;
  out += '.';
  append_digits(out, static_cast<std::uint64_t>(rest), 9);
  out += 'Z';
}

void append_v4(std::string& out, const Address& address) {
  for (std::size_t i = 12; i < 16; ++i) {
    if (i > 12) out += '.';
    append_number(out, address.bytes()[i]);
  }
}

void append_address(std::string& out, const Address& address) {
  out += R"("address":")";
  if (address.is_v4()) {
    append_v4(out, address);
  } else {
    out += address.to_string();
  }
  out += '"';
}

void append_field(std::string& out, std::string_view key, std::string_view text) {
  if (text.empty()) return;
  out += key;
  append_json_string(out, text);
}

void append_end(std::string& out, std::string_view key, const FlowEnd& end) {
  const Name& name = *end.name;
  out += key;
  out += R"({"kind":")";
  out += name_kind(name.kind);
  out += R"(",)";
  append_address(out, end.address);
  if (end.port != 0) {
    out += R"(,"port":)";
    append_number(out, end.port);
  }
  append_field(out, R"(,"namespace":)", name.namespace_);
  append_field(out, R"(,"pod":)", name.pod);
  append_field(out, R"(,"workload":)", name.workload);
  append_field(out, R"(,"node":)", name.node);
  append_field(out, R"(,"service":)", name.service);
  out += '}';
}

void append_service(std::string& out, const Flow& flow) {
  if (!flow.backend.address.is_zero()) {
    append_end(out, R"(,"translated_destination":)", flow.backend);
  }
  if (!flow.service) return;
  append_field(out, R"(,"service":{"namespace":)", flow.service->namespace_);
  append_field(out, R"(,"name":)", flow.service->name);
  append_field(out, R"(,"port":)", flow.service->port);
  out += '}';
}

void append_translated_source(std::string& out, const Flow& flow) {
  if (flow.nat_address.is_zero()) return;
  out += R"(,"translated_source":{)";
  append_address(out, flow.nat_address);
  if (flow.nat_port != 0) {
    out += R"(,"port":)";
    append_number(out, flow.nat_port);
  }
  out += '}';
}

void append_pair(std::string& out, std::string_view key, std::uint64_t first,
                 std::uint64_t second) {
  out += key;
  append_number(out, first);
  out += ',';
  append_number(out, second);
  out += ']';
}

// What only some types of event tell.
void append_story(std::string& out, const Flow& flow) {
  if (flow.type == FlowType::kDropped) {
    append_field(out, R"(,"drop_reason":{"name":)", drop_name(flow));
    append_field(out, R"(,"text":)", drop_text(flow));
    out += R"(},"length":)";
    append_number(out, flow.length);
    if (flow.sent_by) {
      append_field(out, R"(,"sent_by":{"namespace":)", flow.sent_by->namespace_);
      append_field(out, R"(,"pod":)", flow.sent_by->pod);
      append_field(out, R"(,"workload":)", flow.sent_by->workload);
      append_field(out, R"(,"node":)", flow.sent_by->node);
      out += '}';
    }
    return;
  }
  append_pair(out, R"(,"packets":[)", flow.packets[0], flow.packets[1]);
  append_pair(out, R"(,"bytes":[)", flow.bytes[0], flow.bytes[1]);
  out += R"(,"duration_ns":)";
  append_number(out, flow.duration_ns);
  if (flow.type == FlowType::kClosed) {
    out += R"(,"closed_by":")";
    out += flow.by_responder ? "destination" : "source";
    out += flow.reset ? R"(","reset":true)" : R"(","reset":false)";
  }
  if (flow.type == FlowType::kEnded) {
    out += flow.seen_closed ? R"(,"seen_closed":true)" : R"(,"seen_closed":false)";
    out += flow.replied ? R"(,"replied":true)" : R"(,"replied":false)";
  }
}

void append_what(std::string& out, const Flow& flow) {
  out += R"(,"type":")";
  out += flow_type_name(flow.type);
  out += R"(","verdict":")";
  out += verdict_name(flow.verdict());
  out += R"(","protocol":")";
  const std::string_view protocol = known_ip_protocol(flow.protocol);
  protocol.empty() ? append_number(out, flow.protocol) : void(out += protocol);
  out += R"(","hook":")";
  out += hook_name(flow.hook);
  out += R"(","out":")";
  out += out_name(flow.out);
  out += '"';
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    std::size_t plain = 0;
    while (plain < text.size() && is_plain(text[plain])) ++plain;
    out += text.substr(0, plain);
    text.remove_prefix(plain);
    if (text.empty()) break;
    const std::size_t length = utf8_length(text);
    if (length > 1) {
      out += text.substr(0, length);
    } else if (length == 1) {
      append_escaped(out, text[0]);
    } else {
      out += "\uFFFD";
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  out += '"';
}

void append_flow_json(std::string& out, const Flow& flow, std::string_view node) {
  out += R"({"time":")";
  append_time(out, flow.time_ns);
  out += R"(","node":)";
  append_json_string(out, node);
  append_what(out, flow);
  append_end(out, R"(,"source":)", flow.source);
  append_end(out, R"(,"destination":)", flow.destination);
  append_translated_source(out, flow);
  append_service(out, flow);
  if (flow.icmp) {
    out += R"(,"icmp":{"type":)";
    append_number(out, flow.icmp->type);
    out += R"(,"code":)";
    append_number(out, flow.icmp->code);
    out += '}';
  }
  append_story(out, flow);
  out += "}\n";
}

}  // namespace weir
