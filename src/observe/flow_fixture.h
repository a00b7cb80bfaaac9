#pragma once

#include <arpa/inet.h>

#include <cstring>
#include <map>
#include <span>
#include <string>

#include "observe/flow_recorder.h"

// For tests: events as the kernel writes them, and a small world of names.
namespace weir::fixture {

inline weir_addr addr(const std::string& text) {
  weir_addr raw;
  std::memcpy(&raw, Address::parse(text)->bytes().data(), sizeof raw);
  return raw;
}

struct EventSpec {
  std::uint8_t type = WEIR_EVENT_NEW;
  std::string source = "10.244.0.5";
  std::uint16_t source_port = 41234;
  std::string destination = "10.244.1.7";
  std::uint16_t destination_port = 8080;
  std::uint8_t protocol = 6;
  std::uint8_t reason = WEIR_DROP_NONE;
  std::uint8_t flags = 0;
};

inline weir_event event(const EventSpec& spec) {
  weir_event raw{};
  raw.time_ns = 5'000'000'000;
  raw.src = addr(spec.source);
  raw.dst = addr(spec.destination);
  raw.src_port = htons(spec.source_port);
  raw.dst_port = htons(spec.destination_port);
  raw.proto = spec.protocol;
  raw.type = spec.type;
  raw.hook = WEIR_HOOK_FROM_POD;
  raw.reason = spec.reason;
  raw.out = spec.type == WEIR_EVENT_DROP ? WEIR_OUT_NONE : WEIR_OUT_LOCAL;
  raw.flags = spec.flags;
  raw.ifindex = 7;
  raw.length = 74;
  return raw;
}

inline std::span<const std::byte> bytes(const weir_event& raw) {
  return std::as_bytes(std::span(&raw, 1));
}

// cart (10.244.0.5), payment (10.244.1.7), node n1 (172.30.0.11); the rest is outside.
inline const Name& name_of(const Address& address) {
  static const std::map<std::string, Name> known = {
      {"10.244.0.5", {NameKind::kPod, "shop", "cart-7d9-x2x", "cart", "n0"}},
      {"10.244.1.7", {NameKind::kPod, "shop", "payment-5f6-abc", "payment", "n1"}},
      {"172.30.0.11", {NameKind::kNode, "", "", "", "n1"}},
  };
  static const Name outside;
  const auto found = known.find(address.to_string());
  return found == known.end() ? outside : found->second;
}

// Wall time is 1000 s ahead of the events' clock.
inline WallClock clock() {
  return WallClock([] { return std::int64_t{1'000'000'000'000}; });
}

inline Flow named(const weir_event& raw) {
  Flow made = *decode_event(bytes(raw));
  made.time_ns += 1'000'000'000'000;
  for (FlowEnd* end : {&made.source, &made.destination}) {
    end->name = std::make_shared<const Name>(name_of(end->address));
  }
  if (!made.backend.address.is_zero()) {
    made.backend.name = std::make_shared<const Name>(name_of(made.backend.address));
  }
  return made;
}
inline Flow flow(const EventSpec& spec) { return named(event(spec)); }

// A connection through Service shop/payment to its pod.
inline weir_event service_event(const EventSpec& spec) {
  weir_event raw = event(spec);
  raw.to_addr = addr("10.244.1.7");
  raw.to_port = htons(8080);
  raw.service = 3;
  return raw;
}
inline Flow service_flow(const EventSpec& spec) {
  Flow made = named(service_event(spec));
  made.service = std::make_shared<const ServiceName>(ServiceName{"shop", "payment", "http"});
  return made;
}

}  // namespace weir::fixture
