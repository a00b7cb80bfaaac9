// The agent's API: HTTP/1.1 sessions on a unix socket, each a coroutine on the agent's loop. The
// only file of the server that knows Boost.Beast.

#include "api/server.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <set>

#include "api/feed.h"
#include "api/query.h"

namespace weir::api {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using Socket = asio::local::stream_protocol::socket;
using Acceptor = asio::local::stream_protocol::acceptor;
using Request = http::request<http::empty_body>;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t kMostHeader = 16U << 10;
constexpr std::chrono::seconds kReadPatience{60};
constexpr std::chrono::seconds kWritePatience{30};

struct Reply {
  http::status status = http::status::ok;
  std::string type = "application/json";
  std::string body;
};

http::status status_of(const Error& error) {
  switch (error.code()) {
    case Code::kInvalid:
      return http::status::bad_request;
    case Code::kNotFound:
      return http::status::not_found;
    case Code::kExists:
      return http::status::conflict;
    case Code::kDenied:
      return http::status::forbidden;
    case Code::kUnavailable:
      return http::status::service_unavailable;
    case Code::kKernel:
      return http::status::internal_server_error;
  }
  return http::status::internal_server_error;
}

Reply refusal(const Error& error) {
  return {.status = status_of(error), .body = error_json(error.text()) + "\n"};
}

bool is_bad_request(const boost::system::error_code& error) {
  return error != http::error::end_of_stream && error != http::error::partial_message &&
         error.category() == http::make_error_code(http::error::bad_method).category();
}

Result<Query> query_of(const Request& request) {
  if (request.method() != http::verb::get) return Error(Code::kInvalid, "only GET is served");
  return parse_target(std::string_view(request.target().data(), request.target().size()));
}

// Of what is written piece by piece; "" for documents.
std::string feed_type(const std::string& path) {
  if (path == "/v1/flows" || path == "/v1/services") return "application/x-ndjson";
  return path == "/v1/capture" ? "application/x-pcapng" : "";
}

class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(Socket socket, Backend& backend, std::size_t outbox_bytes)
      : socket_(std::move(socket)),
        backend_(backend),
        wake_(socket_.get_executor()),
        patience_(socket_.get_executor()),
        outbox_bytes_(outbox_bytes) {}

  asio::awaitable<void> run();
  // Lets go of everything that points into the agent.
  void end();

 private:
  asio::awaitable<bool> serve(const Request& request);
  asio::awaitable<bool> send(const Request& request, const Reply& reply);
  asio::awaitable<void> stream(const Request& request, const std::string& type);
  asio::awaitable<bool> write_chunk(std::string_view bytes);
  asio::awaitable<void> watch_reader();
  // What waits on the socket ends when time is up, or patience_ is cancelled.
  void be_patient(std::chrono::seconds time);
  Result<Reply> document_of(const std::string& path);
  Result<std::unique_ptr<Feed>> open_feed(const Query& query);

  Socket socket_;
  Backend& backend_;
  asio::steady_timer wake_;
  asio::steady_timer patience_;
  std::size_t outbox_bytes_;
  std::unique_ptr<Feed> feed_;
  boost::beast::flat_buffer buffer_;
  bool ended_ = false;
};

asio::awaitable<void> Session::run() {
  const auto self = shared_from_this();
  while (!ended_) {
    http::request_parser<http::empty_body> parser;
    parser.header_limit(kMostHeader);
    be_patient(kReadPatience);
    const auto [error, bytes] = co_await http::async_read(socket_, buffer_, parser, kAwait);
    patience_.cancel();
    if (ended_) break;
    if (error) {
      if (is_bad_request(error)) {
        const Error bad(Code::kInvalid, fmt::format("not a request: {}", error.message()));
        Request closing(http::verb::get, "/", 11);
        closing.keep_alive(false);
        const Reply reply = refusal(bad);
        co_await send(closing, reply);
      }
      break;
    }
    if (!co_await serve(parser.get())) break;
  }
  end();
}

