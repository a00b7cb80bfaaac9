#pragma once

#include <bpf/bpf.h>

#include <cerrno>
#include <map>
#include <string>
#include <utility>

#include "base/result.h"
#include "dataplane/settings.h"

namespace weir {

// A hash or trie map as a typed table. Key and Value are structs of abi/.
template <typename Key, typename Value>
class Table {
 public:
  using KeyType = Key;
  using ValueType = Value;

  // fd is borrowed.
  Table(int fd, std::string name) : fd_(fd), name_(std::move(name)) {}

  const std::string& name() const { return name_; }

  Result<void> update(const Key& key, const Value& value) {
    if (bpf_map_update_elem(fd_, &key, &value, BPF_ANY) == 0) return {};
    const int saved = errno;
    if (saved == E2BIG || saved == ENOSPC) return table_is_full(name_, saved);
    return errno_error(saved, "map " + name_);
  }

  // An absent key is fine.
  Result<void> erase(const Key& key) {
    if (bpf_map_delete_elem(fd_, &key) == 0 || errno == ENOENT) return {};
    return errno_error(errno, "map " + name_);
  }

  // Calls each(key, value) for all elements; others may come and go meanwhile.
  template <typename Each>
  Result<void> for_each(Each each) const {
    Key key{};
    Key next{};
    const Key* previous = nullptr;
    while (bpf_map_get_next_key(fd_, previous, &next) == 0) {
      Value value{};
      if (bpf_map_lookup_elem(fd_, &next, &value) == 0) each(next, value);
      key = next;
      previous = &key;
    }
    return errno == ENOENT ? Result<void>() : Result<void>(errno_error(errno, "map " + name_));
  }

 private:
  int fd_;
  std::string name_;
};

}  // namespace weir
