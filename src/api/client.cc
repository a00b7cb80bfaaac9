// The blocking side of the API: one loop per call, one coroutine per connection. The only file of
// the client that knows Boost.Beast.

#include "api/client.h"

#include <fmt/format.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <filesystem>
#include <optional>
#include <span>

#include "api/status.h"

namespace weir::api {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using Socket = asio::local::stream_protocol::socket;
using OnBytes = std::function<Next(std::size_t, std::string_view)>;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t kPiece = 64U << 10;
constexpr std::chrono::milliseconds kAskAgain(250);

Error unavailable(const std::string& socket, std::string_view why) {
  return Error(Code::kUnavailable, fmt::format("{}: {}", socket, why));
}

Code code_of(http::status status) {
  switch (status) {
    case http::status::not_found:
      return Code::kNotFound;
    case http::status::conflict:
      return Code::kExists;
    case http::status::service_unavailable:
      return Code::kUnavailable;
    case http::status::internal_server_error:
      return Code::kKernel;
    default:
      return Code::kInvalid;
  }
}

http::request<http::empty_body> request_of(const std::string& target) {
  http::request<http::empty_body> request(http::verb::get, target, 11);
  request.set(http::field::host, "weir");
  request.set(http::field::user_agent, "weir");
  return request;
}

// Gives the pieces of one body, cut at line ends if asked for.
class Pieces {
 public:
  Pieces(std::size_t stream, bool lines, const OnBytes& on_bytes)
      : stream_(stream), lines_(lines), on_bytes_(on_bytes) {}

  Next take(std::string_view bytes) {
    if (!lines_) return on_bytes_(stream_, bytes);
    const auto end = bytes.rfind('\n');
    if (end == std::string_view::npos) {
      rest_ += bytes;
      return Next::kGoOn;
    }
    rest_ += bytes.substr(0, end + 1);
    const std::string whole = std::exchange(rest_, std::string(bytes.substr(end + 1)));
    return on_bytes_(stream_, whole);
  }

 private:
  std::size_t stream_;
  bool lines_;
  const OnBytes& on_bytes_;
  std::string rest_;
};

class Reading {
 public:
  Reading(asio::io_context& loop, const OnBytes& on_bytes, bool lines, const Again* again)
      : loop_(loop), on_bytes_(on_bytes), lines_(lines), again_(again) {}

  asio::awaitable<void> read(std::size_t number, const Stream& stream) {
    Result<void> result;
    if (again_ == nullptr) {
      bool begun = false;
      result = co_await read_one(number, stream, begun);
    } else {  // g++ 12 frees twice what `?:` awaits
      result = co_await read_for_ever(number, stream);
    }
    if (!result && !first_error_) first_error_ = std::move(result).error();
    if (--open_ == 0) loop_.stop();
  }

  void opened() { ++open_; }

  Result<void> result() const {
    if (first_error_) return *first_error_;
    return {};
  }

 private:
  asio::awaitable<Result<void>> read_for_ever(std::size_t number, const Stream& stream) {
    Stream asked = stream;
    const auto folder = std::filesystem::path(stream.socket).parent_path();
    for (bool told = false;; told = true) {
      bool begun = false;
      auto result = co_await read_one(number, asked, begun);
      if (begun) {
        asked.target = again_->target;
        told = false;
      }
      if (result) result = unavailable(stream.socket, "the agent ended");
      asio::steady_timer timer(loop_, kAskAgain);
      co_await timer.async_wait(kAwait);
      std::error_code ignored;
      const bool may_come_back = any_begun_ && std::filesystem::exists(folder, ignored);
      if (result.error().code() != Code::kUnavailable || !may_come_back) co_return result;
      if (!told) again_->lost(result.error());
    }
  }

  asio::awaitable<Result<void>> read_one(std::size_t number, const Stream& stream, bool& begun) {
    Socket socket(loop_);
    if (auto sent = co_await ask(socket, stream); !sent) co_return std::move(sent).error();
    boost::beast::flat_buffer buffer;
    http::response_parser<http::buffer_body> parser;
    parser.body_limit(boost::none);
    const auto [error, bytes] = co_await http::async_read_header(socket, buffer, parser, kAwait);
    if (error) co_return unavailable(stream.socket, error.message());
    const http::status status = parser.get().result();
    if (status == http::status::ok) {
      begun = any_begun_ = true;
      co_return co_await read_body(number, stream, socket, buffer, parser);
    }
    std::string text;
    const OnBytes keep = [&](std::size_t, std::string_view piece) {
      text += piece;
      return Next::kGoOn;
    };
    Pieces pieces(number, false, keep);
    co_await pump(socket, buffer, parser, pieces);
    co_return Error(code_of(status), parse_error_text(text));
  }

