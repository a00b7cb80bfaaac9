// Kubernetes JSON as the API server sends it; what was read is written and read again.
#include "k8s/object.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "k8s/json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto object = weir::parse_object(text);
  if (!object) return 0;
  const auto again = weir::parse_object(weir::to_json(*object));
  if (!again || *again != *object) std::abort();
  return 0;
}
