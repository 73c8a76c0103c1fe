// Nothing to call: linking this target changes how the program starts (Start.c).
