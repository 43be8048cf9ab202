lockstep_add_test(nearest_name_test SOURCES nearest_name_test.cpp)
target_include_directories(nearest_name_test PRIVATE "${PROJECT_SOURCE_DIR}")
