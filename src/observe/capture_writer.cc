#include "observe/capture_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "observe/flow.h"
#include "observe/pcapng.h"

namespace weir {
namespace {

struct Ends {
  Address source;
  Address destination;
};

std::uint8_t byte_at(std::span<const std::byte> frame, std::size_t at) {
  return std::to_integer<std::uint8_t>(frame[at]);
}

Address address_at(std::span<const std::byte> frame, std::size_t at, bool v6) {
  if (!v6) {
    std::uint32_t host_order = 0;
    for (std::size_t i = 0; i < 4; ++i) host_order = host_order << 8 | byte_at(frame, at + i);
    return Address::v4(host_order);
  }
  std::array<std::uint8_t, 16> bytes;
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = byte_at(frame, at + i);
  return Address::from_bytes(bytes);
}

// The IP addresses of an Ethernet frame.
std::optional<Ends> ends_of(std::span<const std::byte> frame) {
  constexpr std::size_t kEth = 14;
  if (frame.size() < kEth) return std::nullopt;
  const int type = byte_at(frame, 12) << 8 | byte_at(frame, 13);
  if (type == 0x0800 && frame.size() >= kEth + 20) {
    return Ends{address_at(frame, kEth + 12, false), address_at(frame, kEth + 16, false)};
  }
  if (type == 0x86dd && frame.size() >= kEth + 40) {
    return Ends{address_at(frame, kEth + 8, true), address_at(frame, kEth + 24, true)};
  }
  return std::nullopt;
}

std::string verdict_text(const weir_captured& header) {
  if (header.reason != WEIR_DROP_NONE) {
    return fmt::format("dropped {}: {}", drop_name(header.reason), drop_text(header.reason));
  }
  return fmt::format("forwarded: {}", out_name(header.out));
}

}  // namespace

CaptureWriter::CaptureWriter(LinkName link_name, EndName end_name, WallClock clock)
    : link_name_(std::move(link_name)), end_name_(std::move(end_name)), clock_(std::move(clock)) {}

void CaptureWriter::append_start(std::string& out, std::string_view node) {
  pcapng::append_section(out, fmt::format("node {}", node), "weir capture");
}

bool CaptureWriter::append(std::span<const std::byte> record, std::string& out) {
  weir_captured header;
  if (record.size() < sizeof header) return false;
  std::memcpy(&header, record.data(), sizeof header);
  const auto bytes = record.subspan(sizeof header);
  if (header.captured > bytes.size() || header.captured > header.length) return false;
  const auto frame = bytes.first(header.captured);
  const std::uint32_t interface = interface_of(header, out);
  pcapng::append_packet(out, {.interface = interface,
                              .time_ns = clock_.wall_ns(header.time_ns),
                              .length = header.length,
                              .data = frame,
                              .comment = comment(header, frame)});
  return true;
}

std::uint32_t CaptureWriter::interface_of(const weir_captured& header, std::string& out) {
  const auto next = static_cast<std::uint32_t>(interfaces_.size());
  const auto [found, added] = interfaces_.try_emplace({header.ifindex, header.hook}, next);
  if (added) {
    const std::string link = link_name_(header.ifindex);
    const std::string_view hook = hook_name(header.hook);
    pcapng::append_interface(
        out, fmt::format("{} {}", link, hook),
        fmt::format("Weir's hook {} on {}, ifindex {}", hook, link, header.ifindex),
        WEIR_CAPTURE_SNAP);
  }
  return found->second;
}

std::string CaptureWriter::comment(const weir_captured& header,
                                   std::span<const std::byte> frame) const {
  const std::string what = fmt::format("{} {}", hook_name(header.hook), verdict_text(header));
  const auto ends = ends_of(frame);
  if (!ends) return what;
  const auto name = [&](const Address& address) {
    std::string text = end_name_(address);
    return text.empty() ? address.to_string() : text;
  };
  return fmt::format("{} → {}, {}", name(ends->source), name(ends->destination), what);
}

}  // namespace weir
