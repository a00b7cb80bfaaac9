#include "observe/capture_writer.h"

#include <fmt/format.h>

#include <cstring>

#include "observe/flow.h"
#include "observe/frame.h"
#include "observe/pcapng.h"

namespace weir {
namespace {

std::string verdict_text(const weir_captured& header) {
  if (header.reason != WEIR_DROP_NONE) {
    return fmt::format("dropped {}: {}", drop_name(header.reason), drop_text(header.reason));
  }
  return fmt::format("forwarded: {}", out_name(header.out));
}

}  // namespace

std::optional<Captured> split_captured(std::span<const std::byte> record) {
  Captured captured{};
  if (record.size() < sizeof captured.header) return std::nullopt;
  std::memcpy(&captured.header, record.data(), sizeof captured.header);
  const auto bytes = record.subspan(sizeof captured.header);
  const std::uint32_t size = captured.header.captured;
  if (size > bytes.size() || size > captured.header.length) return std::nullopt;
  captured.frame = bytes.first(size);
  return captured;
}

CaptureWriter::CaptureWriter(LinkName link_name, EndName end_name, WallClock clock)
    : link_name_(std::move(link_name)), end_name_(std::move(end_name)), clock_(std::move(clock)) {}

void CaptureWriter::append_start(std::string& out, std::string_view node) {
  pcapng::append_section(out, fmt::format("node {}", node), "weir capture");
}

bool CaptureWriter::append(std::span<const std::byte> record, std::string& out,
                           std::string_view note) {
  const auto captured = split_captured(record);
  if (!captured) return false;
  const auto& [header, frame] = *captured;
  const std::uint32_t interface = interface_of(header, out);
  std::string text = comment(header, frame);
  if (!note.empty()) text.append("; ").append(note);
  pcapng::append_packet(out, {.interface = interface,
                              .time_ns = clock_.wall_ns(header.time_ns),
                              .length = header.length,
                              .data = frame,
                              .comment = text});
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
  const auto tuple = parse_frame(frame);
  if (!tuple) return what;
  const auto name = [&](const Address& address) {
    std::string text = end_name_(address);
    return text.empty() ? address.to_string() : text;
  };
  return fmt::format("{} → {}, {}", name(tuple->source), name(tuple->destination), what);
}

}  // namespace weir
