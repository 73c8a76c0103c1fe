// Which instructions there are, and which of them may be used.

#pragma once

#include "CTorch.h"

namespace ctorch {

enum class Instructions { portable, avx2, avx512 };

// The best for elementwise work that this processor has, or fewer after `ct_limit_instructions`.
Instructions instructions();

// Whether `ct_limit_instructions` leaves these.
bool may_use(ct_instructions wanted);

// The calling thread's `ct_limit_instructions`, which the threads that work for it take over.
int instruction_limit();
void set_instruction_limit(int most);

}  // namespace ctorch
