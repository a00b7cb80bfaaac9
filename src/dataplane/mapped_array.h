#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace weir {

// An array map in memory, a piece at a time: a page counts as used as soon as it is mapped.
class MappedArray {
 public:
  // map is borrowed; it is BPF_F_MMAPABLE and has `bytes` of values.
  static Result<MappedArray> open(int map, std::string name, std::size_t bytes);
  MappedArray(MappedArray&& other) noexcept;
  MappedArray& operator=(MappedArray&&) = delete;
  ~MappedArray();

  // Of the first value. Only what was reached may be touched.
  void* data() const { return data_; }
  bool holds(const void* at) const {
    return at >= data_ && at < static_cast<const char*>(data_) + bytes_;
  }
  // REQUIRES: holds(from); the piece ends inside.
  Result<void> reach(const void* from, std::size_t size);

 private:
  MappedArray(int map, std::string name, std::size_t bytes, void* data);

  int map_;
  std::string name_;
  std::size_t bytes_;  // whole pages
  void* data_;
  std::vector<bool> reached_;  // by piece
};

}  // namespace weir
