// Which part of a data set: what is trained on, or what is held back.
#pragma once

namespace lockstep {

enum class Split { kTrain, kTest };

}  // namespace lockstep
