#pragma once

#include <map>
#include <string>
#include <vector>

#include "model/endpoint_slice.h"
#include "model/object.h"

namespace weir {

// The API servers behind the Service default/kubernetes. They are kept in a file, so that an agent
// that starts without Services finds one; and the Service keeps its last backends when the cluster
// says that it has none: nobody could say otherwise through it.
class ApiServers {
 public:
  // What the file has, for ApiAccess: "https://10.0.0.1:6443". Without a file, none.
  static std::vector<std::string> remembered(const std::string& path);
  // The URLs of such a file's text; other words are passed over.
  static std::vector<std::string> parse(const std::string& text);

  explicit ApiServers(std::string path) : path_(std::move(path)) {}

  // What is to be done in place of this change: mostly the change itself.
  std::vector<Change> take(Change change);
  // Why the file could not be written; empty: it was.
  const std::string& problem() const { return problem_; }

 private:
  bool others_serve(const ObjectKey& key) const;
  void keep();

  std::string path_;
  std::map<ObjectKey, std::vector<std::string>> urls_;  // by slice; empty: none there
  std::vector<ObjectKey> gone_;                         // erased, but kept while there is no other
  std::vector<std::string> kept_;
  std::string problem_;
};

}  // namespace weir
