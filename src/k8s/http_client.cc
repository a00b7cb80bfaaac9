// libcurl's multi interface below a Poller: curl says which sockets and which time it waits for.
#include "k8s/http_client.h"

#include <curl/curl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <ctime>
#include <utility>

#include "base/version.h"
#include "k8s/time.h"
#include "sys/files.h"

namespace weir {
namespace {

constexpr std::size_t kMaxBody = 64U << 20;
constexpr std::size_t kMaxErrorBody = 64U << 10;
// Of OpenSSL's verification.
constexpr long kNotYetValid = 9;
constexpr long kHasExpired = 10;

// A peer that is gone is noticed while we only listen: after 5 s of silence it is asked each 5 s.
int set_keepalive(void* patience, curl_socket_t fd, curlsocktype) {
  const int on = 1;
  const int seconds = 5;
  const int tries = 2;
  const auto timeout_ms =
      static_cast<unsigned>(static_cast<HttpClient::Duration*>(patience)->count());
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof seconds);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &seconds, sizeof seconds);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &tries, sizeof tries);
  setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof timeout_ms);
  return CURL_SOCKOPT_OK;
}

curl_blob blob_of(const std::string& text) {
  return {.data = const_cast<char*>(text.data()), .len = text.size(), .flags = CURL_BLOB_COPY};
}

// curl's own words for other ends have figures that change with each try, and one cause would look
// like many.
bool has_constant_words(int code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_READ_ERROR:  // ours
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CONNECT_ERROR:
      return true;
    default:
      return false;
  }
}

}  // namespace

// Connections and the exchanges on them.
struct HttpClient::Multi : std::enable_shared_from_this<Multi> {
  HttpClient& client;
  CURLM* handle = curl_multi_init();
  Poller::Id timer = 0;
  std::map<int, std::uint32_t> sockets;  // and the events that curl waits for
  Duration rest{0};                      // between two readings
  Poller::Id waking = 0;                 // 0: it does not rest now

  explicit Multi(HttpClient& owner) : client(owner) {}
  Multi(const Multi&) = delete;
  Multi& operator=(const Multi&) = delete;
  ~Multi() {
    curl_multi_cleanup(handle);  // says goodbye to its sockets by on_socket
    client.poller_.cancel(timer);
    client.poller_.cancel(waking);
  }

  void on_socket(int fd, int what) {
    if (what == CURL_POLL_REMOVE) {
      sockets.erase(fd);
      return client.poller_.forget(fd);
    }
    const std::uint32_t events = ((what & CURL_POLL_IN) != 0 ? std::uint32_t{EPOLLIN} : 0U) |
                                 ((what & CURL_POLL_OUT) != 0 ? std::uint32_t{EPOLLOUT} : 0U);
    sockets[fd] = events;
    if (waking == 0) watch(fd, events);
  }

  void watch(int fd, std::uint32_t events) {
    // It can fail only for want of memory; curl's own time limits end the exchange then.
    (void)client.poller_.watch(fd, events, [this, fd](std::uint32_t ready) {
      const auto keep = shared_from_this();
      act(fd, ((ready & EPOLLIN) != 0 ? CURL_CSELECT_IN : 0) |
                  ((ready & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0) |
                  ((ready & (EPOLLERR | EPOLLHUP)) != 0 ? CURL_CSELECT_ERR : 0));
      if (rest.count() != 0) fall_asleep();
    });
  }

  void fall_asleep() {
    if (waking != 0) return;
    for (const auto& [fd, events] : sockets) client.poller_.forget(fd);
    waking = client.poller_.after(rest, [this] { wake(); });
  }

  void wake() {
    client.poller_.cancel(waking);
    if (std::exchange(waking, 0) == 0) return;
    for (const auto& [fd, events] : sockets) watch(fd, events);
  }

  void set_rest(Duration value) {
    rest = value;
    if (rest.count() == 0) wake();
  }

  // curl must not be called from here, so also 0 ms take a turn of the poller.
  void on_timer(long timeout_ms) {
    client.poller_.cancel(timer);
    timer = 0;
    if (timeout_ms < 0) return;
    timer = client.poller_.after(Duration(timeout_ms), [this] { act(CURL_SOCKET_TIMEOUT, 0); });
  }

  void act(curl_socket_t fd, int flags) {
    const auto keep = shared_from_this();
    int running = 0;
    curl_multi_socket_action(handle, fd, flags, &running);
    client.collect_ends(*this);
  }
};

struct HttpClient::Exchange {
  HttpClient& client;
  Id id = 0;
  Request request;
  OnData on_data;
  OnEnd on_end;
  End end{};
  std::size_t server = 0;
  std::shared_ptr<Multi> multi;
  CURL* easy = nullptr;
  curl_slist* headers = nullptr;
  curl_slist* connect_to = nullptr;
  Poller::Clock::time_point last_byte{};
  Poller::Id watchdog = 0;
  std::string why{};  // curl's own words
  bool too_long = false;

