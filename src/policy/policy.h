/*
 * policy.h: the door of src/policy: a policy file in, the engine's immutable policy or all that is
 * wrong with the file out.
 */
#pragma once

#include "policy/policy_compile.h"
