#define LOCKSTEP_FOLD_LEVEL fold_v4
#include "comm/fold_kernels.inc"
