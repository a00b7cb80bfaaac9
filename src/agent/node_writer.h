#pragma once

#include <functional>
#include <string>

#include "k8s/http_client.h"
#include "sys/poller.h"

namespace weir {

// Key of the taint that keeps pods from a node until its agent serves.
inline constexpr const char* kNotReadyTaint = "node.weir.dev/agent-not-ready";

// Tells the API server that this node's network works: takes the taint away and sets the condition
// NetworkUnavailable to False. Tries until it is done.
class NodeWriter {
 public:
  using Complain = std::function<void(const std::string&)>;

  // Client and poller outlive the writer.
  NodeWriter(std::string node, HttpClient& client, Poller& poller, Complain complain)
      : node_(std::move(node)), client_(client), poller_(poller), complain_(std::move(complain)) {}
  ~NodeWriter();
  NodeWriter(const NodeWriter&) = delete;
  NodeWriter& operator=(const NodeWriter&) = delete;

  void network_is_ready() { write_condition(); }

 private:
  void write_condition();
  void remove_taint();
  void patch(const std::string& path, std::string body, void (NodeWriter::*next)());
  void failed(const std::string& path, const HttpClient::End& end, void (NodeWriter::*again)());

  std::string node_;
  HttpClient& client_;
  Poller& poller_;
  Complain complain_;
  HttpClient::Id exchange_ = 0;
  Poller::Id timer_ = 0;
  int failures_ = 0;
};

}  // namespace weir
