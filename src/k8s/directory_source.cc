// Files -> changes. Events only say where to look: what a file holds now decides, so the order and
// the number of events do not matter. Anything about directories, and an overflow, is a rescan.
#include "k8s/directory_source.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>

#include "k8s/json.h"
#include "k8s/object.h"

namespace weir {
namespace {

constexpr std::size_t kMaxFile = 8U << 20;
constexpr std::string_view kSuffix = ".json";
constexpr std::uint32_t kEvents = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE |
                                  IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

bool is_absent(int saved_errno) { return saved_errno == ENOENT || saved_errno == ENOTDIR; }

std::optional<std::string> object_name(std::string_view file) {
  if (file.starts_with('.') || !file.ends_with(kSuffix) || file.size() == kSuffix.size()) {
    return std::nullopt;
  }
  return std::string(file.substr(0, file.size() - kSuffix.size()));
}

// Error with errno ENOENT or ENOTDIR: there is no such file.
Result<std::string> read_regular_file(const std::string& path) {
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return errno_error(errno, path);
  struct stat info{};
  if (fstat(fd.get(), &info) != 0) return errno_error(errno, path);
  if (!S_ISREG(info.st_mode)) return Error(Code::kInvalid, path + ": is not a regular file");
  std::string out;
  char buffer[16384];
  for (;;) {
    const ssize_t n = read(fd.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error(errno, path);
    if (n == 0) return out;
    out.append(buffer, static_cast<std::size_t>(n));
    if (out.size() > kMaxFile) return Error(Code::kInvalid, path + ": is larger than 8 MiB");
  }
}

// Names in a directory without those that begin with a dot.
Result<std::vector<std::string>> list(const std::string& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir(path.c_str()), closedir);
  if (!dir) return errno_error(errno, path);
  std::vector<std::string> out;
  for (;;) {
    errno = 0;
    const dirent* entry = readdir(dir.get());
    if (entry == nullptr && errno != 0) return errno_error(errno, path);
    if (entry == nullptr) return out;
    if (entry->d_name[0] != '.') out.emplace_back(entry->d_name);
  }
}

}  // namespace

Result<void> DirectorySource::start(Sink& sink) {
  sink_ = &sink;
  WEIR_TRY(list(directory_));
  inotify_ = Fd(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!inotify_) return errno_error(errno, "inotify");
  rescan();
  sink.synced();
  return {};
}

void DirectorySource::dispatch() {
  Work work;
  alignas(inotify_event) char buffer[16384];
  for (;;) {
    const ssize_t n = read(inotify_.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    for (ssize_t at = 0; at < n;) {
      inotify_event event{};
      std::memcpy(&event, buffer + at, sizeof event);
      const char* name = buffer + at + sizeof event;
      take(event.wd, event.mask, event.len > 0 ? name : "", work);
      at += static_cast<ssize_t>(sizeof event + event.len);
    }
  }
  if (work.rescan) return rescan();
  for (const FileKey& key : work.files) refresh(key);
}

void DirectorySource::take(int watch, std::uint32_t mask, std::string_view name, Work& work) {
  if ((mask & IN_IGNORED) != 0) {
    folders_.erase(watch);
    return;
  }
  if ((mask & (IN_Q_OVERFLOW | IN_ISDIR | IN_DELETE_SELF | IN_MOVE_SELF)) != 0) {
    work.rescan = true;
    return;
  }
  const auto folder = folders_.find(watch);
  const auto object = object_name(name);
  // A file just created is still empty; closing it says more.
  if (folder == folders_.end() || !object || (mask & IN_CREATE) != 0) return;
  if (folder->second.level != Level::kNamespace) return;
  work.files.insert({folder->second.kind, {folder->second.namespace_, *object}});
}

// Watches before it lists: what comes in between is an event, or in the list, or both.
void DirectorySource::rescan() {
  std::set<FileKey> found;
  if (!scan({.path = directory_, .level = Level::kRoot, .namespace_ = {}}, found)) return;
  std::vector<FileKey> lost;
  for (const auto& [key, file] : files_) {
    if (!found.contains(key)) lost.push_back(key);
  }
  for (const FileKey& key : lost) gone(key);
}

// False: the folder could not be read in full, so what was not found may still be there.
bool DirectorySource::scan(const Folder& folder, std::set<FileKey>& found) {
  watch(folder);
  const auto names = list(folder.path);
  if (!names) {
    if (folder.level != Level::kRoot && is_absent(names.error().saved_errno())) return true;
    warn_once(names.error().text());
    return false;
  }
  bool complete = true;
  for (const std::string& name : *names) complete = scan_entry(folder, name, found) && complete;
  return complete;
}

bool DirectorySource::scan_entry(const Folder& folder, const std::string& name,
                                 std::set<FileKey>& found) {
  const std::string path = folder.path + "/" + name;
  if (folder.level == Level::kRoot) {
    const auto kind = parse_kind(name);
    return !kind ||
           scan({.path = path, .level = Level::kKind, .kind = *kind, .namespace_ = {}}, found);
  }
  if (folder.level == Level::kKind) {
    if (is_namespaced(folder.kind) == (name == "_")) return true;
    const std::string ns = name == "_" ? "" : name;
    return scan({.path = path, .level = Level::kNamespace, .kind = folder.kind, .namespace_ = ns},
                found);
  }
  if (const auto object = object_name(name)) {
    const FileKey key{folder.kind, {folder.namespace_, *object}};
    found.insert(key);
    refresh(key);
  }
  return true;
}

void DirectorySource::watch(const Folder& folder) {
  const int wd = inotify_add_watch(inotify_.get(), folder.path.c_str(), kEvents);
  if (wd >= 0) {
    folders_[wd] = folder;
  } else if (!is_absent(errno)) {
    warn_once(errno_error(errno, "cannot watch " + folder.path).text());
  }
}

void DirectorySource::refresh(const FileKey& key) {
  const std::string path = directory_ + "/" + object_path(key.first, key.second);
  const auto content = read_regular_file(path);
  if (content) return deliver(key, path, *content);
  if (is_absent(content.error().saved_errno())) return gone(key);
  warn_once(content.error().text() + "; the object stays as it was");
}

void DirectorySource::deliver(const FileKey& key, const std::string& path,
                              std::string_view content) {
  File& file = files_[key];
  const std::size_t hash = std::hash<std::string_view>()(content);
  if (file.seen == hash) return;
  file.seen = hash;
  std::vector<std::string> notes;
  auto object = parse_object(content, &notes);
  if (!object) {
    sink_->warning(fmt::format("{}: {}; the object stays as it was", path, object.error().text()));
    return;
  }
  if (kind_of(*object) != key.first || key_of(*object) != key.second) {
    sink_->warning(fmt::format("{}: holds {} {}; it is ignored", path, kind_name(kind_of(*object)),
                               key_of(*object).to_string()));
    return;
  }
  for (const std::string& note : notes) sink_->warning(fmt::format("{}: {}", path, note));
  file.delivered = true;
  sink_->change(Upsert{std::move(*object)});
}

void DirectorySource::gone(const FileKey& key) {
  const auto file = files_.extract(key);
  if (!file.empty() && file.mapped().delivered) sink_->change(Erase{key.first, key.second});
}

void DirectorySource::warn_once(const std::string& text) {
  if (warned_.insert(text).second) sink_->warning(text);
}

}  // namespace weir
