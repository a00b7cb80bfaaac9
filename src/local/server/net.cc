// The loop: listeners, echoes, calls that are not HTTP, and the load that is sent.

#include "net.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <map>

#include "tasks.h"

namespace weir::pod_server {
namespace {

constexpr std::chrono::seconds kReportEvery(10);

// One of the name's addresses, by lot.
template <typename Protocol>
Task<Result<typename Protocol::endpoint>> look_up(const Url& url) {
  typename Protocol::resolver resolver(co_await asio::this_coro::executor);
  auto [error, found] = co_await resolver.async_resolve(url.host, url.port, kTask);
  if (error) co_return Error(Code::kNotFound, fmt::format("{}: {}", url.host, error.message()));
  std::uniform_int_distribution<std::size_t> pick(0, found.size() - 1);
  co_return std::next(found.begin(), static_cast<std::ptrdiff_t>(pick(dice())))->endpoint();
}

Task<Answer> exchange_line(const Url& url) {
  const auto endpoint = co_await look_up<tcp>(url);
  if (!endpoint) co_return Answer{0, 0, endpoint.error().text()};
  tcp::socket stream(co_await asio::this_coro::executor);
  const auto [error] = co_await stream.async_connect(*endpoint, kTask);
  if (error) co_return Answer{0, 0, error.message()};
  const std::string line = "hello\n";
  const auto [wrong, written] = co_await asio::async_write(stream, asio::buffer(line), kTask);
  if (wrong) co_return Answer{0, 0, wrong.message()};
  std::string answer;
  const auto [failed, n] =
      co_await asio::async_read_until(stream, asio::dynamic_buffer(answer, 65536), '\n', kTask);
  if (failed) co_return Answer{0, 0, failed.message()};
  co_return Answer{200, 0, answer.substr(0, n - 1)};
}

Task<Answer> call_tcp(const Url& url) {
  using namespace asio::experimental::awaitable_operators;
  asio::steady_timer timer(co_await asio::this_coro::executor, kCallLimit);
  auto result = co_await (exchange_line(url) || timer.async_wait(kTask));
  if (result.index() == 1) co_return Answer{0, 0, "no answer"};
  co_return std::get<0>(std::move(result));
}

Task<Answer> call_udp(const Url& url) {
  using namespace asio::experimental::awaitable_operators;
  const auto endpoint = co_await look_up<udp>(url);
  if (!endpoint) co_return Answer{0, 0, endpoint.error().text()};
  const auto executor = co_await asio::this_coro::executor;
  udp::socket socket(executor, endpoint->protocol());
  boost::system::error_code error;
  socket.connect(*endpoint, error);
  if (!error) socket.send(asio::buffer("hello", 5), 0, error);
  if (error) co_return Answer{0, 0, error.message()};
  char text[65536];
  asio::steady_timer timer(executor, kCallLimit);
  const auto result =
      co_await (socket.async_receive(asio::buffer(text), kTask) || timer.async_wait(kTask));
  if (result.index() == 1) co_return Answer{0, 0, "no answer"};
  const auto& [failed, n] = std::get<0>(result);
  if (failed) co_return Answer{0, 0, failed.message()};
  co_return Answer{200, 0, std::string(text, n)};
}

}  // namespace

std::mt19937& dice() {
  static std::mt19937 engine{std::random_device{}()};
  return engine;
}

double ms_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

std::string client_of(const tcp::socket& socket) {
  boost::system::error_code error;
  auto address = socket.remote_endpoint(error).address();
  if (error) return "?";
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6()).to_string();
  }
  return address.to_string();
}

Task<Result<tcp::endpoint>> look_up_tcp(const Url& url) { co_return co_await look_up<tcp>(url); }

Task<Answer> call(const Url& url, Kept* keep) {
  const auto begin = Clock::now();
  Answer answer;
  switch (url.scheme) {
    case Url::Scheme::kHttp:
      answer = co_await call_http(url, keep);
      break;
    case Url::Scheme::kTcp:
      answer = co_await call_tcp(url);
      break;
    case Url::Scheme::kUdp:
      answer = co_await call_udp(url);
      break;
  }
  answer.ms = ms_since(begin);
  co_return answer;
}

namespace {

Task<void> echo_session(const Options& options, tcp::socket socket) {
  const auto client = client_of(socket);
  const auto begin = Clock::now();
  std::uint64_t bytes = 0;
  std::vector<char> buffer(65536);
  while (true) {
    const auto [error, n] = co_await socket.async_read_some(asio::buffer(buffer), kTask);
    if (error) break;
    const auto [wrong, written] =
        co_await asio::async_write(socket, asio::buffer(buffer.data(), n), kTask);
    if (wrong) break;
    bytes += n;
  }
  log(options, "TCP {} {} bytes {:.1f} ms\n", client, bytes, ms_since(begin));
}

// One socket for both families where there is IPv6, else for IPv4.
template <typename Protocol, typename Socket>
bool bind_port(Socket& socket, std::uint16_t port) {
  boost::system::error_code error;
  socket.open(Protocol::v6(), error);
  if (!error) socket.set_option(asio::ip::v6_only(false), error);
  if (!error) {
    socket.set_option(asio::socket_base::reuse_address(true), error);
    socket.bind({Protocol::v6(), port}, error);
    if (!error) return true;
    socket.close(error);
  }
  socket.open(Protocol::v4(), error);
  socket.set_option(asio::socket_base::reuse_address(true), error);
  socket.bind({Protocol::v4(), port}, error);
  if (error) fmt::print(stderr, "weir-pod-server: port {}: {}\n", port, error.message());
  return !error;
}

using Session = Task<void> (*)(const Options&, tcp::socket);

Task<void> accept_all(const Options& options, tcp::acceptor acceptor, Session session) {
  while (true) {
    auto [error, socket] = co_await acceptor.async_accept(kTask);
    if (error == asio::error::operation_aborted) co_return;
    if (error) continue;
    asio::co_spawn(acceptor.get_executor(), session(options, std::move(socket)), asio::detached);
  }
}

bool listen_tcp(asio::io_context& io, const Options& options, std::uint16_t port, Session session) {
  tcp::acceptor acceptor(io);
  boost::system::error_code error;
  if (!bind_port<tcp>(acceptor, port)) return false;
  acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) return false;
  asio::co_spawn(io, accept_all(options, std::move(acceptor), session), asio::detached);
  return true;
}