  Exchange(HttpClient& owner, Request what) : client(owner), request(std::move(what)) {
    why.resize(CURL_ERROR_SIZE);
  }
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;
  ~Exchange() {
    client.poller_.cancel(watchdog);
    curl_slist_free_all(headers);
    curl_slist_free_all(connect_to);
    if (easy != nullptr) curl_easy_cleanup(easy);
  }

  bool is_good() const {
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    return status >= 200 && status < 300;
  }

  void take_header(std::string_view line) {
    last_byte = Poller::Clock::now();
    if (line == "\r\n" && on_data && is_good()) pass("");  // the last one
  }

  void take(std::string_view data) {
    last_byte = Poller::Clock::now();
    client.bytes_received_ += data.size();
    const bool good = is_good();
    if (good && on_data) return pass(data);
    if (!on_end || end.stopped) return;
    if (end.body.size() + data.size() <= (good ? kMaxBody : kMaxErrorBody)) {
      end.body += data;
    } else {
      too_long = true;
      stop();
    }
  }

  void pass(std::string_view data) {
    if (!on_end || end.stopped) return;
    client.inside_ = true;
    const bool go_on = on_data(data);
    client.inside_ = false;
    if (!go_on) stop();
  }

  // To refuse the data would break the connection, which others use.
  void stop() {
    end.stopped = true;
    client.poller_.after({}, [&client = client, id = id] {
      const auto found = client.exchanges_.find(id);
      if (found == client.exchanges_.end()) return;
      found->second->leave();
      client.end(*found->second, CURLE_OK);
    });
  }

  void leave() {
    if (multi) curl_multi_remove_handle(multi->handle, easy);
    wake();
  }

