#pragma once

#include <string>

#include "model/key.h"

namespace weir {

struct Namespace {
  std::string name;
  Labels labels;

  ObjectKey key() const { return {"", name}; }

  friend bool operator==(const Namespace&, const Namespace&) = default;
};

}  // namespace weir
