#define LOCKSTEP_FOLD_LEVEL fold_v3
#include "comm/fold_kernels.inc"
