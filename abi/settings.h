#pragma once

#include "abi/layout.h"

typedef __u64 weir_setting_u64;
typedef __u32 weir_setting_u32;
typedef __u16 weir_setting_u16;
typedef __u8 weir_setting_bool;

/* In .rodata of the programs: the verifier prunes what is off. One 8-byte slot per setting. */
struct weir_settings {
#define WEIR_SETTING(type, name, def, help) \
  union {                                   \
    weir_setting_##type name;               \
    __u64 name##_slot;                      \
  };
#include "abi/settings.def"
#undef WEIR_SETTING
  __u64 hz; /* jiffies per second, measured by the loader */
};
