# cmake --install: libraries, headers, programs, and a package for find_package(Lockstep).
# Installs the targets in the global property LOCKSTEP_LIBRARIES, which lockstep_add_library fills, and those of
# LOCKSTEP_PROGRAMS that exist.
include(CMakePackageConfigHelpers)

set(LOCKSTEP_PROGRAMS lockstep lockstep-train lockstep-bench lockstep-compare lockstep-export lockstep-estimate)
set(lockstep_package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/Lockstep")

get_property(lockstep_libraries GLOBAL PROPERTY LOCKSTEP_LIBRARIES)
if(lockstep_libraries)
  install(TARGETS ${lockstep_libraries} EXPORT LockstepTargets
    ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}"
    FILE_SET HEADERS DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/lockstep")
  install(EXPORT LockstepTargets NAMESPACE lockstep:: DESTINATION "${lockstep_package_dir}")
endif()
foreach(program IN LISTS LOCKSTEP_PROGRAMS)
  if(TARGET ${program})
    install(TARGETS ${program} RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
  endif()
endforeach()

configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/LockstepConfig.cmake.in"
  "${PROJECT_BINARY_DIR}/package/LockstepConfig.cmake" INSTALL_DESTINATION "${lockstep_package_dir}")
# Before 1.0 every minor version may change the interface.
write_basic_package_version_file("${PROJECT_BINARY_DIR}/package/LockstepConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES
  "${PROJECT_BINARY_DIR}/package/LockstepConfig.cmake"
  "${PROJECT_BINARY_DIR}/package/LockstepConfigVersion.cmake"
  "${PROJECT_SOURCE_DIR}/cmake/LockstepTorch.cmake"
  "${PROJECT_SOURCE_DIR}/cmake/LockstepToolkit.cmake"
  DESTINATION "${lockstep_package_dir}")
