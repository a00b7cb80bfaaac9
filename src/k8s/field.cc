#include "k8s/field.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "k8s/shown.h"

namespace weir::k8s {
namespace {

bool is_lower_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool is_alnum(char c) { return is_lower_alnum(c) || (c >= 'A' && c <= 'Z'); }

// As in the API: 63 of letters, digits, '-', '_', '.', beginning and ending with a letter or digit.
bool is_qualified(std::string_view text) {
  return !text.empty() && text.size() <= 63 && is_alnum(text.front()) && is_alnum(text.back()) &&
         std::ranges::all_of(
             text, [](char c) { return is_alnum(c) || c == '-' || c == '_' || c == '.'; });
}

bool is_label_key(std::string_view text) {
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) return is_qualified(text);
  const auto prefix = text.substr(0, slash);
  const bool good_prefix =
      !prefix.empty() && prefix.size() <= 253 &&
      std::ranges::all_of(prefix, [](char c) { return is_lower_alnum(c) || c == '-' || c == '.'; });
  return good_prefix && is_qualified(text.substr(slash + 1));
}

// The kernel takes no argument or variable of 128 KiB or more, and no command line of 6 MiB.
constexpr std::size_t kMaxText = 100'000;

std::string describe(const Yaml* yaml) {
  if (yaml == nullptr) return "absent";
  switch (yaml->type) {
    case Yaml::Type::kNull:
      return "empty";
    case Yaml::Type::kBool:
    case Yaml::Type::kNumber:
      return shown(yaml->text);
    case Yaml::Type::kText:
      return fmt::format("'{}'", shown(yaml->text));
    case Yaml::Type::kList:
      return "a list";
    case Yaml::Type::kMap:
      return "an object";
  }
  return "?";
}

// The path without list positions: what a warning is said once for.
std::string without_indexes(std::string_view path) {
  std::string out;
  bool inside = false;
  for (const char c : path) {
    if (c == '[') inside = true;
    if (!inside) out += c;
    if (c == ']') inside = false;
  }
  return out;
}

}  // namespace

void Report::error(std::string text, int line) {
  if (errors_.size() <= kMost) errors_.push_back({line, errors_.size(), std::move(text)});
}

void Report::warning(const std::string& cause, std::string text, int line) {
  if (warnings_.size() > kMost || !causes_.insert(cause).second) return;
  warnings_.push_back({line, warnings_.size(), std::move(text)});
}

void Report::sort_from(Mark mark) {
  const auto sort = [](Messages& messages, std::size_t from) {
    std::sort(messages.begin() + static_cast<std::ptrdiff_t>(from), messages.end(),
              [](const Message& a, const Message& b) {
                return std::pair(a.line, a.order) < std::pair(b.line, b.order);
              });
  };
  sort(errors_, mark.errors);
  sort(warnings_, mark.warnings);
}

std::vector<std::string> Report::errors() const { return first_of(errors_); }
std::vector<std::string> Report::warnings() const { return first_of(warnings_); }

std::vector<std::string> Report::first_of(const Messages& messages) {
  std::vector<std::string> out;
  for (const Message& message : messages) out.push_back(message.text);
  if (out.size() > kMost) out.back() = "... and more";
  return out;
}

bool is_dns_label(std::string_view text, std::size_t max) {
  return !text.empty() && text.size() <= max && text.front() != '-' && text.back() != '-' &&
         std::ranges::all_of(text, [](char c) { return is_lower_alnum(c) || c == '-'; });
}

bool is_dns_subdomain(std::string_view text) {
  if (text.size() > 253) return false;
  for (auto dot = text.find('.'); dot != std::string_view::npos; dot = text.find('.')) {
    if (!is_dns_label(text.substr(0, dot))) return false;
    text.remove_prefix(dot + 1);
  }
  return is_dns_label(text);
}

std::string Field::place() const {
  std::string out = fmt::format("{}:{}: {}", subject_->file, line_, subject_->kind);
  if (!subject_->name.empty()) out += " " + subject_->name;
  return path_.empty() ? out : out + ": " + shown(path_, 200);
}

void Field::error(std::string_view why) const {
  subject_->report.error(fmt::format("{}: {}", place(), why), line_);
}

void Field::must(std::string_view rule) const {
  error(fmt::format("must {}, is {}", rule, describe(yaml_)));
}

void Field::warning(std::string_view why) const {
  subject_->report.warning(fmt::format("{} {}", subject_->kind, without_indexes(path_)),
                           fmt::format("{}: {}", place(), why), line_);
}

void Field::ignored() const { warning("is ignored here"); }

bool Field::expect(Yaml::Type type, std::string_view rule) const {
  if (!present()) return false;
  if (yaml_->type == type) return true;
  must(rule);
  return false;
}

std::string Field::text() const {
  if (present() && (yaml_->type == Yaml::Type::kNumber || yaml_->type == Yaml::Type::kBool)) {
    error(fmt::format("must be a string, is {}: put it in quotes", describe(yaml_)));
    return {};
  }
  if (!expect(Yaml::Type::kText, "be a string")) return {};
  if (yaml_->text.find('\0') != std::string::npos) {
    error("must have no NUL character");
    return {};
  }
  if (yaml_->text.size() > kMaxText) {
    error(fmt::format("has {} bytes: at most {} are allowed", yaml_->text.size(), kMaxText));
    return {};
  }
  return yaml_->text;
}