  asio::awaitable<Result<void>> ask(Socket& socket, const Stream& stream) {
    asio::local::stream_protocol::endpoint endpoint;
    if (stream.socket.size() >= sizeof(sockaddr_un::sun_path)) {
      co_return Error(Code::kInvalid, stream.socket + ": the path is too long for a socket");
    }
    endpoint.path(stream.socket);
    const auto [connected] = co_await socket.async_connect(endpoint, kAwait);
    if (connected) co_return unavailable(stream.socket, connected.message());
    const auto request = request_of(stream.target);
    const auto [error, bytes] = co_await http::async_write(socket, request, kAwait);
    // A server that is full answers without reading, and closes: the answer is there all the same.
    if (error && error != asio::error::broken_pipe && error != asio::error::connection_reset) {
      co_return unavailable(stream.socket, error.message());
    }
    co_return Result<void>();
  }

  asio::awaitable<Result<void>> read_body(std::size_t number, const Stream& stream, Socket& socket,
                                          boost::beast::flat_buffer& buffer,
                                          http::response_parser<http::buffer_body>& parser) {
    Pieces pieces(number, lines_, on_bytes_);
    const auto error = co_await pump(socket, buffer, parser, pieces);
    if (error) co_return unavailable(stream.socket, "the agent went away");
    co_return Result<void>();
  }

  // The body, until its end or until the reader has enough.
  asio::awaitable<boost::system::error_code> pump(Socket& socket, boost::beast::flat_buffer& buffer,
                                                  http::response_parser<http::buffer_body>& parser,
                                                  Pieces& pieces) {
    std::vector<char> piece(kPiece);
    while (!parser.is_done()) {
      parser.get().body() = {.data = piece.data(), .size = piece.size(), .more = true};
      const auto [error, bytes] = co_await http::async_read_some(socket, buffer, parser, kAwait);
      if (error && error != http::error::need_buffer) co_return error;
      const std::size_t size = piece.size() - parser.get().body().size;
      if (size > 0 && pieces.take(std::string_view(piece.data(), size)) == Next::kStop) {
        loop_.stop();
        break;
      }
    }
    co_return boost::system::error_code();
  }

  asio::io_context& loop_;
  const OnBytes& on_bytes_;
  bool lines_;
  const Again* again_;
  std::size_t open_ = 0;
  bool any_begun_ = false;
  std::optional<Error> first_error_;
};

}  // namespace

Result<std::string> get(const std::string& socket, const std::string& target,
                        std::chrono::milliseconds timeout) {
  asio::io_context loop(1);
  std::string body;
  const OnBytes keep = [&](std::size_t, std::string_view bytes) {
    body += bytes;
    return Next::kGoOn;
  };
  Reading reading(loop, keep, false, nullptr);
  const Stream stream{socket, target};
  reading.opened();
  asio::co_spawn(loop, reading.read(0, stream), asio::detached);
  loop.run_for(timeout);
  if (!loop.stopped()) return unavailable(socket, "no answer in time");
  WEIR_TRY(reading.result());
  return body;
}

Result<void> read_streams(
    const std::vector<Stream>& streams, bool lines, int stop_fd,
    const std::function<Next(std::size_t stream, std::string_view bytes)>& on_bytes,
    const Again* again) {
  if (streams.empty()) return {};
  asio::io_context loop(1);
  Reading reading(loop, on_bytes, lines, again);
  asio::posix::stream_descriptor stop(loop);
  if (stop_fd >= 0) {
    stop.assign(stop_fd);
    stop.async_wait(asio::posix::stream_descriptor::wait_read,
                    [&loop](const boost::system::error_code& error) {
                      if (!error) loop.stop();
                    });
  }
  for (std::size_t i = 0; i < streams.size(); ++i) reading.opened();
  for (std::size_t i = 0; i < streams.size(); ++i) {
    asio::co_spawn(loop, reading.read(i, streams[i]), asio::detached);
  }
  loop.run();
  if (stop_fd >= 0) stop.release();
  return reading.result();
}

std::string percent_encode(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.' || c == '~';
    if (plain) {
      out += c;
    } else {
      fmt::format_to(std::back_inserter(out), "%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

}  // namespace weir::api
