lockstep_add_test(placement_test SOURCES file_descriptor_test.cpp placement_test.cpp LIBRARIES lockstep::placement)
