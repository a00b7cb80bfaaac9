#pragma once

#include <cstddef>

namespace weir {

// Gives memory back that only a start needs: what the heap has free, and pages of the program and
// its libraries, which come back from the page cache when they are touched. Bytes that were mapped
// and are not any more; 0 when /proc cannot tell.
std::size_t release_start_memory();

}  // namespace weir
