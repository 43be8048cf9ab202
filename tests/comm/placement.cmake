lockstep_add_test(placement_test SOURCES placement_test.cpp LIBRARIES lockstep::placement)
