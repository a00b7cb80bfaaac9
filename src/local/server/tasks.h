#pragma once

#include <fmt/format.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <cstdio>
#include <memory>
#include <random>
#include <string>

#include "options.h"

// What the server's coroutines share. All run on one thread.
namespace weir::pod_server {

namespace asio = boost::asio;
using asio::ip::tcp;
using asio::ip::udp;
using Clock = std::chrono::steady_clock;
template <typename T>
using Task = asio::awaitable<T>;

// Operations give their error first, as a value.
inline constexpr auto kTask = asio::as_tuple(asio::use_awaitable);
inline constexpr std::chrono::seconds kCallLimit(2);

// What came of one call.
struct Answer {
  int status = 0;  // 0: none came
  double ms = 0;
  std::string body;  // or why none came
  bool good() const { return status >= 200 && status < 400; }
};

// A connection that may be kept for the next call of the same URL.
class HttpConnection;
using Kept = std::shared_ptr<HttpConnection>;

std::mt19937& dice();
double ms_since(Clock::time_point begin);
std::string client_of(const tcp::socket& socket);

// One of the name's addresses, by lot.
Task<Result<tcp::endpoint>> look_up_tcp(const Url& url);
// keep: null closes the connection; else it is used when there, and left there if it may be.
Task<Answer> call_http(const Url& url, Kept* keep);
Task<Answer> call(const Url& url, Kept* keep);
Task<void> http_session(const Options& options, tcp::socket socket);

template <typename... Args>
void log(const Options& options, fmt::format_string<Args...> format, Args&&... args) {
  if (options.quiet) return;
  fmt::print(format, std::forward<Args>(args)...);
  std::fflush(stdout);
}

}  // namespace weir::pod_server
