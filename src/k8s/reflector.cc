// Lists and watches of one resource, asked for until they are told.
#include "k8s/reflector.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "k8s/shown.h"

namespace weir {
namespace {

constexpr int kPage = 500;
constexpr int kTooMany = 429;
constexpr int kTooLarge = 504;  // the server does not yet have the resourceVersion
constexpr HttpClient::Duration kLongestAsked{300'000};

std::string message_of(const std::string& body) {
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  std::string_view out;
  if (parser.parse(body).get(root) != simdjson::SUCCESS ||
      root.at_pointer("/message").get(out) != simdjson::SUCCESS) {
    out = std::string_view(body).substr(0, body.find('\n'));
  }
  return k8s::shown(out, 300);
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
    case Kind::kPodEndpoint:
      return "podendpoints.weir.dev";
  }
  return {};
}

bool is_success(const HttpClient::End& end) { return end.status >= 200 && end.status < 300; }

// Tokens are opaque.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = byte < 0x80 && (std::isalnum(byte) != 0 || c == '-' || c == '_' || c == '.');
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", byte);
  }
  return out;
}

}  // namespace

Reflector::Reflector(Resource resource, HttpClient& client, Poller& poller, Sink& sink, Owner owner,
                     ReflectorPace pace)
    : resource_(std::move(resource)),
      client_(client),
      poller_(poller),
      owner_(std::move(owner)),
      pace_(pace),
      mirror_(resource_.kind, sink),
      random_(std::random_device()()) {}

Reflector::~Reflector() {
  client_.cancel(exchange_);
  poller_.cancel(timer_);
}

// --- lists ------------------------------------------------------------------------------------

void Reflector::list() {
  mirror_.begin_list();
  streamed_ = streams_lists_ && !std::exchange(next_by_pages_, false);
  if (!streamed_) return list_page("");
  std::string query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=";
  if (mirror_.newest() != 0) query += std::to_string(mirror_.newest());
  stream(query);
}

void Reflector::list_page(const std::string& token) {
  began_ = Poller::Clock::now();
  HttpClient::Request request;
  request.path = fmt::format("{}?limit={}", resource_.path, kPage);
  if (!resource_.selectors.empty()) request.path += "&" + resource_.selectors;
  if (!token.empty()) request.path += "&continue=" + escaped(token);
  request.timeout = 2 * pace_.list_silence;
  exchange_ = client_.start(std::move(request), {}, [this](const HttpClient::End& end) {
    exchange_ = 0;
    if (end.good()) return take_page(end.body);
    on_refusal(end);
  });
}

void Reflector::take_page(const std::string& body) {
  const auto token = mirror_.take_page(body);
  if (!token) {
    say(token.error().text());
    return again(true);
  }
  if (!token->empty()) return list_page(*token);
  list_is_complete();
  watch();
}

void Reflector::list_is_complete() {
  problem_.clear();
  if (!std::exchange(synced_, true)) owner_.synced();
}

// --- streams ----------------------------------------------------------------------------------

void Reflector::watch() { stream(fmt::format("resourceVersion={}", mirror_.version())); }

void Reflector::stream(const std::string& query) {
  mirror_.begin_stream();
  began_ = Poller::Clock::now();
  const auto most =
      static_cast<std::uint64_t>(std::max<std::int64_t>(pace_.stream.count() / 1000, 2));
  std::uniform_int_distribution<std::uint64_t> seconds(most / 2, most);
  HttpClient::Request request;
  request.path = fmt::format("{}?watch=1&allowWatchBookmarks=true&timeoutSeconds={}&{}",
                             resource_.path, seconds(random_), query);
  if (!resource_.selectors.empty()) request.path += "&" + resource_.selectors;
  request.timeout = {};
  request.silence = mirror_.lists() ? pace_.list_silence : pace_.watch_silence;
  request.apart = resource_.rests;
  exchange_ = client_.start(
      std::move(request), [this](std::string_view data) { return take(data); },
      [this](const HttpClient::End& end) {
        exchange_ = 0;
        stream_ended(end);
      });
}

