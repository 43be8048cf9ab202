# Finds LibTorch, and NCCL beside it, as the imported targets `torch` and `lockstep::nccl`.
# Used by our own build and, installed, by find_package(Lockstep).
#
# LOCKSTEP_VENV     the virtual environment that holds the torch wheel (default: .venv in our source tree)
# LOCKSTEP_CUDA     the CUDA toolkit (default: what nvcc on the PATH belongs to, else /usr/local/cuda, else the
#                   toolkit that scripts/setup assembled from wheels in LOCKSTEP_VENV/cuda)
if(NOT DEFINED LOCKSTEP_VENV AND PROJECT_NAME STREQUAL "Lockstep")
  set(LOCKSTEP_VENV "${PROJECT_SOURCE_DIR}/.venv")
endif()

if(NOT Torch_DIR AND LOCKSTEP_VENV)
  file(GLOB lockstep_torch_dirs "${LOCKSTEP_VENV}/lib/python3*/site-packages/torch/share/cmake/Torch")
  if(lockstep_torch_dirs)
    list(GET lockstep_torch_dirs 0 lockstep_torch_dir)
    set(Torch_DIR "${lockstep_torch_dir}" CACHE PATH "LibTorch's CMake package")
  endif()
endif()

if(NOT LOCKSTEP_CUDA)
  find_program(lockstep_nvcc nvcc PATHS /usr/local/cuda/bin NO_CACHE)
  if(EXISTS "${LOCKSTEP_VENV}/cuda/bin/nvcc")
    set(LOCKSTEP_CUDA "${LOCKSTEP_VENV}/cuda")
  elseif(lockstep_nvcc)
    file(REAL_PATH "${lockstep_nvcc}" lockstep_nvcc)
    cmake_path(GET lockstep_nvcc PARENT_PATH lockstep_cuda_bin)
    cmake_path(GET lockstep_cuda_bin PARENT_PATH LOCKSTEP_CUDA)
  endif()
endif()
if(LOCKSTEP_CUDA)
  set(ENV{CUDA_HOME} "${LOCKSTEP_CUDA}")
  set(ENV{CUDACXX} "${LOCKSTEP_CUDA}/bin/nvcc")
  set(CUDAToolkit_ROOT "${LOCKSTEP_CUDA}")
  set(CUDA_TOOLKIT_ROOT_DIR "${LOCKSTEP_CUDA}")
  if(NOT "$ENV{LIBRARY_PATH}" MATCHES "${LOCKSTEP_CUDA}/lib64")
    set(ENV{LIBRARY_PATH} "${LOCKSTEP_CUDA}/lib64:$ENV{LIBRARY_PATH}")
  endif()
endif()

# An explicit list keeps CMake from probing for a GPU, which fails where there is none. CMake 3.25's
# FindCUDA scripts insist on it.
if(NOT TORCH_CUDA_ARCH_LIST AND NOT DEFINED ENV{TORCH_CUDA_ARCH_LIST})
  set(TORCH_CUDA_ARCH_LIST "8.0;9.0;10.0")
endif()
find_package(Torch 2.11 REQUIRED)

# NCCL's header and library must be those that libtorch_cuda itself loads: the wheel's, two folders up.
get_filename_component(lockstep_site_packages "${TORCH_INSTALL_PREFIX}/.." ABSOLUTE)
find_path(LOCKSTEP_NCCL_INCLUDE_DIR nccl.h HINTS "${lockstep_site_packages}/nvidia/nccl/include")
find_library(LOCKSTEP_NCCL_LIBRARY NAMES nccl libnccl.so.2 HINTS "${lockstep_site_packages}/nvidia/nccl/lib")
if(NOT LOCKSTEP_NCCL_INCLUDE_DIR OR NOT LOCKSTEP_NCCL_LIBRARY)
  message(FATAL_ERROR "Lockstep: NCCL was not found beside LibTorch (${lockstep_site_packages}/nvidia/nccl) "
    "nor on the system. Run scripts/setup, or set LOCKSTEP_NCCL_INCLUDE_DIR and LOCKSTEP_NCCL_LIBRARY.")
endif()
if(NOT TARGET lockstep::nccl)
  add_library(lockstep::nccl UNKNOWN IMPORTED)
  set_target_properties(lockstep::nccl PROPERTIES
    IMPORTED_LOCATION "${LOCKSTEP_NCCL_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${LOCKSTEP_NCCL_INCLUDE_DIR}")
endif()
