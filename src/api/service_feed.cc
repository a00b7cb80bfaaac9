#include <fmt/format.h>

#include "api/feed.h"

namespace weir::api {
namespace {

// So many are described between two looks at the loop.
constexpr std::size_t kAtOnce = 32;

// Waits for the connections to be counted, then describes the Services, a line each.
class ServiceFeed : public Feed {
 public:
  ServiceFeed(Backend& backend, ServicesRequest request, std::function<void()> wake)
      : backend_(backend), request_(std::move(request)), use_(std::make_shared<Use>()) {
    after_ = {request_.namespace_, ""};
    backend.count_service_use([use = std::weak_ptr(use_), wake = std::move(wake)](ServiceUse now) {
      const auto kept = use.lock();
      if (!kept) return;
      kept->now = std::move(now);
      kept->known = true;
      wake();
    });
  }

  bool take(std::string& out) override {
    if (!use_->known) return true;
    if (request_.only) {
      if (auto one = backend_.service(*request_.only, use_->now)) put(*one, out);
      return false;
    }
    const auto some = backend_.services(after_, kAtOnce, use_->now);
    for (const ServiceInfo& one : some) {
      after_ = {one.namespace_, one.name};
      if (!request_.namespace_.empty() && one.namespace_ != request_.namespace_) return false;
      put(one, out);
    }
    return some.size() == kAtOnce;
  }

  bool waiting() const override { return use_->known; }
  std::chrono::milliseconds time_left() const override { return std::chrono::hours(1); }

 private:
  struct Use {
    ServiceUse now;
    bool known = false;
  };

  static void put(const ServiceInfo& service, std::string& out) {
    out += to_json(service);
    out += '\n';
  }

  Backend& backend_;
  ServicesRequest request_;
  std::shared_ptr<Use> use_;
  ObjectKey after_;
};

}  // namespace

Result<std::unique_ptr<Feed>> open_service_feed(Backend& backend, const ServicesRequest& request,
                                                std::function<void()> wake) {
  if (request.only) WEIR_TRY(backend.service(*request.only, {}));
  return std::make_unique<ServiceFeed>(backend, request, std::move(wake));
}

}  // namespace weir::api
