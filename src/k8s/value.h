#pragma once

#include <simdjson.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/error.h"
#include "model/key.h"

namespace weir::k8s {

// What readers of a document have to say about it.
struct Findings {
  static constexpr std::size_t kMostNotes = 10;

  std::optional<Error> problem;    // the first thing that is wrong
  std::vector<std::string> notes;  // the first things that are without effect
};

// A place in a JSON document that may be absent; null counts as absent, as Kubernetes has it. An
// absent value reads as the default; a wrong one does too, and the first of them in a document is
// kept in `findings` with its path. A Value refers to the one it was taken from, which outlives it.
class Value {
 public:
  Value(simdjson::dom::element root, Findings& findings);

  bool present() const { return element_.has_value(); }
  Value operator[](std::string_view key) const;

  std::string text() const;
  bool flag(bool absent = false) const;
  std::uint64_t number(std::uint64_t min, std::uint64_t max, std::uint64_t absent = 0) const;
  Labels labels() const;
  std::optional<Address> address() const;
  std::optional<Cidr> cidr() const;
  // RFC 3339, as seconds since 1970; absent: 0.
  std::int64_t time() const;
  bool is_text() const;

  template <typename Fn>
  void for_each(Fn fn) const {
    simdjson::dom::array items;
    if (!present()) return;
    if (element_->get(items) != simdjson::SUCCESS) return wrong("must be a list");
    std::size_t index = 0;
    for (const simdjson::dom::element item : items) fn(Value(item, this, index++));
  }

  // Says that this value is wrong.
  void wrong(std::string_view why) const;
  // Says that this value has no effect; the object is good nevertheless.
  void note(std::string_view why) const;

 private:
  Value(std::optional<simdjson::dom::element> element, const Value* parent, std::string_view key)
      : element_(element), parent_(parent), key_(key), findings_(parent->findings_) {}
  Value(simdjson::dom::element element, const Value* parent, std::size_t index)
      : element_(element), parent_(parent), index_(index), findings_(parent->findings_) {}
  std::string path() const;
  std::optional<std::string_view> text_view() const;

  std::optional<simdjson::dom::element> element_;
  const Value* parent_ = nullptr;
  std::string_view key_;
  std::size_t index_ = 0;
  Findings& findings_;
};

}  // namespace weir::k8s
