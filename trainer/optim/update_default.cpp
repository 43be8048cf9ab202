#define LOCKSTEP_UPDATE_LEVEL update_default
#include "trainer/optim/update_kernels.inc"
