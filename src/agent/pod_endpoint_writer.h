#pragma once

#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>

#include "k8s/http_client.h"
#include "state/store.h"
#include "sys/poller.h"

namespace weir {

// Tells the other nodes of this node's pods: keeps the API server's PodEndpoints of this node equal
// to the sandboxes and their Pods. Who gives a pod its address tells of it, at once.
// Used from the thread of the store.
class PodEndpointWriter {
 public:
  // Listens to the store from now on; all live until the end.
  PodEndpointWriter(Store& store, std::string node, HttpClient& client, Poller& poller);
  ~PodEndpointWriter();
  PodEndpointWriter(const PodEndpointWriter&) = delete;
  PodEndpointWriter& operator=(const PodEndpointWriter&) = delete;

  // What the API server has.
  void saw(const Change& change);
  // The store has all that is on this node: from now on what is missing there is taken away.
  void begin();
  // What keeps the others from knowing; empty: nothing.
  const std::string& problem() const { return problem_; }

 private:
  struct Row {
    std::optional<PodEndpoint> wanted;
    std::string pod_uid;
    std::optional<PodEndpoint> there;  // at the API server
    HttpClient::Id exchange = 0;
    Poller::Id timer = 0;
    int failures = 0;
  };
  using Rows = std::map<ObjectKey, Row>;
  using Next = void (PodEndpointWriter::*)(Row&, const ObjectKey&, const HttpClient::End&);

  void look_at(const ObjectKey& pod);
  void settle_soon(const ObjectKey& key);
  void settle_due();
  void settle(const ObjectKey& key);
  void create(Row& row, const ObjectKey& key);
  void replace(Row& row, const ObjectKey& key);
  void read(Row& row, const ObjectKey& key);
  void remove(Row& row, const ObjectKey& key, const std::string& body);
  void ask(Row& row, const ObjectKey& key, HttpClient::Request request, Next next);
  void created(Row& row, const ObjectKey& key, const HttpClient::End& end);
  void replaced(Row& row, const ObjectKey& key, const HttpClient::End& end);
  void was_read(Row& row, const ObjectKey& key, const HttpClient::End& end);
  void removed(Row& row, const ObjectKey& key, const HttpClient::End& end);
  PodEndpoint unknown() const;
  void failed(Row& row, const ObjectKey& key, const HttpClient::End& end);

  const Store& store_;
  std::string node_;
  HttpClient& client_;
  Poller& poller_;
  bool begun_ = false;
  Rows rows_;
  std::set<ObjectKey> due_;
  std::size_t asking_ = 0;
  std::string problem_;
  std::minstd_rand random_;
};

}  // namespace weir
