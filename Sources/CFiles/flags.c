#define _GNU_SOURCE
#include "CFiles.h"

#include <fcntl.h>

const int32_t direct_flag = O_DIRECT;
