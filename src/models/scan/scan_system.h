/* scan_system.h - SCAN, as a row of the registry. */
#ifndef FB_MODELS_SCAN_SCAN_SYSTEM_H
#define FB_MODELS_SCAN_SCAN_SYSTEM_H

#include "models/local_match.h"

extern const fb_system fb_scan_system;

#endif
