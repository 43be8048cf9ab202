// How a collective over messages waits: until a message is through, a limit is reached or somebody aborts.
// Not for use outside comm/.
#pragma once

#include "comm/collective.h"
#include "comm/transport.h"

namespace lockstep {

class RingWait {
 public:
  RingWait(Transport& transport, const CollectiveSignature& signature, const WaitLimit& limit)
      : transport_(transport), signature_(signature), limit_(limit) {}

  // Returns once the message to or from `peer` is through.
  void wait_for(Transport::Request request, int peer);
  // Something has moved.
  void moved() { turns_ = 0; }
  // Nothing has moved, `peer` being awaited. Throws CommError when the limit is reached: it names who is
  // missing, and where the others are, as far as the transport can find out.
  void rest(int peer);

 private:
  [[noreturn]] void time_out(int peer);

  Transport& transport_;
  const CollectiveSignature& signature_;
  const WaitLimit& limit_;
  int turns_ = 0;
};

}  // namespace lockstep
