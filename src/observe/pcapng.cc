#include "observe/pcapng.h"

#include <fmt/format.h>

#include <bit>
#include <cstring>

namespace weir::pcapng {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr std::uint32_t kSection = 0x0a0d0d0a;
constexpr std::uint32_t kInterface = 1;
constexpr std::uint32_t kPacket = 6;
constexpr std::uint32_t kByteOrder = 0x1a2b3c4d;
constexpr std::uint16_t kEthernet = 1;
constexpr std::uint16_t kOptEnd = 0;
constexpr std::uint16_t kOptComment = 1;
constexpr std::uint16_t kOptHardware = 2;
constexpr std::uint16_t kOptApplication = 4;
constexpr std::uint16_t kOptName = 2;
constexpr std::uint16_t kOptDescription = 3;
constexpr std::uint16_t kOptResolution = 9;
constexpr std::size_t kOverhead = 12;  // type, length, length again
constexpr std::size_t kMostBlock = 1U << 20;
constexpr std::size_t kInterfaceAt = 8;  // of the interface's number in a packet block

template <typename T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

std::uint32_t read_u32(std::string_view bytes, std::size_t at) {
  std::uint32_t value = 0;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

void pad(std::string& out, std::size_t length) { out.append((4 - length % 4) % 4, '\0'); }

void put_option(std::string& out, std::uint16_t code, std::string_view text) {
  if (text.empty()) return;
  text = text.substr(0, 0xffff);
  put(out, code);
  put(out, static_cast<std::uint16_t>(text.size()));
  out += text;
  pad(out, text.size());
}

void put_option_end(std::string& out) {
  put(out, kOptEnd);
  put(out, std::uint16_t{0});
}

// A block whose body `write` appends.
void put_block(std::string& out, std::uint32_t type, auto write) {
  const std::size_t start = out.size();
  put(out, type);
  put(out, std::uint32_t{0});
  write();
  const auto length = static_cast<std::uint32_t>(out.size() - start + 4);
  put(out, length);
  std::memcpy(out.data() + start + 4, &length, sizeof length);
}

}  // namespace

void append_section(std::string& out, std::string_view hardware, std::string_view application) {
  put_block(out, kSection, [&] {
    put(out, kByteOrder);
    put(out, std::uint16_t{1});
    put(out, std::uint16_t{0});
    put(out, std::int64_t{-1});  // length of the section: unknown
    put_option(out, kOptHardware, hardware);
    put_option(out, kOptApplication, application);
    put_option_end(out);
  });
}

void append_interface(std::string& out, std::string_view name, std::string_view description,
                      std::uint32_t snap) {
  put_block(out, kInterface, [&] {
    put(out, kEthernet);
    put(out, std::uint16_t{0});
    put(out, snap);
    put_option(out, kOptName, name);
    put_option(out, kOptDescription, description);
    put_option(out, kOptResolution, "\x09");  // 10^-9 s
    put_option_end(out);
  });
}

void append_packet(std::string& out, const Packet& packet) {
  put_block(out, kPacket, [&] {
    const auto time = static_cast<std::uint64_t>(packet.time_ns);
    put(out, packet.interface);
    put(out, static_cast<std::uint32_t>(time >> 32));
    put(out, static_cast<std::uint32_t>(time));
    put(out, static_cast<std::uint32_t>(packet.data.size()));
    put(out, packet.length);
    out.append(reinterpret_cast<const char*>(packet.data.data()), packet.data.size());
    pad(out, packet.data.size());
    put_option(out, kOptComment, packet.comment);
    put_option_end(out);
  });
}

Result<void> Merger::feed(std::size_t number, std::string_view bytes, std::string& out) {
  Stream& stream = streams_[number];
  stream.rest += bytes;
  std::string_view rest = stream.rest;
  while (rest.size() >= kOverhead) {
    const std::uint32_t length = read_u32(rest, 4);
    if (length < kOverhead || length % 4 != 0 || length > kMostBlock) {
      return Error(Code::kInvalid, fmt::format("pcapng: a block of {} bytes", length));
    }
    if (rest.size() < length) break;
    WEIR_TRY(take(stream, rest.substr(0, length), out));
    rest.remove_prefix(length);
  }
  stream.rest.erase(0, stream.rest.size() - rest.size());
  return {};
}

Result<void> Merger::take(Stream& stream, std::string_view block, std::string& out) {
  switch (read_u32(block, 0)) {
    case kSection:
      stream.interfaces.clear();
      if (!std::exchange(section_written_, true)) out += block;
      return {};
    case kInterface:
      stream.interfaces.push_back(interfaces_++);
      out += block;
      return {};
    case kPacket: {
      const std::uint32_t own = block.size() < 32 ? UINT32_MAX : read_u32(block, kInterfaceAt);
      if (own >= stream.interfaces.size()) {
        return Error(Code::kInvalid, "pcapng: a packet of an interface that was not announced");
      }
      const std::size_t start = out.size();
      out += block;
      std::memcpy(out.data() + start + kInterfaceAt, &stream.interfaces[own], 4);
      ++packets_;
      return {};
    }
    default:
      return {};
  }
}

}  // namespace weir::pcapng
