/*
 * platform.h: the door of the one floor that knows Linux. Everything above asks here for time,
 * randomness, files, memory, threads, signals and the log.
 */
#pragma once

#include "platform/clock.h"
#include "platform/entropy.h"
#include "platform/file.h"
#include "platform/log.h"
#include "platform/memory.h"
#include "platform/notify.h"
#include "platform/ring.h"
#include "platform/signals.h"
#include "platform/thread.h"
#include "platform/usage.h"
#include "platform/wake.h"
