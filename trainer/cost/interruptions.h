// What interruptions cost, and how often it pays to save against them.
#pragma once

namespace lockstep {

// `save_s`: how long training stands still for a save; `mtbf_s`: the mean time between failures of the whole
// job (of one node over the number of nodes). Both must be above 0. Seconds between saves:
double young_interval_s(double save_s, double mtbf_s);  // sqrt(2 C M)
double daly_interval_s(double save_s, double mtbf_s);   // sqrt(2 C M) - C, Daly's first order

// The share of the time that saves every `interval_s` seconds take, and the rework after failures: on average
// half an interval each.
double checkpoint_overhead(double interval_s, double save_s, double mtbf_s);

}  // namespace lockstep
