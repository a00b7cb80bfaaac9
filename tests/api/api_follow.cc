// Follows an API server as the agent does, and tells what it is told, a JSON document a line:
//   {"upsert":"Pod","key":"shop/cart-0","object":{...}}   {"erase":"Pod","key":"shop/cart-0"}
//   {"synced":true}   {"warning":"..."}   {"problems":["..."]} (each time they change)
// Ends when its standard input does.
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "k8s/api_source.h"
#include "k8s/json.h"

namespace weir {
namespace {

std::string json_text(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out + '"';
}

// In JSON, line ends are between values only.
void tell(std::string line) {
  std::erase(line, '\n');
  std::puts(line.c_str());
  std::fflush(stdout);
}

class Teller final : public Sink {
 public:
  void change(Change change) override {
    if (const auto* upsert = std::get_if<Upsert>(&change)) {
      return tell(fmt::format(
          R"({{"upsert":"{}","key":{},"object":{}}})", kind_name(kind_of(upsert->object)),
          json_text(key_of(upsert->object).to_string()), to_json(upsert->object)));
    }
    const auto& erase = std::get<Erase>(change);
    tell(fmt::format(R"({{"erase":"{}","key":{}}})", kind_name(erase.kind),
                     json_text(erase.key.to_string())));
  }
  void synced() override { tell(R"({"synced":true})"); }
  void warning(std::string_view text) override {
    tell(fmt::format(R"({{"warning":{}}})", json_text(text)));
  }
};

void tell_problems(const std::vector<std::string>& problems) {
  std::string list;
  for (const auto& text : problems) list += (list.empty() ? "" : ",") + json_text(text);
  tell(fmt::format(R"({{"problems":[{}]}})", list));
}

int follow(const ApiAccess& access, const std::string& node, const ReflectorPace& pace,
           HttpClient::Duration patience) {
  Teller teller;
  auto source = ApiSource::open(access, node, pace);
  if (source) {
    (*source)->client().set_patience(patience);
    if (auto started = (*source)->start(teller); !started) source = started.error();
  }
  if (!source) {
    std::fprintf(stderr, "%s\n", source.error().text().c_str());
    return 1;
  }
  std::vector<std::string> problems;
  for (;;) {
    pollfd waiting[] = {{.fd = (*source)->fd(), .events = POLLIN, .revents = 0},
                        {.fd = STDIN_FILENO, .events = POLLIN, .revents = 0}};
    if (poll(waiting, 2, -1) < 0) return 1;
    char ignored[64];
    if (waiting[1].revents != 0 && read(STDIN_FILENO, ignored, sizeof ignored) <= 0) return 0;
    (*source)->dispatch();
    if ((*source)->problems() == problems) continue;
    problems = (*source)->problems();
    tell_problems(problems);
  }
}

}  // namespace
}  // namespace weir

int main(int argc, char** argv) {
  weir::ApiAccess access;
  weir::ReflectorPace pace;
  std::string kubeconfig;
  std::string node;
  std::int64_t first_retry = pace.first_retry.count();
  std::int64_t longest_retry = pace.longest_retry.count();
  std::int64_t stream = pace.stream.count();
  std::int64_t list_silence = pace.list_silence.count();
  std::int64_t watch_silence = pace.watch_silence.count();
  std::int64_t rest = 20;
  std::int64_t patience = 15'000;
  CLI::App app{"follows a Kubernetes API server", "api_follow"};
  app.add_option("--server", access.servers);
  app.add_option("--kubeconfig", kubeconfig);
  app.add_option("--node", node);
  app.add_option("--ca", access.ca_path);
  app.add_option("--token-file", access.token_path);
  app.add_option("--first-retry-ms", first_retry);
  app.add_option("--longest-retry-ms", longest_retry);
  app.add_option("--stream-ms", stream);
  app.add_option("--list-silence-ms", list_silence);
  app.add_option("--watch-silence-ms", watch_silence);
  app.add_option("--rest-ms", rest);
  app.add_option("--patience-ms", patience);
  CLI11_PARSE(app, argc, argv);
  if (!kubeconfig.empty()) {
    auto read = weir::read_kubeconfig(kubeconfig);
    if (!read) {
      std::fprintf(stderr, "%s\n", read.error().text().c_str());
      return 1;
    }
    access = *read;
  }
  using Ms = weir::ReflectorPace::Duration;
  pace.first_retry = Ms(first_retry);
  pace.longest_retry = Ms(longest_retry);
  pace.stream = Ms(stream);
  pace.list_silence = Ms(list_silence);
  pace.watch_silence = Ms(watch_silence);
  pace.rest = Ms(rest);
  return weir::follow(access, node, pace, Ms(patience));
}
