# Apart from lockstep::comm because programs that link no LibTorch ask for their place too.
lockstep_add_library(placement NO_TORCH HEADERS placement.h SOURCES placement.cpp)
