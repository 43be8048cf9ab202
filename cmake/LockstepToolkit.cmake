# Finds a CUDA toolkit that can build against LibTorch's CUDA 13 wheel: nvcc 13.0 or newer that runs, with its
# compiler back end, headers and run-time library. A half-installed one, a wrapper whose toolkit is gone and a
# distribution's old nvcc are passed over.
#
#   lockstep_find_cuda_toolkit(RESULT [VENV dir])   RESULT becomes the toolkit's root, or empty
#   cmake [-D LOCKSTEP_VENV=dir] -P LockstepToolkit.cmake   prints the same, for scripts/setup
#
# Order: CUDA_HOME, CUDA_PATH, nvcc on the PATH, /usr/local/cuda, and last the toolkit that scripts/setup
# assembled from wheels in VENV/cuda.
function(lockstep_find_cuda_toolkit result)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "VENV" "")
  set(candidates "$ENV{CUDA_HOME}" "$ENV{CUDA_PATH}")
  find_program(nvcc_on_path nvcc NO_CACHE)
  if(nvcc_on_path)
    file(REAL_PATH "${nvcc_on_path}" nvcc_on_path)
    cmake_path(GET nvcc_on_path PARENT_PATH bin)
    cmake_path(GET bin PARENT_PATH root)
    list(APPEND candidates "${root}")
  endif()
  list(APPEND candidates /usr/local/cuda)
  if(arg_VENV)
    list(APPEND candidates "${arg_VENV}/cuda")
  endif()

  set(${result} "" PARENT_SCOPE)
  foreach(root IN LISTS candidates)
    set(complete TRUE)
    foreach(part bin/nvcc nvvm/bin/cicc include/cuda.h include/cuda_runtime_api.h include/cublas_v2.h
        include/cusparse.h include/cusolverDn.h lib64/libcudart.so)
      if(NOT EXISTS "${root}/${part}")
        set(complete FALSE)
      endif()
    endforeach()
    if(NOT root OR NOT complete)
      continue()
    endif()
    execute_process(COMMAND "${root}/bin/nvcc" --version OUTPUT_VARIABLE output ERROR_QUIET RESULT_VARIABLE status)
    if(status EQUAL 0 AND output MATCHES "release ([0-9]+\\.[0-9]+)" AND CMAKE_MATCH_1 VERSION_GREATER_EQUAL 13.0)
      set(${result} "${root}" PARENT_SCOPE)
      return()
    endif()
  endforeach()
endfunction()

if(CMAKE_SCRIPT_MODE_FILE STREQUAL CMAKE_CURRENT_LIST_FILE)
  lockstep_find_cuda_toolkit(toolkit VENV "${LOCKSTEP_VENV}")
  execute_process(COMMAND "${CMAKE_COMMAND}" -E echo "${toolkit}")
endif()
