// YAML text -> trees, from yaml-cpp's events rather than its nodes: events have a line each, and an
// alias can be refused before it is expanded.
#include "k8s/yaml.h"

#include <fmt/format.h>
#include <yaml-cpp/depthguard.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <array>
#include <map>
#include <sstream>
#include <utility>

#include "base/utf8.h"

namespace weir::k8s {
namespace {

template <std::size_t N>
bool is_one_of(std::string_view text, const std::array<std::string_view, N>& words) {
  return std::ranges::find(words, text) != words.end();
}

bool is_null_word(std::string_view text) {
  static constexpr std::array<std::string_view, 5> kWords{"", "~", "null", "Null", "NULL"};
  return is_one_of(text, kWords);
}

// YAML 1.1, as Kubernetes reads it.
bool is_bool_word(std::string_view text) {
  static constexpr std::array<std::string_view, 18> kWords{
      "true", "True", "TRUE", "false", "False", "FALSE", "yes", "Yes", "YES",
      "no",   "No",   "NO",   "on",    "On",    "ON",    "off", "Off", "OFF"};
  return is_one_of(text, kWords);
}

bool is_number_word(std::string_view text) {
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  if (text.starts_with("0x") || text.starts_with("0o")) return text.size() > 2;
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  const auto digits = [&text, &is_digit] {
    const auto end = std::ranges::find_if_not(text, is_digit);
    const auto n = static_cast<std::size_t>(end - text.begin());
    text.remove_prefix(n);
    return n;
  };
  std::size_t count = digits();
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    count += digits();
  }
  if (count == 0) return false;
  if (!text.starts_with('e') && !text.starts_with('E')) return text.empty();
  text.remove_prefix(1);
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  return digits() > 0 && text.empty();
}

Yaml::Type plain_type(std::string_view text) {
  if (is_null_word(text)) return Yaml::Type::kNull;
  if (is_bool_word(text)) return Yaml::Type::kBool;
  if (is_number_word(text)) return Yaml::Type::kNumber;
  return Yaml::Type::kText;
}

std::size_t count_values(const Yaml& value) {
  std::size_t count = 1;
  for (const Yaml& item : value.items) count += count_values(item);
  return count;
}

std::size_t depth_of(const Yaml& value) {
  std::size_t depth = 0;
  for (const Yaml& item : value.items) depth = std::max(depth, depth_of(item));
  return depth + 1;
}

std::string too_deep() { return fmt::format("is nested deeper than {}", kMaxYamlDepth); }

// The scanner keeps some 250 bytes for each of these before the first event comes.
bool has_too_many_marks(std::string_view text) {
  const auto is_mark = [](char c) { return c == '[' || c == '{' || c == ','; };
  return std::ranges::count_if(text, is_mark) > static_cast<std::ptrdiff_t>(4 * kMaxYamlValues);
}

// Builds one document. After the first error it only waits for the end: the parser offers no other
// way to stop it.
class Builder final : public YAML::EventHandler {
 public:
  explicit Builder(std::size_t& values) : values_(values) {}

  std::optional<Yaml> take() { return std::exchange(document_, std::nullopt); }
  const std::optional<YamlError>& error() const { return error_; }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    leaf(mark, anchor, {.type = Yaml::Type::kNull, .text = {}, .items = {}, .keys = {}});
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    const bool plain = tag == "?" || tag.empty();
    leaf(mark, anchor,
         {.type = plain ? plain_type(value) : Yaml::Type::kText,
          .text = value,
          .items = {},
          .keys = {}});
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    begin(mark, anchor, Yaml::Type::kList);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    begin(mark, anchor, Yaml::Type::kMap);
  }
  void OnSequenceEnd() override { end(); }
  void OnMapEnd() override { end(); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (error_) return;
    const auto it = anchors_.find(anchor);
    if (it == anchors_.end()) return fail(mark.line + 1, "an alias may not be part of itself");
    if (!spend(mark.line + 1, count_values(it->second))) return;
    if (open_.size() + depth_of(it->second) > kMaxYamlDepth) return fail(mark.line + 1, too_deep());
    add(it->second);
  }

 private:
  struct Field {
    std::size_t index;  // in Yaml::items
    bool merged;        // comes from a merge key
  };
  struct Open {
    Yaml value;
    YAML::anchor_t anchor;
    std::map<std::string, Field> fields;  // of a map
    std::optional<std::string> key;       // of a map: the value to this key comes next
  };

  void fail(int line, std::string text) {
    if (!error_) error_ = YamlError{line, std::move(text)};
  }