void Session::be_patient(std::chrono::seconds time) {
  patience_.expires_after(time);
  patience_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
    boost::system::error_code ignored;
    if (!error) self->socket_.cancel(ignored);
  });
}

void Session::end() {
  ended_ = true;
  feed_.reset();
  wake_.cancel();
  patience_.cancel();
  boost::system::error_code ignored;
  socket_.close(ignored);
}

// False: the connection is done. (Named locals only in co_await: g++ 12 destroys temporaries
// twice.)
asio::awaitable<bool> Session::serve(const Request& request) {
  const auto query = query_of(request);
  const std::string type = query ? feed_type(query->path) : std::string();
  if (!type.empty()) {
    auto feed = open_feed(*query);
    if (feed) {
      feed_ = std::move(*feed);
      co_await stream(request, type);
      co_return false;
    }
    const Reply reply = refusal(feed.error());
    co_return co_await send(request, reply);
  }
  const Result<Reply> document = query ? document_of(query->path) : query.error();
  const Reply reply = document ? *document : refusal(document.error());
  co_return co_await send(request, reply);
}

Result<Reply> Session::document_of(const std::string& path) {
  if (path == "/v1/version") return Reply{.body = to_json(backend_.version()) + "\n"};
  if (path == "/v1/status") return Reply{.body = to_json(backend_.status()) + "\n"};
  if (path == "/v1/endpoints") return Reply{.body = to_json(backend_.endpoints()) + "\n"};
  if (path == "/metrics") {
    return Reply{.type = "text/plain; version=0.0.4; charset=utf-8", .body = backend_.metrics()};
  }
  return Error(Code::kNotFound,
               fmt::format("{}: no such path: /v1/version, /v1/status, /v1/endpoints, "
                           "/v1/services, /v1/flows, /v1/capture, /metrics",
                           path));
}

Result<std::unique_ptr<Feed>> Session::open_feed(const Query& query) {
  const auto wake = [this] { wake_.cancel(); };
  if (query.path == "/v1/flows") {
    WEIR_ASSIGN(const auto request, parse_flows(query));
    return open_flow_feed(backend_, request, outbox_bytes_, wake);
  }
  if (query.path == "/v1/services") {
    WEIR_ASSIGN(const auto request, parse_services(query));
    return open_service_feed(backend_, request, wake);
  }
  WEIR_ASSIGN(const auto request, parse_capture(query));
  return open_capture_feed(backend_, request, outbox_bytes_, wake);
}

asio::awaitable<bool> Session::send(const Request& request, const Reply& reply) {
  http::response<http::string_body> response(reply.status, request.version());
  response.set(http::field::content_type, reply.type);
  response.keep_alive(request.keep_alive());
  response.body() = reply.body;
  response.prepare_payload();
  be_patient(kWritePatience);
  const auto [error, bytes] = co_await http::async_write(socket_, response, kAwait);
  patience_.cancel();
  co_return !error && !ended_ && response.keep_alive();
}

// Whatever the feed has, until it is done or the reader is gone.
asio::awaitable<void> Session::stream(const Request& request, const std::string& type) {
  http::response<http::empty_body> response(http::status::ok, request.version());
  response.set(http::field::content_type, type);
  response.chunked(true);
  http::response_serializer<http::empty_body> serializer(response);
  const auto [error, bytes] = co_await http::async_write_header(socket_, serializer, kAwait);
  if (error || ended_) co_return;
  const auto self = shared_from_this();
  asio::co_spawn(socket_.get_executor(), [self]() { return self->watch_reader(); }, asio::detached);
  std::string out;
  while (feed_) {
    out.clear();
    const bool more = feed_->take(out);
    if (!out.empty() && !co_await write_chunk(out)) co_return;
    if (!more) break;
    if (!feed_ || feed_->waiting()) continue;
    wake_.expires_after(feed_->time_left());
    co_await wake_.async_wait(kAwait);
  }
  if (ended_) co_return;
  feed_.reset();
  co_await asio::async_write(socket_, http::make_chunk_last(), kAwait);
}

