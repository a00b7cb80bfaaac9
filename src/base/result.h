#pragma once

#include <expected>
#include <utility>

#include "base/error.h"

namespace weir {

// A value or an Error. A class of its own, since a bare alias of std::expected may be dropped
// without a warning.
template <typename T>
class [[nodiscard]] Result : public std::expected<T, Error> {
 public:
  using Base = std::expected<T, Error>;
  using Base::Base;
  Result(Error error)
      : Base(std::unexpect, std::move(error)) {}  // NOLINT(google-explicit-constructor)
};

template <>
class [[nodiscard]] Result<void> : public std::expected<void, Error> {
 public:
  using Base = std::expected<void, Error>;
  using Base::Base;
  Result(Error error)
      : Base(std::unexpect, std::move(error)) {}  // NOLINT(google-explicit-constructor)
};

#define WEIR_CONCAT_(a, b) a##b
#define WEIR_CONCAT(a, b) WEIR_CONCAT_(a, b)

// Evaluates a Result<void>-like expression and returns its error from the calling function.
#define WEIR_TRY(expr)                         \
  do {                                         \
    if (auto weir_try_ = (expr); !weir_try_) { \
      return std::move(weir_try_).error();     \
    }                                          \
  } while (false)

// WEIR_ASSIGN(auto fd, open(...)): binds the value, or returns the error.
#define WEIR_ASSIGN(decl, expr) WEIR_ASSIGN_(WEIR_CONCAT(weir_result_, __LINE__), decl, expr)
#define WEIR_ASSIGN_(tmp, decl, expr)      \
  auto tmp = (expr);                       \
  if (!tmp) return std::move(tmp).error(); \
  decl = std::move(*tmp)

}  // namespace weir
