#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include "k8s/http_client.h"
#include "sys/poller.h"

namespace weir {

// Tells the API server that this node's network works: takes the taint away and sets the condition
// NetworkUnavailable to False. Tries until it is done.
class NodeWriter {
 public:
  using Complain = std::function<void(const std::string&)>;

  // Client and poller outlive the writer.
  NodeWriter(const std::string& node, HttpClient& client, Poller& poller, Complain complain);
  ~NodeWriter();
  NodeWriter(const NodeWriter&) = delete;
  NodeWriter& operator=(const NodeWriter&) = delete;

  // Again when the Node has the taint again, as one that was made anew.
  void network_is_ready();

 private:
  void read_taints();
  void remove_taint(std::size_t index);
  void ask(const char* method, const std::string& where, std::string body, const char* content_type,
           std::function<void(const std::string&)> next);
  void failed(const std::string& where, const HttpClient::End& end);

  std::string path_;
  HttpClient& client_;
  Poller& poller_;
  Complain complain_;
  HttpClient::Id exchange_ = 0;
  Poller::Id timer_ = 0;
  int failures_ = 0;
};

}  // namespace weir
