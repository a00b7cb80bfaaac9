#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <unordered_map>

#include "base/fd.h"
#include "k8s/source.h"

namespace weir {

// Objects as files: <directory>/<Kind>/<namespace, or _>/<name>.json, watched by inotify. Files are
// renamed into place by their writer; a half-written or wrong one is one warning, and the object
// stays as it was. Names that begin with a dot or do not end in .json are ignored.
class DirectorySource final : public Source {
 public:
  explicit DirectorySource(std::string directory);

  Result<void> start(Sink& sink) override;
  int fd() const override { return inotify_.get(); }
  void dispatch() override;

 private:
  struct Folder {
    std::string path;
    int depth;               // 0: the directory itself, 1: a kind, 2: a namespace
    Kind kind;               // depth 1 and 2
    std::string namespace_;  // depth 2; empty: cluster-scoped
  };
  struct File {
    std::size_t seen = 0;    // hash of the content that was last looked at
    bool delivered = false;  // an object of this name is known to the sink
  };
  using FileKey = std::pair<Kind, ObjectKey>;

  Result<void> rescan();
  void scan(const Folder& folder, std::set<FileKey>& found);
  void watch(const Folder& folder);
  void read_file(Kind kind, const ObjectKey& key);
  void gone(Kind kind, const ObjectKey& key);
  void file_event(const Folder& folder, std::string_view name);
  void warn_once(const std::string& text);

  std::string directory_;
  Sink* sink_ = nullptr;
  Fd inotify_;
  std::unordered_map<int, Folder> folders_;  // by watch descriptor
  std::map<FileKey, File> files_;
  std::set<std::string> warned_;
};

}  // namespace weir