  // What comes next is an answer's beginning, or a new connection.
  void wake() {
    if (multi && request.apart) multi->set_rest({});
  }
};

HttpClient::HttpClient(ApiAccess access, Poller& poller)
    : access_(std::move(access)), poller_(poller) {}

HttpClient::~HttpClient() {
  for (auto& [id, exchange] : exchanges_) exchange->leave();
  exchanges_.clear();
}

Result<std::unique_ptr<HttpClient>> HttpClient::open(ApiAccess access, Poller& poller) {
  if (access.servers.empty()) {
    return Error(Code::kInvalid, "no API server is known: give --api-server");
  }
  for (const auto& server : access.servers) WEIR_TRY(check_server_url(server));
  static const CURLcode global = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (global != CURLE_OK) return Error(Code::kUnavailable, curl_easy_strerror(global));
  std::unique_ptr<HttpClient> client(new HttpClient(std::move(access), poller));
  WEIR_ASSIGN(client->multi_, client->open_multi());
  WEIR_ASSIGN(client->multi_apart_, client->open_multi());
  return client;
}

Result<std::shared_ptr<HttpClient::Multi>> HttpClient::open_multi() {
  auto multi = std::make_shared<Multi>(*this);
  CURLM* handle = multi->handle;
  if (handle == nullptr) return Error(Code::kUnavailable, "libcurl gives no handle");
  using OnSocket = int (*)(CURL*, curl_socket_t, int, void*, void*);
  using OnTimer = int (*)(CURLM*, long, void*);
  const OnSocket tell_socket = [](CURL*, curl_socket_t fd, int what, void* self, void*) {
    static_cast<Multi*>(self)->on_socket(fd, what);
    return 0;
  };
  const OnTimer tell_timer = [](CURLM*, long timeout_ms, void* self) {
    static_cast<Multi*>(self)->on_timer(timeout_ms);
    return 0;
  };
  curl_multi_setopt(handle, CURLMOPT_SOCKETFUNCTION, tell_socket);
  curl_multi_setopt(handle, CURLMOPT_SOCKETDATA, multi.get());
  curl_multi_setopt(handle, CURLMOPT_TIMERFUNCTION, tell_timer);
  curl_multi_setopt(handle, CURLMOPT_TIMERDATA, multi.get());
  curl_multi_setopt(handle, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
  return multi;
}

HttpClient::Id HttpClient::start(Request request, OnData on_data, OnEnd on_end) {
  auto exchange = std::make_unique<Exchange>(*this, std::move(request));
  exchange->id = next_id_++;
  exchange->on_data = std::move(on_data);
  exchange->on_end = std::move(on_end);
  exchange->server = server_;
  exchange->last_byte = Poller::Clock::now();
  const Id id = exchange->id;
  exchanges_.emplace(id, std::move(exchange));
  outside(id, &HttpClient::add);
  return id;
}

void HttpClient::cancel(Id id) {
  const auto found = exchanges_.find(id);
  if (found == exchanges_.end()) return;
  found->second->on_end = {};
  outside(id, &HttpClient::remove);
}

void HttpClient::set_silence(Id id, Duration silence) {
  const auto found = exchanges_.find(id);
  if (found == exchanges_.end()) return;
  found->second->request.silence = silence;
  watch_silence(*found->second);
}

void HttpClient::set_rest(Id id, Duration rest) {
  const auto found = exchanges_.find(id);
  if (found == exchanges_.end() || !found->second->request.apart) return;
  found->second->multi->set_rest(rest);
}

// Now, or when curl has returned.
void HttpClient::outside(Id id, void (HttpClient::*work)(Exchange&)) {
  const auto run = [this, id, work] {
    const auto found = exchanges_.find(id);
    if (found != exchanges_.end()) (this->*work)(*found->second);
  };
  if (!inside_) return run();
  poller_.after({}, run);
}

void HttpClient::add(Exchange& exchange) {
  exchange.multi = exchange.request.apart ? multi_apart_ : multi_;
  set_up(exchange);
  if (auto set = set_credentials(exchange); !set) {
    exchange.why = set.error().text();
    poller_.after({}, [this, id = exchange.id] {
      const auto found = exchanges_.find(id);
      if (found != exchanges_.end()) end(*found->second, CURLE_READ_ERROR);
    });
    return;
  }
  curl_easy_setopt(exchange.easy, CURLOPT_HTTPHEADER, exchange.headers);
  watch_silence(exchange);
  curl_multi_add_handle(exchange.multi->handle, exchange.easy);
}

void HttpClient::remove(Exchange& exchange) {
  exchange.leave();
  exchanges_.erase(exchange.id);
}

void HttpClient::set_up(Exchange& exchange) {
  exchange.easy = curl_easy_init();
  CURL* easy = exchange.easy;
  set_address(exchange);
  curl_easy_setopt(easy, CURLOPT_PRIVATE, &exchange);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, exchange.why.data());
  curl_easy_setopt(easy, CURLOPT_USERAGENT, fmt::format("weir/{}", kVersion).c_str());
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https");
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_2TLS);
  curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
  curl_easy_setopt(easy, CURLOPT_DNS_CACHE_TIMEOUT, 0L);  // a server may have moved
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(patience_.count()));
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(exchange.request.timeout.count()));
  curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, set_keepalive);
  curl_easy_setopt(easy, CURLOPT_SOCKOPTDATA, &patience_);
  using OnWrite = std::size_t (*)(char*, std::size_t, std::size_t, void*);
  const OnWrite on_write = [](char* data, std::size_t, std::size_t size, void* self) {
    static_cast<Exchange*>(self)->take({data, size});
    return size;
  };
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_write);
  const OnWrite on_header = [](char* data, std::size_t, std::size_t size, void* self) {
    static_cast<Exchange*>(self)->take_header({data, size});
    return size;
  };
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &exchange);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &exchange);
  exchange.headers = curl_slist_append(exchange.headers, "Accept: application/json");
  set_body(exchange);
}

// With a name of its own for the certificate, the URL has that name, and curl is told where it is.
void HttpClient::set_address(Exchange& exchange) {
  std::string url = server();
  if (!access_.server_name.empty()) {
    const std::string where = url.substr(url.rfind('/') + 1);
    exchange.connect_to = curl_slist_append(nullptr, ("::" + where).c_str());
    curl_easy_setopt(exchange.easy, CURLOPT_CONNECT_TO, exchange.connect_to);
    url = "https://" + access_.server_name;
  }
  curl_easy_setopt(exchange.easy, CURLOPT_URL, (url + exchange.request.path).c_str());
}

