#pragma once

#include <functional>
#include <string>
#include <unordered_set>

#include "k8s/http_client.h"

namespace weir {

// Warnings as Events of the node, where `kubectl describe node` and `kubectl get events` show them.
// Each text once; one that cannot be delivered is lost: it is in the log, too.
class EventWriter {
 public:
  // The client outlives the writer.
  EventWriter(std::string node, HttpClient& client) : node_(std::move(node)), client_(client) {}
  ~EventWriter();
  EventWriter(const EventWriter&) = delete;
  EventWriter& operator=(const EventWriter&) = delete;

  void warn(const std::string& reason, const std::string& text);
  // No answer is awaited any more.
  bool idle() const { return exchanges_.empty(); }

 private:
  std::string node_;
  HttpClient& client_;
  std::unordered_set<std::string> said_;
  std::unordered_set<HttpClient::Id> exchanges_;
};

// For an agent that ends before it has a source of objects: waits for the answer, for a moment.
void tell_why_not_started(ApiAccess access, const std::string& node, const std::string& text);

}  // namespace weir
