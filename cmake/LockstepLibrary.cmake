# lockstep_add_library(NAME [NO_TORCH] [NO_UNITY] HEADERS ... SOURCES ... [PUBLIC libs ...] [PRIVATE libs ...])
# One static library per folder: target lockstep_NAME, alias lockstep::NAME, headers installed under
# include/lockstep/<path in the source tree>. Public headers name LibTorch and the standard library only.
# With CMAKE_UNITY_BUILD, which scripts/setup sets, its files are compiled in batches, which read LibTorch's headers once; not
# so with NO_UNITY, for files whose unnamed namespaces use the same names.
# Header-only libraries among PRIVATE are needed to compile, not to link, so the installed package does without them.
include(GNUInstallDirs)

# Installed programs find LibTorch, NCCL and the CUDA run time where the build found them. The folders are named, since
# CMake's own list (USE_LINK_PATH) leaves out those inside the source tree, where scripts/setup puts .venv.
set(CMAKE_INSTALL_RPATH_USE_LINK_PATH ON)
cmake_path(GET LOCKSTEP_NCCL_LIBRARY PARENT_PATH lockstep_nccl_dir)
set(CMAKE_INSTALL_RPATH "${TORCH_INSTALL_PREFIX}/lib" "${lockstep_nccl_dir}")
if(lockstep_cudart)
  cmake_path(GET lockstep_cudart PARENT_PATH lockstep_cudart_dir)
  list(APPEND CMAKE_INSTALL_RPATH "${lockstep_cudart_dir}")
endif()

# Sanitized builds find races and lifetimes; that each file includes what it needs, the ordinary build has shown.
function(lockstep_precompile_if_sanitized target)
  if(LOCKSTEP_SANITIZER)
    target_precompile_headers(${target} PRIVATE <ATen/ATen.h>)
  endif()
endfunction()

function(lockstep_add_library name)
  cmake_parse_arguments(arg "NO_TORCH;NO_UNITY" "" "HEADERS;SOURCES;PUBLIC;PRIVATE" ${ARGN})
  set(target lockstep_${name})
  add_library(${target} STATIC ${arg_SOURCES})
  add_library(lockstep::${name} ALIAS ${target})
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${name})
  if(arg_NO_UNITY)
    set_target_properties(${target} PROPERTIES UNITY_BUILD OFF)
  endif()
  target_sources(${target} PUBLIC FILE_SET HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}" FILES ${arg_HEADERS})
  target_include_directories(${target} PUBLIC
    "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>"
    "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/lockstep>"
    "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")
  target_compile_features(${target} PUBLIC cxx_std_20)
  if(NOT arg_NO_TORCH)
    target_link_libraries(${target} PUBLIC torch)
    # The wheel's libtorch.so exports the std::filesystem of an older compiler, whose remove_all crashes when it meets
    # ours. The first library that is loaded wins: it has to be libstdc++.
    target_link_options(${target} PUBLIC "LINKER:--push-state,--no-as-needed,-lstdc++,--pop-state")
  endif()
  foreach(library IN LISTS arg_PRIVATE)
    if(library MATCHES "^(cxxopts|nlohmann_json|protozero|tomlplusplus)::")
      target_link_libraries(${target} PRIVATE $<BUILD_INTERFACE:${library}>)
    else()
      target_link_libraries(${target} PRIVATE ${library})
    endif()
  endforeach()
  target_link_libraries(${target} PUBLIC ${arg_PUBLIC} PRIVATE $<BUILD_INTERFACE:lockstep_compile_options>)
  set_property(GLOBAL APPEND PROPERTY LOCKSTEP_LIBRARIES ${target})
endfunction()

# lockstep_add_kernels(LIBRARY FILE.cu ...): CUDA code of our own in a library, for the GPUs in TORCH_CUDA_ARCH_LIST
# (LockstepTorch.cmake). LibTorch's package has enabled the language. The library takes the objects as files: were it
# of that language itself, CMake would link the toolkit's static run time to each program beside LibTorch's.
function(lockstep_add_kernels library)
  foreach(source IN LISTS ARGN)
    cmake_path(GET source STEM name)
    set(target ${library}_${name})
    set(object "${CMAKE_CURRENT_BINARY_DIR}/${name}.cu.o")
    add_library(${target} OBJECT ${source})
    set_target_properties(${target} PROPERTIES CUDA_STANDARD 17 CUDA_EXTENSIONS OFF)  # CMake 3.25 knows no later one
    target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}")
    target_include_directories(${target} SYSTEM PRIVATE ${TORCH_INCLUDE_DIRS})
    target_compile_options(${target} PRIVATE --fmad=false -Werror=all-warnings -Xcompiler=-Wall,-Wextra
      -Xptxas=--warn-on-spills,--warn-on-local-memory-usage)
    add_custom_command(OUTPUT "${object}" DEPENDS ${target} $<TARGET_OBJECTS:${target}>
      COMMAND "${CMAKE_COMMAND}" -E copy $<TARGET_OBJECTS:${target}> "${object}" VERBATIM)
    set_source_files_properties("${object}" PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
    target_sources(${library} PRIVATE "${object}")
  endforeach()
endfunction()
