# Apart from lockstep::comm because `lockstep bench scaling` predicts with the same model and links no LibTorch.
lockstep_add_library(bucket_caps NO_TORCH HEADERS bucket_caps.h bucket_timeline.h SOURCES bucket_caps.cpp bucket_timeline.cpp)
