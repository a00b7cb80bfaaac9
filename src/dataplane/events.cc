#include "dataplane/events.h"

#include <bpf/libbpf.h>

#include <cerrno>

namespace weir {

Result<std::unique_ptr<RingReader>> RingReader::open(int map, OnRecord on_record) {
  std::unique_ptr<RingReader> reader(new RingReader(std::move(on_record)));
  const auto call = [](void* self, void* data, std::size_t size) {
    static_cast<RingReader*>(self)->on_record_({static_cast<const std::byte*>(data), size});
    return 0;
  };
  reader->ring_ = ring_buffer__new(map, call, reader.get(), nullptr);
  if (reader->ring_ == nullptr) return errno_error(errno, "ring buffer");
  return reader;
}

RingReader::~RingReader() { ring_buffer__free(ring_); }

int RingReader::fd() const { return ring_buffer__epoll_fd(ring_); }

int RingReader::drain() { return ring_buffer__consume(ring_); }

}  // namespace weir
