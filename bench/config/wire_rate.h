// The rate of a shaped wire, as tc writes it.
#pragma once

#include <string>

#include "trainer/config/option_value.h"

namespace lockstep {

// "unshaped", or a rate from 1mbit to 400gbit such as 10gbit.
Rule wire_rate();
bool is_wire_rate(const std::string& text);

// Of a text that is_wire_rate(), in bits a second; 0 for unshaped.
double wire_bits_per_s(const std::string& text);

}  // namespace lockstep
