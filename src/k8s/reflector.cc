// Lists and watches of one resource -> changes.
#include "k8s/reflector.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <vector>

#include "k8s/read_object.h"
#include "k8s/shown.h"

namespace weir {
namespace {

using simdjson::dom::element;

constexpr std::size_t kMaxLine = 32U << 20;  // an object has at most 1.5 MiB in etcd
constexpr int kPage = 500;
constexpr int kMostStaleLists = 5;
constexpr int kTooLarge = 504;

std::string text_at(element from, std::string_view pointer) {
  std::string_view out;
  if (from.at_pointer(pointer).get(out) != simdjson::SUCCESS) return {};
  return std::string(out);
}

ObjectKey key_at(element object) {
  return {text_at(object, "/metadata/namespace"), text_at(object, "/metadata/name")};
}

// Resource versions grow; what is no number is never compared.
std::uint64_t version_at(element object) {
  const std::string text = text_at(object, "/metadata/resourceVersion");
  std::uint64_t out = 0;
  const auto end = text.data() + text.size();
  const auto [rest, code] = std::from_chars(text.data(), end, out);
  return code == std::errc() && rest == end ? out : 0;
}

std::string message_of(const std::string& body) {
  simdjson::dom::parser parser;
  element root;
  std::string out;
  if (parser.parse(body).get(root) == simdjson::SUCCESS) out = text_at(root, "/message");
  return k8s::shown(out.empty() ? body.substr(0, body.find('\n')) : out, 300);
}

std::string plural(Kind kind) {
  switch (kind) {
    case Kind::kNode:
      return "nodes";
    case Kind::kNamespace:
      return "namespaces";
    case Kind::kPod:
      return "pods";
    case Kind::kService:
      return "services";
    case Kind::kEndpointSlice:
      return "endpointslices.discovery.k8s.io";
  }
  return {};
}

}  // namespace

Reflector::Reflector(Resource resource, HttpClient& client, Poller& poller, Sink& sink, Owner owner,
                     ReflectorPace pace)
    : resource_(std::move(resource)),
      client_(client),
      poller_(poller),
      sink_(sink),
      owner_(std::move(owner)),
      pace_(pace),
      random_(std::random_device()()) {}

Reflector::~Reflector() {
  client_.cancel(exchange_);
  poller_.cancel(timer_);
}

// --- lists ------------------------------------------------------------------------------------

void Reflector::list() {
  ++round_;
  if (!streams_lists_) return list_page("");
  std::string query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=";
  if (newest_ != 0) query += std::to_string(newest_);
  stream(query, Phase::kStreamedList);
}

void Reflector::list_page(const std::string& token) {
  phase_ = Phase::kPagedList;
  began_ = Poller::Clock::now();
  HttpClient::Request request;
  request.path = fmt::format("{}?limit={}", resource_.path, kPage);
  if (!resource_.selectors.empty()) request.path += "&" + resource_.selectors;
  if (!token.empty()) request.path += "&continue=" + token;
  request.timeout = 2 * pace_.list_silence;
  exchange_ = client_.start(std::move(request), {}, [this](const HttpClient::End& end) {
    exchange_ = 0;
    if (end.good()) return take_page(end.body);
    on_refusal(end);
  });
}

void Reflector::take_page(const std::string& body) {
  element root;
  simdjson::dom::array items;
  if (const auto code = parser_.parse(body).get(root)) {
    say(fmt::format("a list is no JSON: {}", simdjson::error_message(code)));
    return again(true);
  }
  const std::uint64_t version = version_at(root);
  if (root["items"].get(items) != simdjson::SUCCESS && !root["items"].is_null()) {
    say("a list has no items");
    return again(true);
  }
  if (is_stale(version)) return again(true);
  for (const element item : items) keep(item, version_at(item));
  const std::string token = text_at(root, "/metadata/continue");
  if (token.empty()) {
    list_is_complete(version);
    return watch();
  }
  list_page(token);
}

void Reflector::list_is_complete(std::uint64_t version) {
  for (auto known = known_.begin(); known != known_.end();) {
    if (known->second.round == round_) {
      ++known;
      continue;
    }
    sink_.change(Erase{resource_.kind, known->first});
    known = known_.erase(known);
  }
  version_ = version;
  newest_ = std::max(newest_, version);
  stale_lists_ = 0;
  list_anew_ = false;
  problem_.clear();
  if (!std::exchange(synced_, true)) owner_.synced();
}

// --- streams ----------------------------------------------------------------------------------

void Reflector::watch() { stream(fmt::format("resourceVersion={}", version_), Phase::kWatch); }

void Reflector::stream(const std::string& query, Phase phase) {
  phase_ = phase;
  list_anew_ = phase == Phase::kStreamedList;
  buffer_.clear();
  began_ = Poller::Clock::now();
  const auto most =
      static_cast<std::uint64_t>(std::max<std::int64_t>(pace_.stream.count() / 1000, 2));
  std::uniform_int_distribution<std::uint64_t> seconds(most / 2, most);
  HttpClient::Request request;
  request.path = fmt::format("{}?watch=1&allowWatchBookmarks=true&timeoutSeconds={}&{}",
                             resource_.path, seconds(random_), query);
  if (!resource_.selectors.empty()) request.path += "&" + resource_.selectors;
  request.timeout = {};
  request.silence = phase == Phase::kWatch ? pace_.watch_silence : pace_.list_silence;
  exchange_ = client_.start(
      std::move(request), [this](std::string_view data) { return take(data); },
      [this](const HttpClient::End& end) {
        exchange_ = 0;
        stream_ended(end);
      });
}

bool Reflector::take(std::string_view data) {
  if (phase_ == Phase::kWatch) problem_.clear();
  for (;;) {
    const std::size_t end = data.find('\n');
    if (end == std::string_view::npos) break;
    const std::string_view line = data.substr(0, end);
    data.remove_prefix(end + 1);
    buffer_ += line;
    const bool trusted = buffer_.empty() || take_line(buffer_);
    buffer_.clear();
    if (!trusted) return false;
  }
  buffer_ += data;
  if (buffer_.size() <= kMaxLine) return true;
  return distrust(fmt::format("an event of over {} MiB", kMaxLine >> 20));
}

bool Reflector::take_line(std::string_view line) {
  element event;
  if (const auto code = parser_.parse(line.data(), line.size()).get(event)) {
    return distrust(fmt::format("an event is no JSON: {}", simdjson::error_message(code)));
  }
  const std::string type = text_at(event, "/type");
  element object;
  if (event.at_pointer("/object").get(object) != simdjson::SUCCESS) {
    return distrust("an event has no object");
  }
  return take_event(type, object);
}

bool Reflector::take_event(std::string_view type, const Json& object) {
  if (type == "ERROR") return take_error(object);
  const std::uint64_t version = version_at(object);
  if (type != "ADDED" && type != "MODIFIED" && type != "DELETED" && type != "BOOKMARK") {
    return distrust(fmt::format("an event of type '{}'", k8s::shown(std::string(type))));
  }
  // In one stream versions grow; initial objects have any order.
  if (phase_ == Phase::kWatch && version != 0 && version < version_) {
    return distrust(fmt::format("events went back from {} to {}", version_, version));
  }
  if (type == "BOOKMARK") return take_bookmark(object, version);
  if (type == "DELETED") {
    drop(object, version);
  } else {
    keep(object, version);
  }
  newest_ = std::max(newest_, version);
  if (phase_ == Phase::kWatch) version_ = std::max(version_, version);
  return true;
}

bool Reflector::take_bookmark(const Json& object, std::uint64_t version) {
  if (phase_ == Phase::kWatch) {
    version_ = std::max(version_, version);
    newest_ = std::max(newest_, version);
    return true;
  }
  if (text_at(object, "/metadata/annotations/k8s.io~1initial-events-end") != "true") {
    streams_lists_ = false;
    return distrust("the server does not tell the end of a list");
  }
  if (is_stale(version)) return false;
  list_is_complete(version);
  phase_ = Phase::kWatch;
  client_.set_silence(exchange_, pace_.watch_silence);
  return true;
}

// The stream's last word: 410 when the server no longer knows what came after our version.
bool Reflector::take_error(const Json& object) {
  std::int64_t code = 0;
  if (object["code"].get(code) != simdjson::SUCCESS) code = 0;
  say(fmt::format("the watch ended: {} {}", code, k8s::shown(text_at(object, "/message"), 300)));
  list_anew_ = list_anew_ || code == 410;
  return false;
}

// --- objects ----------------------------------------------------------------------------------

void Reflector::keep(const Json& object, std::uint64_t version) {
  const ObjectKey key = key_at(object);
  if (key.name.empty()) return sink_.warning(plural(resource_.kind) + ": an object has no name");
  Known& known = known_[key];
  known.round = round_;
  if (version != 0 && version <= known.version) return;  // said before, or older
  known.version = version;
  std::vector<std::string> notes;
  auto parsed = k8s::read_object(resource_.kind, object, &notes);
  if (!parsed) {
    return sink_.warning(parsed.error().text() + "; the object stays as it was");
  }
  for (const std::string& note : notes) sink_.warning(note);
  sink_.change(Upsert{std::move(*parsed)});
}

void Reflector::drop(const Json& object, std::uint64_t version) {
  const ObjectKey key = key_at(object);
  const auto known = known_.find(key);
  if (known == known_.end() || (version != 0 && version < known->second.version)) return;
  known_.erase(known);
  sink_.change(Erase{resource_.kind, key});
}

// --- what goes wrong --------------------------------------------------------------------------

bool Reflector::distrust(const std::string& why) {
  say(why);
  list_anew_ = true;
  return false;
}

// Servers may lag behind each other for a while. One that stays behind was set back, perhaps from a
// backup: then what it has is right.
bool Reflector::is_stale(std::uint64_t version) {
  if (version >= newest_) return false;
  say(fmt::format("the server lists what was at {}, but had told of {}", version, newest_));
  if (++stale_lists_ >= kMostStaleLists) forget_versions();
  return true;
}

void Reflector::forget_versions() {
  stale_lists_ = 0;
  newest_ = 0;
  for (auto& [key, known] : known_) known.version = 0;
}

void Reflector::say(const std::string& what) {
  set_problem(fmt::format("{}: {}", plural(resource_.kind), what));
}

void Reflector::set_problem(std::string text) {
  if (text == problem_) return;
  problem_ = std::move(text);
  owner_.trouble();
}

void Reflector::stream_ended(const HttpClient::End& end) {
  const bool answered = end.status >= 200 && end.status < 300;
  const auto lived = Poller::Clock::now() - began_;
  if (lived >= pace_.settled) failures_ = 0;
  if (end.stopped) return again(list_anew_);
  if (!answered) return on_refusal(end);
  if (phase_ == Phase::kStreamedList) {
    streams_lists_ =
        end.error.empty();  // or it had nothing to say, as servers that know no such lists
    if (end.error.empty()) say("the server ended a list in its middle");
    if (!end.error.empty()) set_problem(end.error);
    return again(true);
  }
  if (!end.error.empty()) {
    set_problem(end.error);
    return again(false);
  }
  if (lived < pace_.first_retry) return again(false);
  watch();
}

void Reflector::on_refusal(const HttpClient::End& end) {
  if (end.status == 0) {
    set_problem(end.error);
    return again(list_anew_ || phase_ != Phase::kWatch);
  }
  const std::string message = message_of(end.body);
  const bool invalid = end.status == 400 || end.status == 422;
  if (invalid && phase_ == Phase::kStreamedList) {
    streams_lists_ = false;
    return list();
  }
  if (end.status == 401) {
    say(
        fmt::format("the API server does not accept the credentials (401): is the token or "
                    "certificate expired, "
                    "or the clock wrong? {}",
                    message));
  } else if (end.status == 403) {
    say(
        fmt::format("missing permission to list and watch {}: grant it by the ClusterRole of "
                    "deploy/cni/weir-cni.yaml ({})",
                    plural(resource_.kind), message));
  } else if (end.status == 404) {
    say(fmt::format("the API server does not have {}: Weir needs Kubernetes 1.25 or newer",
                    resource_.path));
  } else {
    say(fmt::format("the API server answers {}: {}", end.status, message));
  }
  // It has not yet, or no longer, what it had told of: perhaps it was set back.
  if (end.status == kTooLarge && ++stale_lists_ >= kMostStaleLists) forget_versions();
  again(end.status == 410 || phase_ != Phase::kWatch, end.retry_after);
}

void Reflector::again(bool from_start, HttpClient::Duration at_least) {
  const auto wait =
      std::min(pace_.first_retry * (1L << std::min(failures_, 16)), pace_.longest_retry);
  ++failures_;
  std::uniform_int_distribution<std::int64_t> spread(wait.count() / 2, wait.count() * 3 / 2);
  const auto delay = std::max(HttpClient::Duration(spread(random_)), at_least);
  timer_ = poller_.after(delay, [this, from_start] {
    timer_ = 0;
    if (from_start) return list();
    watch();
  });
}

}  // namespace weir
