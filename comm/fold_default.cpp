#define LOCKSTEP_FOLD_LEVEL fold_default
#include "comm/fold_kernels.inc"
