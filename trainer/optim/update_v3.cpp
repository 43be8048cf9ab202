#define LOCKSTEP_UPDATE_LEVEL update_v3
#include "trainer/optim/update_kernels.inc"
