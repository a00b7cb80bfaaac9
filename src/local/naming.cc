#include "local/naming.h"

#include <fmt/format.h>

#include <random>

namespace weir::local {
namespace {

constexpr std::string_view kSafe = "bcdfghjklmnpqrstvwxz2456789";
constexpr std::size_t kMaxPodName = 63;

std::uint64_t random_word() {
  std::random_device device;
  return (std::uint64_t{device()} << 32) | device();
}

}  // namespace

std::string safe_encode(std::uint64_t value, std::size_t length) {
  std::string text;
  for (; text.size() < length; value /= kSafe.size()) text += kSafe[value % kSafe.size()];
  return text;
}

// FNV-1a, then mixed: the low bits of plain FNV of short texts are alike.
std::uint64_t hash_text(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccd;
  return hash ^ (hash >> 33);
}

std::string template_hash(std::string_view template_text) {
  return safe_encode(hash_text(template_text), 10);
}

std::string deployment_pod_name(std::string_view deployment, std::string_view hash,
                                std::uint64_t index) {
  const auto suffix = safe_encode(hash_text(fmt::format("{}/{}/{}", deployment, hash, index)), 5);
  const auto room = kMaxPodName - hash.size() - suffix.size() - 2;
  return fmt::format("{}-{}-{}", deployment.substr(0, room), hash, suffix);
}

std::string make_uid() {
  const auto high = (random_word() & ~0xf000ULL) | 0x4000;
  const auto low = (random_word() & ~(3ULL << 62)) | (2ULL << 62);
  return fmt::format("{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", high >> 32, (high >> 16) & 0xffff,
                     high & 0xffff, low >> 48, low & 0xffffffffffff);
}

std::string make_container_id() {
  return fmt::format("{:016x}{:016x}{:016x}{:016x}", random_word(), random_word(), random_word(),
                     random_word());
}

}  // namespace weir::local
