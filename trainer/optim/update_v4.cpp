#define LOCKSTEP_UPDATE_LEVEL update_v4
#include "trainer/optim/update_kernels.inc"
