#include "agent/services.h"

#include <spdlog/spdlog.h>

#include <algorithm>

namespace weir {
namespace {

using namespace std::chrono_literals;

constexpr auto kBatch = 5ms;
constexpr auto kRetry = 1s;
constexpr std::size_t kPortion = 1024;  // Services

void log_new(std::vector<std::string>& known, std::vector<std::string> now) {
  for (const std::string& text : now) {
    if (std::ranges::find(known, text) == known.end()) spdlog::warn("{}", text);
  }
  known = std::move(now);
}

}  // namespace

ServiceFlow::ServiceFlow(boost::asio::io_context& loop, Store& store, Dataplane& plane,
                         ServiceContext context)
    : store_(store),
      plane_(plane),
      tracker_(store, std::move(context)),
      health_(loop),
      timer_(loop),
      retry_timer_(loop) {}

void ServiceFlow::start() {
  started_ = true;
  take();
  note(plane_.prune_services());
  retry_later();
  tell_health();
}

void ServiceFlow::changed() {
  if (!started_) return;
  if (leaving_ != node_leaves()) tell_health();
  if (!tracker_.pending()) return;
  health_.queued();
  soon();
}

void ServiceFlow::changed_now() {
  if (!started_ || !tracker_.pending()) return;
  take();
  retry_later();
  tell_health();
}

// In portions, which bound the memory of what is on its way.
void ServiceFlow::take() {
  do {
    note(plane_.apply_services(tracker_.take(kPortion)));
  } while (tracker_.pending());
}

void ServiceFlow::soon() {
  if (std::exchange(pending_, true)) return;
  timer_.expires_after(kBatch);
  timer_.async_wait([this](const auto& error) {
    if (error) return;
    pending_ = false;
    take();
    retry_later();
    tell_health();
  });
}

// Beside soon(), so that what waits holds up nothing else.
void ServiceFlow::retry_later() {
  if (!plane_.service_tables().waiting() || std::exchange(retrying_, true)) return;
  retry_timer_.expires_after(kRetry);
  retry_timer_.async_wait([this](const auto& error) {
    if (error) return;
    retrying_ = false;
    note(plane_.retry_services());
    retry_later();
  });
}

void ServiceFlow::note(const ServiceTables::Applied& applied) {
  for (const std::string& text : applied.refused) spdlog::error("{}", text);
}

bool ServiceFlow::node_leaves() const {
  const auto& nodes = store_.snapshot().nodes;
  const auto own = nodes.find(ObjectKey{"", tracker_.context().node});
  return own != nodes.end() && own->second.leaving;
}

void ServiceFlow::tell_health() {
  log_new(conflicts_, tracker_.conflicts());
  leaving_ = node_leaves();
  health_.update(tracker_.health(), leaving_);
  log_new(closed_ports_, health_.warnings());
  if (!pending_) health_.written();
}

std::vector<std::string> ServiceFlow::warnings() const {
  std::vector<std::string> out = conflicts_;
  const auto tables = plane_.service_tables().complaints();
  out.insert(out.end(), tables.begin(), tables.end());
  const auto ports = health_.warnings();
  out.insert(out.end(), ports.begin(), ports.end());
  return out;
}

}  // namespace weir
