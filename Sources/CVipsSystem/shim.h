// The system's libvips. Swift never imports it: CVips wraps its variadic functions.
#include <vips/vips.h>
