// Whether all ranks were given the same: asked at start-up, before anything that would fail obscurely.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "comm/communicator.h"

namespace lockstep {

// Names and values, in an order of the caller's.
using KeyValues = std::vector<std::pair<std::string, std::string>>;

// Compares every rank's `values` with rank 0's; a collective. Returns an empty string on every rank if all
// are equal, else, on every rank alike, one clause on the lowest rank that differs and its first difference:
// "rank 1 has --lr 0.2, rank 0 has 0.1".
std::string find_disagreement(const KeyValues& values, Communicator& communicator);

// The first rank's problem as "rank 1: what it says" on every rank; empty if no rank has one. A collective.
std::string first_problem(const std::string& mine, Communicator& communicator);

// The text of `root` on every rank; a collective.
std::string broadcast_text(const std::string& mine, int root, Communicator& communicator);

// Every rank's text, by rank; a collective.
std::vector<std::string> gather_texts(const std::string& mine, Communicator& communicator);

}  // namespace lockstep
