#pragma once

#include <libmnl/libmnl.h>

#include <array>
#include <cstddef>

namespace weir {

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

// Those behind the message's fixed header.
template <std::size_t N, typename Header>
Attributes<N> attributes(const nlmsghdr* message) {
  Attributes<N> found{};
  mnl_attr_parse(message, sizeof(Header), collect_attribute<N>, &found);
  return found;
}

}  // namespace weir
