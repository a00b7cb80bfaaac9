#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "abi/capture.h"
#include "base/address.h"
#include "observe/wall_clock.h"

namespace weir {

// An element of the ring buffer weir_capture.
struct Captured {
  weir_captured header;
  std::span<const std::byte> frame;
};
// Nothing when the record is shorter than it says.
std::optional<Captured> split_captured(std::span<const std::byte> record);

// Elements of the ring buffer weir_capture -> pcapng, one interface per (link, hook).
class CaptureWriter {
 public:
  using LinkName = std::function<std::string(std::uint32_t ifindex)>;
  using EndName = std::function<std::string(const Address&)>;  // "shop/cart-0"; "" for none

  CaptureWriter(LinkName link_name, EndName end_name, WallClock clock = {});

  void append_start(std::string& out, std::string_view node);
  // record: struct weir_captured and its bytes. A note ends the packet's comment. False: malformed,
  // nothing was appended.
  bool append(std::span<const std::byte> record, std::string& out, std::string_view note = {});

 private:
  std::uint32_t interface_of(const weir_captured& header, std::string& out);
  std::string comment(const weir_captured& header, std::span<const std::byte> frame) const;

  LinkName link_name_;
  EndName end_name_;
  WallClock clock_;
  std::map<std::pair<std::uint32_t, std::uint8_t>, std::uint32_t> interfaces_;
};

}  // namespace weir
