#pragma once

#include <compare>
#include <map>
#include <string>

namespace weir {

// Names an object of one kind; namespace_ is empty for cluster-scoped kinds.
struct ObjectKey {
  std::string namespace_;
  std::string name;

  // "shop/cart-0", or "n0" for cluster-scoped kinds.
  std::string to_string() const { return namespace_.empty() ? name : namespace_ + "/" + name; }

  friend auto operator<=>(const ObjectKey&, const ObjectKey&) = default;
};

using Labels = std::map<std::string, std::string>;

}  // namespace weir
