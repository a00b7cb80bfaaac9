/* What kernel and user space share is in this folder, read by clang -target bpf and by g++ alike.
 */
#pragma once

#include <linux/types.h>

#ifdef __cplusplus
#include <type_traits>
#define WEIR_LAYOUT(type, bytes)                 \
  static_assert(sizeof(type) == (bytes), #type); \
  static_assert(std::has_unique_object_representations_v<type>, #type " has padding")
#else
#define WEIR_LAYOUT(type, bytes) _Static_assert(sizeof(struct type) == (bytes), #type)
#endif
