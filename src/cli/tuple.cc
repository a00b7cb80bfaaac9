#include "cli/tuple.h"

#include <fmt/format.h>

#include <algorithm>

namespace weir::cli {
namespace {

Result<Tuple::End> parse_end(std::string_view text) {
  Tuple::End end;
  std::string_view address = text;
  const auto colon = text.rfind(':');
  const bool bracket = text.starts_with('[');
  const bool bare_v6 = !bracket && std::ranges::count(text, ':') > 1;
  if (colon != std::string_view::npos && !bare_v6 && !text.ends_with(']')) {
    end.port = text.substr(colon + 1);
    address = text.substr(0, colon);
    const bool digits = std::ranges::all_of(end.port, [](char c) { return c >= '0' && c <= '9'; });
    if (end.port.empty() || !digits) {
      return Error(Code::kInvalid, fmt::format("'{}' is not a port", end.port));
    }
  }
  if (bracket) {
    if (!address.ends_with(']')) return Error(Code::kInvalid, fmt::format("'{}': no ']'", text));
    address = address.substr(1, address.size() - 2);
  }
  if (address.empty()) return end;
  WEIR_ASSIGN(end.address, Address::parse(address));
  return end;
}

}  // namespace

Result<Tuple> parse_tuple(std::string_view text) {
  const auto arrow = text.find('>');
  if (arrow == std::string_view::npos) {
    return Error(Code::kInvalid, fmt::format("'{}' has no '>' between its ends", text));
  }
  Tuple tuple;
  std::string_view right = text.substr(arrow + 1);
  if (const auto slash = right.rfind('/'); slash != std::string_view::npos) {
    tuple.protocol = right.substr(slash + 1);
    right = right.substr(0, slash);
  }
  WEIR_ASSIGN(tuple.source, parse_end(text.substr(0, arrow)));
  WEIR_ASSIGN(tuple.destination, parse_end(right));
  return tuple;
}

}  // namespace weir::cli