std::uint32_t Field::number(std::uint32_t min, std::uint32_t max, std::uint32_t absent) const {
  if (!present()) return absent;
  std::uint32_t out = 0;
  const std::string& digits = yaml_->text;
  const char* end = digits.data() + digits.size();
  const auto [stop, ec] = std::from_chars(digits.data(), end, out);
  if (yaml_->type == Yaml::Type::kNumber && ec == std::errc() && stop == end && out >= min &&
      out <= max) {
    return out;
  }
  must(fmt::format("be {} to {}", min, max));
  return absent;
}

bool Field::flag(bool absent) const {
  if (!expect(Yaml::Type::kBool, "be true or false")) return absent;
  static constexpr std::string_view kTrue[] = {"true", "True", "TRUE", "yes", "Yes",
                                               "YES",  "on",   "On",   "ON"};
  return std::ranges::find(kTrue, yaml_->text) != std::end(kTrue);
}

std::string Field::word(std::initializer_list<std::string_view> words,
                        std::string_view absent) const {
  if (!present()) return std::string(absent);
  if (yaml_->type == Yaml::Type::kText && std::ranges::find(words, yaml_->text) != words.end()) {
    return yaml_->text;
  }
  must(fmt::format("be {}", fmt::join(words, " or ")));
  return std::string(absent);
}

std::optional<Address> Field::address() const {
  if (!expect(Yaml::Type::kText, "be an address")) return std::nullopt;
  const auto parsed = Address::parse(yaml_->text);
  if (parsed) return *parsed;
  must("be an address");
  return std::nullopt;
}

// The API allows spaces around the ranges of a balancer's clients.
std::optional<Cidr> Field::cidr() const {
  if (!expect(Yaml::Type::kText, "be a range like 10.0.0.0/8")) return std::nullopt;
  std::string_view text = yaml_->text;
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  const auto parsed = Cidr::parse(text);
  if (parsed && text.find('/') != std::string_view::npos) return *parsed;
  must("be a range like 10.0.0.0/8");
  return std::nullopt;
}

std::string Field::dns_label(std::size_t max) const {
  const std::string out = text();
  if (!is_text() || is_dns_label(out, max)) return out;
  must(
      fmt::format("be lowercase letters, digits and '-', at most {}, and neither begin nor end "
                  "with '-'",
                  max));
  return out;
}

std::vector<Field> Field::items() const {
  std::vector<Field> out;
  if (!expect(Yaml::Type::kList, "be a list")) return out;
  for (std::size_t i = 0; i < yaml_->items.size(); ++i) {
    const Yaml& item = yaml_->items[i];
    out.push_back({*subject_, &item, item.line, fmt::format("{}[{}]", path_, i)});
  }
  return out;
}

std::vector<std::string> Field::texts() const {
  std::vector<std::string> out;
  for (const Field& item : items()) {
    if (!item.present()) item.must("be a string");
    out.push_back(item.text());
  }
  return out;
}

Field Field::member(std::size_t index) const {
  const Yaml& value = yaml_->items[index];
  const std::string& key = yaml_->keys[index];
  return {*subject_, &value, value.line, path_.empty() ? key : path_ + "." + key};
}

Labels Field::annotations() const {
  Labels out;
  if (!expect(Yaml::Type::kMap, "be an object")) return out;
  for (std::size_t i = 0; i < yaml_->items.size(); ++i) out[yaml_->keys[i]] = member(i).text();
  return out;
}

Labels Field::labels() const {
  const Labels out = annotations();
  for (std::size_t i = 0; !out.empty() && i < yaml_->items.size(); ++i) {
    const std::string& key = yaml_->keys[i];
    const std::string& value = out.at(key);
    if (!is_label_key(key)) member(i).error("the key must be a valid label");
    if (!value.empty() && !is_qualified(value)) {
      member(i).must("be a valid label: at most 63 letters, digits, '-', '_', '.'");
    }
  }
  return out;
}

Map::Map(Field field) : field_(std::move(field)) {
  if (!field_.expect(Yaml::Type::kMap, "be an object")) field_.yaml_ = nullptr;
}

Field Map::get(std::string_view key) {
  skip(key);
  if (field_.yaml_ != nullptr) {
    const auto& keys = field_.yaml_->keys;
    const auto it = std::ranges::find(keys, key);
    if (it != keys.end()) return field_.member(static_cast<std::size_t>(it - keys.begin()));
  }
  const std::string path =
      field_.path_.empty() ? std::string(key) : fmt::format("{}.{}", field_.path_, key);
  return {*field_.subject_, nullptr, field_.line_, path};
}

Field Map::need(std::string_view key) {
  Field out = get(key);
  if (!out.present() && field_.present()) out.error("is missing");
  return out;
}

void Map::rest(std::initializer_list<std::string_view> ignored) const {
  if (field_.yaml_ == nullptr) return;
  for (std::size_t i = 0; i < field_.yaml_->keys.size(); ++i) {
    const std::string& key = field_.yaml_->keys[i];
    if (known_.contains(key)) continue;
    const bool is_ignored = std::ranges::find(ignored, key) != ignored.end();
    field_.member(i).warning(is_ignored ? "is ignored here" : "unknown field");
  }
}

}  // namespace weir::k8s
