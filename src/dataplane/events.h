#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>

#include "base/result.h"

struct ring_buffer;

namespace weir {

// Reader of one ring buffer map.
class RingReader {
 public:
  using OnRecord = std::function<void(std::span<const std::byte>)>;

  static Result<std::unique_ptr<RingReader>> open(int map, OnRecord on_record);
  ~RingReader();
  RingReader(const RingReader&) = delete;
  RingReader& operator=(const RingReader&) = delete;

  // Readable after the kernel was asked to wake, or did so on its own.
  int fd() const;
  // Hands over all that is there; how many records that was.
  int drain();

 private:
  explicit RingReader(OnRecord on_record) : on_record_(std::move(on_record)) {}

  OnRecord on_record_;
  ring_buffer* ring_ = nullptr;
};

}  // namespace weir