void HttpClient::set_body(Exchange& exchange) {
  const Request& request = exchange.request;
  if (request.method != "GET") {
    curl_easy_setopt(exchange.easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  }
  if (request.body.empty()) return;
  curl_easy_setopt(exchange.easy, CURLOPT_POSTFIELDSIZE_LARGE,
                   static_cast<curl_off_t>(request.body.size()));
  curl_easy_setopt(exchange.easy, CURLOPT_POSTFIELDS, request.body.c_str());
  exchange.headers =
      curl_slist_append(exchange.headers, ("Content-Type: " + request.content_type).c_str());
}

// curl compares the contents: with a renewed certificate it makes a new connection.
Result<void> HttpClient::set_credentials(Exchange& exchange) {
  const auto set = [easy = exchange.easy](CURLoption option, std::string pem,
                                          const std::string& path) -> Result<void> {
    if (pem.empty() && !path.empty()) {
      WEIR_ASSIGN(pem, read_file(path));
    }
    if (pem.empty()) return {};
    curl_blob blob = blob_of(pem);
    curl_easy_setopt(easy, option, &blob);
    return {};
  };
  // The system's CAs have no say in a cluster that has its own.
  if (!access_.ca_pem.empty() || !access_.ca_path.empty()) {
    curl_easy_setopt(exchange.easy, CURLOPT_CAPATH, nullptr);
  }
  WEIR_TRY(set(CURLOPT_CAINFO_BLOB, access_.ca_pem, access_.ca_path));
  WEIR_TRY(set(CURLOPT_SSLCERT_BLOB, access_.certificate_pem, access_.certificate_path));
  WEIR_TRY(set(CURLOPT_SSLKEY_BLOB, access_.key_pem, access_.key_path));
  std::string token = access_.token;
  if (!access_.token_path.empty()) {
    WEIR_ASSIGN(token, read_file(access_.token_path));
  }
  while (!token.empty() && (token.back() == '\n' || token.back() == '\r')) token.pop_back();
  if (token.empty()) return {};
  exchange.headers =
      curl_slist_append(exchange.headers, ("Authorization: Bearer " + token).c_str());
  return {};
}

void HttpClient::watch_silence(Exchange& exchange) {
  poller_.cancel(exchange.watchdog);
  if (exchange.request.silence.count() == 0) return;
  const auto due = exchange.last_byte + exchange.request.silence;
  const auto left = std::max(due - Poller::Clock::now(), Poller::Clock::duration(Duration(1)));
  exchange.watchdog = poller_.after(left, [this, &exchange] {
    exchange.watchdog = 0;
    if (Poller::Clock::now() < exchange.last_byte + exchange.request.silence) {
      return watch_silence(exchange);
    }
    exchange.end.silent = true;
    exchange.leave();
    end(exchange, CURLE_OPERATION_TIMEDOUT);
  });
}

void HttpClient::collect_ends(Multi& multi) {
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi.handle, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    void* owner = nullptr;
    CURL* easy = message->easy_handle;
    const CURLcode code = message->data.result;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &owner);
    curl_multi_remove_handle(multi.handle, easy);
    end(*static_cast<Exchange*>(owner), code);
  }
}

void HttpClient::end(Exchange& exchange, int code) {
  const auto node = exchanges_.extract(exchange.id);
  exchange.wake();
  End& out = exchange.end;
  long status = 0;
  curl_off_t retry_after = 0;
  curl_easy_getinfo(exchange.easy, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(exchange.easy, CURLINFO_RETRY_AFTER, &retry_after);
  out.status = static_cast<int>(status);
  out.retry_after = std::chrono::seconds(retry_after);
  if (code != CURLE_OK && !out.stopped) {
    out.error = fmt::format("API server {}: {}", access_.servers[exchange.server],
                            words_of(exchange, code));
  }
  if (exchange.too_long) {
    out.error =
        fmt::format("API server {}: an answer is too long", access_.servers[exchange.server]);
  }
  const bool refused = code != CURLE_OK && status == 0;
  if (refused || out.silent || status >= 500) next_server(exchange.server);
  if (code == CURLE_OPERATION_TIMEDOUT) leave_connections(exchange);
  if (exchange.on_end) exchange.on_end(out);
}

std::string HttpClient::words_of(const Exchange& exchange, int code) const {
  if (exchange.end.silent) return "was silent for too long";
  const char* general = curl_easy_strerror(static_cast<CURLcode>(code));
  if (code == CURLE_COULDNT_CONNECT) {
    long error = 0;
    curl_easy_getinfo(exchange.easy, CURLINFO_OS_ERRNO, &error);
    return errno_error(static_cast<int>(error), general).text();
  }
  if (!has_constant_words(code) || exchange.why[0] == '\0') return general;
  std::string words = exchange.why.c_str();
  long verdict = 0;
  curl_easy_getinfo(exchange.easy, CURLINFO_SSL_VERIFYRESULT, &verdict);
  if (code != CURLE_PEER_FAILED_VERIFICATION ||
      (verdict != kNotYetValid && verdict != kHasExpired)) {
    return words;
  }
  return fmt::format("{}: is the clock of this node right? It says {}", words,
                     k8s::format_time(std::time(nullptr)));
}

// The other end of a connection may be gone though TCP lives, as behind a proxy. Exchanges that
// are under way stay on it.
void HttpClient::leave_connections(const Exchange& exchange) {
  auto& current = exchange.request.apart ? multi_apart_ : multi_;
  if (exchange.multi != current) return;
  if (auto fresh = open_multi()) current = std::move(*fresh);
}

// Others that failed at the same server find the next one already chosen.
void HttpClient::next_server(std::size_t failed) {
  if (failed == server_) server_ = (server_ + 1) % access_.servers.size();
}

}  // namespace weir
