# Apart from lockstep::comm because programs that link no LibTorch ask for their place too.
lockstep_add_library(placement NO_TORCH HEADERS placement.h SOURCES placement.cpp)

# Likewise, for what asks whether machines reach each other before anything is started there.
lockstep_add_library(addresses NO_TORCH HEADERS file_descriptor.h socket_address.h SOURCES socket_address.cpp)
