#pragma once

#include <libmnl/libmnl.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

namespace weir {

// Among `left` bytes. libmnl takes a length of 2^31 and more for a negative one.
inline bool is_whole(const nlmsghdr* message, int left) {
  return mnl_nlmsg_ok(message, left) && message->nlmsg_len <= static_cast<std::uint32_t>(left);
}

// The message's fixed header; null: the message is too short for one.
template <typename Header>
const Header* header_of(const nlmsghdr* message) {
  if (mnl_nlmsg_get_payload_len(message) < MNL_ALIGN(sizeof(Header))) return nullptr;
  return static_cast<const Header*>(mnl_nlmsg_get_payload(message));
}

// A number that an attribute holds; 0: absent, or too short for one.
template <typename Number>
Number number_of(const nlattr* attr) {
  Number number = 0;
  if (attr != nullptr && mnl_attr_get_payload_len(attr) >= sizeof number) {
    std::memcpy(&number, mnl_attr_get_payload(attr), sizeof number);
  }
  return number;
}

// Up to its first zero, or its end; empty: absent.
inline std::string text_of(const nlattr* attr) {
  if (attr == nullptr) return {};
  const char* text = static_cast<const char*>(mnl_attr_get_payload(attr));
  return {text, strnlen(text, mnl_attr_get_payload_len(attr))};
}

// Of links, younger than the headers of Debian 12.
inline constexpr std::uint16_t kIflaGsoIpv4MaxSize = 63;
inline constexpr std::uint16_t kIflaGroIpv4MaxSize = 64;

// Attributes of a netlink message by type; null: absent. Types from N up are left out.
template <std::size_t N>
using Attributes = std::array<const nlattr*, N>;

template <std::size_t N>
int collect_attribute(const nlattr* attr, void* into) {
  const std::size_t type = mnl_attr_get_type(attr);
  if (type < N) (*static_cast<Attributes<N>*>(into))[type] = attr;
  return MNL_CB_OK;
}

// Those inside `parent`.
template <std::size_t N>
Attributes<N> nested(const nlattr* parent) {
  Attributes<N> found{};
  mnl_attr_parse_nested(parent, collect_attribute<N>, &found);
  return found;
}

// Those behind the message's fixed header, which it has.
template <std::size_t N, typename Header>
Attributes<N> attributes(const nlmsghdr* message) {
  Attributes<N> found{};
  mnl_attr_parse(message, sizeof(Header), collect_attribute<N>, &found);
  return found;
}

}  // namespace weir
