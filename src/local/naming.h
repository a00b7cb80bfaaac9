#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace weir::local {

// In Kubernetes' alphabet for generated names: no vowels, nothing that reads as another character.
std::string safe_encode(std::uint64_t value, std::size_t length);

std::uint64_t hash_text(std::string_view text);

// pod-template-hash of a Deployment's template: the same text, the same hash.
std::string template_hash(std::string_view template_text);

// "cart-6d4b75cb6d-x2x4k": the same Deployment, hash and index give the same name.
std::string deployment_pod_name(std::string_view deployment, std::string_view hash,
                                std::uint64_t index);

// A random UUID, version 4.
std::string make_uid();
// 64 hexadecimal digits, as runtimes give them.
std::string make_container_id();

}  // namespace weir::local
