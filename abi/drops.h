#pragma once

enum weir_drop {
  WEIR_DROP_NONE = 0,
#define WEIR_DROP(name, number, text) WEIR_DROP_##name = number,
#include "abi/drops.def"
#undef WEIR_DROP
  WEIR_DROP_MAX = 63, /* room in counters */
};
