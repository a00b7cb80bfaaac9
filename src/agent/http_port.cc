// The only file of the agent's health checks that knows Boost.Beast.

#include "agent/http_port.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <list>

namespace weir {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr std::chrono::seconds kPatience{30};
constexpr std::chrono::milliseconds kPause{100};
constexpr std::uint32_t kMostHeader = 8U << 10;
constexpr std::uint64_t kMostBody = 64U << 10;

using Request = http::request<http::string_body>;
using Response = http::response<http::string_body>;

Response response_to(const Request& request, const HttpAnswer& answer) {
  Response response(static_cast<http::status>(answer.status), request.version());
  for (const auto& [name, value] : answer.headers) response.set(name, value);
  response.keep_alive(request.keep_alive());
  response.body() = answer.body;
  response.prepare_payload();
  if (request.method() == http::verb::head) response.body().clear();
  return response;
}

std::string_view path_of(const Request& request) {
  const std::string_view target(request.target().data(), request.target().size());
  return target.substr(0, target.find('?'));
}

class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(tcp::socket socket, const HttpPort::OnRequest& on_request)
      : stream_(std::move(socket)), on_request_(on_request) {}

  asio::awaitable<void> run();
  void end();

 private:
  boost::beast::tcp_stream stream_;
  const HttpPort::OnRequest& on_request_;
  boost::beast::flat_buffer buffer_;
  bool ended_ = false;
};

asio::awaitable<void> Session::run() {
  const auto self = shared_from_this();
  for (bool more = true; more && !ended_;) {
    http::request_parser<http::string_body> parser;
    parser.header_limit(kMostHeader);
    parser.body_limit(kMostBody);
    stream_.expires_after(kPatience);
    const auto [error, bytes] = co_await http::async_read(stream_, buffer_, parser, kAwait);
    if (error || ended_) break;
    const Response response = response_to(parser.get(), on_request_(path_of(parser.get())));
    const auto [failed, written] = co_await http::async_write(stream_, response, kAwait);
    more = !failed && response.keep_alive();
  }
}

void Session::end() {
  ended_ = true;
  stream_.close();
}

class LoopPort : public HttpPort {
 public:
  LoopPort(asio::io_context& loop, OnRequest on_request)
      : acceptor_(loop), pause_(loop), on_request_(std::move(on_request)) {}
  ~LoopPort() override;

  std::uint16_t port() const override;
  error_code open(std::uint16_t port);

 private:
  error_code bind(const tcp::endpoint& endpoint);
  void accept();
  void accept_later();
  void admit(tcp::socket socket);

  tcp::acceptor acceptor_;
  asio::steady_timer pause_;
  OnRequest on_request_;
  std::list<std::shared_ptr<Session>> sessions_;  // oldest first
  // Tells coroutines that end after this that it is gone.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

LoopPort::~LoopPort() {
  *alive_ = false;
  error_code ignored;
  acceptor_.close(ignored);
  for (const auto& session : sessions_) session->end();
}

std::uint16_t LoopPort::port() const {
  error_code ignored;
  return acceptor_.local_endpoint(ignored).port();
}

error_code LoopPort::open(std::uint16_t port) {
  error_code error = bind({tcp::v6(), port});
  // A node without IPv6.
  if (error == asio::error::address_family_not_supported ||
      error == boost::system::errc::address_not_available) {
    error = bind({tcp::v4(), port});
  }
  if (!error) accept();
  return error;
}

error_code LoopPort::bind(const tcp::endpoint& endpoint) {
  error_code error;
  const auto done = [&] { return error.failed(); };
  if (acceptor_.is_open()) acceptor_.close(error);
  if (acceptor_.open(endpoint.protocol(), error); done()) return error;
  if (acceptor_.set_option(asio::socket_base::reuse_address(true), error); done()) return error;
  if (endpoint.protocol() == tcp::v6()) acceptor_.set_option(asio::ip::v6_only(false), error);
  if (done()) return error;
  if (acceptor_.bind(endpoint, error); done()) return error;
  acceptor_.listen(asio::socket_base::max_listen_connections, error);
  return error;
}

void LoopPort::accept() {
  acceptor_.async_accept([this, alive = alive_](const error_code& error, tcp::socket socket) {
    if (!*alive || error == asio::error::operation_aborted) return;
    if (error) return accept_later();
    admit(std::move(socket));
    accept();
  });
}

// Out of file descriptors, most likely.
void LoopPort::accept_later() {
  pause_.expires_after(kPause);
  pause_.async_wait([this, alive = alive_](const error_code& error) {
    if (*alive && !error) accept();
  });
}

void LoopPort::admit(tcp::socket socket) {
  if (sessions_.size() >= kMostSessions) {
    sessions_.front()->end();
    sessions_.pop_front();
  }
  auto session = std::make_shared<Session>(std::move(socket), on_request_);
  sessions_.push_back(session);
  asio::co_spawn(
      acceptor_.get_executor(), [session]() { return session->run(); },
      [this, alive = alive_, session](const std::exception_ptr&) {
        session->end();
        if (*alive) sessions_.remove(session);
      });
}

}  // namespace

Result<std::unique_ptr<HttpPort>> HttpPort::listen(asio::io_context& loop, std::uint16_t port,
                                                   OnRequest on_request) {
  auto made = std::make_unique<LoopPort>(loop, std::move(on_request));
  if (const error_code error = made->open(port)) {
    return Error(Code::kUnavailable, error.message(), error.value());
  }
  return std::unique_ptr<HttpPort>(std::move(made));
}

}  // namespace weir
