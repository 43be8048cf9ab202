# Finds LibTorch, and NCCL beside it, as the imported targets `torch` and `lockstep::nccl`.
# Used by our own build and, installed, by find_package(Lockstep).
#
# LOCKSTEP_VENV   the virtual environment that holds the torch wheel (default: .venv in our source tree; in an
#                 installed package the one it was built with). CMAKE_PREFIX_PATH and Torch_DIR go before it.
# LOCKSTEP_CUDA   the CUDA toolkit (default: the first usable one, see LockstepToolkit.cmake)
include("${CMAKE_CURRENT_LIST_DIR}/LockstepToolkit.cmake")

set(lockstep_cuda "${LOCKSTEP_CUDA}")
if(NOT lockstep_cuda)
  lockstep_find_cuda_toolkit(lockstep_cuda VENV "${LOCKSTEP_VENV}")
endif()
if(NOT lockstep_cuda)
  message(FATAL_ERROR "Lockstep: no usable CUDA toolkit (nvcc 13.0 or newer with its headers and libcudart.so) was "
    "found. Run scripts/setup, which gets one from wheels, or pass -DLOCKSTEP_CUDA=<toolkit>.")
endif()

# LibTorch's package reads some of these from the environment, and nvcc its libraries' place.
set(ENV{CUDA_HOME} "${lockstep_cuda}")
set(ENV{CUDACXX} "${lockstep_cuda}/bin/nvcc")
set(CUDAToolkit_ROOT "${lockstep_cuda}")
set(CUDA_TOOLKIT_ROOT_DIR "${lockstep_cuda}")
if(NOT "$ENV{LIBRARY_PATH}" MATCHES "(^|:)${lockstep_cuda}/lib64(:|$)")
  set(ENV{LIBRARY_PATH} "${lockstep_cuda}/lib64:$ENV{LIBRARY_PATH}")
endif()

# An explicit list keeps CMake from probing for a GPU, which fails where there is none; CMake 3.25's FindCUDA
# scripts insist on it. PTX of the last one serves whatever is newer.
if(NOT TORCH_CUDA_ARCH_LIST AND NOT DEFINED ENV{TORCH_CUDA_ARCH_LIST})
  set(TORCH_CUDA_ARCH_LIST "8.0;9.0;10.0+PTX")
endif()

# LibTorch's package hashes libnvrtc.so with whatever Python it finds, for a file name that only LibTorch's own
# build uses. A value that is already there spares both.
if(NOT DEFINED CUDA_NVRTC_SHORTHASH)
  set(CUDA_NVRTC_SHORTHASH unused)
endif()

# Its thirty lines of chatter and two warnings (about libraries that only static builds of LibTorch have) would hide
# ours; errors still show. `cmake --log-level=STATUS` brings everything back.
set(lockstep_log_level "${CMAKE_MESSAGE_LOG_LEVEL}")
set(CMAKE_MESSAGE_LOG_LEVEL ERROR)
file(GLOB lockstep_torch_hints "${LOCKSTEP_VENV}/lib/python3*/site-packages/torch/share/cmake/Torch")
find_package(Torch 2.11 QUIET HINTS ${lockstep_torch_hints})
set(CMAKE_MESSAGE_LOG_LEVEL "${lockstep_log_level}")
if(NOT Torch_FOUND)
  message(FATAL_ERROR "Lockstep: LibTorch 2.11 or newer was not found in LOCKSTEP_VENV (${LOCKSTEP_VENV}). "
    "Run scripts/setup, or pass -DLOCKSTEP_VENV=<venv with the torch wheel> or -DTorch_DIR=<its share/cmake/Torch>.")
endif()

# MKL is inside libtorch_cpu; the folders where its builders had it are no business of our programs' run paths.
if(TARGET caffe2::mkl)
  set_property(TARGET caffe2::mkl PROPERTY INTERFACE_LINK_DIRECTORIES "")
endif()

# The CUDA run time must be the one that libtorch_cuda itself loads, the wheel's. The toolkit's may be another minor
# version, and may be gone when a program runs.
cmake_path(GET TORCH_INSTALL_PREFIX PARENT_PATH lockstep_site_packages)
file(GLOB lockstep_cudart "${lockstep_site_packages}/nvidia/cu*/lib/libcudart.so.*")
if(lockstep_cudart)
  list(GET lockstep_cudart 0 lockstep_cudart)
  set_property(TARGET CUDA::cudart PROPERTY IMPORTED_LOCATION "${lockstep_cudart}")
endif()

# So must NCCL's header and library. Only where the wheel brings none (a LibTorch built from source) may the system's
# be taken.
set(lockstep_nccl_root "${lockstep_site_packages}/nvidia/nccl")
if(EXISTS "${lockstep_nccl_root}/include/nccl.h")
  set(lockstep_nccl_search PATHS "${lockstep_nccl_root}" PATH_SUFFIXES include lib NO_DEFAULT_PATH)
else()
  set(lockstep_nccl_search "")
endif()
find_path(LOCKSTEP_NCCL_INCLUDE_DIR nccl.h ${lockstep_nccl_search})
find_library(LOCKSTEP_NCCL_LIBRARY NAMES nccl libnccl.so.2 ${lockstep_nccl_search})
if(NOT LOCKSTEP_NCCL_INCLUDE_DIR OR NOT LOCKSTEP_NCCL_LIBRARY)
  message(FATAL_ERROR "Lockstep: NCCL was found neither beside LibTorch (${lockstep_nccl_root}) nor on the system. "
    "Run scripts/setup, or set LOCKSTEP_NCCL_INCLUDE_DIR and LOCKSTEP_NCCL_LIBRARY.")
endif()
if(NOT TARGET lockstep::nccl)
  add_library(lockstep::nccl UNKNOWN IMPORTED)
  set_target_properties(lockstep::nccl PROPERTIES
    IMPORTED_LOCATION "${LOCKSTEP_NCCL_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${LOCKSTEP_NCCL_INCLUDE_DIR}")
endif()

if(NOT Lockstep_FIND_QUIETLY)
  message(STATUS "Lockstep: LibTorch ${Torch_VERSION} in ${TORCH_INSTALL_PREFIX}, CUDA toolkit ${lockstep_cuda}")
endif()
