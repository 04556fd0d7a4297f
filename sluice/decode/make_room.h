#pragma once

#include <vector>

#include "sluice/decode/stepper.h"

namespace sluice::decode {

/// What so many blocks take.
Bytes bytes_of(const std::vector<residency::KvNeed>& needs);

/// What the pool lacks for a step.
Bytes lacking_for(const std::vector<std::vector<Row>>& passes, const residency::KvPool& pool);

/// Spills blocks of the step's own sequences until the pool has room for it. False when they have not got so many. While no
/// step is in flight.
bool spill_for(const std::vector<std::vector<Row>>& passes, residency::KvPool& pool);

/// Begins a step with no other in flight, for which it spills what it must. Throws as Stepper::begin(), and what is to be
/// said where no more can be spilled.
void begin_with_room(Stepper& stepper, const std::vector<std::vector<Row>>& passes);

/// The message of an error for want of room, with why nothing more is spilled.
Error with_why_not(const Error& error, const residency::KvPool& pool);

}  // namespace sluice::decode
