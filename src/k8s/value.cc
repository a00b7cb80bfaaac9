#include "k8s/value.h"

#include <fmt/format.h>

#include "k8s/shown.h"
#include "k8s/time.h"

namespace weir::k8s {

using simdjson::SUCCESS;

namespace {

constexpr std::size_t kMaxShown = 300;

}  // namespace

Value::Value(simdjson::dom::element root, Findings& findings)
    : element_(root), findings_(findings) {}

Value Value::operator[](std::string_view key) const {
  simdjson::dom::object fields;
  simdjson::dom::element found;
  if (!present()) return {std::nullopt, this, key};
  if (element_->get(fields) != SUCCESS) {
    wrong("must be an object");
    return {std::nullopt, this, key};
  }
  if (fields.at_key(key).get(found) != SUCCESS || found.is_null()) return {std::nullopt, this, key};
  return {found, this, key};
}

std::string Value::text() const { return std::string(text_view().value_or("")); }

std::optional<std::string_view> Value::text_view() const {
  std::string_view out;
  if (!present()) return std::nullopt;
  if (element_->get(out) != SUCCESS) {
    wrong("must be a string");
    return std::nullopt;
  }
  return out;
}

bool Value::is_text() const { return present() && element_->is_string(); }

bool Value::flag(bool absent) const {
  bool out = absent;
  if (present() && element_->get(out) != SUCCESS) wrong("must be true or false");
  return out;
}

std::uint64_t Value::number(std::uint64_t min, std::uint64_t max, std::uint64_t absent) const {
  std::uint64_t out = 0;
  if (!present()) return absent;
  if (element_->get(out) == SUCCESS && out >= min && out <= max) return out;
  wrong(fmt::format("must be a number from {} to {}", min, max));
  return absent;
}

Labels Value::labels() const {
  Labels out;
  simdjson::dom::object fields;
  if (!present()) return out;
  if (element_->get(fields) != SUCCESS) {
    wrong("must be an object");
    return out;
  }
  for (const auto field : fields) {
    const bool is_null = field.value.is_null();
    const Value value = is_null ? Value(std::nullopt, this, field.key)
                                : Value(std::optional(field.value), this, field.key);
    out[std::string(field.key)] = value.text();
  }
  return out;
}

std::optional<Address> Value::address() const {
  const auto text = text_view();
  if (!text) return std::nullopt;
  const auto parsed = Address::parse(*text);
  if (parsed) return *parsed;
  wrong(parsed.error().text());
  return std::nullopt;
}

// The API allows spaces around loadBalancerSourceRanges.
std::optional<Cidr> Value::cidr() const {
  auto text = text_view();
  if (!text) return std::nullopt;
  while (text->starts_with(' ')) text->remove_prefix(1);
  while (text->ends_with(' ')) text->remove_suffix(1);
  const auto parsed = Cidr::parse(*text);
  if (parsed) return *parsed;
  wrong(parsed.error().text());
  return std::nullopt;
}

std::int64_t Value::time() const {
  const auto text = text_view();
  if (!text) return 0;
  const auto parsed = parse_time(*text);
  if (parsed) return *parsed;
  wrong("must be a time like 2026-11-24T02:00:00Z");
  return 0;
}

void Value::wrong(std::string_view why) const {
  if (findings_.problem) return;
  findings_.problem =
      Error(Code::kInvalid, fmt::format("{}: {}", shown(path(), kMaxShown), shown(why, kMaxShown)));
}

void Value::note(std::string_view why) const {
  if (findings_.notes.size() >= Findings::kMostNotes) return;
  findings_.notes.push_back(fmt::format("{}: {}", shown(path(), kMaxShown), shown(why, kMaxShown)));
}

std::string Value::path() const {
  if (parent_ == nullptr) return "object";
  const std::string before = parent_->parent_ == nullptr ? "" : parent_->path();
  if (key_.empty()) return fmt::format("{}[{}]", before, index_);
  return before.empty() ? std::string(key_) : fmt::format("{}.{}", before, key_);
}

}  // namespace weir::k8s
