# lockstep_add_test(NAME SOURCES a_test.cpp ... LIBRARIES lockstep::comm ... [RANKS 2 3 4] [LABELS ...] [TIMEOUT s]
#                   [NO_MAIN] [PRECOMPILED])
# Builds one GoogleTest program and registers it with ctest: once as it is, or, with RANKS, once per rank count
# under mpiexec (the test is then named NAME.nR). Every *_test.cpp under tests/ has to be named by some call.
find_package(GTest REQUIRED)
include(GoogleTest)

# Headers that take longer to read than the test itself: GoogleTest's for every test, and with PRECOMPILED LibTorch's
# tensors too, 5 s a file instead of 20 s.
file(WRITE "${PROJECT_BINARY_DIR}/precompiled_test.cpp" "int main() { return 0; }\n")
add_executable(lockstep_precompiled_test EXCLUDE_FROM_ALL "${PROJECT_BINARY_DIR}/precompiled_test.cpp")
target_link_libraries(lockstep_precompiled_test PRIVATE torch GTest::gmock GTest::gtest lockstep_compile_options)
target_precompile_headers(lockstep_precompiled_test PRIVATE <ATen/ATen.h> <gmock/gmock.h> <gtest/gtest.h>)
add_executable(lockstep_precompiled_googletest EXCLUDE_FROM_ALL "${PROJECT_BINARY_DIR}/precompiled_test.cpp")
target_link_libraries(lockstep_precompiled_googletest PRIVATE GTest::gmock GTest::gtest lockstep_compile_options)
target_precompile_headers(lockstep_precompiled_googletest PRIVATE <gmock/gmock.h> <gtest/gtest.h>)

# As root and on two cores: OpenMPI must be told that both are meant.
set(LOCKSTEP_MPI_ENVIRONMENT
  OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
  OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_btl_vader_single_copy_mechanism=none
  OMPI_MCA_btl_base_warn_component_unused=0 OMP_NUM_THREADS=1)

# What the sanitizers are told (LOCKSTEP_SANITIZER): to be silent about LibTorch and OpenMPI where that is justified.
set(LOCKSTEP_SANITIZER_ENVIRONMENT "")
if(LOCKSTEP_SANITIZER STREQUAL "address")
  set(LOCKSTEP_SANITIZER_ENVIRONMENT
    "LSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/cmake/sanitizers/lsan.supp:print_suppressions=0")
elseif(LOCKSTEP_SANITIZER STREQUAL "thread")
  set(LOCKSTEP_SANITIZER_ENVIRONMENT
    "TSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/cmake/sanitizers/tsan.supp:halt_on_error=1:second_deadlock_stack=1")
endif()

function(lockstep_add_test name)
  cmake_parse_arguments(arg "NO_MAIN;PRECOMPILED" "TIMEOUT" "SOURCES;LIBRARIES;RANKS;LABELS;ENVIRONMENT" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  add_executable(${name} ${arg_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests" UNITY_BUILD OFF)
  target_link_libraries(${name} PRIVATE ${arg_LIBRARIES} GTest::gmock GTest::gtest lockstep_compile_options)
  if(NOT arg_NO_MAIN)
    target_link_libraries(${name} PRIVATE GTest::gtest_main)
  endif()
  if(arg_PRECOMPILED)
    target_precompile_headers(${name} REUSE_FROM lockstep_precompiled_test)
  else()
    target_precompile_headers(${name} REUSE_FROM lockstep_precompiled_googletest)
  endif()
  foreach(source IN LISTS arg_SOURCES)
    cmake_path(ABSOLUTE_PATH source BASE_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}" NORMALIZE)
    set_property(GLOBAL APPEND PROPERTY LOCKSTEP_TEST_SOURCES "${source}")
  endforeach()
  if(arg_RANKS)
    foreach(ranks IN LISTS arg_RANKS)
      add_test(NAME ${name}.n${ranks} COMMAND ${MPIEXEC_EXECUTABLE} -n ${ranks} $<TARGET_FILE:${name}>)
      set_tests_properties(${name}.n${ranks} PROPERTIES PROCESSORS 2 TIMEOUT ${arg_TIMEOUT}
        LABELS "${arg_LABELS}" ENVIRONMENT "${LOCKSTEP_MPI_ENVIRONMENT};${LOCKSTEP_SANITIZER_ENVIRONMENT};${arg_ENVIRONMENT}")
    endforeach()
  else()
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT} LABELS "${arg_LABELS}"
      ENVIRONMENT "OMP_NUM_THREADS=1;${LOCKSTEP_SANITIZER_ENVIRONMENT};${arg_ENVIRONMENT}")
  endif()
endfunction()

# lockstep_add_reference(TEST SCRIPT [LARGE]): before TEST runs, PyTorch writes what is expected of it: ctest runs
# `python SCRIPT DIR` first, and TEST finds DIR in the environment as LOCKSTEP_REFERENCE_DIR. LARGE: DIR is removed
# when TEST has run.
function(lockstep_add_reference test script)
  cmake_parse_arguments(arg "LARGE" "" "" ${ARGN})
  set(directory "${CMAKE_CURRENT_BINARY_DIR}/reference/${test}")
  cmake_path(ABSOLUTE_PATH script BASE_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}" NORMALIZE)
  add_test(NAME ${test}.reference COMMAND "${LOCKSTEP_VENV}/bin/python" "${script}" "${directory}")
  set_tests_properties(${test}.reference PROPERTIES FIXTURES_SETUP ${test}.reference TIMEOUT 600
    ENVIRONMENT "OMP_NUM_THREADS=1")
  set_property(TEST ${test} APPEND PROPERTY FIXTURES_REQUIRED ${test}.reference)
  set_property(TEST ${test} APPEND PROPERTY ENVIRONMENT "LOCKSTEP_REFERENCE_DIR=${directory}")
  if(arg_LARGE)
    add_test(NAME ${test}.reference_removed COMMAND "${CMAKE_COMMAND}" -E rm -rf "${directory}")
    set_tests_properties(${test}.reference_removed PROPERTIES FIXTURES_CLEANUP ${test}.reference)
  endif()
endfunction()

# lockstep_add_script_test(NAME COMMAND ... [LABELS ...] [TIMEOUT s] [SERIAL]): a test that is a script.
function(lockstep_add_script_test name)
  cmake_parse_arguments(arg "SERIAL" "TIMEOUT" "COMMAND;LABELS" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  add_test(NAME ${name} COMMAND ${arg_COMMAND})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT} LABELS "${arg_LABELS}" PROCESSORS 2
    RUN_SERIAL "${arg_SERIAL}" ENVIRONMENT "LOCKSTEP_BIN=${PROJECT_BINARY_DIR}/bin;LOCKSTEP_VENV=${LOCKSTEP_VENV};${LOCKSTEP_MPI_ENVIRONMENT}")
endfunction()

function(lockstep_check_every_test_is_listed)
  get_property(listed GLOBAL PROPERTY LOCKSTEP_TEST_SOURCES)
  file(GLOB_RECURSE present CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/tests/*_test.cpp")
  foreach(file IN LISTS present)
    if(NOT file IN_LIST listed)
      message(FATAL_ERROR "Lockstep: ${file} is in no lockstep_add_test(), so it would never run.")
    endif()
  endforeach()
endfunction()
