/* systems_more.c - no systems but the product's; a test puts its own in this place
 * (system.h). */
#include "models/system.h"

const fb_system *const fb_systems_more[] = {NULL};