asio::awaitable<bool> Session::write_chunk(std::string_view bytes) {
  const auto [error, written] = co_await asio::async_write(
      socket_, http::make_chunk(asio::const_buffer(bytes.data(), bytes.size())), kAwait);
  co_return !error && !ended_;
}

// A streaming client sends nothing more: what can be read is its end.
asio::awaitable<void> Session::watch_reader() {
  char byte = 0;
  while (!ended_) {
    const auto [error, bytes] = co_await socket_.async_read_some(asio::buffer(&byte, 1), kAwait);
    if (error) break;
  }
  end();
}

class LoopServer : public Server {
 public:
  LoopServer(asio::io_context& loop, std::string path, Backend& backend, Limits limits)
      : acceptor_(loop), pause_(loop), path_(std::move(path)), backend_(backend), limits_(limits) {}
  ~LoopServer() override;
  Result<void> start();

 private:
  void accept();
  void accept_later();
  void admit(Socket socket);

  Acceptor acceptor_;
  asio::steady_timer pause_;
  std::string path_;
  Backend& backend_;
  Limits limits_;
  std::set<std::shared_ptr<Session>> sessions_;
  // Tells coroutines that end after the server that it is gone.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

LoopServer::~LoopServer() {
  *alive_ = false;
  boost::system::error_code ignored;
  if (acceptor_.is_open()) unlink(path_.c_str());
  acceptor_.close(ignored);
  for (const auto& session : sessions_) session->end();
}

Result<void> LoopServer::start() {
  const auto fail = [&](const char* what, const boost::system::error_code& error) {
    return errno_error(error.value(), fmt::format("{} {}", what, path_));
  };
  if (path_.size() >= sizeof(sockaddr_un::sun_path)) {
    return Error(Code::kInvalid, fmt::format("{}: the path is too long for a socket", path_));
  }
  boost::system::error_code error;
  unlink(path_.c_str());
  acceptor_.open(asio::local::stream_protocol(), error);
  if (error) return fail("socket", error);
  const mode_t before = umask(0177);  // never, not for an instant, open to others
  acceptor_.bind(asio::local::stream_protocol::endpoint(path_), error);
  umask(before);
  if (error) return fail("bind", error);
  acceptor_.listen(asio::socket_base::max_listen_connections, error);
  if (error) return fail("listen", error);
  accept();
  return {};
}

void LoopServer::accept() {
  acceptor_.async_accept(
      [this, alive = alive_](const boost::system::error_code& error, Socket socket) {
        if (!*alive || error == asio::error::operation_aborted) return;
        if (error) return accept_later();
        admit(std::move(socket));
        accept();
      });
}

// Out of file descriptors, most likely.
void LoopServer::accept_later() {
  pause_.expires_after(std::chrono::milliseconds(100));
  pause_.async_wait([this, alive = alive_](const boost::system::error_code& error) {
    if (*alive && !error) accept();
  });
}

void LoopServer::admit(Socket socket) {
  if (sessions_.size() >= limits_.sessions) {
    static constexpr std::string_view kFull =
        "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 29\r\n\r\n"
        "{\"error\":\"too many sessions\"}";
    boost::system::error_code ignored;
    socket.non_blocking(true, ignored);
    socket.write_some(asio::buffer(kFull), ignored);
    return;
  }
  auto session = std::make_shared<Session>(std::move(socket), backend_, limits_.outbox_bytes);
  sessions_.insert(session);
  asio::co_spawn(
      acceptor_.get_executor(), [session]() { return session->run(); },
      [this, alive = alive_, session](const std::exception_ptr&) {
        session->end();
        if (*alive) sessions_.erase(session);
      });
}

}  // namespace

Result<std::unique_ptr<Server>> Server::listen(asio::io_context& loop, const std::string& path,
                                               Backend& backend, Limits limits) {
  auto server = std::make_unique<LoopServer>(loop, path, backend, limits);
  WEIR_TRY(server->start());
  return std::unique_ptr<Server>(std::move(server));
}

}  // namespace weir::api