Task<void> udp_echo(const Options& options, udp::socket socket) {
  std::vector<char> buffer(65536);
  while (true) {
    udp::endpoint from;
    const auto [error, n] = co_await socket.async_receive_from(asio::buffer(buffer), from, kTask);
    if (error == asio::error::operation_aborted) co_return;
    if (error) continue;
    co_await socket.async_send_to(asio::buffer(buffer.data(), n), from, kTask);
    log(options, "UDP {} {} bytes\n", from.address().to_string(), n);
  }
}

bool listen_udp(asio::io_context& io, const Options& options, std::uint16_t port) {
  udp::socket socket(io);
  if (!bind_port<udp>(socket, port)) return false;
  asio::co_spawn(io, udp_echo(options, std::move(socket)), asio::detached);
  return true;
}

// The --load client: calls its URLs in turn, at a steady pace, whatever the answers.
class Load {
 public:
  explicit Load(const Options& options) : options_(options), kept_(options.loads.size()) {}

  Task<void> run(asio::io_context& io);
  bool well() const { return failed_ == 0; }

 private:
  struct Tally {
    std::uint64_t good = 0;
    std::uint64_t bad = 0;
    std::vector<double> ms;
  };
  Task<void> one(std::size_t index);
  void report();

  const Options& options_;
  std::vector<std::vector<Kept>> kept_;
  std::map<std::string, Tally> tallies_;
  std::uint64_t open_ = 0;
  std::uint64_t failed_ = 0;
  std::uint64_t done_ = 0;
};

Task<void> Load::one(std::size_t index) {
  const auto& url = options_.loads[index];
  auto& kept = kept_[index];
  Kept stream;
  if (options_.keep_alive && !kept.empty()) {
    stream = std::move(kept.back());
    kept.pop_back();
  }
  const auto answer = co_await call(url, options_.keep_alive ? &stream : nullptr);
  if (stream) kept.push_back(std::move(stream));
  auto& tally = tallies_[url.text];
  ++(answer.good() ? tally.good : tally.bad);
  if (answer.good()) {
    tally.ms.push_back(answer.ms);
  } else {
    ++failed_;
    log(options_, "load {} failed: {}\n", url.text,
        answer.status == 0 ? answer.body : fmt::format("status {}", answer.status));
  }
  ++done_;
  --open_;
}

void Load::report() {
  for (auto& [url, tally] : tallies_) {
    std::sort(tally.ms.begin(), tally.ms.end());
    const double median = tally.ms.empty() ? 0 : tally.ms[tally.ms.size() / 2];
    fmt::print("load {} {} ok {} failed p50 {:.1f} ms\n", url, tally.good, tally.bad, median);
  }
  std::fflush(stdout);
  tallies_.clear();
}

Task<void> Load::run(asio::io_context& io) {
  const auto pause =
      std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(1 / options_.rps));
  asio::steady_timer timer(io);
  auto next = Clock::now();
  auto report_at = next + kReportEvery;
  for (std::uint64_t n = 0; options_.requests == 0 || n < options_.requests; ++n) {
    timer.expires_at(next);
    co_await timer.async_wait(kTask);
    next = std::max(next + pause, Clock::now() - std::chrono::seconds(1));
    ++open_;
    asio::co_spawn(io, one(n % options_.loads.size()), asio::detached);
    if (Clock::now() >= report_at) {
      report();
      report_at += kReportEvery;
    }
  }
  while (open_ > 0) {
    timer.expires_after(std::chrono::milliseconds(5));
    co_await timer.async_wait(kTask);
  }
  report();
  io.stop();
}

bool listen_all(asio::io_context& io, const Options& options) {
  const auto each = [](const auto& ports, const auto& listen) {
    return std::all_of(ports.begin(), ports.end(), listen);
  };
  return each(options.http,
              [&](auto port) { return listen_tcp(io, options, port, http_session); }) &&
         each(options.tcp_echo,
              [&](auto port) { return listen_tcp(io, options, port, echo_session); }) &&
         each(options.udp_echo, [&](auto port) { return listen_udp(io, options, port); });
}

}  // namespace

int run(const Options& options) {
  asio::io_context io(1);
  if (!listen_all(io, options)) return 1;
  asio::signal_set signals(io, SIGTERM, SIGINT);
  signals.async_wait([&io](const boost::system::error_code&, int) { io.stop(); });
  Load load(options);
  if (!options.loads.empty()) asio::co_spawn(io, load.run(io), asio::detached);
  io.run();
  return load.well() || options.requests == 0 ? 0 : 1;
}

}  // namespace weir::pod_server