  bool spend(int line, std::size_t values) {
    values_ += values;
    if (values_ > kMaxYamlValues)
      fail(line, fmt::format("has more than {} values", kMaxYamlValues));
    return !error_;
  }

  void leaf(const YAML::Mark& mark, YAML::anchor_t anchor, Yaml value) {
    if (error_ || !spend(mark.line + 1, 1)) return;
    value.line = mark.line + 1;
    finish(std::move(value), anchor);
  }

  void begin(const YAML::Mark& mark, YAML::anchor_t anchor, Yaml::Type type) {
    if (error_ || !spend(mark.line + 1, 1)) return;
    if (open_.size() >= kMaxYamlDepth) return fail(mark.line + 1, too_deep());
    open_.push_back({{.type = type, .line = mark.line + 1, .text = {}, .items = {}, .keys = {}},
                     anchor,
                     {},
                     std::nullopt});
  }

  void end() {
    if (error_ || open_.empty()) return;
    Open done = std::move(open_.back());
    open_.pop_back();
    finish(std::move(done.value), done.anchor);
  }

  void finish(Yaml value, YAML::anchor_t anchor) {
    if (anchor != 0) {
      if (!spend(value.line, count_values(value))) return;
      anchors_[anchor] = value;
    }
    add(std::move(value));
  }

  void add(Yaml value) {
    if (open_.empty()) {
      document_ = std::move(value);
      return;
    }
    Open& parent = open_.back();
    if (parent.value.type == Yaml::Type::kList) {
      parent.value.items.push_back(std::move(value));
    } else if (parent.key) {
      put(parent, *std::exchange(parent.key, std::nullopt), std::move(value));
    } else if (value.type == Yaml::Type::kList || value.type == Yaml::Type::kMap) {
      fail(value.line, "the name of a field must be a string");
    } else {
      parent.key = value.text;
    }
  }

  void put(Open& map, const std::string& key, Yaml value) {
    if (key == "<<" && value.type == Yaml::Type::kMap) return merge(map, value);
    const auto [seen, is_new] = map.fields.try_emplace(key, Field{map.value.keys.size(), false});
    if (is_new) {
      map.value.keys.push_back(key);
      map.value.items.push_back(std::move(value));
    } else if (seen->second.merged) {
      seen->second.merged = false;
      map.value.items[seen->second.index] = std::move(value);
    } else {
      fail(value.line, fmt::format("field '{}' is given twice", key));
    }
  }

  // The map's own fields win, wherever they stand.
  static void merge(Open& map, const Yaml& from) {
    for (std::size_t i = 0; i < from.keys.size(); ++i) {
      const Field field{map.value.keys.size(), true};
      if (!map.fields.try_emplace(from.keys[i], field).second) continue;
      map.value.keys.push_back(from.keys[i]);
      map.value.items.push_back(from.items[i]);
    }
  }

  std::size_t& values_;
  std::optional<Yaml> document_;
  std::optional<YamlError> error_;
  std::vector<Open> open_;
  std::map<YAML::anchor_t, Yaml> anchors_;
};

}  // namespace

const Yaml* Yaml::find(std::string_view key) const {
  const auto it = std::ranges::find(keys, key);
  return it == keys.end() ? nullptr : &items[static_cast<std::size_t>(it - keys.begin())];
}

YamlFile parse_yaml(std::string_view text) {
  YamlFile out;
  std::size_t values = 0;
  if (const auto at = find_not_utf8(text); at != std::string_view::npos) {
    const auto lines = std::ranges::count(text.substr(0, at), '\n');
    out.error = YamlError{static_cast<int>(lines) + 1, "is not UTF-8 text"};
    return out;
  }
  if (has_too_many_marks(text)) {
    out.error = YamlError{1, "has more brackets and commas than any manifest"};
    return out;
  }
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    for (;;) {
      Builder builder(values);
      const bool more = parser.HandleNextDocument(builder);
      if (builder.error()) {
        out.error = builder.error();
        return out;
      }
      auto document = builder.take();
      if (document && document->type != Yaml::Type::kNull) {
        out.documents.push_back(std::move(*document));
      }
      if (!more) return out;
    }
  } catch (const YAML::DeepRecursion& e) {
    out.error = YamlError{std::max(e.mark.line, 0) + 1, too_deep()};
  } catch (const YAML::Exception& e) {
    out.error = YamlError{std::max(e.mark.line, 0) + 1, "not YAML: " + e.msg};
  } catch (const std::exception& e) {
    out.error = YamlError{1, std::string("not YAML: ") + e.what()};
  }
  return out;
}

}  // namespace weir::k8s
