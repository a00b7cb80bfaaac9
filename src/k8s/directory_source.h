#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/fd.h"
#include "k8s/source.h"

namespace weir {

// Objects as files: <directory>/<Kind>/<namespace, or _>/<name>.json, watched by inotify. Files are
// renamed into place by their writer; a half-written or wrong one is one warning, and the object
// stays as it was. Names that begin with a dot or do not end in .json are ignored.
class DirectorySource final : public Source {
 public:
  explicit DirectorySource(std::string directory) : directory_(std::move(directory)) {}

  Result<void> start(Sink& sink) override;
  int fd() const override { return inotify_.get(); }
  void dispatch() override;
  bool has_all(Kind) const override { return sink_ != nullptr; }  // start() delivers it

 private:
  enum class Level { kRoot, kKind, kNamespace };
  struct Folder {
    std::string path;
    Level level = Level::kRoot;
    Kind kind = Kind::kNode;  // below kRoot
    std::string namespace_;   // of kNamespace; empty: cluster-scoped
  };
  struct File {
    std::size_t seen = 0;    // hash of the content that was last looked at
    bool delivered = false;  // the sink knows an object of this name
  };
  using FileKey = std::pair<Kind, ObjectKey>;
  // What a batch of events asks for.
  struct Work {
    bool rescan = false;
    std::set<FileKey> files;
  };

  void take(int watch, std::uint32_t mask, std::string_view name, Work& work);
  void rescan();
  bool scan(const Folder& folder, std::set<FileKey>& found);
  bool scan_entry(const Folder& folder, const std::string& name, std::set<FileKey>& found);
  void watch(const Folder& folder);
  void refresh(const FileKey& key);
  void deliver(const FileKey& key, const std::string& path, std::string_view content);
  void gone(const FileKey& key);
  void warn_once(const std::string& text);

  std::string directory_;
  Sink* sink_ = nullptr;
  Fd inotify_;
  std::unordered_map<int, Folder> folders_;  // by watch descriptor
  std::map<FileKey, File> files_;
  std::set<std::string> warned_;
};

}  // namespace weir
