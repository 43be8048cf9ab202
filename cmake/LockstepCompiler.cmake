# How our own code is compiled: C++20, warnings are errors, and no contraction to fused multiply-add, which
# would change the bits of every sum (docs/design.md, "Numbers first").
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

add_library(lockstep_compile_options INTERFACE)
target_compile_options(lockstep_compile_options INTERFACE
  -Wall -Wextra -Wpedantic -Werror -Wno-error=deprecated-declarations -ffp-contract=off
  # GCC 12 sees overlapping or endless copies in `"text" + std::string` where there are none (GCC bug 105329, mended in 13).
  $<$<AND:$<CXX_COMPILER_ID:GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>>:-Wno-restrict$<SEMICOLON>-Wno-stringop-overflow>)

# The layout of some of LibTorch's classes (at::RecordFunction) depends on NDEBUG, and its wheels are built with it.
target_compile_definitions(lockstep_compile_options INTERFACE $<$<NOT:$<CONFIG:Release>>:NDEBUG>)

# Where files are compiled in batches, an unnamed namespace's type seems to be in a header.
if(CMAKE_UNITY_BUILD AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(lockstep_compile_options INTERFACE -Wno-subobject-linkage)
endif()

if(LOCKSTEP_SANITIZER)
  target_compile_options(lockstep_compile_options INTERFACE
    -fsanitize=${LOCKSTEP_SANITIZER} -fno-omit-frame-pointer -g1)
  target_link_options(lockstep_compile_options INTERFACE -fsanitize=${LOCKSTEP_SANITIZER})
endif()

if(LOCKSTEP_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "Lockstep: LOCKSTEP_FUZZ needs clang, for libFuzzer; configure with -DCMAKE_CXX_COMPILER=clang++ as well.")
  endif()
  target_compile_options(lockstep_compile_options INTERFACE
    -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g1
    -fsanitize-ignorelist=${PROJECT_SOURCE_DIR}/cmake/sanitizers/ubsan.ignore)
  target_link_options(lockstep_compile_options INTERFACE -fsanitize=address,undefined)
endif()

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Precompiled headers are shared between targets, and ccache needs to be told that this is meant.
  set(CMAKE_CXX_COMPILER_LAUNCHER
    "${CMAKE_COMMAND};-E;env;CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime;${CCACHE_PROGRAM}")
endif()
if(CCACHE_PROGRAM AND NOT CMAKE_CUDA_COMPILER_LAUNCHER)
  set(CMAKE_CUDA_COMPILER_LAUNCHER "${CCACHE_PROGRAM}")
endif()

find_program(MOLD_PROGRAM mold)
if(MOLD_PROGRAM)
  add_link_options(-fuse-ld=mold)
endif()