bool Reflector::take(std::string_view data) {
  const bool listed = mirror_.lists();
  if (!listed) {
    problem_.clear();
    if (resource_.rests) client_.set_rest(exchange_, pace_.rest);
  }
  const auto taken = mirror_.take(data);
  if (listed && !mirror_.lists()) {
    list_is_complete();
    client_.set_silence(exchange_, pace_.watch_silence);
  }
  if (taken) return true;
  say(taken.error().text());
  if (taken.error().code() == Code::kNotFound) streams_lists_ = false;
  next_by_pages_ = mirror_.lists();
  list_anew_ = mirror_.lists() || taken.error().code() != Code::kUnavailable;
  return false;
}

void Reflector::stream_ended(const HttpClient::End& end) {
  const auto lived = Poller::Clock::now() - began_;
  if (lived >= pace_.settled) failures_ = 0;
  if (end.stopped) return again(list_anew_);
  if (!is_success(end)) return on_refusal(end);
  if (mirror_.lists()) return list_broke(end);
  if (!end.error.empty()) {
    set_problem(end.error);
    // Bookmarks did not come: it may be behind our version for good.
    return again(end.silent);
  }
  if (lived < pace_.first_retry) return again(false);
  watch();
}

// --- what goes wrong --------------------------------------------------------------------------

// What cuts streams may let pages through. Servers that know no streamed lists have nothing to say.
void Reflector::list_broke(const HttpClient::End& end) {
  if (end.silent) streams_lists_ = false;
  next_by_pages_ = true;
  if (end.error.empty()) {
    say("the server ended a list in its middle");
  } else {
    set_problem(end.error);
  }
  again(true);
}

void Reflector::on_refusal(const HttpClient::End& end) {
  if (end.status == 0 || is_success(end)) {
    set_problem(end.error);
    return again(mirror_.lists());
  }
  const bool invalid = end.status == 400 || end.status == 422;
  if (invalid && mirror_.lists() && std::exchange(streamed_, false)) {
    streams_lists_ = false;
    return list();
  }
  // It may have no streamed lists, and read the question as another one.
  next_by_pages_ = mirror_.lists() && end.status == 410;
  // A server that starts, or that has just got a new kind, asks for a moment.
  if (end.status != kTooMany || failures_ > 0) say(refusal(end));
  const bool was_set_back = end.status == kTooLarge && mirror_.lags();
  again(mirror_.lists() || end.status == 410 || was_set_back, end.retry_after);
}

std::string Reflector::refusal(const HttpClient::End& end) const {
  const std::string message = message_of(end.body);
  switch (end.status) {
    case 401:
      return fmt::format(
          "the API server does not accept the credentials (401): is the token or certificate "
          "expired, or the clock wrong? {}",
          message);
    case 403:
      return fmt::format(
          "missing permission to list and watch {}: grant it by the ClusterRole of "
          "deploy/cni/weir-cni.yaml ({})",
          plural(resource_.kind), message);
    case 404:
      return fmt::format("the API server does not have {}: {}", resource_.path,
                         resource_.kind == Kind::kPodEndpoint
                             ? "apply deploy/cni/weir-cni.yaml, or set pod-endpoints to false"
                             : "Weir needs Kubernetes 1.25 or newer");
    default:
      return fmt::format("the API server answers {}: {}", end.status, message);
  }
}

void Reflector::say(const std::string& what) {
  set_problem(fmt::format("{}: {}", plural(resource_.kind), what));
}

void Reflector::set_problem(std::string text) {
  if (text == problem_) return;
  problem_ = std::move(text);
  owner_.trouble();
}

void Reflector::again(bool from_start, HttpClient::Duration at_least) {
  const auto wait =
      std::min(pace_.first_retry * (1L << std::min(failures_, 16)), pace_.longest_retry);
  ++failures_;
  std::uniform_int_distribution<std::int64_t> spread(wait.count() / 2, wait.count() * 3 / 2);
  const auto delay =
      std::max(HttpClient::Duration(spread(random_)), std::min(at_least, kLongestAsked));
  timer_ = poller_.after(delay, [this, from_start] {
    timer_ = 0;
    if (from_start) return list();
    watch();
  });
}

}  // namespace weir
