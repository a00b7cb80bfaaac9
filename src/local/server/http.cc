// HTTP: the server's answers and the client's calls.

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "tasks.h"

namespace weir::pod_server {

namespace http = boost::beast::http;
using boost::beast::flat_buffer;
using boost::beast::tcp_stream;
using Json = nlohmann::ordered_json;

class HttpConnection {
 public:
  explicit HttpConnection(const asio::any_io_executor& executor) : stream(executor) {}
  tcp_stream stream;
};

namespace {

constexpr std::chrono::seconds kIdleLimit(60);
constexpr std::size_t kMaxBody = 64 << 20;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

Task<Answer> call_http(const Url& url, Kept* keep) {
  Kept kept = keep != nullptr ? std::move(*keep) : nullptr;
  if (!kept) {
    const auto endpoint = co_await look_up_tcp(url);
    if (!endpoint) co_return Answer{0, 0, endpoint.error().text()};
    kept = std::make_shared<HttpConnection>(co_await asio::this_coro::executor);
    kept->stream.expires_after(kCallLimit);
    const auto [error] = co_await kept->stream.async_connect(*endpoint, kTask);
    if (error) co_return Answer{0, 0, error.message()};
  }
  auto& stream = kept->stream;
  stream.expires_after(kCallLimit);
  http::request<http::empty_body> request(http::verb::get, url.path, 11);
  request.set(http::field::host, fmt::format("{}:{}", url.host, url.port));
  request.set(http::field::user_agent, "weir-pod-server");
  request.keep_alive(keep != nullptr);
  const auto [wrong, written] = co_await http::async_write(stream, request, kTask);
  if (wrong) co_return Answer{0, 0, wrong.message()};
  flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(kMaxBody);
  const auto [failed, n] = co_await http::async_read(stream, buffer, parser, kTask);
  if (failed) co_return Answer{0, 0, failed.message()};
  if (keep != nullptr && parser.get().keep_alive()) *keep = std::move(kept);
  co_return Answer{static_cast<int>(parser.get().result_int()), 0, parser.get().body()};
}

namespace {

// All at once; answers in the order of the upstreams.
Task<std::vector<Answer>> call_all(const std::vector<Upstream>& upstreams) {
  const auto executor = co_await asio::this_coro::executor;
  std::vector<Answer> answers(upstreams.size());
  asio::steady_timer all_done(executor, Clock::time_point::max());
  std::size_t open = upstreams.size();
  for (std::size_t i = 0; i < upstreams.size(); ++i) {
    asio::co_spawn(executor, call(upstreams[i].url, nullptr),
                   [&, i](const std::exception_ptr&, Answer answer) {
                     answers[i] = std::move(answer);
                     if (--open == 0) all_done.cancel();
                   });
  }
  while (open > 0) co_await all_done.async_wait(kTask);
  co_return answers;
}

Json upstream_json(const Answer& answer) {
  Json json = {{"status", answer.status}, {"ms", std::round(answer.ms * 100) / 100}};
  if (answer.status == 0) {
    json["error"] = answer.body;
    return json;
  }
  const auto body = Json::parse(answer.body, nullptr, false);
  json["body"] = body.is_discarded() ? Json(answer.body) : body;
  return json;
}

using Request = http::request<http::string_body>;
using Response = http::response<http::string_body>;

Task<Response> serve(const Options& options, const Request& request, const std::string& client) {
  const std::string path(request.target());
  Response response(http::status::ok, request.version());
  response.set(http::field::server, "weir-pod-server");
  response.keep_alive(request.keep_alive());
  if (path == "/healthz") {
    response.set(http::field::content_type, "text/plain");
    response.body() = "ok\n";
    response.prepare_payload();
    co_return response;
  }
  Json json = {{"pod", environment("POD_NAME")},
               {"namespace", environment("POD_NAMESPACE")},
               {"node", environment("NODE_NAME")},
               {"path", path},
               {"client", client},
               {"upstreams", Json::object()}};
  if (calls_upstreams(options, path)) {
    const auto answers = co_await call_all(options.upstreams);
    for (std::size_t i = 0; i < answers.size(); ++i) {
      json["upstreams"][options.upstreams[i].name] = upstream_json(answers[i]);
      if (!answers[i].good()) response.result(http::status::bad_gateway);
    }
  }
  if (options.work_ms > 0) {
    asio::steady_timer timer(co_await asio::this_coro::executor,
                             std::chrono::milliseconds(options.work_ms));
    co_await timer.async_wait(kTask);
  }
  std::uniform_int_distribution<std::uint64_t> percent(1, 100);
  if (percent(dice()) <= options.fail_percent) {
    response.result(http::status::internal_server_error);
  }
  if (options.body_bytes > 0) json["padding"] = std::string(options.body_bytes, 'x');
  response.set(http::field::content_type, "application/json");
  response.body() = json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  response.prepare_payload();
  co_return response;
}

}  // namespace

Task<void> http_session(const Options& options, tcp::socket socket) {
  const auto client = client_of(socket);
  tcp_stream stream(std::move(socket));
  flat_buffer buffer;
  while (true) {
    stream.expires_after(kIdleLimit);
    Request request;
    const auto [error, n] = co_await http::async_read(stream, buffer, request, kTask);
    if (error) break;
    const auto begin = Clock::now();
    const auto response = co_await serve(options, request, client);
    const auto [wrong, written] = co_await http::async_write(stream, response, kTask);
    if (request.target() != "/healthz") {
      log(options, "{} {} {} {} {:.1f} ms\n", std::string(request.method_string()),
          std::string(request.target()), client, response.result_int(), ms_since(begin));
    }
    if (wrong || !response.keep_alive()) break;
  }
  boost::system::error_code ignored;
  stream.socket().shutdown(tcp::socket::shutdown_send, ignored);
}

}  // namespace weir::pod_server
