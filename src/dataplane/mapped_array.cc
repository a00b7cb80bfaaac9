#include "dataplane/mapped_array.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>

namespace weir {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kPiece = 64 * kPage;

}  // namespace

Result<MappedArray> MappedArray::open(int map, std::string name, std::size_t bytes) {
  bytes = (bytes + kPage - 1) / kPage * kPage;
  void* data = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) return errno_error(errno, "reserve memory for map " + name);
  return MappedArray(map, std::move(name), bytes, data);
}

MappedArray::MappedArray(int map, std::string name, std::size_t bytes, void* data)
    : map_(map),
      name_(std::move(name)),
      bytes_(bytes),
      data_(data),
      reached_((bytes + kPiece - 1) / kPiece) {}

MappedArray::MappedArray(MappedArray&& other) noexcept
    : map_(other.map_),
      name_(std::move(other.name_)),
      bytes_(other.bytes_),
      data_(std::exchange(other.data_, nullptr)),
      reached_(std::move(other.reached_)) {}

MappedArray::~MappedArray() {
  if (data_ != nullptr) munmap(data_, bytes_);
}

Result<void> MappedArray::reach(const void* from, std::size_t size) {
  if (size == 0) return {};
  const auto at =
      static_cast<std::size_t>(static_cast<const char*>(from) - static_cast<const char*>(data_));
  for (std::size_t piece = at / kPiece; piece <= (at + size - 1) / kPiece; ++piece) {
    if (reached_.at(piece)) continue;
    const std::size_t begin = piece * kPiece;
    void* mapped =
        mmap(static_cast<char*>(data_) + begin, std::min(kPiece, bytes_ - begin),
             PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, map_, static_cast<off_t>(begin));
    if (mapped == MAP_FAILED) return errno_error(errno, "map " + name_ + " into memory");
    reached_[piece] = true;
  }
  return {};
}

}  // namespace weir
