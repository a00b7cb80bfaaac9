#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "k8s/api_access.h"
#include "k8s/http_client.h"
#include "k8s/reflector.h"
#include "k8s/source.h"
#include "sys/poller.h"

namespace weir {

// Objects of a Kubernetes API server: a Reflector for each kind, on one connection,
// and a second one for what changes often and is in no hurry.
class ApiSource final : public Source {
 public:
  // node: this node's pods come as they are, others' as PodEndpoints; empty: all pods as they are.
  // REQUIRES: it is no name, or one that a Node may have.
  static Result<std::unique_ptr<ApiSource>> open(ApiAccess access, std::string node,
                                                 ReflectorPace pace = {});

  ~ApiSource() override;

  Result<void> start(Sink& sink) override;
  int fd() const override { return poller_->fd(); }
  void dispatch() override { poller_->dispatch(); }
  bool has_all(Kind kind) const override;
  std::vector<std::string> problems() const override;

  // For what the agent writes; answers come in dispatch().
  HttpClient& client() { return *client_; }
  Poller& poller() { return *poller_; }

 private:
  class Filter;
  ApiSource(std::unique_ptr<Poller> poller, std::string node, ReflectorPace pace);
  void one_synced();
  void tell_trouble(std::size_t index);

  std::string node_;
  ReflectorPace pace_;
  std::unique_ptr<Poller> poller_;
  std::unique_ptr<HttpClient> client_;
  std::unique_ptr<Filter> filter_;
  std::vector<std::unique_ptr<Reflector>> reflectors_;
  std::size_t synced_ = 0;
};

}  // namespace weir
