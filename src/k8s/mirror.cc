// Text of lists and watches -> changes.
#include "k8s/mirror.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>
#include <vector>

#include "k8s/read_object.h"
#include "k8s/shown.h"

namespace weir {
namespace {

using simdjson::dom::element;

constexpr std::size_t kMaxLine = 32U << 20;  // an object has at most 1.5 MiB in etcd
constexpr int kMostLags = 5;
constexpr std::int64_t kGone = 410;

std::string text_at(element from, std::string_view pointer) {
  std::string_view out;
  if (from.at_pointer(pointer).get(out) != simdjson::SUCCESS) return {};
  return std::string(out);
}

ObjectKey key_at(element object) {
  return {text_at(object, "/metadata/namespace"), text_at(object, "/metadata/name")};
}

// 0: there is none, or it is no number, and what is no number cannot be compared.
std::uint64_t version_at(element object) {
  const std::string text = text_at(object, "/metadata/resourceVersion");
  std::uint64_t out = 0;
  const auto end = text.data() + text.size();
  const auto [rest, code] = std::from_chars(text.data(), end, out);
  return code == std::errc() && rest == end ? out : 0;
}

template <typename... Arguments>
Error invalid(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  return {Code::kInvalid, fmt::format(format, std::forward<Arguments>(arguments)...)};
}

// Items of lists have no kind of their own.
Result<void> check_kind(element object, const std::string& wanted) {
  const std::string found = text_at(object, "/kind");
  if (found.empty() || found == wanted) return {};
  return invalid("a {} stands where a {} is due", k8s::shown(found), wanted);
}

// Go writes a list of nothing as null as well as [].
Result<std::vector<element>> items_of(element list) {
  const auto found = list["items"];
  simdjson::dom::array items;
  if (found.is_null()) return std::vector<element>();
  if (found.get(items) != simdjson::SUCCESS) return invalid("a list has no items");
  return std::vector<element>(items.begin(), items.end());
}

}  // namespace

// --- lists ------------------------------------------------------------------------------------

void Mirror::begin_list() {
  lists_ = true;
  listed_ = 0;
  ++round_;
}

Result<std::string> Mirror::take_page(std::string_view body) {
  element root;
  if (const auto code = parser_.parse(body.data(), body.size()).get(root)) {
    return invalid("a list is no JSON: {}", simdjson::error_message(code));
  }
  WEIR_TRY(check_kind(root, std::string(kind_name(kind_)) + "List"));
  const std::uint64_t version = version_at(root);
  if (version == 0) return invalid("a list has no resourceVersion");
  const auto items = items_of(root);
  if (!items) return items.error();
  // Later pages may be of a later time: the watch tells what happened since the first.
  if (listed_ == 0) listed_ = version;
  WEIR_TRY(check_is_new(version));
  for (const element item : *items) WEIR_TRY(check_object(item));
  for (const element item : *items) keep(item);
  std::string token = text_at(root, "/metadata/continue");
  if (token.empty()) list_is_complete(listed_);
  return token;
}

void Mirror::list_is_complete(std::uint64_t version) {
  known_.erase_others(round_,
                      [this](ObjectKey key) { sink_.change(Erase{kind_, std::move(key)}); });
  version_ = version;
  newest_ = std::max(newest_, version);
  lags_ = 0;
  lists_ = false;
}

// --- streams ----------------------------------------------------------------------------------

Result<void> Mirror::take(std::string_view data) {
  for (;;) {
    const std::size_t end = data.find('\n');
    line_ += data.substr(0, end);
    if (end == std::string_view::npos) break;
    data.remove_prefix(end + 1);
    const auto taken = line_.empty() ? Result<void>() : take_line(line_);
    line_.clear();
    if (!taken) return taken;
  }
  if (line_.size() > kMaxLine) return invalid("an event of over {} MiB", kMaxLine >> 20);
  return {};
}

Result<void> Mirror::take_line(std::string_view line) {
  element event;
  element object;
  if (const auto code = parser_.parse(line.data(), line.size()).get(event)) {
    return invalid("an event is no JSON: {}", simdjson::error_message(code));
  }
  if (event.at_pointer("/object").get(object) != simdjson::SUCCESS) {
    return invalid("an event has no object");
  }
  return take_event(text_at(event, "/type"), object);
}

Result<void> Mirror::take_event(std::string_view type, const Json& object) {
  // The stream's last word: 410 when the server no longer knows what came after our version.
  if (type == "ERROR") {
    std::int64_t code = 0;
    if (object["code"].get(code) != simdjson::SUCCESS) code = 0;
    return Error(
        code == kGone ? Code::kInvalid : Code::kUnavailable,
        fmt::format("the watch ended: {} {}", code, k8s::shown(text_at(object, "/message"), 300)));
  }
  if (type != "ADDED" && type != "MODIFIED" && type != "DELETED" && type != "BOOKMARK") {
    return invalid("an event of type '{}'", k8s::shown(std::string(type)));
  }
  WEIR_TRY(check_kind(object, std::string(kind_name(kind_))));
  const std::uint64_t version = version_at(object);
  if (version == 0) return invalid("an event has no resourceVersion");
  // In a watch versions grow; initial objects have any order.
  if (!lists_ && version < version_) {
    return invalid("events went back from {} to {}", version_, version);
  }
  if (type == "BOOKMARK") return take_bookmark(object, version);
  WEIR_TRY(check_object(object));
  if (type == "DELETED") {
    drop(object);
  } else {
    keep(object);
  }
  newest_ = std::max(newest_, version);
  if (!lists_) version_ = version;
  return {};
}

Result<void> Mirror::take_bookmark(const Json& object, std::uint64_t version) {
  if (!lists_) {
    version_ = version;
    newest_ = std::max(newest_, version);
    return {};
  }
  if (text_at(object, "/metadata/annotations/k8s.io~1initial-events-end") != "true") {
    return Error(Code::kNotFound, "the server does not tell the end of a list");
  }
  WEIR_TRY(check_is_new(version));
  list_is_complete(version);
  return {};
}

// --- objects ----------------------------------------------------------------------------------

// One that cannot be told from others would be lost in silence.
Result<void> Mirror::check_object(const Json& object) const {
  const ObjectKey key = key_at(object);
  if (key.name.empty()) return invalid("an object has no name");
  if (key.namespace_.empty() == is_namespaced(kind_)) {
    return invalid("'{}': {} namespace", k8s::shown(key.name),
                   is_namespaced(kind_) ? "has no" : "has a");
  }
  if (version_at(object) == 0) return invalid("'{}' has no resourceVersion", k8s::shown(key.name));
  return check_kind(object, std::string(kind_name(kind_)));
}

void Mirror::keep(const Json& object) {
  const std::uint64_t version = version_at(object);
  KnownObjects::Facts& known = known_[key_at(object)];
  known.round = round_;
  if (version <= known.version) return;  // said before, or older
  known.version = version;
  std::vector<std::string> notes;
  auto parsed = k8s::read_object(kind_, object, &notes);
  if (!parsed) return sink_.warning(parsed.error().text() + "; the object stays as it was");
  for (const std::string& note : notes) sink_.warning(note);
  sink_.change(Upsert{std::move(*parsed)});
}

void Mirror::drop(const Json& object) {
  const ObjectKey key = key_at(object);
  const auto* known = known_.find(key);
  if (known == nullptr || version_at(object) < known->version) return;
  known_.erase(key);
  sink_.change(Erase{kind_, key});
}

// --- versions that go back --------------------------------------------------------------------

Result<void> Mirror::check_is_new(std::uint64_t version) {
  if (version >= newest_) return {};
  auto error = invalid("the server lists what was at {}, but had told of {}", version, newest_);
  lags();
  return error;
}

bool Mirror::lags() {
  if (++lags_ < kMostLags) return false;
  lags_ = 0;
  newest_ = 0;
  known_.forget_versions();
  return true;
}

}  // namespace weir
