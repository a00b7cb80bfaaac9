// cni_node RUN STATE MTU CIDR...: serves CNI requests with the agent's own sandbox part. Its
// endpoints are files in STATE/endpoints. Tests steer it by files in STATE: while `publish-fails`
// or `retract-fails` is there, that step fails. Prints "ready"; notes go to stderr. SIGTERM ends
// it, SIGHUP sweeps; else it sweeps every second.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "sandbox/sandbox.h"
#include "sandbox/server.h"
#include "sys/files.h"

namespace weir {
namespace {

class EndpointFiles : public EndpointSink {
 public:
  explicit EndpointFiles(std::string state) : state_(std::move(state)) {}

  Result<void> publish(const Endpoint& endpoint) override {
    WEIR_TRY(refuse("publish-fails"));
    std::string content = endpoint.host_ifname;
    for (const auto& address : endpoint.addresses) content += " " + address.to_string();
    return write_file_atomic(path(endpoint.handle), content);
  }

  // As the agent does with its maps after a restart.
  Result<void> keep_only(const std::vector<Endpoint>& endpoints) const {
    WEIR_ASSIGN(const auto names, list_dir(state_ + "/endpoints"));
    for (const auto& name : names) {
      const bool lives = std::ranges::any_of(endpoints, [&name](const Endpoint& endpoint) {
        return std::to_string(endpoint.handle) == name;
      });
      if (!lives) WEIR_TRY(remove_file(state_ + "/endpoints/" + name));
    }
    return {};
  }

  Result<void> retract(std::uint32_t handle) override {
    WEIR_TRY(refuse("retract-fails"));
    return remove_file(path(handle));
  }

 private:
  std::string path(std::uint32_t handle) const {
    return fmt::format("{}/endpoints/{}", state_, handle);
  }

  Result<void> refuse(const char* file) const {
    if (access((state_ + "/" + file).c_str(), F_OK) != 0) return {};
    return Error(Code::kKernel, fmt::format("{} as the test wants", file));
  }

  std::string state_;
};

class Node {
 public:
  Node(std::string run, SandboxConfig config)
      : run_(std::move(run)), config_(std::move(config)), sink_(config_.state_dir) {}

  Result<void> serve() {
    WEIR_TRY(make_dirs(run_));
    WEIR_TRY(make_dirs(config_.state_dir + "/endpoints"));
    const auto post = [this](std::function<void()> f) { boost::asio::post(io_, std::move(f)); };
    const auto note = [](const std::string& text) { fmt::print(stderr, "{}\n", text); };
    WEIR_ASSIGN(sandboxes_, Sandboxes::open(config_, sink_, post, note));
    WEIR_TRY(sandboxes_->restore());
    WEIR_TRY(sink_.keep_only(sandboxes_->endpoints()));
    WEIR_ASSIGN(const auto server, CniServer::open(io_, run_ + "/cni.sock", *sandboxes_));
    signals_.async_wait([this](boost::system::error_code, int) { io_.stop(); });
    sweep_on_signal();
    sweep_later();
    fmt::print("ready\n");
    std::fflush(stdout);
    io_.run();
    return {};
  }

 private:
  void sweep_on_signal() {
    hangup_.async_wait([this](boost::system::error_code, int) {
      sandboxes_->sweep();
      sweep_on_signal();
    });
  }

  void sweep_later() {
    timer_.expires_after(std::chrono::seconds(1));
    timer_.async_wait([this](boost::system::error_code error) {
      if (error) return;
      sandboxes_->sweep();
      sweep_later();
    });
  }

  std::string run_;
  SandboxConfig config_;
  EndpointFiles sink_;
  boost::asio::io_context io_;
  boost::asio::signal_set signals_{io_, SIGTERM, SIGINT};
  boost::asio::signal_set hangup_{io_, SIGHUP};
  boost::asio::steady_timer timer_{io_};
  std::unique_ptr<Sandboxes> sandboxes_;
};

Result<void> run(int argc, char** argv) {
  if (argc < 5) return Error(Code::kInvalid, "cni_node RUN STATE MTU CIDR...");
  SandboxConfig config;
  config.state_dir = argv[2];
  config.link.mtu = static_cast<std::uint32_t>(std::strtoul(argv[3], nullptr, 10));
  for (int i = 4; i < argc; ++i) {
    WEIR_ASSIGN(const auto cidr, Cidr::parse(argv[i]));
    config.pod_cidrs.push_back(cidr);
  }
  return Node(argv[1], std::move(config)).serve();
}

}  // namespace
}  // namespace weir

int main(int argc, char** argv) {
  const auto result = weir::run(argc, argv);
  if (!result) fmt::print(stderr, "cni_node: {}\n", result.error().text());
  return result ? 0 : 1;
}
