#pragma once

enum weir_stage {
#define WEIR_STAGE(name) WEIR_STAGE_##name,
#include "abi/stages.def"
#undef WEIR_STAGE
  WEIR_STAGES,
};
