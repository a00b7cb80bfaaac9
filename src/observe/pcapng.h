#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

// Blocks of the pcapng format (draft-ietf-opsawg-pcapng): little endian, Ethernet, nanoseconds.
namespace weir::pcapng {

struct Packet {
  std::uint32_t interface = 0;  // by order of the interface blocks
  std::int64_t time_ns = 0;     // since 1970
  std::uint32_t length = 0;     // on the wire; data may hold less
  std::span<const std::byte> data;
  std::string_view comment;
};

void append_section(std::string& out, std::string_view hardware, std::string_view application);
void append_interface(std::string& out, std::string_view name, std::string_view description,
                      std::uint32_t snap);
void append_packet(std::string& out, const Packet& packet);

// Several pcapng streams, as append_* writes them, into one section in order of arrival.
class Merger {
 public:
  // Takes the next bytes of a stream; appends what became whole. An error ends the stream.
  Result<void> feed(std::size_t stream, std::string_view bytes, std::string& out);
  std::uint64_t packets() const { return packets_; }

 private:
  struct Stream {
    std::string rest;
    std::vector<std::uint32_t> interfaces;  // of the stream -> of the output
  };
  Result<void> take(Stream& stream, std::string_view block, std::string& out);

  std::map<std::size_t, Stream> streams_;
  bool section_written_ = false;
  std::uint32_t interfaces_ = 0;
  std::uint64_t packets_ = 0;
};

}  // namespace weir::pcapng
