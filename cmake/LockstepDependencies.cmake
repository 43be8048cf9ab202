# Finds what we stand on. LibTorch comes from the `torch` wheel that scripts/setup puts into .venv, unless
# CMAKE_PREFIX_PATH or Torch_DIR says otherwise.
set(LOCKSTEP_VENV "${PROJECT_SOURCE_DIR}/.venv" CACHE PATH "Virtual environment that holds the torch wheel")
set(LOCKSTEP_CUDA "" CACHE PATH "CUDA toolkit; empty: the first usable one")
include(LockstepTorch)

find_package(MPI REQUIRED COMPONENTS C)
# We call MPI's C interface. Without this mpi.h drags in the retired C++ one, which needs a library of its own to link.
set_property(TARGET MPI::MPI_C APPEND PROPERTY INTERFACE_COMPILE_DEFINITIONS OMPI_SKIP_MPICXX MPICH_SKIP_MPICXX)
find_package(Threads REQUIRED)
find_package(ZLIB REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_package(CURL REQUIRED)
find_package(cxxopts REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(tomlplusplus REQUIRED)
find_package(date REQUIRED)
# protozero comes without a package for CMake.
find_path(LOCKSTEP_PROTOZERO_INCLUDE_DIR protozero/pbf_writer.hpp REQUIRED)
add_library(lockstep_protozero INTERFACE)
add_library(protozero::protozero ALIAS lockstep_protozero)
target_include_directories(lockstep_protozero SYSTEM INTERFACE "${LOCKSTEP_PROTOZERO_INCLUDE_DIR}")
# prometheus-cpp's package asks for what its servers need; only its core is used. It is linked by name, so that the
# installed package names no folder of this machine.
find_path(LOCKSTEP_PROMETHEUS_INCLUDE_DIR prometheus/text_serializer.h REQUIRED)
find_library(LOCKSTEP_PROMETHEUS_LIBRARY prometheus-cpp-core REQUIRED)
